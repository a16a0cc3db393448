//! One request, one write set, one revision: committing, and what the answer says about it.

use http::{HeaderName, StatusCode};
use model::{Cursor, UniqueKey};
use serde_json::{Value, json};
use store::{Committed, Operation, WriteSet};

use crate::answer::Answer;
use crate::body::in_mib;
use crate::error::{Refusal, key};
use crate::explain;
use crate::rejected;
use crate::rollouts;
use crate::state::{Laggard, Object, Served, State, Wait};

/// How often a write that met a faster writer is made again from what is there now. Each time at
/// least one other writer has succeeded, so this many are needed for a request to lose.
pub(crate) const ATTEMPTS: usize = 32;

const REVISION: HeaderName = HeaderName::from_static("x-weir-revision");
const EPOCH: HeaderName = HeaderName::from_static("x-weir-epoch");
const SERVING: HeaderName = HeaderName::from_static("x-weir-serving");
const HELD_BACK: HeaderName = HeaderName::from_static("x-weir-held-back");
const ROLLOUT: HeaderName = HeaderName::from_static("x-weir-rollout");
const LAGGARDS: HeaderName = HeaderName::from_static("x-weir-laggards");

/// Why a write set was not committed.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// What it was made from has changed: read again and make it again.
    Outdated,
    /// An id or a unique key is taken. For a write that would have replaced the taker if it had
    /// seen it, this is the same as [`NotCommitted::Outdated`].
    Taken(Refusal),
    /// It is refused.
    Refused(Refusal),
}

impl From<NotCommitted> for Refusal {
    fn from(error: NotCommitted) -> Refusal {
        match error {
            NotCommitted::Outdated => Refusal::Contended,
            NotCommitted::Taken(refusal) | NotCommitted::Refused(refusal) => refusal,
        }
    }
}

/// Commits the operations together.
pub(crate) async fn commit(
    state: &State,
    operations: Vec<Operation>,
) -> Result<Committed, NotCommitted> {
    commit_set(state, operations.into()).await
}

/// Commits a set.
pub(crate) async fn commit_set(state: &State, set: WriteSet) -> Result<Committed, NotCommitted> {
    for operation in &set.operations {
        fits(state, operation).map_err(NotCommitted::Refused)?;
    }
    let committed = state.store.write(set).await?;
    let changes = committed.changes.len();
    tracing::debug!(revision = committed.at.revision, changes, "a write was committed");
    Ok(committed)
}

/// What the declarations cannot know: an entity that no data plane takes must not be stored, since
/// nothing would ever come of it; and no database keeps the character U+0000 in a key.
fn fits(state: &State, operation: &Operation) -> Result<(), Refusal> {
    let (Operation::Insert(row) | Operation::Upsert(row) | Operation::Update { row, .. }) =
        operation
    else {
        return Ok(());
    };
    if let Some(key) = row.keys.iter().find(|key| key.value.contains('\0')) {
        return Err(Refusal::field(key.field, "must not contain the character U+0000"));
    }
    let (size, most) = (row.body.len(), state.about.largest_entity);
    if size <= most {
        return Ok(());
    }
    let text = format!(
        "the '{}' entity {} takes {} as it is stored; data planes take at most {}: make it smaller",
        row.kind,
        row.id,
        in_mib(size),
        in_mib(most)
    );
    Err(Refusal::Message(StatusCode::PAYLOAD_TOO_LARGE, text))
}

impl From<store::Error> for NotCommitted {
    fn from(error: store::Error) -> NotCommitted {
        match error {
            store::Error::Conflict { .. } => NotCommitted::Outdated,
            store::Error::Exists { id, .. } => NotCommitted::Taken(Refusal::PrimaryKey(id)),
            store::Error::NotUnique { kind, field, value } => {
                NotCommitted::Taken(Refusal::Unique(taken(&kind, &field, value)))
            }
            store::Error::Dangling { field, to_kind, to_id, .. } => {
                NotCommitted::Refused(Refusal::Dangling { field, to: to_kind, id: to_id })
            }
            store::Error::Referenced { kind, by_kind, .. } => {
                NotCommitted::Refused(Refusal::ReferencedBy { kind, by: by_kind })
            }
            other => NotCommitted::Refused(other.into()),
        }
    }
}

