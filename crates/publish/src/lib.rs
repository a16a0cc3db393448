//! From the change log to every data plane's stream.
//!
//! Owns: the cursor in the store's log, the moment at which a revision is released
//! (`db_update_propagation`), the released set of entities, who is held back by a rollout, the
//! frames that are encoded once for all streams, the calls of the sync service, the view of the
//! fleet, which the control planes on a store share, the log's retention.
//! Must not know: what an entity means, the Admin API, what a data plane does with a change.
//!
//! The way of a change: [`tail`] reads the log and stamps each revision with the moment of its
//! release; when that has come, [`feeds`] takes it into the released set and into a ring of
//! frames; each stream ([`session`]) is a cursor that pulls from there, so a slow data plane costs
//! no memory here. Polls and snapshots are answered from the same set: nothing but the tail reads
//! the database.
#![forbid(unsafe_code)]

mod connection;
mod feed;
mod feeds;
mod fleet;
mod frames;
mod handlers;
mod health;
mod members;
mod notices;
mod publisher;
mod recent;
mod report;
mod retention;
mod serve;
mod session;
mod settings;
mod sharing;
mod siblings;
mod snapshots;
mod stalled;
mod tail;
mod tls;
mod visibility;

pub use connection::{Certificate, Connection};
pub use feed::Released;
pub use feeds::OpenRollout;
pub use fleet::{Fleet, Member, Node, Rejection, Served, Standing, State, Wanted};
pub use health::{FleetHealth, NodeHealth};
pub use publisher::Publisher;
pub use settings::{Retention, Settings};
pub use tls::Tls;
