//! Whole collections, page by page: for the few questions that no key of the store answers.

use std::sync::Arc;

use model::{Entity, Kind};
use store::{ListQuery, Store};
use uuid::Uuid;

use crate::error::Refusal;
use crate::state::State;

/// How many entities are read at a time.
const PAGE: u32 = 1000;

/// Calls `each` for every entity of the kind (that refers to `referring`, if given) until it
/// answers false.
pub(crate) async fn scan(
    state: &State,
    kind: Kind,
    referring: Option<(&'static str, Uuid)>,
    mut each: impl FnMut(&Entity) -> bool,
) -> Result<(), Refusal> {
    let store: &Arc<dyn Store> = &state.store;
    let mut query = ListQuery { kind, referring, tags: None, after: None, size: PAGE };
    loop {
        let page = store.list(&query).await?;
        if !page.entities.iter().all(&mut each) || !page.more {
            return Ok(());
        }
        query.after = page.entities.last().map(|entity| entity.id);
    }
}
