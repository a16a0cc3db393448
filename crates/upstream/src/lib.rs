//! Everything that goes out to targets: resolve, connect, pool, probe.
