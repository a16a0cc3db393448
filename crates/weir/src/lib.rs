//! Both planes in one process, and the operator's commands.
//!
//! Owns: how the two planes are joined when they share a process, the command line of `weir`. It
//! must not know: anything that either plane does.
#![forbid(unsafe_code)]

pub mod commands;
mod explain;
mod local;
mod together;

pub use together::{Running, start};
