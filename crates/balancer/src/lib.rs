//! Which target gets the next request: algorithms and health, without I/O.
//!
//! Owns: the live state of an upstream ([`Upstream`]), the ways to choose a peer, the health state
//! machine, what ties a request to a peer. It must not know: sockets, DNS, HTTP messages, threads
//! or tasks, but that a count which threads share is dear (`local`). It reads no clock and draws no
//! randomness: both come in as arguments.
#![forbid(unsafe_code)]

mod algorithm;
mod comeback;
mod config;
mod control;
mod ejection;
mod entity;
mod error;
mod health;
mod key;
mod local;
mod pages;
mod peer;
mod plan;
mod pool;
mod retry;
mod slow_start;
mod target;
mod upstream;
mod view;

pub use config::{
    ActiveChecks, Algorithm, Config, HashOn, Origin, PanicPolicy, ProbeHeader, ProbeProtocol,
};
pub use ejection::Ejection;
pub use error::{CannotSet, NoPeer};
pub use health::{
    Cause, Condition, Health, Limits, Outcome, Report, Rules, Source, StatusSet, Transition, step,
};
pub use key::{Affinity, Inputs, Key};
pub use local::refresh_thread;
pub use peer::{Lease, Mark, Peer, PeerId};
pub use plan::Pick;
pub use retry::Retry;
pub use target::{Answer, ServiceAddress, TargetChange, TargetSpec};
pub use upstream::Upstream;
pub use view::{AddressView, Label, TargetView, View, Weights};
