//! ACL groups: below a consumer, found by the group's name.

use model::EntityType;
use serde_json::json;
use store::Key;
use uuid::Uuid;

use crate::error::Refusal;
use crate::find::{self, Name};
use crate::path::Segment;
use crate::state::State;

/// The group of that name, of this consumer.
pub(crate) fn name(
    state: &State,
    entity: &'static EntityType,
    consumer: Uuid,
    segment: &Segment<'_>,
) -> Result<Name, Refusal> {
    let group = find::value(state, entity, "group", segment)?;
    let key =
        Key { field: "consumer,group", value: json!([{ "id": consumer }, group]).to_string() };
    Ok(Name::Key { field: "group", value: group, key })
}
