//! What is written: rows with the keys, references and tags that the database holds them to.

use std::sync::Arc;

use model::{Change, Cursor, Kind};
use uuid::Uuid;

/// A unique key of an entity: `(kind, field, value)` exists once. `field` is the field's name, or
/// the names joined by commas for a composite key; `value` is what [`Row`]'s maker defines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The field or fields.
    pub field: &'static str,
    /// The text that must be unique.
    pub value: String,
}

/// What happens to an entity when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRule {
    /// The deletion is refused ([`crate::Error::Referenced`]).
    Restrict,
    /// The entity is deleted, too, under the same revision.
    Cascade,
}

/// A field of an entity that refers to another entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field that refers; unique within the row together with `to_id`.
    pub field: &'static str,
    /// Collection of the referred entity.
    pub to_kind: &'static str,
    /// Its primary key.
    pub to_id: Uuid,
    /// What its deletion means for this row.
    pub on_delete: DeleteRule,
}

/// An entity as it is to be stored.
#[derive(Clone, Debug)]
pub struct Row {
    /// Collection.
    pub kind: Kind,
    /// Primary key.
    pub id: Uuid,
    /// Canonical JSON of the whole entity.
    pub body: Arc<str>,
    /// Unique keys; absent values have none.
    pub keys: Vec<Key>,
    /// References.
    pub references: Vec<Reference>,
    /// Tags, without repetition.
    pub tags: Vec<String>,
}

/// One step of a write.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A new entity; [`crate::Error::Exists`] when its primary key is taken.
    Insert(Row),
    /// A new version of an entity that the writer has read at version `expected`
    /// ([`model::Entity::version`]); [`crate::Error::Conflict`] when it was not that version any
    /// more before this set, or is gone.
    Update {
        /// The new version.
        row: Row,
        /// The version that it was made from.
        expected: u64,
    },
    /// A new entity, or a new version of whatever is there.
    Upsert(Row),
    /// Deletes an entity and what cascades from it. Deleting what is not there is no error.
    Delete {
        /// Collection.
        kind: Kind,
        /// Primary key.
        id: Uuid,
    },
}

/// Operations that are done in order, all or none, under one revision. Uniqueness and references
/// are judged as if checked after the last operation, so a set may swap two names or insert a
/// child before its parent.
///
/// Of several things that are wrong, the same one is reported on every store: an operation that
/// cannot be done ([`crate::Error::Exists`], [`crate::Error::Conflict`]) before what is wrong at
/// the end, and there uniqueness, then references that lead nowhere, then deletions of what is
/// referred to; each in the order of the operations.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    /// The steps.
    pub operations: Vec<Operation>,
    /// What they begin or end besides. Such a set is never done together with others under one
    /// revision.
    pub rollout: Option<RolloutStep>,
}

/// What a set does to the rollout. While one is open, the store keeps what each entity was before
/// it was touched for the first time ([`crate::Store::rollout`]). Takes effect with the set's
/// revision, and only if the set changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// Opens one: from the next revision on, the former is kept.
    Open,
    /// Ends one, and forgets what was kept.
    End {
        /// The revision that opened it; [`crate::Error::Conflict`] when none is open or another.
        opened: u64,
        /// Only if so many entities have been touched, no more; else [`crate::Error::Conflict`].
        touched: Option<usize>,
    },
}

/// The rollout that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRollout {
    /// The revision that opened it.
    pub opened: u64,
    /// What the entities that were touched since were when it was opened (`None`: not there), in
    /// order of kind and id.
    pub before: Vec<Change>,
}

impl From<Vec<Operation>> for WriteSet {
    /// Writes and nothing else.
    fn from(operations: Vec<Operation>) -> WriteSet {
        WriteSet { operations, rollout: None }
    }
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Where the store stands with it: its epoch and the revision of this write.
    pub at: Cursor,
    /// Every change, cascades included, in the order of the log. Empty when nothing changed (a
    /// deletion of what was not there): then no revision was spent, and `at` is the present one.
    pub changes: Vec<Change>,
}