/// The values of a unique key, by field.
fn taken(kind: &str, field: &str, value: String) -> Object {
    let entity = model::entity(kind);
    match entity.and_then(|entity| Some((entity, entity.composite_key?))) {
        Some((entity, composite)) if composite == field => {
            entity.key_fields(&UniqueKey { field: composite, value })
        }
        _ => key(field, value.into()),
    }
}

/// Finishes the answer to a write that was committed: names its revision, and holds the answer
/// back until the revision is served where that is wanted.
///
/// A route that hides another or is hidden is warned about. While a rollout is open, the answer
/// says to which data planes what was written goes.
///
/// What the caller asked for (`asked`) and did not get in time turns the answer into a 202 that
/// names the laggards; the write stands. The default wait only delays.
pub(crate) async fn conclude(
    state: &State,
    asked: Option<Wait>,
    committed: &Committed,
    answer: Answer,
) -> Answer {
    let mut answer = answer
        .with(REVISION, &committed.at.revision.to_string())
        .with(EPOCH, &committed.at.epoch.to_string());
    if let Some(rollout) = state.fleet.rollout() {
        answer = answer.with(ROLLOUT, &rollouts::written(&rollout.labels));
    }
    if let Some(wait) = asked {
        let served = wait_served(state, committed.at, wait).await;
        answer = answer.with(SERVING, &served.serving.to_string());
        if served.held > 0 {
            answer = answer.with(HELD_BACK, &served.held.to_string());
        }
        if !served.reached {
            answer = accepted(answer, committed.at, &served);
        }
        answer = rejected::warned_of_write(state, &committed.changes, &served, answer);
    } else if let Some(wait) = state.about.default_wait
        && !committed.changes.is_empty()
    {
        let served = wait_served(state, committed.at, wait).await;
        if !served.reached {
            tracing::warn!(
                revision = committed.at.revision,
                laggards = laggards(&served),
                "a write is answered before it is served everywhere"
            );
        }
        answer = rejected::warned_of_write(state, &committed.changes, &served, answer);
    }
    explain::warned(state, &committed.changes, answer)
}

/// Waits until the revision is served as wanted: what a write's answer waits for, too.
pub(crate) async fn wait_served(state: &State, at: Cursor, wait: Wait) -> Served {
    state.barrier.wait_served(at, wait.wanted, wait.within).await
}

fn accepted(mut answer: Answer, at: Cursor, served: &Served) -> Answer {
    answer.status = StatusCode::ACCEPTED;
    let answer = answer.with(LAGGARDS, &laggards(served));
    if !answer.body.is_empty() {
        return answer;
    }
    let body = json!({
        "message": format!(
            "revision {} is committed and not served everywhere yet", at.revision
        ),
        "laggards": laggards_listed(served),
    });
    let with_body = Answer::json(StatusCode::ACCEPTED, &body);
    let mut headers = answer.headers;
    headers.extend(with_body.headers);
    Answer { headers, ..with_body }
}

/// `dp-1=41, dp-2=none`: who lags, and at which revision.
fn laggards(served: &Served) -> String {
    let each = served.laggards.iter().map(|laggard| match laggard.serving {
        Some(revision) => format!("{}={revision}", laggard.node),
        None => format!("{}=none", laggard.node),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The laggards as a body lists them.
pub(crate) fn laggards_listed(served: &Served) -> Vec<Value> {
    let listed = |l: &Laggard| json!({ "node": l.node, "serving": l.serving });
    served.laggards.iter().map(listed).collect()
}
