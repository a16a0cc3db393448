//! Whole configurations as text: Kong's declarative format (admin-api.md §11).
//!
//! Reading goes text → [`document`] (what is said, with its parents) → [`identify`] (ids and
//! references) → validated entities; nothing is written before all of it is right, and then in one
//! write set under one revision. Writing is the way back.

mod current;
mod document;
pub(crate) mod endpoint;
mod export;
mod faults;
mod identify;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use model::{EntityType, Kind};
use schema::Violations;
use serde_json::Value;
use store::{Operation, Row};
use uuid::Uuid;

use crate::crud::row;
use crate::error::Refusal;
use crate::state::{Object, State};
use crate::write::commit;

pub use current::Current;
pub(crate) use export::export;
pub(crate) use faults::Faults;

/// A configuration that is right in itself.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// Parents before children.
    pub(crate) entities: Vec<(&'static EntityType, Object)>,
}

/// A configuration as a client sent it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// Text in YAML or JSON.
    Text(String),
    /// A JSON object that is the configuration itself.
    Object(Value),
}

/// Reads a configuration, off the threads that answer others: a large one takes seconds.
///
/// # Errors
/// Everything that is wrong with it; or that it could not be read to its end.
pub(crate) async fn read(
    state: &State,
    sent: Sent,
) -> Result<Result<Configuration, Faults>, Refusal> {
    let state = state.clone();
    let reading = tokio::task::spawn_blocking(move || match sent {
        Sent::Text(text) => read_value(&state, document::parse(&text)?),
        Sent::Object(value) => read_value(&state, value),
    });
    reading.await.map_err(|error| Refusal::Broken(format!("reading it has broken off: {error}")))
}

fn read_value(state: &State, value: Value) -> Result<Configuration, Faults> {
    let mut document = document::take_apart(value, state.about.router_flavor)?;
    let mut faults = Faults::default();
    identify::identify(&mut document, || state.new_id(), &mut faults);
    let mut entities = Vec::with_capacity(document.drafts.len());
    let mut unique = Unique::default();
    for draft in &document.drafts {
        let created = state.with_env(|env| {
            let mut given = draft.object.clone();
            let ttl = given.remove("ttl").filter(|_| draft.entity.ttl);
            let ttl = ttl.map(|ttl| model::parse_ttl(&ttl)).transpose();
            let ttl = ttl.map_err(|text| Violations::field("ttl", text))?;
            let mut object = draft.entity.create(given, env)?;
            draft.entity.expire(&mut object, ttl.flatten(), env);
            if !document.transform {
                // Kept as they are: what was exported has been hashed before.
                for field in HASHED {
                    if let Some(given) = draft.object.get(field).filter(|_| draft.has_hashes()) {
                        object.insert(field.to_owned(), given.clone());
                    }
                }
            }
            for field in draft.entity.not_stored {
                object.remove(*field);
            }
            Ok(object)
        });
        match created {
            Ok(object) => match unique.add(draft.entity, &object) {
                Ok(()) => entities.push((draft.entity, object)),
                Err(text) => faults.of_draft(draft, text),
            },
            Err(violations) => faults.of_violations(draft, &violations),
        }
    }
    if !faults.is_empty() || !document.faults.is_empty() {
        return Err(faults.finish(&document));
    }
    Ok(Configuration { entities })
}

/// Reads a text and makes the store hold it; see [`crate::Api::load`].
pub(crate) async fn load(state: &State, text: &str) -> Result<usize, String> {
    let failed = |refusal: Refusal| refusal.into_answer().message();
    let read = read(state, Sent::Text(text.to_owned())).await.map_err(failed)?;
    let configuration = read.map_err(|faults| faults.message())?;
    let operations = operations(state, &configuration).await.map_err(failed)?;
    commit(state, operations).await.map_err(|refused| failed(refused.into()))?;
    if let Some(current) = &state.declarative {
        current.set(current::hash_of(text));
    }
    Ok(configuration.entities.len())
}

/// Fields whose value is stored as a hash.
const HASHED: [&str; 2] = ["password", "client_secret"];

/// The operations that make the store hold this configuration and nothing else. What is there
/// already, but for its times, is left alone, so that data planes hear of differences only.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn operations(
    state: &State,
    configuration: &Configuration,
) -> Result<Vec<Operation>, Refusal> {
    let (_, stored) = state.store.snapshot().await?;
    let mut present: BTreeMap<(Kind, Uuid), Object> = BTreeMap::new();
    for entity in stored {
        let body = serde_json::from_str(&entity.body).unwrap_or_default();
        present.insert((entity.kind, entity.id), body);
    }
    let mut puts = Vec::new();
    for (entity, object) in &configuration.entities {
        let row: Row = row(entity, object);
        match present.remove(&(row.kind.clone(), row.id)) {
            Some(former) if same_but_for_times(&former, object) => {}
            _ => puts.push(Operation::Upsert(row)),
        }
    }
    // Deletions first: their unique keys are free then, and children go before their parents.
    let mut operations: Vec<Operation> = model::entities()
        .iter()
        .rev()
        .flat_map(|entity| {
            let kind = entity.kind();
            let gone: Vec<Uuid> =
                present.keys().filter(|(of, _)| *of == kind).map(|(_, id)| *id).collect();
            gone.into_iter().map(move |id| Operation::Delete { kind: kind.clone(), id })
        })
        .collect();
    operations.extend(puts);
    Ok(operations)
}

fn same_but_for_times(one: &Object, other: &Object) -> bool {
    let is_time = |name: &&String| matches!(name.as_str(), "created_at" | "updated_at");
    let keys: BTreeSet<&String> =
        one.keys().chain(other.keys()).filter(|name| !is_time(name)).collect();
    keys.into_iter().all(|name| one.get(name) == other.get(name))
}

/// Keys that no two entities may share.
#[derive(Default)]
struct Unique {
    taken: HashSet<(&'static str, &'static str, String)>,
}

impl Unique {
    fn add(&mut self, entity: &'static EntityType, object: &Object) -> Result<(), String> {
        let parts = entity.row_parts(object);
        if !self.taken.insert((entity.name, "id", parts.id.to_string())) {
            return Err(format!(
                "uniqueness violation: '{}' entity with primary key set to '{}' already declared",
                entity.name, parts.id
            ));
        }
        for key in parts.keys {
            if !self.taken.insert((entity.name, key.field, key.value.clone())) {
                return Err(format!(
                    "uniqueness violation: '{}' entity with {} set to '{}' already declared",
                    entity.name, key.field, key.value
                ));
            }
        }
        Ok(())
    }
}
