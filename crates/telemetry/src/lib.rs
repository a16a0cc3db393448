//! Logs, metrics, and what was built.
//!
//! Owns: how a log line looks and which are written, the metrics registry and its text, the
//! build's identity. It must not know: what is logged or counted. Metrics and log lines are named
//! where they are made.
#![forbid(unsafe_code)]

pub mod build_info;
pub mod logging;
pub mod metrics;
