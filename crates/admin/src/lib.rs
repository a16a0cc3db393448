//! Kong's Admin API.
//!
//! Owns: which paths exist and what their methods mean, request bodies and queries, Kong's
//! answers and errors, the listener. The operations on entities are written once, for every entity
//! type that `model` declares; `entity/` has what differs from one to another.
//!
//! A new entity type needs nothing here unless it differs from the others: then its file in
//! `entity/` answers the questions that `entity/mod.rs` lists. A new path is a variant of
//! `Endpoint`, a line in its table, and an arm in `Api::dispatch`; OPTIONS, `/endpoints` and
//! `/openapi.json` follow from the table.
//!
//! Must not know: SQL, the stream, how requests are proxied. What other parts of a process know
//! (who serves which revision, the health of targets, memory) comes in through the traits of
//! [`State`].
#![forbid(unsafe_code)]

mod answer;
mod api;
mod apis;
mod body;
mod cache;
mod call;
mod crud;
mod declarative;
mod endpoint;
mod entity;
mod error;
mod expiry;
mod explain;
mod find;
mod form;
mod info;
mod list;
mod openapi;
mod path;
mod preview;
mod query;
mod reference;
mod rejected;
mod revisions;
mod revocations;
mod rollouts;
mod scan;
mod schemas;
mod server;
mod stall;
mod state;
mod write;

#[cfg(test)]
mod tests;

pub use api::Api;
pub use declarative::Current;
pub use openapi::reference;
pub use server::{Counters, Handshake, Limits, Plain, Tls, Version, serve};
pub use state::{
    About, AddressHealth, Barrier, Certificate, Connections, DataPlane, Explain, Fleet,
    FleetHealth, Laggard, Node, NodeHealth, Object, Random, Rejected, RejectedBy, Role, Served,
    Shadow, State, SystemRandom, TargetHealth, Unexplained, UpstreamHealth, Wait, Wanted,
};
