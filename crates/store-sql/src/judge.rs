//! What a group of write sets comes to, given the facts: which sets hold and which are refused,
//! and what the tables must look like afterwards. No database, no waiting: a function.
//!
//! The sets are judged one after the other, as if each were a transaction of its own: a set sees
//! what those before it left, and a set that is refused leaves nothing.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use model::{Change, Kind};
use store::{DeleteRule, Error, Operation, Row, WriteSet};
use uuid::Uuid;

use crate::facts::{Edge, Facts, Ident, KeyName, Stored, ident};
use crate::plan::Plan;

/// What was decided.
#[derive(Debug)]
pub(crate) struct Judgement<'a> {
    /// Per set: its changes, or why it is refused.
    pub(crate) outcomes: Vec<Result<Vec<Change>, Error>>,
    /// What all accepted sets together come to.
    pub(crate) plan: Plan<'a>,
}

/// Judges the sets in order. `edges` are the references to [`crate::facts::roots`] and whatever
/// their deletion reaches.
pub(crate) fn judge<'a>(
    sets: &'a [WriteSet],
    facts: &'a Facts,
    edges: &'a [Edge],
) -> Judgement<'a> {
    let mut state = State::new(sets, facts, edges);
    let outcomes = sets.iter().map(|set| state.judge(set)).collect();
    let plan = Plan::new(
        facts,
        state.order.iter().map(|ident| {
            let row = state.accepted.get(ident).copied().flatten();
            (ident.clone(), row)
        }),
    );
    Judgement { outcomes, plan }
}

/// The database as the sets accepted so far would leave it.
struct State<'a> {
    facts: &'a Facts,
    /// Stored references by what they refer to.
    edges: HashMap<&'a Ident, Vec<&'a Edge>>,
    /// Rows of all sets by what they refer to, whether accepted or not.
    referring: HashMap<Ident, Vec<&'a Row>>,
    /// What accepted sets wrote (`None`: deleted), and in which order.
    accepted: HashMap<Ident, Option<&'a Row>>,
    order: Vec<Ident>,
    /// What accepted sets did to the owners of keys (`None`: free).
    owners: HashMap<KeyName, Option<Uuid>>,
}

/// What one set has come to so far.
#[derive(Default)]
struct Draft<'a> {
    touched: HashMap<Ident, Touch<'a>>,
    order: Vec<Ident>,
}

#[derive(Clone, Copy)]
struct Touch<'a> {
    row: Option<&'a Row>,
    /// Which operation did it.
    step: usize,
}

impl<'a> Draft<'a> {
    fn touch(&mut self, ident: Ident, row: Option<&'a Row>, step: usize) {
        if self.touched.insert(ident.clone(), Touch { row, step }).is_none() {
            self.order.push(ident);
        }
    }
}

/// An entity before or during a set.
#[derive(Clone, Copy)]
enum Present<'a> {
    Absent,
    Stored(&'a Stored),
    Written(&'a Row),
}

impl Present<'_> {
    fn exists(self) -> bool {
        !matches!(self, Present::Absent)
    }
}

impl<'a> State<'a> {
    fn new(sets: &'a [WriteSet], facts: &'a Facts, edges: &'a [Edge]) -> State<'a> {
        let mut by_target: HashMap<&Ident, Vec<&Edge>> = HashMap::new();
        for edge in edges {
            by_target.entry(&edge.to).or_default().push(edge);
        }
        let operations = || sets.iter().flat_map(|set| &set.operations);
        let mut referring: HashMap<Ident, Vec<&Row>> = HashMap::new();
        if operations().any(|operation| matches!(operation, Operation::Delete { .. })) {
            for row in operations().filter_map(row) {
                for reference in &row.references {
                    referring.entry(target(reference)).or_default().push(row);
                }
            }
        }
        State {
            facts,
            edges: by_target,
            referring,
            accepted: HashMap::new(),
            order: Vec::new(),
            owners: HashMap::new(),
        }
    }

    /// An entity as the sets before this one left it.
    fn before(&self, ident: &Ident) -> Present<'a> {
        match self.accepted.get(ident) {
            Some(Some(row)) => Present::Written(row),
            Some(None) => Present::Absent,
            None => self.facts.entities.get(ident).map_or(Present::Absent, Present::Stored),
        }
    }

