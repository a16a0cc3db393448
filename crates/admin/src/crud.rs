//! The operations on entities, once for all entity types (admin-api.md §5). What differs from one
//! type to another is asked of [`crate::entity`].

use http::StatusCode;
use model::{Entity, EntityType, ForeignField};
use serde_json::{Value, json};
use store::{DeleteRule, Key, Operation, Reference, Row};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::{Call, Typed};
use crate::endpoint::Family;
use crate::entity;
use crate::error::Refusal;
use crate::find::{self, Name};
use crate::reference;
use crate::rejected;
use crate::state::{Object, State};
use crate::write::{ATTEMPTS, NotCommitted, commit, conclude};

/// Where the child's name stands in `/parents/{parent}/children/{child}`.
const CHILD: usize = 3;

/// A new entity: POST on a collection, or below a parent.
pub(crate) async fn create(
    call: &Call<'_>,
    entity: &'static EntityType,
    parent: Option<(ForeignField, Uuid)>,
) -> Result<Answer, Refusal> {
    let mut typed = call.typed(entity)?;
    if let Some((field, id)) = parent {
        refer(&mut typed.object, &field, id);
    }
    entity::before(call.state, entity, None, &typed.object).await?;
    let whole = whole(call.state, entity, typed).await?;
    let operations = whole.operations(Operation::Insert);
    let committed = match commit(call.state, operations.clone()).await {
        Err(NotCommitted::Taken(refusal)) => {
            // Who has expired and is still stored must not be in the way.
            let expired = expired_holders(call.state, entity, &whole.row).await?;
            if expired.is_empty() {
                return Err(refusal);
            }
            commit(call.state, expired.into_iter().chain(operations).collect()).await?
        }
        other => other?,
    };
    let answer = answer(call.state, entity, &whole.object, StatusCode::CREATED).await?;
    Ok(conclude(call.state, call.wait, &committed, answer).await)
}

/// The deletions of entities that have the row's unique keys and have expired.
async fn expired_holders(
    state: &State,
    entity: &'static EntityType,
    row: &Row,
) -> Result<Vec<Operation>, Refusal> {
    let mut deletions = Vec::new();
    for key in row.keys.iter().filter(|_| entity.ttl) {
        if let Some(holder) = state.store.find(entity.name, key).await?
            && find::is_expired(state, entity, &holder)?
        {
            deletions.push(Operation::Delete { kind: entity.kind(), id: holder.id });
        }
    }
    Ok(deletions)
}

/// GET: the entity that the URL names.
pub(crate) async fn read(call: &Call<'_>, entity: &'static EntityType) -> Result<Answer, Refusal> {
    let name = entity::name(call, entity, call.segment(1)).await?;
    let found = find::by_name(call.state, entity, &name).await?;
    let found = found.ok_or_else(|| entity::missing(call, entity, &name))?;
    let answer = answer(call.state, entity, &find::object(&found)?, StatusCode::OK).await?;
    Ok(rejected::warned(call.state, entity.name, found.id, answer))
}

/// PATCH: what the body has is merged over what is stored.
pub(crate) async fn update(
    call: &Call<'_>,
    entity: &'static EntityType,
) -> Result<Answer, Refusal> {
    let name = entity::name(call, entity, call.segment(1)).await?;
    change(call, entity, &Which::Named(entity, name)).await
}

/// PUT: the body is the whole entity, which is replaced or made.
pub(crate) async fn put(call: &Call<'_>, entity: &'static EntityType) -> Result<Answer, Refusal> {
    let name = entity::name(call, entity, call.segment(1)).await?;
    replace(call, entity, &name, call.typed(entity)?).await
}

/// DELETE. What is not there is deleted already.
pub(crate) async fn delete(
    call: &Call<'_>,
    entity: &'static EntityType,
) -> Result<Answer, Refusal> {
    let id = match entity::name(call, entity, call.segment(1)).await? {
        Name::Id(id) => Some(id),
        // Also one that has expired, if it is still stored.
        Name::Key { key, .. } => call.state.store.find(entity.name, &key).await?.map(|f| f.id),
    };
    remove(call, entity, id).await
}

