//! What a data plane serves: entities compiled into one immutable value.
//!
//! Owns: the [`Snapshot`] that a request is served from, the [`Builder`] that makes the next one
//! out of changes by structural sharing (references to secrets resolved), the [`Cell`] in which the newest one lies. Must not know:
//! where changes come from, sockets, HTTP messages, DNS.
#![forbid(unsafe_code)]

mod builder;
mod cell;
mod certificates;
mod chain;
mod destination;
mod directory;
mod entry;
mod instances;
mod live;
mod map;
mod rejection;
mod routing;
mod secrets;
mod snapshot;
mod upstreams;

pub use builder::{Applied, Builder};
pub use cell::{Cache, Cell};
pub use chain::{Chain, Running, Slot};
pub use destination::Follow;
pub use directory::Directory;
pub use entry::{RouteEntry, ServiceEntry};
pub use live::LiveChange;
pub use rejection::Rejection;
pub use secrets::Environment;
pub use snapshot::Snapshot;

#[cfg(test)]
mod tests;