    /// An entity as it is now, in the middle of a set.
    fn now(&self, draft: &Draft<'a>, ident: &Ident) -> Present<'a> {
        match draft.touched.get(ident) {
            Some(Touch { row: Some(row), .. }) => Present::Written(row),
            Some(Touch { row: None, .. }) => Present::Absent,
            None => self.before(ident),
        }
    }

    /// Whether its stored references have been replaced by those of a row.
    fn overridden(&self, draft: &Draft<'a>, ident: &Ident) -> bool {
        draft.touched.contains_key(ident) || self.accepted.contains_key(ident)
    }

    fn judge(&mut self, set: &'a WriteSet) -> Result<Vec<Change>, Error> {
        let mut draft = Draft::default();
        for (step, operation) in set.operations.iter().enumerate() {
            self.step(&mut draft, step, operation)?;
        }
        self.check_keys(&draft)?;
        self.check_references(&draft)?;
        self.check_deletions(&draft)?;
        Ok(self.accept(draft))
    }

    fn step(
        &self,
        draft: &mut Draft<'a>,
        step: usize,
        operation: &'a Operation,
    ) -> Result<(), Error> {
        match operation {
            Operation::Insert(row) => {
                let ident = ident(row);
                if self.now(draft, &ident).exists() {
                    return Err(Error::Exists { kind: ident.kind.to_string(), id: ident.id });
                }
                draft.touch(ident, Some(row), step);
            }
            Operation::Update { row, expected } => {
                let ident = ident(row);
                let unchanged = matches!(
                    self.before(&ident),
                    Present::Stored(stored) if stored.version == *expected
                );
                if !unchanged || !self.now(draft, &ident).exists() {
                    return Err(Error::Conflict { kind: ident.kind.to_string(), id: ident.id });
                }
                draft.touch(ident, Some(row), step);
            }
            Operation::Upsert(row) => draft.touch(ident(row), Some(row), step),
            Operation::Delete { kind, id } => {
                self.delete(draft, Ident { kind: kind.clone(), id: *id }, step);
            }
        }
        Ok(())
    }

    /// Deletes an entity and, breadth first, what cascades from it.
    fn delete(&self, draft: &mut Draft<'a>, root: Ident, step: usize) {
        if !self.now(draft, &root).exists() {
            return;
        }
        draft.touch(root.clone(), None, step);
        let mut queue = VecDeque::from([root]);
        while let Some(gone) = queue.pop_front() {
            let stored = self.edges.get(&gone).into_iter().flatten();
            let stored = stored
                .filter(|edge| edge.cascade && !self.overridden(draft, &edge.from))
                .map(|edge| edge.from.clone());
            let written = self.referring.get(&gone).into_iter().flatten();
            let written = written
                .filter(|row| {
                    row.references
                        .iter()
                        .any(|r| r.on_delete == DeleteRule::Cascade && target(r) == gone)
                })
                .map(|row| (ident(row), *row))
                .filter(|(ident, row)| self.is_now(draft, ident, row))
                .map(|(ident, _)| ident);
            // In an order that does not depend on the database: it decides which of several errors
            // is reported.
            let dependents: BTreeSet<Ident> = stored.chain(written).collect();
            for dependent in dependents {
                draft.touch(dependent.clone(), None, step);
                queue.push_back(dependent);
            }
        }
    }

    fn is_now(&self, draft: &Draft<'a>, ident: &Ident, row: &'a Row) -> bool {
        matches!(self.now(draft, ident), Present::Written(now) if std::ptr::eq(now, row))
    }

    fn check_keys(&self, draft: &Draft<'a>) -> Result<(), Error> {
        let mut claimed: HashMap<KeyName, Uuid> = HashMap::new();
        for ident in &draft.order {
            let Some(Touch { row: Some(row), .. }) = draft.touched.get(ident) else { continue };
            for key in &row.keys {
                let name = KeyName::of(&row.kind, key);
                let owner = match self.owners.get(&name) {
                    Some(owner) => *owner,
                    None => self.facts.owners.get(&name).copied(),
                };
                // An owner that this set touches has given the key up, or claims it, too.
                let taken = owner.is_some_and(|id| {
                    !draft.touched.contains_key(&Ident { kind: row.kind.clone(), id })
                });
                let twice = claimed.insert(name, row.id).is_some_and(|id| id != row.id);
                if taken || twice {
                    return Err(Error::NotUnique {
                        kind: row.kind.to_string(),
                        field: key.field.to_owned(),
                        value: key.value.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn check_references(&self, draft: &Draft<'a>) -> Result<(), Error> {
        for ident in &draft.order {
            let Some(Touch { row: Some(row), step }) = draft.touched.get(ident) else { continue };
            for reference in &row.references {
                let to = target(reference);
                if self.now(draft, &to).exists() {
                    continue;
                }
                let deleted_later = draft.touched.get(&to).is_some_and(|t| t.step > *step);
                return Err(if deleted_later && self.before(&to).exists() {
                    referenced(&to, ident, reference.field)
                } else {
                    Error::Dangling {
                        kind: row.kind.to_string(),
                        field: reference.field.to_owned(),
                        to_kind: reference.to_kind.to_owned(),
                        to_id: reference.to_id,
                    }
                });
            }
        }
        Ok(())
    }

    /// What is deleted must not be referred to by what this set does not touch.
    fn check_deletions(&self, draft: &Draft<'a>) -> Result<(), Error> {
        for gone in &draft.order {
            let Some(Touch { row: None, .. }) = draft.touched.get(gone) else { continue };
            let stored = self.edges.get(gone).into_iter().flatten();
            let stored = stored
                .filter(|edge| !self.overridden(draft, &edge.from))
                .map(|edge| (edge.from.clone(), edge.field.as_str()));
            let written = self.referring.get(gone).into_iter().flatten();
            let written = written
                .map(|row| (ident(row), *row))
                .filter(|(ident, row)| {
                    !draft.touched.contains_key(ident) && self.is_now(draft, ident, row)
                })
                .flat_map(|(ident, row)| {
                    let fields = row.references.iter().filter(|r| target(r) == *gone);
                    fields.map(move |r| (ident.clone(), r.field))
                });
            // The least, so that the same case gives the same answer on both databases.
            if let Some((by, field)) = stored.chain(written).min() {
                return Err(referenced(gone, &by, field));
            }
        }
        Ok(())
    }

    /// Makes a draft part of the state, and says what changed.
    fn accept(&mut self, draft: Draft<'a>) -> Vec<Change> {
        let names = |row: &Row| -> Vec<KeyName> {
            row.keys.iter().map(|key| KeyName::of(&row.kind, key)).collect()
        };
        let mut changes = Vec::new();
        let mut taken = Vec::new();
        for ident in draft.order {
            let row = draft.touched.get(&ident).and_then(|touch| touch.row);
            let before = self.before(&ident);
            if row.is_none() && !before.exists() {
                continue; // inserted and deleted again
            }
            let given_up = match before {
                Present::Absent => Vec::new(),
                Present::Stored(stored) => stored.keys.clone(),
                Present::Written(row) => names(row),
            };
            self.owners.extend(given_up.into_iter().map(|name| (name, None)));
            if let Some(row) = row {
                taken.extend(names(row).into_iter().map(|name| (name, Some(row.id))));
            }
            changes.push(Change {
                kind: ident.kind.clone(),
                id: ident.id,
                body: row.map(|row| Arc::clone(&row.body)),
            });
            if self.accepted.insert(ident.clone(), row).is_none() {
                self.order.push(ident);
            }
        }
        self.owners.extend(taken);
        changes
    }
}

fn row(operation: &Operation) -> Option<&Row> {
    match operation {
        Operation::Insert(row) | Operation::Update { row, .. } | Operation::Upsert(row) => {
            Some(row)
        }
        Operation::Delete { .. } => None,
    }
}

fn target(reference: &store::Reference) -> Ident {
    Ident { kind: Kind::known(reference.to_kind), id: reference.to_id }
}

fn referenced(gone: &Ident, by: &Ident, field: &str) -> Error {
    Error::Referenced {
        kind: gone.kind.to_string(),
        id: gone.id,
        by_kind: by.kind.to_string(),
        by_id: by.id,
        by_field: field.to_owned(),
    }
}

#[cfg(test)]
mod tests;
