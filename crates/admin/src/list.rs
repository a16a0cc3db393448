//! Pages of collections (admin-api.md §8).

use http::StatusCode;
use model::{Entity, EntityType, ForeignField};
use schema::Violation;
use serde_json::{Value, json};
use store::{ListQuery, TaggedEntity};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::endpoint::Family;
use crate::entity::{self, consumers};
use crate::error::Refusal;
use crate::find;
use crate::query::{self, escape};

/// `/services`
pub(crate) async fn collection(
    call: &Call<'_>,
    entity: &'static EntityType,
) -> Result<Answer, Refusal> {
    if let Some(found) = consumers::by_custom_id(call, entity).await? {
        return Ok(envelope(shown(call, entity, &found).await?, "", None, ""));
    }
    let mut more = String::new();
    for name in ["tags", "size"] {
        if let Some(value) = call.query.text(name) {
            more.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    let query = ListQuery {
        kind: entity.kind(),
        referring: None,
        tags: call.query.tags()?,
        after: None,
        size: 0,
    };
    page(call, entity, query, &format!("/{}", entity.path), &more).await
}

/// `/services/{services}/routes`. Tags are not looked at, and what comes next keeps no size.
pub(crate) async fn children(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let id = crud::parent_id(call, family).await?;
    let path: String = call.segments.iter().map(|segment| format!("/{}", segment.raw)).collect();
    page(call, family.child, referring(family.child, &family.field, id), &path, "").await
}

fn referring(entity: &'static EntityType, field: &ForeignField, id: Uuid) -> ListQuery {
    let referring = Some((field.name, id));
    ListQuery { kind: entity.kind(), referring, tags: None, after: None, size: 0 }
}

async fn page(
    call: &Call<'_>,
    entity: &'static EntityType,
    query: ListQuery,
    path: &str,
    more: &str,
) -> Result<Answer, Refusal> {
    let size = call.query.size()?;
    let mut query = ListQuery { after: call.query.after()?, size, ..query };
    let mut data = Vec::new();
    // What has expired leaves gaps, which are filled up from what follows.
    let offset = loop {
        let page = call.state.store.list(&query).await?;
        data.extend(shown(call, entity, &page.entities).await?);
        let last = page.entities.last().filter(|_| page.more).map(|last| last.id);
        let missing = size.saturating_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        if last.is_none() || missing == 0 {
            break last.map(|last| query::encode([&last.to_string()]));
        }
        query = ListQuery { after: last, size: missing, ..query };
    };
    Ok(envelope(data, path, offset, more))
}

/// Entities as clients see them. Those that have expired are gone.
async fn shown(
    call: &Call<'_>,
    entity: &'static EntityType,
    entities: &[Entity],
) -> Result<Vec<Value>, Refusal> {
    let mut data = Vec::with_capacity(entities.len());
    for stored in entities {
        let stored = find::object(stored)?;
        if call.state.with_env(|env| entity.is_expired(&stored, env)) {
            continue;
        }
        let mut shown = crud::shown(call.state, entity, &stored);
        entity::complete(call.state, entity, &mut shown).await?;
        data.push(Value::Object(shown));
    }
    Ok(data)
}

/// Kong's list: `offset` is there only when more follows.
pub(crate) fn envelope(data: Vec<Value>, path: &str, offset: Option<String>, more: &str) -> Answer {
    let mut body = json!({ "data": data, "next": null });
    if let Some(offset) = offset {
        body["next"] = format!("{path}?offset={}{more}", escape(&offset)).into();
        body["offset"] = offset.into();
    }
    Answer::json(StatusCode::OK, &body)
}

/// `/tags/{tags}`: what has that tag.
pub(crate) async fn tag(call: &Call<'_>) -> Result<Answer, Refusal> {
    let tag = call.segment(1).text.as_deref().map_err(|at| {
        let text = format!("invalid utf-8 character sequence detected at position {at}");
        Refusal::InvalidKey { field: "tag".to_owned(), text }
    })?;
    if let Some(text) = bad_tag(call, tag) {
        return Err(Refusal::InvalidKey { field: "tag".to_owned(), text });
    }
    tags(call, Some(tag)).await
}

/// `/tags`: what is tagged.
pub(crate) async fn tags(call: &Call<'_>, tag: Option<&str>) -> Result<Answer, Refusal> {
    let size = call.query.size()?;
    let after = call.query.offset().map(tagged).transpose()?;
    // One more than asked for tells whether more follow.
    let mut found = call.state.store.tags(tag, after.as_ref(), size + 1).await?;
    let more = found.len() > size as usize;
    found.truncate(size as usize);
    let data = found
        .iter()
        .map(|one| json!({ "tag": one.tag, "entity_name": one.kind.as_str(), "entity_id": one.id }))
        .collect();
    let offset = found
        .last()
        .filter(|_| more)
        .map(|last| query::encode([last.tag.as_str(), last.kind.as_str(), &last.id.to_string()]));
    let path: String = call.segments.iter().map(|segment| format!("/{}", segment.raw)).collect();
    let size = call.query.text("size");
    let more = size.map(|size| format!("&size={}", escape(size))).unwrap_or_default();
    Ok(envelope(data, &path, offset, &more))
}

/// What is wrong with a tag, by the declaration that all entity types share.
fn bad_tag(call: &Call<'_>, tag: &str) -> Option<String> {
    let record = call.state.record(model::entities().first()?);
    match call.state.with_env(|env| record.validate_value("tags", &json!([tag]), env)) {
        Err(Violation::Items(items)) => match items.into_iter().flatten().next() {
            Some(Violation::Text(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn tagged(offset: &str) -> Result<TaggedEntity, Refusal> {
    let [tag, kind, id] = query::decode(offset)?;
    let bad = || Refusal::Offset(offset.to_owned(), "bad json encoding");
    let id = Uuid::try_parse(&id).map_err(|_| bad())?;
    // No store has such text.
    if tag.contains('\0') || kind.contains('\0') {
        return Err(bad());
    }
    Ok(TaggedEntity { tag, kind: model::Kind::named(kind), id })
}
