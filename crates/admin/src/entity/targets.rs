//! Targets: found by their address, listed newest first, their health set by hand.

use std::net::SocketAddr;

use balancer::CannotSet;
use http::StatusCode;
use model::{HostPort, Reference, TargetHealth};
use serde_json::{Value, json};
use store::{DeleteRule, Key, Operation, Reference as StoredReference, Row};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::endpoint::Family;
use crate::entity::upstreams;
use crate::error::Refusal;
use crate::find::{self, Name};
use crate::list;
use crate::path::Segment;
use crate::scan::scan;
use crate::state::Object;
use crate::write::{commit, conclude};

/// By which a word on the health of a target refers to it.
const TARGET: &str = "target";

/// The target of that address, of this upstream. Also an address that is not in its normal form
/// finds it (Kong compares to the letter).
pub(crate) fn name(upstream: Uuid, segment: &Segment<'_>) -> Name {
    let text = segment.name();
    let target = text.parse::<HostPort>().map_or_else(|_| text.to_owned(), |t| t.to_string());
    let value = json!([{ "id": upstream }, target]).to_string();
    let key = Key { field: "upstream,target", value };
    Name::Key { field: "target", value: target, key }
}

/// `/upstreams/{upstreams}/targets`: newest first; the offset is a count.
pub(crate) async fn newest_first(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let upstream = crud::parent_id(call, family).await?;
    let targets = all(call, family, upstream).await?;
    let (page, offset) = cut(call, targets)?;
    let shown = |target: Object| Value::Object(crud::shown(call.state, family.child, &target));
    let data = page.into_iter().map(shown).collect();
    let path = format!("/{}/{}/targets", family.parent.path, call.segment(1).raw);
    Ok(list::envelope(data, &path, offset, ""))
}

/// `/upstreams/{upstreams}/targets/active`: as Kong 0.10 answered it, with a total.
pub(crate) async fn active(call: &Call<'_>, family: &Family) -> Result<Answer, Refusal> {
    let upstream = crud::parent_id(call, family).await?;
    let targets = all(call, family, upstream).await?;
    let data: Vec<Value> = targets
        .into_iter()
        .filter(|target| target.get("weight").and_then(Value::as_u64) != Some(0))
        .map(|target| Value::Object(crud::shown(call.state, family.child, &target)))
        .collect();
    Ok(Answer::json(StatusCode::OK, &json!({ "total": data.len(), "data": data })))
}

/// `…/targets/{targets}/healthy`, `/unhealthy`, and the same for one address.
pub(crate) async fn set_health(
    call: &Call<'_>,
    family: &Family,
    healthy: bool,
) -> Result<Answer, Refusal> {
    const ADDRESS: usize = 4;
    let upstream = crud::parent_id(call, family).await?;
    let found = crud::child(call, family, upstream).await?;
    let address = if call.segments.len() > ADDRESS + 1 {
        let text = call.segment(ADDRESS).name();
        let address: SocketAddr = text.parse().map_err(|_| {
            Refusal::bad_request(format!("'{text}' is no address of the form ip:port"))
        })?;
        Some(address)
    } else {
        None
    };
    let stored = call.state.store.get("upstreams", upstream).await?.ok_or(Refusal::NotFound)?;
    let config = upstreams::config(&stored)?;
    if !config.checks_on() {
        return Err(Refusal::bad_request(CannotSet::ChecksOff(config.name).to_string()));
    }
    let word = TargetHealth {
        id: TargetHealth::id_of(found.id, address),
        upstream: Reference { id: upstream },
        target: Reference { id: found.id },
        address,
        healthy,
        said_us: call.state.clock.wall_us(),
    };
    let committed = commit(call.state, operations(call, &word).await?).await?;
    let answer = Answer::empty(StatusCode::NO_CONTENT);
    Ok(conclude(call.state, call.wait, &committed, answer).await)
}

/// Stores a word on a target's health, so that every data plane hears of it. A word on the whole
/// target takes those on its addresses away, which are older.
async fn operations(call: &Call<'_>, word: &TargetHealth) -> Result<Vec<Operation>, Refusal> {
    let mut operations = Vec::new();
    if word.address.is_none() {
        let of_target = Some((TARGET, word.target.id));
        scan(call.state, TargetHealth::KIND, of_target, |entity| {
            if entity.id != word.id {
                operations.push(Operation::Delete { kind: TargetHealth::KIND, id: entity.id });
            }
            true
        })
        .await?;
    }
    let body = serde_json::to_value(word).map_err(|error| Refusal::Broken(error.to_string()))?;
    operations.push(Operation::Upsert(Row {
        kind: TargetHealth::KIND,
        id: word.id,
        body: body.to_string().into(),
        keys: Vec::new(),
        references: vec![StoredReference {
            field: TARGET,
            to_kind: "targets",
            to_id: word.target.id,
            on_delete: DeleteRule::Cascade,
        }],
        tags: Vec::new(),
    }));
    Ok(operations)
}

/// All targets of an upstream, newest first.
pub(crate) async fn all(
    call: &Call<'_>,
    family: &Family,
    upstream: Uuid,
) -> Result<Vec<Object>, Refusal> {
    let mut targets = Vec::new();
    let mut broken = None;
    let referring = Some((family.field.name, upstream));
    scan(call.state, family.child.kind(), referring, |entity| match find::object(entity) {
        Ok(object) => {
            targets.push(object);
            true
        }
        Err(refusal) => {
            broken = Some(refusal);
            false
        }
    })
    .await?;
    if let Some(refusal) = broken {
        return Err(refusal);
    }
    let made = |target: &Object| target.get("created_at").and_then(Value::as_f64).unwrap_or(0.0);
    targets.sort_by(|a, b| made(b).total_cmp(&made(a)));
    Ok(targets)
}

/// The page that the query asks for, and the offset of the next. Kong takes any size here.
pub(crate) fn cut(
    call: &Call<'_>,
    targets: Vec<Object>,
) -> Result<(Vec<Object>, Option<String>), Refusal> {
    let start = match call.query.offset() {
        None => 0,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Refusal::Offset(text.to_owned(), "expected a number"))?,
    };
    let size = call.query.size().unwrap_or(100) as usize;
    let end = start.saturating_add(size);
    let offset = (end < targets.len()).then(|| end.to_string());
    Ok((targets.into_iter().skip(start).take(size).collect(), offset))
}
