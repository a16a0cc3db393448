//! End to end: what users do, against whole gateways. One binary, so that it links once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod cluster_drill;
mod conformance;
mod drill;
mod examples;
mod explain;
mod fleet;
mod metrics;
mod mtls;
mod processes;
mod rate_limiting;
mod rollout;
mod secrets;
mod sync;
mod walks;
