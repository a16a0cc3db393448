//! From the store to a declarative text.

use std::collections::BTreeMap;

use model::Cursor;
use serde_json::{Map, Value, json};

use crate::error::Refusal;
use crate::state::State;

/// The whole configuration at one revision, in YAML: flat, references as ids, values as they are
/// stored (`_transform: false`), so that loading it makes the same store again.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn export(state: &State) -> Result<(Cursor, String), Refusal> {
    let (at, entities) = state.store.snapshot().await?;
    let mut collections: BTreeMap<&'static str, Vec<Value>> = BTreeMap::new();
    for stored in entities {
        let Some(entity) = model::entity(stored.kind.as_str()) else { continue };
        let Ok(Value::Object(mut object)) = serde_json::from_str(&stored.body) else { continue };
        for field in entity.foreign_fields() {
            if let Some(id) = object.get(field.name).and_then(|value| value.get("id")).cloned() {
                object.insert(field.name.to_owned(), id);
            }
        }
        if let Some(at) = object.remove("expires_at").and_then(|at| at.as_u64()) {
            let now = u64::try_from(state.clock.wall_ms()).unwrap_or_default() / 1000;
            // Gone by now, or with the seconds that are left to it.
            let Some(left) = at.checked_sub(now).filter(|left| *left > 0) else { continue };
            object.insert("ttl".to_owned(), json!(left));
        }
        collections.entry(entity.name).or_default().push(Value::Object(object));
    }
    let mut document = Map::new();
    document.insert("_format_version".to_owned(), json!("3.0"));
    document.insert("_transform".to_owned(), json!(false));
    document.extend(collections.into_iter().map(|(name, all)| (name.to_owned(), json!(all))));
    let text = serde_yaml_ng::to_string(&Value::Object(document))
        .map_err(|error| Refusal::Broken(format!("the configuration is no YAML: {error}")))?;
    Ok((at, text))
}
