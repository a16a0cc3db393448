//! What a write did, in the words that the store, the stream and the data plane share.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The name of an entity's collection as Kong's database spells it (`services`, `key_sets`…).
///
/// A data plane may hear of kinds that it does not know (a newer control plane), so this is a
/// name and not an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// The kind of one of our own declarations.
    pub const fn known(name: &'static str) -> Kind {
        Kind(Cow::Borrowed(name))
    }

    /// The kind that a message or a row names; may be one that this build does not know.
    pub fn named(name: impl Into<String>) -> Kind {
        Kind(Cow::Owned(name.into()))
    }

    /// Kong's name of the collection.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One history of one store: the epoch names it, the revision counts in it.
///
/// Revisions of different epochs do not compare: a new epoch (a restored database) means a full
/// resync, never "older than mine".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Names the history. A store gets a new one when it is created, restored or rewound.
    pub epoch: Uuid,
    /// Grows by one per committed write transaction, in commit order; 0 is the empty store.
    pub revision: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.revision)
    }
}

/// One entity after (or gone with) a change. The full body travels, so applying needs no second
/// read and applying twice does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which collection.
    pub kind: Kind,
    /// Which entity of it.
    pub id: Uuid,
    /// The canonical JSON of the whole entity, or `None` when it was deleted.
    pub body: Option<Arc<str>>,
}

/// All changes of one revision, in the order in which they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The revision that this one follows. A reader whose cursor lies in `prev..revision` can
    /// apply it; one whose cursor is below `prev` has missed something.
    pub prev: u64,
    /// The revision that is reached by applying it.
    pub revision: u64,
    /// When it was committed, in microseconds since 1970 by the database's clock.
    pub committed_us: i64,
    /// What changed.
    pub changes: Vec<Change>,
}

/// A stored entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Which collection.
    pub kind: Kind,
    /// Its primary key.
    pub id: Uuid,
    /// Its canonical JSON.
    pub body: Arc<str>,
    /// Names this version of it: every write gives it another, never used before in this store.
    /// Not a revision: a writer knows the version that it writes before it knows the revision.
    pub version: u64,
}
