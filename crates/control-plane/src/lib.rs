//! The control plane: Admin API, store, stream, in one process part.
//!
//! Owns: which parts a control plane consists of and how they are joined. It must not know: what
//! any of them does. Everything binds before anything runs, so a start either succeeds whole or
//! says what is in its way.
#![forbid(unsafe_code)]

mod database;
mod expiry;
mod listeners;
mod local;
mod metrics;
mod node;
mod start;
mod view;

pub use admin::{Connections, Explain, Shadow, Unexplained};
pub use database::{OpenError, migrate, open};
pub use listeners::ListenError;
pub use local::LocalDataPlane;
pub use start::{Running, StartError, Together, start};
