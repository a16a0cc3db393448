//! Which route a request belongs to.
//!
//! Owns: Kong's routers — the conditions of routes, the order in which routes are tried, the
//! expression language — and what is done with paths: their normal form, the path that goes to the
//! backend. Must not know: sockets, HTTP messages, services, a clock. It reads [`Request`]s and does
//! no I/O.
//!
//! A [`Table`] is a value: a clone is cheap and what one does to it no other clone sees. Lookups
//! go from the host to the longest prefixes of the path and compare what is left of the routes
//! found there; the answer is that of trying every route in order.

#![forbid(unsafe_code)]

mod bucket;
mod conditions;
mod cover;
mod entry;
mod error;
mod explain;
mod expression;
pub mod host;
mod hosts;
mod index;
mod list;
mod map;
mod matched;
mod method;
mod name;
mod network;
#[cfg(any(test, feature = "testing"))]
pub mod oracle;
pub mod path;
mod pattern;
mod rank;
mod request;
mod rule;
mod rules;
mod shadow;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use error::Rejected;
pub use explain::Candidate;
pub use matched::{Captures, Match};
pub use request::{Headers, NoHeaders, Request, Scheme};
pub use rule::Condition;
pub use rules::{Calculation, Rules};
pub use shadow::Shadow;
pub use table::Table;
