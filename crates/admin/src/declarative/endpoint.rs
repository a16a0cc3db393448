//! `/config` where there is no database, and Weir's `/declarative` where there is one: the whole
//! configuration as text, both ways.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, StatusCode, header};
use model::EntityType;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::declarative::{self, Sent, current};
use crate::error::Refusal;
use crate::state::{Object, State};
use crate::write::{commit, conclude};

const REVISION: HeaderName = HeaderName::from_static("x-weir-revision");

/// GET `/config`: Kong's answer, the text within JSON.
pub(crate) async fn show(state: &State) -> Result<Answer, Refusal> {
    let (_, text) = declarative::export(state).await?;
    Ok(Answer::json(StatusCode::OK, &json!({ "config": text })))
}

/// GET `/declarative`: the text itself.
pub(crate) async fn dump(state: &State) -> Result<Answer, Refusal> {
    let (at, text) = declarative::export(state).await?;
    let mut answer = Answer::text(StatusCode::OK, text);
    answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    Ok(answer.with(REVISION, &at.revision.to_string()))
}

/// POST: replaces the whole configuration, under one revision. `/config` answers with all of it, as
/// Kong does, `/declarative` with how many entities it has.
pub(crate) async fn load(call: &Call<'_>, sent: Option<Sent>) -> Result<Answer, Refusal> {
    let state = call.state;
    let sent = sent.ok_or_else(|| Refusal::bad_request("expected a declarative configuration"))?;
    let hash = match &sent {
        Sent::Text(text) => current::hash_of(text),
        Sent::Object(value) => current::hash_of(&value.to_string()),
    };
    let known = state.declarative.as_ref().map(|current| current.hash());
    let asked = matches!(sent, Sent::Text(_)) && call.query.text("check_hash") == Some("1");
    if asked && known.as_ref() == Some(&hash) {
        return Ok(Answer::empty(StatusCode::NOT_MODIFIED));
    }
    let read = declarative::read(state, sent).await?;
    let flattened = matches!(call.query.text("flatten_errors"), Some("1" | "true" | "on" | "yes"));
    let configuration = match read {
        Ok(configuration) => configuration,
        Err(faults) => return Ok(faults.into_answer(flattened)),
    };
    let operations = declarative::operations(state, &configuration).await?;
    tracing::info!(
        entities = configuration.entities.len(),
        changes = operations.len(),
        "loading a declarative configuration"
    );
    let committed = commit(state, operations).await?;
    let entities = configuration.entities;
    let body = match &state.declarative {
        Some(current) => {
            current.set(hash);
            loaded(entities)
        }
        None => json!({ "entities": entities.len() }),
    };
    let answer = Answer::json(StatusCode::CREATED, &body);
    Ok(conclude(state, call.wait, &committed, answer).await)
}

/// Kong's answer: every entity by its id, under its collection.
fn loaded(entities: Vec<(&'static EntityType, Object)>) -> Value {
    let mut collections: BTreeMap<&str, Object> = BTreeMap::new();
    for (entity, object) in entities {
        if let Some(id) = object.get("id").and_then(Value::as_str).map(str::to_owned) {
            collections.entry(entity.name).or_default().insert(id, Value::Object(object));
        }
    }
    json!(collections)
}
