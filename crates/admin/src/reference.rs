//! References in a body by another unique key than the id: `{"service":{"name":"x"}}`.

use std::collections::BTreeMap;

use model::EntityType;
use schema::lua;
use serde_json::{Value, json};
use store::Key;

use crate::error::Refusal;
use crate::state::{Object, State};

/// Replaces such references by ids.
///
/// # Errors
/// Code 13 with every reference that nothing answers to.
pub(crate) async fn resolve(
    state: &State,
    entity: &'static EntityType,
    input: &mut Object,
) -> Result<(), Refusal> {
    let mut unresolved: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for field in entity.foreign_fields() {
        let Some(other) = model::entity(field.entity) else { continue };
        let Some((key, value)) = key_in(state, other, input.get(field.name)) else { continue };
        let wanted = Key { field: key, value: value.clone() };
        match state.store.find(other.name, &wanted).await? {
            Some(found) => {
                input.insert(field.name.to_owned(), json!({ "id": found.id }));
            }
            None => {
                let shown = Value::Object(crate::error::key(key, value.into()));
                let text = format!(
                    "the foreign key cannot be resolved with '{}' for an existing '{}' entity",
                    lua::table(&shown),
                    other.name
                );
                unresolved.entry(field.name.to_owned()).or_default().insert(key.to_owned(), text);
            }
        }
    }
    if unresolved.is_empty() { Ok(()) } else { Err(Refusal::Unresolved(unresolved)) }
}

/// The unique key in a reference without an id.
fn key_in(
    state: &State,
    other: &'static EntityType,
    reference: Option<&Value>,
) -> Option<(&'static str, String)> {
    let reference = reference?.as_object().filter(|object| !object.contains_key("id"))?;
    state.record(other).fields().filter(|(_, field)| field.is_unique()).find_map(|(name, _)| {
        let value = reference.get(name)?.as_str()?;
        Some((name, value.to_owned()))
    })
}
