//! End to end: what users do, against whole gateways. One binary, so that it links once.

mod cluster;
mod conformance;
mod processes;
mod sync;
mod walks;
