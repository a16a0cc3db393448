//! What a write transaction must know of the database before it can be judged.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::{Cursor, Kind};
use store::{DeleteRule, Key, Operation, Row, WriteSet};
use uuid::Uuid;

/// One entity, by name. Its order is the order in which entities are locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ident {
    pub(crate) kind: Kind,
    pub(crate) id: Uuid,
}

/// One unique key, as it is stored. Its order is the order in which keys are locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct KeyName {
    pub(crate) kind: Kind,
    pub(crate) field: Cow<'static, str>,
    pub(crate) value: String,
}

impl KeyName {
    pub(crate) fn of(kind: &Kind, key: &Key) -> KeyName {
        KeyName {
            kind: kind.clone(),
            field: Cow::Borrowed(key.field),
            value: indexed(&key.value).into_owned(),
        }
    }
}

/// The longest value that is stored as it is. An index entry of Postgres holds at most a third of
/// an 8 kB page, and some unique values (tokens) are as long as their makers like.
const LONGEST_KEY: usize = 1024;

/// A key's value as it is stored: longer ones as their hash, which is as unique.
pub(crate) fn indexed(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST_KEY {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("blake3:{}", blake3::hash(value.as_bytes()).to_hex()))
    }
}

/// A reference between two stored entities, in the column texts of `entity_refs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) from: Ident,
    pub(crate) field: String,
    pub(crate) cascade: bool,
    pub(crate) to: Ident,
}

/// How firmly an entity is held while the transaction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    /// It is referred to: it must not go.
    Stay = 0,
    /// It is written: nobody else may write it.
    Write = 1,
    /// It may be deleted: nobody else may write it or refer to it.
    Delete = 2,
}

/// What to look at, in the order of locking.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) entities: BTreeMap<Ident, Hold>,
    pub(crate) keys: BTreeSet<KeyName>,
}

impl Wanted {
    /// What these sets write, refer to and claim.
    pub(crate) fn by(sets: &[WriteSet]) -> Wanted {
        let mut wanted = Wanted::default();
        for operation in sets.iter().flat_map(|set| &set.operations) {
            match operation {
                Operation::Insert(row) | Operation::Update { row, .. } | Operation::Upsert(row) => {
                    wanted.hold(ident(row), Hold::Write);
                    for reference in &row.references {
                        let to =
                            Ident { kind: Kind::known(reference.to_kind), id: reference.to_id };
                        wanted.hold(to, Hold::Stay);
                    }
                    wanted.keys.extend(row.keys.iter().map(|key| KeyName::of(&row.kind, key)));
                }
                Operation::Delete { kind, id } => {
                    wanted.hold(Ident { kind: kind.clone(), id: *id }, Hold::Delete);
                }
            }
        }
        wanted
    }

    pub(crate) fn hold(&mut self, ident: Ident, hold: Hold) {
        let held = self.entities.entry(ident).or_insert(hold);
        *held = (*held).max(hold);
    }
}

/// Which entity a row is.
pub(crate) fn ident(row: &Row) -> Ident {
    Ident { kind: row.kind.clone(), id: row.id }
}

/// The entities from which deletions may spread: those that are deleted, and those that are
/// written with a reference that cascades, because what they refer to may be deleted in the same
/// set. Empty when nothing is deleted.
pub(crate) fn roots(sets: &[WriteSet]) -> Vec<Ident> {
    let operations = || sets.iter().flat_map(|set| &set.operations);
    if !operations().any(|operation| matches!(operation, Operation::Delete { .. })) {
        return Vec::new();
    }
    let mut roots = BTreeSet::new();
    for operation in operations() {
        match operation {
            Operation::Insert(row) | Operation::Update { row, .. } | Operation::Upsert(row) => {
                if row.references.iter().any(|r| r.on_delete == DeleteRule::Cascade) {
                    roots.insert(ident(row));
                }
            }
            Operation::Delete { kind, id } => {
                roots.insert(Ident { kind: kind.clone(), id: *id });
            }
        }
    }
    roots.into_iter().collect()
}

