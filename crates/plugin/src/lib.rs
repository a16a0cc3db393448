//! What a plugin is: phases, what a phase may see and change, what it may decide.
//!
//! Owns: the contract between a plugin and the planes that run it ([`Definition`], [`Plugin`]),
//! the views of one request that a plugin gets ([`Exchange`], [`Answered`]), its answers ([`Answer`]),
//! what it is lent beyond one request ([`Node`]). Must not
//! know: any plugin, a store, sockets, threads. A plugin that counts, calls out or looks somebody
//! up does so through what it is handed.
#![forbid(unsafe_code)]

mod answer;
mod body;
mod catalogue;
mod counters;
mod definition;
mod dial;
mod directory;
mod exchange;
mod node;
mod phase;

pub use answer::{Answer, Rendering};
pub use body::{BodyError, RequestBody, ResponseBody};
pub use catalogue::{Listing, PluginCatalogue};
pub use counters::{Counters, CountersError, Increment, NoCounters, Totals};
pub use definition::{BuildError, Definition, Instance, Registry, Scope};
pub use dial::{Connection, Destination, DialError, Dialer, Dialing, NoDialer, Tls};
pub use directory::{Credential, CredentialKind, Directory};
pub use exchange::{
    Answered, Captures, Client, Exchange, Identity, Notes, Onward, Outcome, Timing, TlsSession, Try,
};
pub use node::Node;
pub use phase::{Access, Admission, Phases, Plugin, Verdict};