/// The id of the parent that the URL names.
///
/// # Errors
/// 404 when it is not there.
pub(crate) async fn parent_id(call: &Call<'_>, family: &Family) -> Result<Uuid, Refusal> {
    let name = entity::parent_name(call, family, call.segment(1)).await?;
    Ok(find::by_name(call.state, family.parent, &name).await?.ok_or(Refusal::NotFound)?.id)
}

/// The child of this parent that the URL names.
///
/// # Errors
/// 404 when it is not there, or belongs to another parent.
pub(crate) async fn child(
    call: &Call<'_>,
    family: &Family,
    parent: Uuid,
) -> Result<Entity, Refusal> {
    let name = entity::name_below(call, family, parent, call.segment(CHILD))?;
    let found = find::by_name(call.state, family.child, &name).await?.ok_or(Refusal::NotFound)?;
    let belongs = find::referred(&find::object(&found)?, family.field.name) == Some(parent);
    if belongs { Ok(found) } else { Err(Refusal::NotFound) }
}

/// An entity below a parent: `/services/{services}/routes/{routes}`.
pub(crate) async fn under_parent(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let parent = parent_id(call, family).await?;
    match call.method.as_str() {
        "PUT" if !entity::put_updates(family.child) => {
            let mut typed = call.typed(family.child)?;
            refer(&mut typed.object, &family.field, parent);
            let name = entity::name_below(call, family, parent, call.segment(CHILD))?;
            replace(call, family.child, &name, typed).await
        }
        "PATCH" | "PUT" => change(call, family.child, &Which::Child(*family, parent)).await,
        "DELETE" => {
            let found = child(call, family, parent).await?;
            remove(call, family.child, Some(found.id)).await
        }
        _ => {
            let found = child(call, family, parent).await?;
            let shown = find::object(&found)?;
            let answer = answer(call.state, family.child, &shown, StatusCode::OK).await?;
            Ok(rejected::warned(call.state, family.child.name, found.id, answer))
        }
    }
}

/// The entity that another one refers to: `/routes/{routes}/service`.
pub(crate) async fn parent(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    match call.method.as_str() {
        "PATCH" => change(call, family.parent, &Which::Parent(*family)).await,
        "PUT" => {
            let typed = call.typed(family.parent)?;
            match parent_of(call, family).await? {
                Some(found) => replace(call, family.parent, &Name::Id(found.id), typed).await,
                None => create_parent(call, family, typed).await,
            }
        }
        // Who has a parent cannot lose it in this way.
        "DELETE" => match parent_of(call, family).await? {
            Some(_) => Err(Refusal::MethodNotAllowed),
            None => Err(Refusal::NotFound),
        },
        _ => {
            let found = parent_of(call, family).await?.ok_or(Refusal::NotFound)?;
            // As it is stored: Kong shows no server names of a certificate here.
            let shown = shown(call.state, family.parent, &find::object(&found)?);
            Ok(Answer::json(StatusCode::OK, &Value::Object(shown)))
        }
    }
}

async fn parent_of(call: &Call<'_>, family: &Family) -> Result<Option<Entity>, Refusal> {
    let name = entity::name(call, family.child, call.segment(1)).await?;
    let child = find::by_name(call.state, family.child, &name).await?.ok_or(Refusal::NotFound)?;
    match find::referred(&find::object(&child)?, family.field.name) {
        Some(id) => find::by_name(call.state, family.parent, &Name::Id(id)).await,
        None => Ok(None),
    }
}

