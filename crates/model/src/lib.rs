//! The entities of Kong, each declared once, and what the planes say about their changes.
//!
//! Owns: the fields, defaults and rules of every entity; the vocabulary of change
//! ([`Cursor`], [`Change`], [`Transaction`], [`Digest`]). Must not know: a store, HTTP, a clock,
//! randomness (both come in as arguments), any I/O.

mod change;
mod digest;

pub use change::{Change, Cursor, Entity, Kind, Transaction};
pub use digest::Digest;
