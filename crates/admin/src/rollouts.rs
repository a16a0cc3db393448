//! Releases that only some data planes get at first, and then all or none.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use model::{Entity, Rollout};
use serde_json::{Value, json};
use store::{OpenRollout, Operation, RolloutStep, Row, WriteSet};

use crate::answer::Answer;
use crate::call::Call;
use crate::crud;
use crate::error::Refusal;
use crate::find;
use crate::info::control_plane_only;
use crate::state::{DataPlane, Object, State};
use crate::write::{ATTEMPTS, NotCommitted, commit_set, conclude};

/// No rollout has more labels, as no data plane has (`cluster_dp_labels`).
const LABELS: usize = 10;

/// `/rollouts`: the one that is open, if one is, with who serves what; POST opens one.
pub(crate) async fn all(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    if call.method == Method::POST {
        return open(call).await;
    }
    let data: Vec<Value> = match read(call.state).await? {
        Some((rollout, open)) => vec![shown(call.state, &rollout, &open)],
        None => Vec::new(),
    };
    Ok(Answer::json(StatusCode::OK, &json!({ "data": data, "next": null })))
}

/// `/rollouts/promote`: everything is released to all data planes.
pub(crate) async fn promote(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    let (rollout, open) = read(call.state).await?.ok_or_else(none_is_open)?;
    let set = ending(Vec::new(), RolloutStep::End { opened: open.opened, touched: None });
    match commit_set(call.state, set).await {
        Ok(committed) => {
            let body = ended("promoted", &rollout, &open, committed.at.revision);
            let answer = Answer::json(StatusCode::OK, &body);
            Ok(conclude(call.state, call.wait, &committed, answer).await)
        }
        Err(NotCommitted::Outdated) => Err(none_is_open()),
        Err(other) => Err(other.into()),
    }
}

/// `/rollouts/revert`: every entity that was touched since the rollout was opened is put back to
/// what it was, as one revision.
pub(crate) async fn revert(call: &Call<'_>) -> Result<Answer, Refusal> {
    control_plane_only(call.state)?;
    for _ in 0..ATTEMPTS {
        let (rollout, open) = read(call.state).await?.ok_or_else(none_is_open)?;
        let touched = Some(open.before.len());
        let set = ending(back(&open)?, RolloutStep::End { opened: open.opened, touched });
        match commit_set(call.state, set).await {
            Ok(committed) => {
                let body = ended("reverted", &rollout, &open, committed.at.revision);
                let answer = Answer::json(StatusCode::OK, &body);
                return Ok(conclude(call.state, call.wait, &committed, answer).await);
            }
            // Somebody has touched more entities, or has ended it.
            Err(NotCommitted::Outdated) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Refusal::Contended)
}

/// Labels as an operator writes them: `stage:canary, region:eu`.
pub(crate) fn written(labels: &BTreeMap<String, String>) -> String {
    let each = labels.iter().map(|(name, value)| format!("{name}:{value}"));
    each.collect::<Vec<_>>().join(", ")
}

/// What `POST /rollouts` takes.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "description": "To which data planes what follows is released at first.",
        "properties": {
            "labels": {
                "type": "array",
                "description": "A data plane must have all of them (`cluster_dp_labels`).",
                "items": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9_.-]{1,63}:[A-Za-z0-9_.-]{1,63}$",
                },
                "minItems": 1,
                "maxItems": LABELS,
            },
        },
        "required": ["labels"],
        "additionalProperties": false,
    })
}

async fn open(call: &Call<'_>) -> Result<Answer, Refusal> {
    let state = call.state;
    let rollout = Rollout {
        id: Rollout::ID,
        labels: labels(&call.input.object)?,
        opened_at: state.clock.wall_s(),
    };
    let body = serde_json::to_string(&rollout).map_err(|e| Refusal::Broken(e.to_string()))?;
    let row = Row {
        kind: Rollout::KIND,
        id: rollout.id,
        body: body.into(),
        keys: Vec::new(),
        references: Vec::new(),
        tags: Vec::new(),
    };
    let operations = vec![Operation::Insert(row)];
    let set = WriteSet { operations, rollout: Some(RolloutStep::Open) };
    match commit_set(state, set).await {
        Ok(committed) => {
            let opened = committed.at.revision;
            tracing::info!(opened, labels = written(&rollout.labels), "a rollout was opened");
            let body = shown(state, &rollout, &OpenRollout { opened, before: Vec::new() });
            let answer = Answer::json(StatusCode::CREATED, &body);
            Ok(conclude(state, call.wait, &committed, answer).await)
        }
        Err(NotCommitted::Taken(_)) => Err(Refusal::Message(
            StatusCode::CONFLICT,
            match read(state).await? {
                Some((other, open)) => format!(
                    "a rollout to data planes with {} is open since revision {}: promote or \
                     revert it first",
                    written(&other.labels),
                    open.opened
                ),
                None => "another rollout was open until now; try again".to_owned(),
            },
        )),
        Err(other) => Err(other.into()),
    }
}

