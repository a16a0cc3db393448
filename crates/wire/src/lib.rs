//! The messages between the planes.
//!
//! Owns: the generated message types and client ([`v1`]), their conversions to and from `model`'s
//! words, how health is told, the sizes that messages keep to, how a transaction is cut into messages and put together
//! again, how a set of entities is held, compared and packed into compressed blocks, and the pipe
//! that stands in for a socket when both planes share a process. Must not know: a store, what an
//! entity means, when anything is sent, retried or applied.
#![forbid(unsafe_code)]

mod block;
mod convert;
mod entities;
mod frame;
mod health;
mod parts;
mod pipe;
mod redact;

/// The generated messages and client. Written by `cargo xtask codegen` from
/// `proto/weir/sync/v1/sync.proto`.
#[path = "gen/weir.sync.v1.rs"]
#[rustfmt::skip]
pub mod v1;

pub use block::{Block, pack, unpack};
pub use convert::{
    Malformed, change_from, change_to, cursor_from, cursor_to, digest_from, entity_from, uuid_from,
    uuid_to,
};
pub use entities::{Entities, change_size, merge};
pub use frame::{MAX_BODY, MAX_MESSAGE, PART, frame};
pub use health::{AddressHealth, Health, TargetHealth, UpstreamHealth, health_from, health_to};
pub use parts::{Assembler, parts, transaction_from, transaction_to};
pub use pipe::{Dialer, Listener, pipe};

#[cfg(test)]
mod tests;
