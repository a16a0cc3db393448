//! `/cache/{key}`: what a node knows under one of Kong's cache keys.
//!
//! Kong keeps entities in a cache beside its database, and this endpoint shows one, or drops it so
//! that it is read again. Here nothing is cached: this node reads the store each time, and data
//! planes hold all there is, at a revision. So every entity is there under its key, and there is
//! nothing that dropping it could change.

use http::StatusCode;
use model::EntityType;
use serde_json::{Value, json};
use store::Key;
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::error::Refusal;
use crate::find::{self, Name};

/// How many parts there are in a key of Kong's behind the name of the collection: five for what is
/// looked up, of which most are empty, and the workspace.
const PARTS: usize = 6;

/// GET: the entity under the key.
pub(crate) async fn show(call: &Call<'_>) -> Result<Answer, Refusal> {
    let (entity, name) = named(call.segment(1).name()).ok_or(Refusal::NotFound)?;
    let found = find::by_name(call.state, entity, &name).await?.ok_or(Refusal::NotFound)?;
    crud::answer(call.state, entity, &find::object(&found)?, StatusCode::OK).await
}

/// What a key names: `keyauth_credentials:<key>:::::<workspace>`, or without the parts that say
/// nothing.
fn named(key: &str) -> Option<(&'static EntityType, Name)> {
    let (kind, rest) = key.split_once(':')?;
    let entity = model::entity(kind)?;
    // From the end, because values may have colons themselves.
    let parts: Vec<&str> = rest.rsplitn(PARTS, ':').collect();
    let looked_up = match parts.as_slice() {
        [workspace, looked_up @ ..] if parts.len() == PARTS && is_workspace(workspace) => {
            looked_up.iter().rev().copied().collect()
        }
        _ => vec![rest],
    };
    let first = looked_up.first().copied().filter(|first| !first.is_empty())?;
    let alone = looked_up.iter().skip(1).all(|part| part.is_empty());
    if let (true, Ok(id)) = (alone, Uuid::try_parse(first)) {
        return Some((entity, Name::Id(id)));
    }
    if let Some(field) = entity.composite_key.filter(|_| entity.endpoint_key.is_none() || !alone) {
        let given = if looked_up.len() == 1 { first.split(':').collect() } else { looked_up };
        return Some((entity, composite(entity, field, &given)));
    }
    Some((entity, Name::key(entity.endpoint_key?, first.to_owned())))
}

/// The key of several fields, whose values stand in the order of the fields.
fn composite(entity: &EntityType, field: &'static str, given: &[&str]) -> Name {
    let foreign = entity.foreign_fields();
    let value = |(at, name): (usize, &str)| match given.get(at).filter(|part| !part.is_empty()) {
        None => Value::Null,
        Some(id) if foreign.iter().any(|foreign| foreign.name == name) => json!({ "id": id }),
        Some(text) => json!(text),
    };
    let values: Vec<Value> = field.split(',').enumerate().map(value).collect();
    let value = Value::from(values).to_string();
    Name::Key { field, value: value.clone(), key: Key { field, value } }
}

fn is_workspace(part: &str) -> bool {
    part.is_empty() || Uuid::try_parse(part).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0dc6f45b-8f8d-40d2-a504-473544ee190b";

    fn value(key: &str) -> Option<String> {
        named(key).map(|(entity, name)| match name {
            Name::Id(id) => format!("{} {id}", entity.name),
            Name::Key { field, value, .. } => format!("{} {field} {value}", entity.name),
        })
    }

    #[test]
    fn keys_are_kongs_with_or_without_what_says_nothing() {
        for (key, expected) in [
            (format!("services:{ID}:::::{ID}"), format!("services {ID}")),
            (format!("services:{ID}"), format!("services {ID}")),
            ("services:one:::::".to_owned(), "services name one".to_owned()),
            (format!("keyauth_credentials:a:b:::::{ID}"), "keyauth_credentials key a:b".to_owned()),
            ("keyauth_credentials:a:b".to_owned(), "keyauth_credentials key a:b".to_owned()),
            (
                format!("plugins:acl:{ID}::::{ID}"),
                format!(r#"plugins name,route,service,consumer ["acl",{{"id":"{ID}"}},null,null]"#),
            ),
            (
                format!("acls:{ID}:admin"),
                format!(r#"acls consumer,group [{{"id":"{ID}"}},"admin"]"#),
            ),
        ] {
            assert_eq!(value(&key), Some(expected), "{key}");
        }
        for nothing in ["services", "services:", "unknown:x", "certificates:x", ""] {
            assert_eq!(value(nothing), None, "{nothing}");
        }
    }
}
