//! What entities and plugins look like, and trying one out without storing it.

use http::StatusCode;
use schema::{Record, Subschema, Type};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::call::Call;
use crate::error::Refusal;
use crate::state::State;

/// `GET /schemas/{name}`
pub(crate) fn entity(state: &State, name: &str) -> Result<Answer, Refusal> {
    let entity = model::entity(name).ok_or_else(|| unknown("entity", name))?;
    Ok(Answer::json(StatusCode::OK, &state.record(entity).describe()))
}

/// `POST /schemas/{db_entity_name}/validate`: whether the body could be stored, as far as the
/// body alone tells. The values of a form stay text here, as in Kong.
pub(crate) fn validate(call: &Call<'_>, name: &str) -> Result<Answer, Refusal> {
    let entity = model::entity(name).ok_or_else(|| unknown("entity", name))?;
    let input = call.input.object.clone();
    call.state.with_env(|env| entity.validate_only(input, env))?;
    Ok(Answer::json(StatusCode::OK, &json!({ "message": "schema validation successful" })))
}

/// `GET /schemas/plugins/{name}`: what a plugin of that name has besides what all have.
pub(crate) fn plugin(state: &State, name: &str) -> Result<Answer, Refusal> {
    let listing = state.plugins.find(name).ok_or_else(|| unknown("plugin", name))?;
    Ok(Answer::json(StatusCode::OK, &listing.schema.describe()))
}

/// `GET /schemas/vaults/{name}`: what a vault of that kind has besides what all have.
pub(crate) fn vault(state: &State, name: &str) -> Result<Answer, Refusal> {
    let vaults = model::entity("vaults").map(|entity| state.record(entity));
    let kind = vaults.and_then(|record| record.named_subschema(name));
    let kind = kind.ok_or_else(|| unknown("vault", name))?;
    Ok(Answer::json(StatusCode::OK, &kind.describe()))
}

/// `GET /plugins/schema/{name}`: only its configuration.
pub(crate) fn plugin_config(state: &State, name: &str) -> Result<Answer, Refusal> {
    let listing = state.plugins.find(name).ok_or_else(|| unknown("plugin", name))?;
    let config = config(&listing.schema).map_or_else(|| json!({ "fields": [] }), Record::describe);
    Ok(Answer::json(StatusCode::OK, &config))
}

fn config(schema: &Subschema) -> Option<&Record> {
    match schema.get_path("config")?.kind() {
        Type::Record(record) => Some(record),
        _ => None,
    }
}

/// `GET /plugins/enabled`
pub(crate) fn enabled_plugins(state: &State) -> Answer {
    let names: Vec<Value> = state.plugins.names().into_iter().map(Value::from).collect();
    Answer::json(StatusCode::OK, &json!({ "enabled_plugins": names }))
}

/// A 404 that names what was looked for.
pub(crate) fn unknown(what: &str, name: &str) -> Refusal {
    Refusal::Message(StatusCode::NOT_FOUND, format!("No {what} named '{name}'"))
}
