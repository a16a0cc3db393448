//! What the end-to-end tests share: gateways in this process and as real processes, backends, a
//! client, and the runner of the recorded scenarios.
//!
//! A test owns all that it starts, on ports that the operating system chooses, in a directory of
//! its own; dropping it ends it.
#![forbid(unsafe_code)]

mod backend;
mod client;
pub mod conformance;
mod connection;
mod exchange;
mod gateway;
mod load;
mod postgres;
mod program;
mod prometheus;
mod redis;
mod relay;
mod sinks;

pub use backend::Backend;
pub use client::{Client, Reply};
pub use connection::Connection;
pub use gateway::Gateway;
pub use load::{Load, Sample, shares};
pub use postgres::{postgres, settings_of};
pub use program::{Program, address};
pub use prometheus::{Prometheus, promtool};
pub use redis::Redis;
pub use relay::Relay;
