//! Random write sets against a model of the contract that is as plain as can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Kind;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::rows::{Cascade, PLUGINS, ROUTES, Restrict, SERVICES, With, id, row};
use crate::{Error, Operation, Row, Store, WriteSet};

const SETS: usize = 400;
const KINDS: [&str; 3] = [SERVICES, ROUTES, PLUGINS];
/// So few ids and names that most sets meet something.
const IDS: u128 = 5;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

type Name = (String, Uuid);

/// What a store holds: rows and their versions.
#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<Name, (Row, u64)>,
}

/// What the model says of a set: what changed (`None`: deleted), or the error's text without the
/// names of who refers, of which there can be several.
type Verdict = Result<BTreeMap<Name, Option<Arc<str>>>, String>;

/// The same sets in the store and in the model.
pub async fn random_sets_do_what_the_model_says(store: Arc<dyn Store>) {
    let seed = 20_240_607;
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    let mut accepted = 0;
    for number in 0..SETS {
        let set = set(&mut random, &model);
        let (verdict, next) = model.judge(&set);
        let outcome = store.write(set.clone()).await;
        let found = outcome.map_err(|error| simplify(&error)).map(|committed| {
            let changes = committed.changes.into_iter();
            changes.map(|c| ((c.kind.to_string(), c.id), c.body)).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(found, verdict, "seed {seed}, set {number}: {set:#?}");
        if let Some(next) = next {
            accepted += 1;
            model = next;
            model.learn_versions(&*store).await;
        }
    }
    // Or the sets were too wild, or too tame, to show anything.
    assert!((SETS / 5..SETS * 4 / 5).contains(&accepted), "{accepted} of {SETS} accepted");
    replay(&*store, &model).await;
}

/// The log, applied from the beginning, leads to the state.
async fn replay(store: &dyn Store, model: &Model) {
    let mut state: BTreeMap<Name, Arc<str>> = BTreeMap::new();
    for transaction in store.log_after(0, usize::MAX).await.unwrap().transactions {
        for change in transaction.changes {
            let name = (change.kind.to_string(), change.id);
            match change.body {
                Some(body) => drop(state.insert(name, body)),
                None => assert!(state.remove(&name).is_some(), "deleted twice: {name:?}"),
            }
        }
    }
    let expected: BTreeMap<Name, Arc<str>> =
        model.rows.iter().map(|(name, (row, _))| (name.clone(), Arc::clone(&row.body))).collect();
    assert_eq!(state, expected);
}

fn set(random: &mut StdRng, model: &Model) -> WriteSet {
    let operations = random.random_range(1..=5);
    (0..operations).map(|_| operation(random, model)).collect::<Vec<_>>().into()
}

fn operation(random: &mut StdRng, model: &Model) -> Operation {
    let kind = KINDS[random.random_range(0..KINDS.len())];
    let n = random.random_range(0..IDS);
    if random.random_range(0..4) == 0 {
        return Operation::Delete { kind: Kind::known(kind), id: id(n) };
    }
    let mut row = row(kind, n).body(&random.random::<u64>().to_string());
    if random.random() {
        row = row.named(NAMES.choose(random).unwrap());
    }
    for field in ["one", "two"] {
        if random.random_range(0..3) == 0 {
            let to = KINDS[random.random_range(0..KINDS.len())];
            let rule = if random.random_range(0..3) == 0 { Restrict } else { Cascade };
            row = row.refers(field, (to, random.random_range(0..IDS)), rule);
        }
    }
    match random.random_range(0..4) {
        0 => Operation::Insert(row),
        1 => {
            let known = model.rows.get(&(kind.to_owned(), id(n))).map(|(_, version)| *version);
            Operation::Update { row, expected: known.unwrap_or(1) }
        }
        _ => Operation::Upsert(row),
    }
}

impl Model {
    /// What becomes of a set, and the model after it when it is accepted.
    fn judge(&self, set: &WriteSet) -> (Verdict, Option<Model>) {
        let mut next = self.clone();
        // By which operation an entity was written or deleted last.
        let mut steps: BTreeMap<Name, usize> = BTreeMap::new();
        let mut order: Vec<Name> = Vec::new();
        for (step, operation) in set.operations.iter().enumerate() {
            match next.step(self, operation) {
                Err(error) => return (Err(error), None),
                Ok(touched) => {
                    for name in touched {
                        if steps.insert(name.clone(), step).is_none() {
                            order.push(name);
                        }
                    }
                }
            }
        }
        if let Err(error) = next.check(self, &steps, &order) {
            return (Err(error), None);
        }
        let changed = order
            .into_iter()
            .map(|name| {
                let body = next.rows.get(&name).map(|(row, _)| Arc::clone(&row.body));
                (name, body)
            })
            .filter(|(name, body)| body.is_some() || self.rows.contains_key(name))
            .collect();
        (Ok(changed), Some(next))
    }

    fn step(&mut self, before: &Model, operation: &Operation) -> Result<Vec<Name>, String> {
        let row = match operation {
            Operation::Delete { kind, id } => {
                return Ok(self.delete((kind.to_string(), *id)));
            }
            Operation::Insert(row) | Operation::Upsert(row) | Operation::Update { row, .. } => row,
        };
        let name = (row.kind.to_string(), row.id);
        match operation {
            Operation::Insert(_) if self.rows.contains_key(&name) => {
                return Err(format!("exists {name:?}"));
            }
            Operation::Update { expected, .. } => {
                let read = before.rows.get(&name).is_some_and(|(_, version)| version == expected);
                if !read || !self.rows.contains_key(&name) {
                    return Err(format!("conflict {name:?}"));
                }
            }
            _ => {}
        }
        self.rows.insert(name.clone(), (row.clone(), 0));
        Ok(vec![name])
    }

    fn delete(&mut self, name: Name) -> Vec<Name> {
        if self.rows.remove(&name).is_none() {
            return Vec::new();
        }
        let mut gone = vec![name];
        let mut looked_at = 0;
        while let Some(cause) = gone.get(looked_at).cloned() {
            looked_at += 1;
            let cascades = |(row, _): &(Row, u64)| {
                row.references.iter().any(|r| r.on_delete == Cascade && target(r) == cause)
            };
            let dependents: Vec<Name> = self
                .rows
                .iter()
                .filter(|(_, entry)| cascades(entry))
                .map(|(name, _)| name.clone())
                .collect();
            for dependent in dependents {
                self.rows.remove(&dependent);
                gone.push(dependent);
            }
        }
        gone
    }

    /// The rules at the end of a set, in the order in which they are reported.
    fn check(
        &self,
        before: &Model,
        steps: &BTreeMap<Name, usize>,
        order: &[Name],
    ) -> Result<(), String> {
        for (place, name) in order.iter().enumerate() {
            let Some((row, _)) = self.rows.get(name) else { continue };
            for key in &row.keys {
                let other = self.rows.iter().any(|(other, (rival, _))| {
                    let earlier = order.iter().position(|name| name == other);
                    other != name
                        && other.0 == name.0
                        && rival.keys.contains(key)
                        && earlier.is_none_or(|earlier| earlier < place)
                });
                if other {
                    return Err(format!("not unique {} {} {}", name.0, key.field, key.value));
                }
            }
        }
        for name in order {
            let Some((row, _)) = self.rows.get(name) else { continue };
            for reference in &row.references {
                let to = target(reference);
                if self.rows.contains_key(&to) {
                    continue;
                }
                let later = steps.get(&to) > steps.get(name) && before.rows.contains_key(&to);
                return Err(if later {
                    format!("referenced {to:?}")
                } else {
                    format!("dangling {} {} {to:?}", name.0, reference.field)
                });
            }
        }
        for name in order.iter().filter(|name| !self.rows.contains_key(*name)) {
            let refers = |(row, _): &(Row, u64)| row.references.iter().any(|r| target(r) == *name);
            if self.rows.values().any(refers) {
                return Err(format!("referenced {name:?}"));
            }
        }
        Ok(())
    }

    async fn learn_versions(&mut self, store: &dyn Store) {
        let (_, entities) = store.snapshot().await.unwrap();
        assert_eq!(entities.len(), self.rows.len());
        for entity in entities {
            let (row, version) = self.rows.get_mut(&(entity.kind.to_string(), entity.id)).unwrap();
            assert_eq!(row.body, entity.body);
            *version = entity.version;
        }
    }
}

fn target(reference: &crate::Reference) -> Name {
    (reference.to_kind.to_owned(), reference.to_id)
}

fn simplify(error: &Error) -> String {
    match error {
        Error::Exists { kind, id } => format!("exists {:?}", (kind, id)),
        Error::Conflict { kind, id } => format!("conflict {:?}", (kind, id)),
        Error::NotUnique { kind, field, value } => format!("not unique {kind} {field} {value}"),
        Error::Dangling { kind, field, to_kind, to_id } => {
            format!("dangling {kind} {field} {:?}", (to_kind, to_id))
        }
        Error::Referenced { kind, id, .. } => format!("referenced {:?}", (kind, id)),
        other => other.to_string(),
    }
}
