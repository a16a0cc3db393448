//! Starting, draining and stopping a process.
//!
//! Owns: the clock, the two steps of a shutdown and the signals that begin them, tracked tasks,
//! named readiness guards, back-off. It must not know: what a task does, settings, HTTP, any
//! entity. Nothing here reads the environment or a file.
#![forbid(unsafe_code)]

mod backoff;
mod clock;
mod readiness;
mod shutdown;
mod signals;
mod tasks;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use readiness::{Guard, Readiness};
pub use shutdown::{Shutdown, Stage};
pub use signals::listen as listen_for_signals;
pub use tasks::{Failure, Tasks};
