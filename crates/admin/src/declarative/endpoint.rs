//! `/config` where there is no database, and Weir's `/declarative` where there is one: the whole
//! configuration as text, both ways.

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::declarative::{self, current};
use crate::error::Refusal;
use crate::state::State;
use crate::write::{commit, conclude};

const REVISION: HeaderName = HeaderName::from_static("x-weir-revision");

/// A configuration as a client sent it.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// Text in YAML or JSON.
    Text(String),
    /// A JSON object that is the configuration itself.
    Object(Value),
}

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

/// POST: replaces the whole configuration, under one revision.
pub(crate) async fn load(call: &Call<'_>, sent: Option<Sent>) -> Result<Answer, Refusal> {
    let state = call.state;
    let sent = sent.ok_or_else(|| Refusal::bad_request("expected a declarative configuration"))?;
    let read = match &sent {
        Sent::Text(text) => {
            let known = state.declarative.as_ref().map(|current| current.hash());
            let asked = call.query.text("check_hash") == Some("1");
            if asked && known == Some(current::hash_of(text)) {
                return Ok(Answer::empty(StatusCode::NOT_MODIFIED));
            }
            declarative::read(state, text)
        }
        Sent::Object(value) => declarative::read_value(state, value.clone()),
    };
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
    if let Some(current) = &state.declarative {
        match &sent {
            Sent::Text(text) => current.set(text),
            Sent::Object(value) => current.set(&value.to_string()),
        }
    }
    let mut collections: Map<String, Value> = Map::new();
    for (entity, object) in configuration.entities {
        let all = collections.entry(entity.name).or_insert_with(|| json!({}));
        if let (Some(id), Value::Object(all)) = (object.get("id").and_then(Value::as_str), all) {
            all.insert(id.to_owned(), Value::Object(object.clone()));
        }
    }
    let answer = Answer::json(StatusCode::CREATED, &Value::Object(collections));
    Ok(conclude(state, call.wait, &committed, answer).await)
}
