//! The entities of Kong, each declared once, and what the planes say about their changes.
//!
//! Owns: the fields, defaults and rules of every entity; the vocabulary of change
//! ([`Cursor`], [`Change`], [`Transaction`], [`Digest`]). Must not know: a store, HTTP, a clock,
//! randomness (both come in as arguments), any I/O.

#![forbid(unsafe_code)]

mod address;
mod change;
mod cidr;
mod digest;
mod entity;
mod env;
mod protocol;
mod reference;
mod route;
mod service;
mod target;
mod typed;
pub mod types;
mod upstream;

pub use address::{Address, AddressError, Host, HostPort};
pub use change::{Change, Cursor, Entity, Kind, Transaction};
pub use cidr::{Cidr, CidrError};
pub use digest::Digest;
pub use entity::{
    EntityType, ForeignField, ForeignKey, RowParts, UniqueKey, entities, entity, entity_by_path,
};
pub use env::{Env, NoPlugins, Plugins};
pub use protocol::Protocol;
pub use reference::Reference;
pub use route::{Endpoint, PathHandling, Route, RouterFlavor};
pub use service::Service;
pub use target::Target;
pub use typed::BodyError;
pub use upstream::{
    ActiveCheck, ActiveHealthy, ActiveUnhealthy, Algorithm, CheckType, HashOn, Healthchecks,
    PassiveCheck, PassiveHealthy, PassiveUnhealthy, Upstream,
};
