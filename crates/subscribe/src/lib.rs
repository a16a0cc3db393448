//! A data plane's side of the stream: connect, follow, poll, catch up.
//!
//! Owns: the cursor and the rules by which what arrives is applied, the received set, the states
//! of the connection to the control planes and every transition between them, the reports, the
//! last good configuration on disk. Must not know: what an entity means (it hands changes to an
//! [`Apply`]), the request path, a database.
//!
//! The parts: [`inbox`] is the rule of the cursor, [`machine`] decides what is to be done next
//! (both pure: time and randomness are arguments), [`calls`] speaks gRPC, [`serving`] stands
//! between the inbox and the [`Apply`], [`disk`] is the file, and [`client`] is the loop that
//! drives them.
#![forbid(unsafe_code)]

mod apply;
mod calls;
mod client;
mod counters;
mod disk;
mod endpoint;
mod health;
mod inbox;
mod machine;
mod report;
mod rotation;
mod serving;
mod settings;
mod status;

pub use apply::{Apply, Rejection};
pub use client::{Client, Crashed};
pub use counters::{Counters, Increment, NotCounted};
pub use disk::SnapshotKey;
pub use endpoint::{Dial, Endpoint, Io, NotAnAddress, Tls};
pub use settings::{Node, Settings};
pub use status::{Rejected, State, Status};
