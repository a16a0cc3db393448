//! The data plane: follows the stream, serves traffic.
//!
//! Owns: which parts a data plane consists of and how they are joined: what `subscribe` receives
//! becomes a snapshot, which the proxy's threads serve, and whose upstreams are resolved and
//! probed. It must not know: a database, the Admin API, how any part does its work.
//!
//! Threads: everything here runs on the control runtime, off the traffic threads, which are the
//! proxy's own.
#![forbid(unsafe_code)]

mod by_hand;
mod counters;
mod dialer;
mod health;
mod live;
mod metrics;
mod serve;
mod start;
mod target_metrics;
mod view;

pub use proxy::{Explainer, Unexplained};
pub use start::{Running, StartError, start};
pub use view::View;
