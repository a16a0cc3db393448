//! What a store promises, and the suite that holds every store to it.
//!
//! A store keeps entities as JSON documents beside the keys, references and tags that the database
//! enforces, and a log of every change. It owns: atomicity of a [`WriteSet`], uniqueness,
//! referential integrity with its delete rules, the order of revisions. It must not know: what a
//! service or a route is, HTTP, the stream.

#![forbid(unsafe_code)]

mod counters;
mod error;
mod notices;
mod query;
mod write;

#[cfg(feature = "contract")]
pub mod contract;

use std::time::Duration;

use async_trait::async_trait;
use model::{Cursor, Entity, Transaction};
use uuid::Uuid;

pub use counters::Increment;
pub use error::Error;
pub use notices::{Author, Notice, Notices, Said};
pub use query::{ListQuery, Page, TagFilter, TaggedEntity};
pub use write::{
    Committed, DeleteRule, Key, OpenRollout, Operation, Reference, RolloutStep, Row, WriteSet,
};

/// Where the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest committed revision, in the store's epoch.
    pub at: Cursor,
    /// Changes up to and including this revision have been dropped from the log.
    pub compacted: u64,
    /// The database's clock, in microseconds since 1970: what `db_update_propagation` is
    /// measured with.
    pub now_us: i64,
}

/// Part of the log, read in one database snapshot.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where the log stood when it was read.
    pub head: Head,
    /// The transactions after the asked revision, in order, complete, without a gap. Empty when
    /// there are none, and when the asked revision is compacted away (`head.compacted` tells).
    pub transactions: Vec<Transaction>,
}

/// A store. One value serves a whole process; clones of the `Arc` around it share its pools.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// One entity by primary key.
    async fn get(&self, kind: &str, id: Uuid) -> Result<Option<Entity>, Error>;

    /// One entity by a unique key, as its [`Row`] declared it. No key has the character U+0000:
    /// a set that has one is refused, and nothing is found by it.
    async fn find(&self, kind: &str, key: &Key) -> Result<Option<Entity>, Error>;

    /// Entities with a unique key of this field whose value sorts before `before`, byte by byte:
    /// the first `limit` of them in that order. Only for fields whose values are short, at most
    /// 100 bytes.
    async fn keyed_before(
        &self,
        kind: &str,
        field: &str,
        before: &str,
        limit: u32,
    ) -> Result<Vec<Entity>, Error>;

    /// A page of a collection, in order of the primary key.
    async fn list(&self, query: &ListQuery) -> Result<Page, Error>;

    /// The tags of all entities, or the entities of one tag: a page after `after`
    /// (tag, kind, id), in that order.
    async fn tags(
        &self,
        tag: Option<&str>,
        after: Option<&TaggedEntity>,
        size: u32,
    ) -> Result<Vec<TaggedEntity>, Error>;

    /// Entities whose `references` mention `id`: who would be affected by its deletion.
    async fn referrers(&self, kind: &str, id: Uuid) -> Result<Vec<Entity>, Error>;

    /// Applies all operations, or none, under one new revision, and appends every resulting
    /// change (cascades included) to the log in the same transaction. A set without operations
    /// commits nothing and answers the present revision.
    ///
    /// Once this returned `Ok`, the write survives a crash. On [`Error::Unavailable`] nothing is
    /// promised either way; every other error means that nothing was written.
    async fn write(&self, set: WriteSet) -> Result<Committed, Error>;

    /// Where the log stands.
    async fn head(&self) -> Result<Head, Error>;

    /// The log after revision `after`, at most about `limit` changes, never a part of a
    /// transaction.
    async fn log_after(&self, after: u64, limit: usize) -> Result<Log, Error>;

    /// Every entity at one revision.
    async fn snapshot(&self) -> Result<(Cursor, Vec<Entity>), Error>;

    /// The rollout that is open, with what was before it.
    async fn rollout(&self) -> Result<Option<OpenRollout>, Error>;

    /// Waits until the log may have grown beyond `revision`. A hint: it can return early, and
    /// late when a notification is lost, so a caller waits with a time limit and reads the log
    /// from its cursor.
    async fn grown(&self, revision: u64);

    /// Drops changes up to and including `revision` from the log, and remembers that it did. A
    /// revision beyond the newest means the newest.
    async fn compact(&self, revision: u64) -> Result<(), Error>;

    /// The newest revision that was committed at or before `time_us` (microseconds since 1970, by
    /// the database's clock): what a log that is kept for some time is compacted to. The
    /// compacted revision when the log does not reach back so far.
    async fn revision_at(&self, time_us: i64) -> Result<u64, Error>;

    /// Begins a new history when somebody has seen `seen` and the store, in the same epoch, does
    /// not reach it any more: its database was restored from a backup or failed over to a standby
    /// that lagged. Does nothing when the store reaches `seen` or has another epoch already, so
    /// any number of witnesses can report. Answers where the store stands.
    async fn renew_epoch(&self, seen: Cursor) -> Result<Cursor, Error>;

    /// Adds to counters, all or none, and answers with what each then stands at, in the same
    /// order. Counters are no entities: this takes no revision and is in no log.
    async fn count(&self, increments: &[Increment]) -> Result<Vec<i64>, Error>;

    /// Forgets the counters that have expired, by the database's clock.
    async fn forget_counters(&self) -> Result<(), Error>;

    /// Whether other processes may have the same store open at the same time.
    fn is_shared(&self) -> bool;

    /// Posts notices, all or none, as this author's `round`, which is higher than its last one.
    /// None at all is a sign of life. Notices are no entities: this takes no revision and is in no
    /// log, and a crash of the database may lose the last of them.
    async fn post(&self, author: Uuid, round: u64, notices: &[Notice]) -> Result<(), Error>;

    /// What authors have posted in later rounds than those `known`, all of it by authors that are
    /// not among these.
    async fn notices(&self, known: &[(Uuid, u64)]) -> Result<Notices, Error>;

    /// Waits until another process may have posted notices. A hint, as [`grown`](Store::grown) is,
    /// for one who waits at a time; what came since the last waiting ended is not missed.
    async fn noticed(&self);

    /// Drops notices that nobody needs: of authors that have not posted for `silent`, those that
    /// somebody has said anew since and those that are older than `kept`; of all, those without
    /// words that are older than `kept`. Then the silent authors without a notice.
    async fn clear_notices(&self, silent: Duration, kept: Duration) -> Result<(), Error>;
}
