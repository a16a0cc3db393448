//! What a data plane knows of itself.

use std::fmt;
use std::sync::Arc;

use model::{Cursor, Digest, Kind};
use tokio::time::Instant;
use uuid::Uuid;

/// How this data plane is connected to the control planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No control plane has answered yet. What the disk held is served.
    Booting,
    /// The stream is up.
    Streaming,
    /// The stream is down; control planes are polled.
    Polling,
    /// As polling, and none has been heard of for longer than three periods and 30 s. What is
    /// held is served.
    Stale,
}

/// What a data plane knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// How it is connected.
    pub state: State,
    /// What it holds; `None`: nothing.
    pub received: Option<Cursor>,
    /// What requests are answered from; `None`: nothing, so that it is not ready.
    pub serving: Option<Cursor>,
    /// Of the set that it holds; its text is Kong's `configuration_hash`.
    pub digest: Digest,
    /// How many entities it holds.
    pub entities: usize,
    /// What is held came from the disk, and no control plane has yet said that it is the newest,
    /// brought what is missing, or replaced it.
    pub restored: bool,
    /// The control plane whose stream is followed.
    pub following: Option<Arc<str>>,
    /// When a control plane was heard of last; `None`: never.
    pub last_contact: Option<Instant>,
    /// What could not be applied as it is.
    pub rejected: Arc<[Rejected]>,
}

/// An entity that could not be applied as it is, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The revision that brought it.
    pub revision: u64,
    /// The collection.
    pub kind: Kind,
    /// The primary key.
    pub id: Uuid,
    /// Why, for the operator.
    pub reason: String,
    /// Whether it is in force all the same, without the parts that the reason names.
    pub in_part: bool,
}

impl State {
    /// As logs and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Booting => "booting",
            State::Streaming => "streaming",
            State::Polling => "polling",
            State::Stale => "stale",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Status {
    fn default() -> Status {
        Status {
            state: State::Booting,
            received: None,
            serving: None,
            digest: Digest::default(),
            entities: 0,
            restored: false,
            following: None,
            last_contact: None,
            rejected: Arc::from([]),
        }
    }
}
