//! The configuration of `request-termination`.

use model::types;
use schema::{CustomCheck, Field, Object, Surroundings, Violations};

schema::record! {
    /// Answers requests in place of the upstream.
    pub(super) struct Config {
        /// The status of the answer.
        pub(super) status_code: u16 =
            Field::integer().required().default(503).between(100, 599),
        /// The message of the answer, as JSON.
        pub(super) message: Option<String> = Field::string(),
        /// The type of `body`.
        pub(super) content_type: Option<String> = Field::string(),
        /// The body of the answer, as it is.
        pub(super) body: Option<String> = Field::string(),
        /// Whether the answer shows what the request looked like.
        pub(super) echo: bool = Field::boolean().required().default(false),
        /// Only requests with a header field or query argument of this name are answered.
        pub(super) trigger: Option<String> = types::header_name(),
    }
}

/// A message, a body and an echo exclude each other.
pub(super) const EXCLUSIONS: CustomCheck = CustomCheck {
    fields: &["config.message", "config.content_type", "config.body", "config.echo"],
    with_invalid_fields: false,
    check: exclusions,
};

fn exclusions(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let Some(config) = entity.get("config").and_then(serde_json::Value::as_object) else {
        return Ok(());
    };
    let given = |name: &str| config.get(name).is_some_and(|value| !value.is_null());
    let (message, body, kind) = (given("message"), given("body"), given("content_type"));
    let echo = config.get("echo") == Some(&serde_json::Value::Bool(true));
    let fault = if message && (body || kind) {
        "message cannot be used with content_type or body"
    } else if kind && !body {
        "content_type requires a body"
    } else if echo && (kind || body) {
        "echo cannot be used with content_type and body"
    } else {
        return Ok(());
    };
    Err(Violations::field("config", fault))
}