/// Which entity a PATCH changes; it may have to be found again.
enum Which {
    Named(&'static EntityType, Name),
    /// The child of this parent that the URL names.
    Child(Family, Uuid),
    /// The parent of what the URL names.
    Parent(Family),
}

impl Which {
    async fn find(&self, call: &Call<'_>) -> Result<Entity, Refusal> {
        match self {
            Which::Named(entity, name) => {
                let found = find::by_name(call.state, entity, name).await?;
                found.ok_or_else(|| entity::missing(call, entity, name))
            }
            Which::Child(family, parent) => child(call, family, *parent).await,
            Which::Parent(family) => parent_of(call, family).await?.ok_or(Refusal::NotFound),
        }
    }
}

/// Makes a parent for an entity that has none, and links it: one write.
async fn create_parent(call: &Call<'_>, family: &Family, typed: Typed) -> Result<Answer, Refusal> {
    let state = call.state;
    entity::before(state, family.parent, None, &typed.object).await?;
    let whole = whole(state, family.parent, typed).await?;
    let mut patch = Object::new();
    refer(&mut patch, &family.field, whole.row.id);
    for _ in 0..ATTEMPTS {
        let name = entity::name(call, family.child, call.segment(1)).await?;
        let child = find::by_name(state, family.child, &name).await?.ok_or(Refusal::NotFound)?;
        let before = find::object(&child)?;
        let mut after = state.with_env(|env| family.child.update(&before, patch.clone(), env))?;
        let along = entity::along(state, family.child, &mut after, Some(&patch)).await?;
        let mut operations = whole.operations(Operation::Insert);
        operations
            .push(Operation::Update { row: row(family.child, &after), expected: child.version });
        operations.extend(along);
        match commit(state, operations).await {
            Ok(committed) => {
                let answer = answer(state, family.parent, &whole.object, StatusCode::OK).await?;
                return Ok(conclude(state, call.wait, &committed, answer).await);
            }
            Err(NotCommitted::Outdated) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Refusal::Contended)
}

/// Reads, merges the body over it, validates, writes; again when another writer was faster.
async fn change(
    call: &Call<'_>,
    entity: &'static EntityType,
    which: &Which,
) -> Result<Answer, Refusal> {
    let state = call.state;
    let mut found = which.find(call).await?;
    let Typed { object: mut patch, ttl } = call.typed_patch(entity, &find::object(&found)?)?;
    // The id is that of the URL.
    patch.remove("id");
    entity::before(state, entity, Some(found.id), &patch).await?;
    reference::resolve(state, entity, &mut patch).await?;
    for _ in 0..ATTEMPTS {
        let before = find::object(&found)?;
        let mut after = state.with_env(|env| {
            let mut after = entity.update(&before, patch.clone(), env)?;
            if let Some(ttl) = ttl {
                entity.expire(&mut after, ttl, env);
            }
            Ok::<_, Refusal>(after)
        })?;
        let along = entity::along(state, entity, &mut after, Some(&patch)).await?;
        let update = Operation::Update { row: row(entity, &after), expected: found.version };
        let operations = std::iter::once(update).chain(along).collect();
        match commit(state, operations).await {
            Ok(committed) => {
                let answer = answer(state, entity, &after, StatusCode::OK).await?;
                return Ok(conclude(state, call.wait, &committed, answer).await);
            }
            Err(NotCommitted::Outdated) => found = which.find(call).await?,
            Err(other) => return Err(other.into()),
        }
    }
    Err(Refusal::Contended)
}

/// Makes the body the entity of that name, whatever is there.
async fn replace(
    call: &Call<'_>,
    entity: &'static EntityType,
    name: &Name,
    mut typed: Typed,
) -> Result<Answer, Refusal> {
    let state = call.state;
    match name {
        Name::Id(id) => {
            typed.object.insert("id".to_owned(), id.to_string().into());
        }
        Name::Key { field, value, .. } => {
            typed.object.insert((*field).to_owned(), value.clone().into());
        }
    }
    for _ in 0..ATTEMPTS {
        let mut typed = typed.clone();
        let found = match name {
            // Whether it is there makes no difference.
            Name::Id(_) => None,
            Name::Key { key, .. } => state.store.find(entity.name, key).await?,
        };
        if let Some(found) = &found {
            typed.object.insert("id".to_owned(), found.id.to_string().into());
        }
        let id = typed.object.get("id").and_then(Value::as_str);
        let id = id.and_then(|id| Uuid::try_parse(id).ok());
        entity::before(state, entity, id, &typed.object).await?;
        let whole = whole(state, entity, typed).await?;
        let operations = whole.operations(|row| match (name, &found) {
            (Name::Id(_), _) => Operation::Upsert(row),
            (_, Some(found)) => Operation::Update { row, expected: found.version },
            (_, None) => Operation::Insert(row),
        });
        match commit(state, operations).await {
            Ok(committed) => {
                let answer = answer(state, entity, &whole.object, StatusCode::OK).await?;
                return Ok(conclude(state, call.wait, &committed, answer).await);
            }
            Err(NotCommitted::Outdated) => {}
            Err(NotCommitted::Taken(refusal)) => {
                // Somebody may have made it in this moment: then it is there to be replaced.
                let made = match (name, &found) {
                    (Name::Key { key, .. }, None) => {
                        state.store.find(entity.name, key).await?.is_some()
                    }
                    _ => false,
                };
                if !made {
                    return Err(refusal);
                }
            }
            Err(NotCommitted::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::Contended)
}

async fn remove(
    call: &Call<'_>,
    entity: &'static EntityType,
    id: Option<Uuid>,
) -> Result<Answer, Refusal> {
    if let Some(id) = id {
        entity::before_delete(call.state, entity, id).await?;
    }
    let operations = id.map(|id| Operation::Delete { kind: entity.kind(), id });
    let committed = commit(call.state, operations.into_iter().collect()).await?;
    let answer = Answer::empty(StatusCode::NO_CONTENT);
    Ok(conclude(call.state, call.wait, &committed, answer).await)
}

/// A valid entity, and what is written with it.
pub(crate) struct Whole {
    pub(crate) object: Object,
    row: Row,
    along: Vec<Operation>,
}

impl Whole {
    /// All operations; `write` makes the one for the entity itself.
    pub(crate) fn operations(&self, write: impl FnOnce(Row) -> Operation) -> Vec<Operation> {
        std::iter::once(write(self.row.clone())).chain(self.along.iter().cloned()).collect()
    }
}

/// A whole entity of a POST's or PUT's body.
pub(crate) async fn whole(
    state: &State,
    entity: &'static EntityType,
    typed: Typed,
) -> Result<Whole, Refusal> {
    let Typed { object: mut input, ttl } = typed;
    reference::resolve(state, entity, &mut input).await?;
    let mut object = state.with_env(|env| {
        let mut object = entity.create(input, env)?;
        entity.expire(&mut object, ttl.flatten(), env);
        Ok::<_, Refusal>(object)
    })?;
    let along = entity::along(state, entity, &mut object, None).await?;
    let row = row(entity, &object);
    Ok(Whole { object, row, along })
}

/// The entity as it is stored.
pub(crate) fn row(entity: &'static EntityType, object: &Object) -> Row {
    let parts = entity.row_parts(object);
    let key = |key: model::UniqueKey| Key { field: key.field, value: key.value };
    let reference = |reference: model::ForeignKey| Reference {
        field: reference.field,
        to_kind: reference.to_kind,
        to_id: reference.to_id,
        on_delete: match reference.on_delete {
            schema::DeleteRule::Restrict => DeleteRule::Restrict,
            schema::DeleteRule::Cascade => DeleteRule::Cascade,
        },
    };
    Row {
        kind: entity.kind(),
        id: parts.id,
        body: serde_json::to_string(object).unwrap_or_default().into(),
        keys: parts.keys.into_iter().map(key).collect(),
        references: parts.references.into_iter().map(reference).collect(),
        tags: parts.tags,
    }
}

/// A stored entity as clients see it, but for what is not stored with it.
pub(crate) fn shown(state: &State, entity: &'static EntityType, stored: &Object) -> Object {
    state.with_env(|env| entity.shown(stored, env))
}

/// An entity as the answer to a request.
pub(crate) async fn answer(
    state: &State,
    entity: &'static EntityType,
    stored: &Object,
    status: StatusCode,
) -> Result<Answer, Refusal> {
    let mut shown = shown(state, entity, stored);
    entity::complete(state, entity, &mut shown).await?;
    Ok(Answer::json(status, &Value::Object(shown)))
}

fn refer(input: &mut Object, field: &ForeignField, id: Uuid) {
    input.insert(field.name.to_owned(), json!({ "id": id }));
}
