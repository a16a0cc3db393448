//! A set of entities as both planes hold it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use model::{Change, Digest, Kind, Transaction};
use uuid::Uuid;

/// A set of entities with its digest.
///
/// A clone shares everything with its original and costs nothing that grows with the set, so a
/// snapshot or a file can be written from it while the original moves on.
#[derive(Clone, Default, PartialEq)]
pub struct Entities {
    // Few kinds, many ids: the name of a kind is held once.
    kinds: BTreeMap<Kind, OrdMap<Uuid, Arc<str>>>,
    len: usize,
    digest: Digest,
}

impl Entities {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The digest of the set, kept up with every change.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of the set, computed anew from what is held: the check on
    /// [`digest`](Entities::digest). Costs a hash of every body.
    pub fn digest_anew(&self) -> Digest {
        let mut digest = Digest::default();
        for (kind, id, body) in self.iter() {
            digest.toggle(kind, id, body);
        }
        digest
    }

    /// The canonical JSON of an entity.
    pub fn get(&self, kind: &Kind, id: Uuid) -> Option<&Arc<str>> {
        self.kinds.get(kind)?.get(&id)
    }

    /// All of them, by kind and id.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, Uuid, &Arc<str>)> {
        self.kinds
            .iter()
            .flat_map(|(kind, ids)| ids.iter().map(move |(id, body)| (kind, *id, body)))
    }

    /// Puts an entity in, in the place of its former version; gives that back.
    pub fn put(&mut self, kind: &Kind, id: Uuid, body: Arc<str>) -> Option<Arc<str>> {
        self.digest.toggle(kind, id, &body);
        let former = match self.kinds.get_mut(kind) {
            Some(ids) => ids.insert(id, body),
            None => {
                self.kinds.insert(kind.clone(), OrdMap::unit(id, body));
                None
            }
        };
        match &former {
            Some(former) => self.digest.toggle(kind, id, former),
            None => self.len += 1,
        }
        former
    }

    /// Takes an entity out; gives it back if it was there.
    pub fn remove(&mut self, kind: &Kind, id: Uuid) -> Option<Arc<str>> {
        let former = self.kinds.get_mut(kind)?.remove(&id)?;
        self.digest.toggle(kind, id, &former);
        self.len -= 1;
        Some(former)
    }

    /// Does what the changes say.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.body {
                Some(body) => self.put(&change.kind, change.id, body.clone()),
                None => self.remove(&change.kind, change.id),
            };
        }
    }

    /// The whole set as changes to an empty one.
    pub fn to_changes(&self) -> Vec<Change> {
        self.iter()
            .map(|(kind, id, body)| Change { kind: kind.clone(), id, body: Some(body.clone()) })
            .collect()
    }
}

impl FromIterator<(Kind, Uuid, Arc<str>)> for Entities {
    fn from_iter<I: IntoIterator<Item = (Kind, Uuid, Arc<str>)>>(entities: I) -> Entities {
        let mut set = Entities::default();
        for (kind, id, body) in entities {
            set.put(&kind, id, body);
        }
        set
    }
}

// Bodies may hold secrets and are many: the digest says what a log needs.
impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entities")
            .field("len", &self.len)
            .field("digest", &format_args!("{}", self.digest))
            .finish_non_exhaustive()
    }
}

/// About how many bytes a change takes in a message or in memory.
pub fn change_size(change: &Change) -> usize {
    // The tags and lengths of the message around kind, id and body.
    const OVERHEAD: usize = 16 + 24;
    OVERHEAD + change.kind.as_str().len() + change.body.as_deref().map_or(0, str::len)
}

/// Consecutive transactions as one that has at most one change of every entity, the last one;
/// `None` when there are none. Who applies it ends where who applies them one by one ends.
pub fn merge(transactions: Vec<Transaction>) -> Option<Transaction> {
    let (first, last) = (transactions.first()?, transactions.last()?);
    let (prev, revision, committed_us) = (first.prev, last.revision, last.committed_us);
    let mut seen = HashSet::new();
    let mut changes: Vec<Change> = transactions
        .into_iter()
        .rev()
        .flat_map(|transaction| transaction.changes.into_iter().rev())
        .filter(|change| seen.insert((change.kind.clone(), change.id)))
        .collect();
    changes.reverse();
    Some(Transaction { prev, revision, committed_us, changes })
}
