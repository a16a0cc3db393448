//! The configuration of `http-log`.

use std::collections::BTreeMap;

use model::types;
use schema::{CustomCheck, Field, Object, Subschema, Surroundings, Violations};
use serde_json::Value;

use super::endpoint::Endpoint;
use crate::{log, queue};

schema::choice! {
    /// The method of the requests that carry records.
    pub(super) enum Method {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
    }
}

schema::choice! {
    /// The Content-Type of the requests that carry records.
    pub(super) enum ContentType {
        /// JSON.
        Json = "application/json",
        /// JSON, with its charset.
        JsonUtf8 = "application/json; charset=utf-8",
    }
}

schema::record! {
    /// Sends a record of each request to an HTTP server, as JSON: an object if `queue.max_batch_size`
    /// is 1, otherwise a list of them. An answer below 300 is a success; all others are tried again.
    /// The certificate of the server is not checked.
    pub(super) struct Config {
        /// The server, with scheme, path, and user and password if it asks for them. A query is
        /// left out.
        pub(super) http_endpoint: String =
            Field::string().required().referenceable().encrypted().check(Endpoint::check),
        /// The method of the requests.
        pub(super) method: Option<Method> = Field::string().default("POST").one_of(Method::WORDS),
        /// The Content-Type of the requests.
        pub(super) content_type: Option<ContentType> =
            Field::string().default("application/json").one_of(ContentType::WORDS),
        /// The longest wait for a connection, and for an answer, in milliseconds.
        pub(super) timeout: Option<f64> = Field::number().default(10_000),
        /// How long a connection is kept that nothing is sent over, in milliseconds.
        pub(super) keepalive: Option<f64> = Field::number().default(60_000),
        /// Of former times, without effect: see `queue.max_retry_time`.
        pub(super) retry_count: Option<i64> = Field::integer(),
        /// Of former times: see `queue.max_batch_size`.
        pub(super) queue_size: Option<u32> = Field::integer(),
        /// Of former times: see `queue.max_coalescing_delay`.
        pub(super) flush_timeout: Option<f64> = Field::number(),
        /// Header fields of the requests.
        pub(super) headers: Option<BTreeMap<String, String>> =
            Field::map(header(), Field::string().referenceable()),
        /// How records wait and are sent.
        pub(super) queue: queue::Config = queue::field(),
        /// Fields of the record, each by a chunk of Lua that returns its value; nothing takes the
        /// field away. A point in the key leads into an object.
        pub(super) custom_fields_by_lua: Option<BTreeMap<String, String>> = log::custom_fields(),
    }
}

fn header() -> Field {
    types::header_name().matches_none(&[
        ("(?i)^host$", "cannot contain 'Host' header"),
        ("(?i)^content-length$", "cannot contain 'Content-Length' header"),
        ("(?i)^content-type$", "cannot contain 'Content-Type' header"),
    ])
}

/// Adds the rules between fields.
pub(super) fn rules(subschema: Subschema) -> Subschema {
    subschema.check(CustomCheck {
        fields: &["config"],
        with_invalid_fields: false,
        check: one_authorization,
    })
}

fn one_authorization(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let Some(config) = entity.get("config").and_then(Value::as_object) else { return Ok(()) };
    let endpoint = config.get("http_endpoint").and_then(Value::as_str).unwrap_or_default();
    let has_user = Endpoint::parse(endpoint).is_ok_and(|endpoint| endpoint.credentials.is_some());
    let headers = config.get("headers").and_then(Value::as_object);
    let has_header = headers
        .is_some_and(|headers| headers.keys().any(|key| key.eq_ignore_ascii_case("authorization")));
    if has_user && has_header {
        return Err(Violations::field(
            "config",
            "specifying both an 'Authorization' header and user info in 'http_endpoint' is not \
             allowed",
        ));
    }
    Ok(())
}
