//! Starting, draining and stopping a process: clock, signals, readiness, tracked tasks.
