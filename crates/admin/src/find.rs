//! Finding the entity that a segment of the URL names.

use model::{Entity, EntityType};
use schema::Violation;
use serde_json::Value;
use store::Key;
use uuid::Uuid;

use crate::error::{Refusal, key};
use crate::path::Segment;
use crate::state::{Object, State};

/// What a segment of the URL says: the id, or the value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Id(Uuid),
    Key {
        /// The field whose value it is.
        field: &'static str,
        /// The value.
        value: String,
        /// The key by which the store finds it.
        key: Key,
    },
}

impl Name {
    /// Reads a segment. What is no UUID is the value of the endpoint key.
    ///
    /// # Errors
    /// Code 1 when the entity type has no such key, code 10 when it cannot have such a value.
    pub(crate) fn of(
        state: &State,
        entity: &'static EntityType,
        segment: &Segment<'_>,
    ) -> Result<Name, Refusal> {
        match id(segment) {
            Some(id) => Ok(Name::Id(id)),
            None => {
                let field = entity.endpoint_key.ok_or(Refusal::InvalidPrimaryKey)?;
                let value = value(state, entity, field, segment)?;
                Ok(Name::key(field, value))
            }
        }
    }

    /// The value of a field that is unique by itself.
    pub(crate) fn key(field: &'static str, value: String) -> Name {
        Name::Key { field, key: Key { field, value: value.clone() }, value }
    }

    /// As code 6 shows it.
    pub(crate) fn fields(&self) -> Object {
        match self {
            Name::Id(id) => key("id", id.to_string().into()),
            Name::Key { field, value, .. } => key(field, value.clone().into()),
        }
    }
}

/// The segment as the value of a field.
///
/// # Errors
/// Code 10 when the field cannot have that value.
pub(crate) fn value(
    state: &State,
    entity: &'static EntityType,
    field: &'static str,
    segment: &Segment<'_>,
) -> Result<String, Refusal> {
    let refuse = |text: String| Refusal::InvalidKey { field: field.to_owned(), text };
    let value = segment.text.as_deref().map_err(|at| {
        refuse(format!("invalid utf-8 character sequence detected at position {at}"))
    })?;
    let checked =
        state.with_env(|env| state.record(entity).validate_value(field, &Value::from(value), env));
    match checked {
        Err(Violation::Text(text)) => Err(refuse(text)),
        _ => Ok(value.to_owned()),
    }
}

/// The segment as an id: 8-4-4-4-12 hexadecimal digits.
pub(crate) fn id(segment: &Segment<'_>) -> Option<Uuid> {
    let text = segment.name();
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// The entity of that name. One that has expired is gone.
pub(crate) async fn by_name(
    state: &State,
    entity: &'static EntityType,
    name: &Name,
) -> Result<Option<Entity>, Refusal> {
    let found = match name {
        Name::Id(id) => state.store.get(entity.name, *id).await?,
        Name::Key { key, .. } => state.store.find(entity.name, key).await?,
    };
    match found {
        Some(found) if !is_expired(state, entity, &found)? => Ok(Some(found)),
        _ => Ok(None),
    }
}

/// Whether a stored entity has expired.
pub(crate) fn is_expired(
    state: &State,
    entity: &'static EntityType,
    stored: &Entity,
) -> Result<bool, Refusal> {
    if !entity.ttl {
        return Ok(false);
    }
    let object = object(stored)?;
    Ok(state.with_env(|env| entity.is_expired(&object, env)))
}

/// The body of a stored entity.
///
/// # Errors
/// When it is no JSON object: the store is broken.
pub(crate) fn object(entity: &Entity) -> Result<Object, Refusal> {
    serde_json::from_str(&entity.body).map_err(|error| {
        Refusal::Broken(format!(
            "{} {} is stored as no JSON object: {error}",
            entity.kind, entity.id
        ))
    })
}

/// The id that a reference in a body names.
pub(crate) fn referred(object: &Object, field: &str) -> Option<Uuid> {
    object.get(field)?.get("id")?.as_str()?.parse().ok()
}