/// The rollout that is open, with what was before it.
async fn read(state: &State) -> Result<Option<(Rollout, OpenRollout)>, Refusal> {
    let stored = state.store.get(Rollout::KIND.as_str(), Rollout::ID).await?;
    let (Some(stored), Some(open)) = (stored, state.store.rollout().await?) else {
        return Ok(None);
    };
    let rollout = Rollout::from_body(&stored.body);
    Ok(Some((rollout.map_err(|error| Refusal::Broken(error.to_string()))?, open)))
}

/// The operations that put back what was before.
fn back(open: &OpenRollout) -> Result<Vec<Operation>, Refusal> {
    let mut operations = Vec::with_capacity(open.before.len() + 1);
    let mut made_since = Vec::new();
    for change in open.before.iter().filter(|change| Rollout::reverts(&change.kind)) {
        let Some(entity) = model::entity(change.kind.as_str()) else { continue };
        match &change.body {
            Some(body) => {
                let (kind, id, body) = (entity.kind(), change.id, body.clone());
                let former = Entity { kind, id, body: body.clone(), version: 0 };
                let row = Row { body, ..crud::row(entity, &find::object(&former)?) };
                operations.push(Operation::Upsert(row));
            }
            None => made_since.push(Operation::Delete { kind: entity.kind(), id: change.id }),
        }
    }
    // Last, when nothing that was there before refers to them any more and would go with them.
    operations.append(&mut made_since);
    Ok(operations)
}

fn ending(mut operations: Vec<Operation>, step: RolloutStep) -> WriteSet {
    operations.push(Operation::Delete { kind: Rollout::KIND, id: Rollout::ID });
    WriteSet { operations, rollout: Some(step) }
}

/// The labels of a body: a list of `NAME:VALUE`, as `cluster_dp_labels` has them.
fn labels(input: &Object) -> Result<BTreeMap<String, String>, Refusal> {
    if let Some(unknown) = input.keys().find(|name| *name != "labels") {
        return Err(Refusal::field(unknown, "unknown field"));
    }
    let wrong = |text: &str| Refusal::field("labels", text);
    let listed = match input.get("labels") {
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        None => return Err(wrong("required field missing")),
        Some(_) => return Err(wrong("expected an array")),
    };
    let label = |item: &Value| settings::label(item.as_str()?);
    let labels: Option<BTreeMap<String, String>> = listed.iter().map(label).collect();
    match labels {
        Some(labels) if labels.is_empty() => Err(wrong("length must be at least 1")),
        Some(labels) if labels.len() < listed.len() => {
            Err(wrong("a data plane has one value of a label: name each once"))
        }
        Some(labels) if labels.len() > LABELS => Err(wrong("length must be at most 10")),
        Some(labels) => Ok(labels),
        None => Err(wrong(
            "each is NAME:VALUE (letters, digits, '-', '_' and '.', at most 63), as \
             cluster_dp_labels has them",
        )),
    }
}

fn shown(state: &State, rollout: &Rollout, open: &OpenRollout) -> Value {
    let data_planes = state.fleet.data_planes();
    let data_plane = |known: &DataPlane| {
        json!({
            "id": known.id,
            "hostname": known.hostname,
            "connected": known.connected,
            "labels": known.labels,
            "matches": rollout.matches(&known.labels),
            "revision": known.serving,
            "target_revision": known.target,
        })
    };
    json!({
        "labels": listed(rollout),
        "opened_at": rollout.opened_at,
        "opened_revision": open.opened,
        "touched": open.before.len(),
        "data_planes": data_planes.iter().map(data_plane).collect::<Vec<_>>(),
    })
}

fn ended(how: &str, rollout: &Rollout, open: &OpenRollout, revision: u64) -> Value {
    tracing::info!(how, revision, labels = written(&rollout.labels), "a rollout was ended");
    json!({
        "outcome": how,
        "labels": listed(rollout),
        "opened_revision": open.opened,
        "touched": open.before.len(),
        "revision": revision,
    })
}

fn listed(rollout: &Rollout) -> Vec<String> {
    rollout.labels.iter().map(|(name, value)| format!("{name}:{value}")).collect()
}

fn none_is_open() -> Refusal {
    Refusal::Message(StatusCode::NOT_FOUND, "no rollout is open".to_owned())
}
