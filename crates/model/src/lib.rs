//! The entities of Kong, each declared once, and what the planes say about their changes.
//!
//! Owns: the fields, defaults and rules of every entity; the vocabulary of change
//! ([`Cursor`], [`Change`], [`Transaction`], [`Digest`]). Must not know: a store, HTTP, a clock,
//! randomness (both come in as arguments), any I/O.

#![forbid(unsafe_code)]

mod address;
mod certificate;
mod change;
mod cidr;
mod consumer;
mod credential;
mod digest;
mod entities;
mod entity;
mod env;
mod key;
mod pki;
mod plugin;
mod protocol;
mod reference;
mod revocation;
mod rollout;
mod route;
mod secret;
mod service;
mod target;
mod target_health;
#[cfg(test)]
mod testing;
mod typed;
pub mod types;
mod upstream;
mod vault;
mod workspace;

pub use address::{Address, AddressError, Host, HostPort};
pub use certificate::{CaCertificate, Certificate, Sni};
pub use change::{Change, Cursor, Entity, Kind, Transaction};
pub use cidr::{Cidr, CidrError};
pub use consumer::Consumer;
pub use credential::{
    Acl, BasicAuthCredential, ClientType, HmacAuthCredential, JwtAlgorithm, JwtSecret,
    KeyAuthCredential, OAuth2Credential, OAuth2Token, password_hash,
};
pub use digest::Digest;
pub use entities::{entities, entity, entity_by_path};
pub use entity::{EntityType, ForeignField, ForeignKey, RowParts, UniqueKey, parse_ttl};
pub use env::{Env, NoPlugins, Plugins};
pub use key::{Key, KeyPair, KeySet};
pub use plugin::{Plugin, PluginProtocols, Scope};
pub use protocol::Protocol;
pub use reference::Reference;
pub use revocation::RevokedCertificate;
pub use rollout::Rollout;
pub use route::{Endpoint, PathHandling, Route, RouterFlavor};
pub use secret::Secret;
pub use service::Service;
pub use target::Target;
pub use target_health::TargetHealth;
pub use typed::{BodyError, Unknown};
pub use upstream::{
    ActiveCheck, ActiveHealthy, ActiveUnhealthy, Algorithm, CheckType, Ejection, HashOn,
    Healthchecks, PanicPolicy, PassiveCheck, PassiveHealthy, PassiveUnhealthy, Retry, Upstream,
};
pub use vault::{EnvVault, Vault};
pub use workspace::{WORKSPACE, workspace_id};