/// Everything that the deletions of these sets can reach, given what refers to [`roots`]: those
/// that must be held for deletion. Can be too many (an earlier operation may have moved one out of
/// the way), never too few.
pub(crate) fn reach(sets: &[WriteSet], edges: &[Edge]) -> HashSet<Ident> {
    let mut dependents: HashMap<Ident, Vec<Ident>> = HashMap::new();
    for edge in edges.iter().filter(|edge| edge.cascade) {
        dependents.entry(edge.to.clone()).or_default().push(edge.from.clone());
    }
    let mut queue = Vec::new();
    for operation in sets.iter().flat_map(|set| &set.operations) {
        match operation {
            Operation::Insert(row) | Operation::Update { row, .. } | Operation::Upsert(row) => {
                for reference in &row.references {
                    if reference.on_delete == DeleteRule::Cascade {
                        let to =
                            Ident { kind: Kind::known(reference.to_kind), id: reference.to_id };
                        dependents.entry(to).or_default().push(ident(row));
                    }
                }
            }
            Operation::Delete { kind, id } => queue.push(Ident { kind: kind.clone(), id: *id }),
        }
    }
    let mut reached = HashSet::new();
    while let Some(next) = queue.pop() {
        if reached.insert(next.clone()) {
            queue.extend(dependents.get(&next).into_iter().flatten().cloned());
        }
    }
    reached
}

/// A stored entity without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) version: u64,
    pub(crate) keys: Vec<KeyName>,
    pub(crate) references: Vec<StoredReference>,
    pub(crate) tags: Vec<String>,
}

/// A reference of a stored entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoredReference {
    pub(crate) field: Cow<'static, str>,
    pub(crate) to: Ident,
    pub(crate) cascade: bool,
}

/// The answer to [`Wanted`].
#[derive(Debug)]
pub(crate) struct Facts {
    /// Where the store stands. Another control plane may be ahead of it by the time of the commit.
    pub(crate) at: Cursor,
    /// The version that this transaction's entities get.
    pub(crate) version: u64,
    /// Those of the wanted entities that exist. Keys, references and tags are there for those that
    /// are held more firmly than [`Hold::Stay`].
    pub(crate) entities: HashMap<Ident, Stored>,
    /// Who has the wanted keys, and the keys of the wanted entities.
    pub(crate) owners: HashMap<KeyName, Uuid>,
}

/// Collects [`Facts`] from the rows of the look statement, which both databases share.
#[derive(Debug)]
pub(crate) struct Collector {
    facts: Facts,
    stale: bool,
}

/// One row of the look statement: its `part` says what the others mean.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) part: i32,
    pub(crate) kind: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) other: Option<Uuid>,
    pub(crate) seen: i64,
    pub(crate) held: i64,
}

impl Collector {
    pub(crate) fn new() -> Collector {
        let at = Cursor { epoch: Uuid::nil(), revision: 0 };
        let facts = Facts { at, version: 0, entities: HashMap::new(), owners: HashMap::new() };
        Collector { facts, stale: false }
    }

    /// Takes the next row. They come in the order of their parts.
    pub(crate) fn take(&mut self, row: Looked) {
        let Some(id) = row.id else {
            return; // a key that nobody has
        };
        let facts = &mut self.facts;
        let ident = Ident { kind: Kind::named(row.kind), id };
        match row.part {
            0 => {
                facts.at = Cursor { epoch: id, revision: row.seen.unsigned_abs() };
                facts.version = row.held.unsigned_abs();
            }
            part @ (1 | 5) => {
                let exists = row.held >= 0;
                // Of what is only referred to, nothing matters but that it is there.
                self.stale |=
                    if part == 5 { exists != (row.seen >= 0) } else { row.held != row.seen };
                if exists {
                    let version = row.held.unsigned_abs();
                    facts.entities.insert(ident, Stored { version, ..Stored::default() });
                }
            }
            2 => {
                let key =
                    KeyName { kind: ident.kind.clone(), field: row.field.into(), value: row.value };
                if let Some(stored) = facts.entities.get_mut(&ident) {
                    stored.keys.push(key.clone());
                }
                facts.owners.insert(key, id);
            }
            3 => {
                if let (Some(stored), Some(to)) = (facts.entities.get_mut(&ident), row.other) {
                    stored.references.push(StoredReference {
                        field: row.field.into(),
                        to: Ident { kind: Kind::named(row.value), id: to },
                        cascade: row.seen == 1,
                    });
                }
            }
            _ => {
                if let Some(stored) = facts.entities.get_mut(&ident) {
                    stored.tags.push(row.value);
                }
            }
        }
    }

    /// The facts, unless they are of different moments, because a lock had to be waited for.
    pub(crate) fn finish(self) -> Option<Facts> {
        (!self.stale).then_some(self.facts)
    }
}
