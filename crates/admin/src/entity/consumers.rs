//! Consumers: also found by the key that another system has for them.

use crate::call::Call;
use crate::error::Refusal;
use crate::find::{self, Name};

use model::{Entity, EntityType};

/// `GET /consumers?custom_id=`: the one consumer, or none; `None` when it is not asked for.
pub(crate) async fn by_custom_id(
    call: &Call<'_>,
    entity: &'static EntityType,
) -> Result<Option<Vec<Entity>>, Refusal> {
    if entity.name != "consumers" {
        return Ok(None);
    }
    match call.query.text("custom_id") {
        None => Ok(None),
        Some("") => Err(Refusal::bad_request("custom_id must be an unempty string")),
        Some(id) => {
            let name = Name::key("custom_id", id.to_owned());
            Ok(Some(find::by_name(call.state, entity, &name).await?.into_iter().collect()))
        }
    }
}
