//! What differs from one entity type to another, at the points where [`crate::crud`] asks.
//! Everything that is the same for all is there.

mod acls;
mod ca_certificates;
pub(crate) mod certificates;
pub(crate) mod consumers;
pub(crate) mod fleet;
mod plugins;
pub(crate) mod targets;
pub(crate) mod upstreams;

use model::EntityType;
use store::Operation;
use uuid::Uuid;

use crate::call::Call;
use crate::endpoint::Family;
use crate::error::Refusal;
use crate::find::{self, Name};
use crate::path::Segment;
use crate::state::{Object, State};

/// Whether `/{entity}/{x}/{field}` shows what the entity refers to.
pub(crate) fn shows_parent(entity: &EntityType, field: &str) -> bool {
    (entity.name, field) != ("snis", "certificate")
}

/// Whether a PUT changes what is there and makes nothing new.
pub(crate) fn put_updates(entity: &EntityType) -> bool {
    entity.name == "targets"
}

/// The field whose value says what the rest looks like.
pub(crate) fn type_key(entity: &EntityType) -> Option<&'static str> {
    match entity.name {
        "plugins" | "vaults" => Some("name"),
        _ => None,
    }
}

/// What the segment says of an entity that is found by itself.
pub(crate) async fn name(
    call: &Call<'_>,
    entity: &'static EntityType,
    segment: &Segment<'_>,
) -> Result<Name, Refusal> {
    match entity.name {
        "certificates" => certificates::name(call, segment).await,
        _ => Name::of(call.state, entity, segment),
    }
}

/// What the segment says of an entity that is found below a parent.
pub(crate) fn name_below(
    call: &Call<'_>,
    family: &Family,
    parent: Uuid,
    segment: &Segment<'_>,
) -> Result<Name, Refusal> {
    match (find::id(segment), family.child.name) {
        (None, "acls") => acls::name(call.state, family.child, parent, segment),
        (None, "targets") => Ok(targets::name(parent, segment)),
        _ => Name::of(call.state, family.child, segment),
    }
}

/// What the segment says of the parent of a family.
pub(crate) async fn parent_name(
    call: &Call<'_>,
    family: &Family,
    segment: &Segment<'_>,
) -> Result<Name, Refusal> {
    match family.child.name {
        "snis" => certificates::name(call, segment).await,
        _ => Name::of(call.state, family.parent, segment),
    }
}

/// The answer to a GET or PATCH of what is not there.
pub(crate) fn missing(call: &Call<'_>, entity: &EntityType, name: &Name) -> Refusal {
    let read = call.method == http::Method::GET;
    match entity.name {
        "certificates" if read => Refusal::Missing(name.fields()),
        "plugins" if !call.input.object.contains_key("name") => Refusal::NotFound,
        _ if read => Refusal::NotFound,
        _ => Refusal::Missing(name.fields()),
    }
}

/// Looks at what a client wrote before it is validated; `id` is that of the entity to be changed
/// or replaced, if it is known.
pub(crate) async fn before(
    state: &State,
    entity: &EntityType,
    id: Option<Uuid>,
    input: &Object,
) -> Result<(), Refusal> {
    match entity.name {
        "certificates" => certificates::check_snis(state, id, input).await,
        _ => Ok(()),
    }
}

/// Looks at a valid entity before it is written, takes out of it what is not stored with it, and
/// says what is written besides. `patch` is what a PATCH wrote; without one, all was written.
pub(crate) async fn along(
    state: &State,
    entity: &EntityType,
    object: &mut Object,
    patch: Option<&Object>,
) -> Result<Vec<Operation>, Refusal> {
    let given = |field: &str| patch.is_none_or(|patch| patch.contains_key(field));
    match entity.name {
        "certificates" => certificates::write_snis(state, object, given("snis")).await,
        "plugins" => plugins::check_protocols(state, object).await.map(|()| Vec::new()),
        _ => Ok(Vec::new()),
    }
}

/// Whether an entity may be deleted, as far as the store does not know.
pub(crate) async fn before_delete(
    state: &State,
    entity: &EntityType,
    id: Uuid,
) -> Result<(), Refusal> {
    match entity.name {
        "ca_certificates" => ca_certificates::check_unused(state, id).await,
        _ => Ok(()),
    }
}

/// Adds to an entity that is shown what is not stored with it.
pub(crate) async fn complete(
    state: &State,
    entity: &EntityType,
    shown: &mut Object,
) -> Result<(), Refusal> {
    match entity.name {
        "certificates" => certificates::show_snis(state, shown).await,
        _ => Ok(()),
    }
}
