//! Taking away entities whose time is over. Reads pass over them from the second on in which they
//! expire; this is what frees their room, and tells data planes.

use model::EntityType;
use store::Operation;

use crate::Api;
use crate::crud::row;
use crate::error::Refusal;
use crate::find;
use crate::state::State;
use crate::write::{NotCommitted, commit};

/// Entities that are deleted by one write, so that other writers wait only shortly for it.
const BATCH: u32 = 500;

impl Api {
    /// Deletes the entities that have expired, each batch under a revision of its own, and says
    /// how many there were.
    ///
    /// Any number of control planes may do so on one store: what one has deleted, the others do
    /// not find, and what one is deleting, the others leave to it.
    ///
    /// # Errors
    /// A sentence for the log; what was deleted before stays deleted.
    pub async fn delete_expired(&self) -> Result<usize, String> {
        let state = self.state();
        let failed = |refusal: Refusal| refusal.into_answer().message();
        // A deletion cannot be taken back, and one clock can be wrong: it must be late by that of
        // the database, too.
        let head = state.store.head().await.map_err(|error| failed(error.into()))?;
        let now_us = state.clock.wall_us().min(head.now_us);
        let now_s = u64::try_from(now_us.div_euclid(1_000_000)).unwrap_or_default();
        let mut deleted = 0;
        for entity in model::entities().iter().filter(|entity| entity.ttl) {
            while let Some(count) = delete_batch(state, entity, now_s).await.map_err(failed)? {
                deleted += count;
            }
        }
        Ok(deleted)
    }
}

/// Deletes the entities of one type that expired first; `None` when there are no more, or somebody
/// else is at them.
async fn delete_batch(
    state: &State,
    entity: &'static EntityType,
    now_s: u64,
) -> Result<Option<usize>, Refusal> {
    let bound = EntityType::expired_before(now_s);
    let found = state.store.keyed_before(entity.name, bound.field, &bound.value, BATCH).await?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut operations = Vec::with_capacity(2 * found.len());
    for stored in &found {
        let object = find::object(stored)?;
        // The update changes nothing but says which version is meant: one whose time was
        // prolonged meanwhile must stay.
        operations.push(Operation::Update { row: row(entity, &object), expected: stored.version });
        operations.push(Operation::Delete { kind: entity.kind(), id: stored.id });
    }
    match commit(state, operations).await {
        Ok(_) => Ok(Some(found.len())),
        Err(NotCommitted::Outdated) => Ok(None),
        Err(other) => Err(other.into()),
    }
}
