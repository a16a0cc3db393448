//! Every way in which a request is refused, and Kong's answer to it (admin-api.md §9).

use std::collections::BTreeMap;

use http::{HeaderValue, StatusCode, header};
use schema::{Violations, lua};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::state::Object;

/// Why a request is refused. The number of a variant's code is Kong's, in `kong/db/errors.lua`.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 404 without a code: an unknown path, or a GET of what is not there.
    NotFound,
    /// 405: the path does not know the method.
    MethodNotAllowed,
    /// Any status with only a message.
    Message(StatusCode, String),
    /// Code 1: what stands for an id in the URL is none.
    InvalidPrimaryKey,
    /// Code 2.
    Schema(Violations),
    /// Code 3: the id is taken.
    PrimaryKey(Uuid),
    /// Code 4: a field refers to what does not exist.
    Dangling {
        /// The field that refers.
        field: String,
        /// The entity type that it refers to.
        to: String,
        /// The id that nobody has.
        id: Uuid,
    },
    /// Code 4: a deletion is refused because others refer to it.
    ReferencedBy {
        /// The entity type of what was to be deleted.
        kind: String,
        /// The entity type of who refers to it.
        by: String,
    },
    /// Code 5: the values of a unique key, by field.
    Unique(Object),
    /// Code 6: the key by which nothing was found.
    Missing(Object),
    /// Code 7: the offset, and what is wrong with it.
    Offset(String, &'static str),
    /// Code 9.
    Size(&'static str),
    /// Code 10: the field of a URL's key, and what its validator says.
    InvalidKey {
        /// The endpoint key.
        field: String,
        /// The validator's text.
        text: String,
    },
    /// Code 11: texts by option.
    Options(BTreeMap<String, String>),
    /// Code 13: references by another key than the id that nothing has, as
    /// field → (key → text).
    Unresolved(BTreeMap<String, BTreeMap<String, String>>),
    /// Code 12: the whole message.
    Unsupported(String),
    /// Code 19: the whole message.
    StillReferenced(String),
    /// The store cannot be reached: nothing is known of what was asked, and nothing is promised.
    Unavailable(String),
    /// Another writer was faster, again and again.
    Contended,
    /// Something is broken; the text is for the log, not for the client.
    Broken(String),
}

impl Refusal {
    /// A plain 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::Message(StatusCode::BAD_REQUEST, message.into())
    }

    /// Code 11 for one option.
    pub(crate) fn option(name: &str, text: impl Into<String>) -> Refusal {
        Refusal::Options(BTreeMap::from([(name.to_owned(), text.into())]))
    }

    /// Code 2 for one field.
    pub(crate) fn field(name: &str, text: impl Into<String>) -> Refusal {
        Refusal::Schema(Violations::field(name, text.into()))
    }

    /// The answer. Failures that are not the client's are logged here.
    pub(crate) fn into_answer(self) -> Answer {
        match self {
            Refusal::NotFound => message(StatusCode::NOT_FOUND, "Not found"),
            Refusal::MethodNotAllowed => {
                message(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            }
            Refusal::Message(status, text) => message(status, &text),
            Refusal::InvalidPrimaryKey => {
                let fields = Value::Object(key("id", "expected a valid UUID".into()));
                let text = format!("invalid primary key: '{}'", lua::table(&fields));
                coded(StatusCode::BAD_REQUEST, 1, "invalid primary key", &text, Some(fields))
            }
            Refusal::Schema(violations) => coded(
                StatusCode::BAD_REQUEST,
                2,
                "schema violation",
                &violations.summary(),
                Some(violations.fields()),
            ),
            Refusal::PrimaryKey(id) => {
                let fields = Value::Object(key("id", id.to_string().into()));
                let text = format!("primary key violation on key '{}'", lua::table(&fields));
                coded(StatusCode::BAD_REQUEST, 3, "primary key violation", &text, Some(fields))
            }
            Refusal::Dangling { field, to, id } => {
                let id = Value::Object(key("id", id.to_string().into()));
                let text = format!(
                    "the foreign key '{}' does not reference an existing '{to}' entity.",
                    lua::table(&id)
                );
                let fields = Value::Object(key(&field, id));
                coded(StatusCode::BAD_REQUEST, 4, "foreign key violation", &text, Some(fields))
            }
            Refusal::ReferencedBy { kind, by } => {
                let text = format!("an existing '{by}' entity references this '{kind}' entity");
                let fields = json!({ "@referenced_by": by });
                coded(StatusCode::BAD_REQUEST, 4, "foreign key violation", &text, Some(fields))
            }
            Refusal::Unique(fields) => {
                let fields = Value::Object(fields);
                let text = format!("UNIQUE violation detected on '{}'", lua::table(&fields));
                coded(StatusCode::CONFLICT, 5, "unique constraint violation", &text, Some(fields))
            }
            Refusal::Missing(fields) => {
                let by = if fields.contains_key("id") { "primary key " } else { "" };
                let fields = Value::Object(fields);
                let text = format!("could not find the entity with {by}'{}'", lua::table(&fields));
                coded(StatusCode::NOT_FOUND, 6, "not found", &text, Some(fields))
            }
            Refusal::Offset(offset, why) => {
                let text = format!("'{offset}' is not a valid offset: {why}");
                coded(StatusCode::BAD_REQUEST, 7, "invalid offset", &text, None)
            }
            Refusal::Size(text) => coded(StatusCode::BAD_REQUEST, 9, "invalid size", text, None),
            Refusal::InvalidKey { field, text } => {
                let name = format!("invalid unique {field}");
                coded(StatusCode::BAD_REQUEST, 10, &name, &text, None)
            }
            Refusal::Options(options) => {
                let text =
                    counted("invalid option", "option violations", &options, |name, text| {
                        format!("{name}: {text}")
                    });
                let mut body = body(11, "invalid options", &text);
                body.insert("options".to_owned(), json!(options));
                Answer::json(StatusCode::BAD_REQUEST, &Value::Object(body))
            }
            Refusal::Unresolved(fields) => {
                let flat: BTreeMap<String, String> = fields
                    .iter()
                    .flat_map(|(field, keys)| {
                        keys.iter().map(move |(key, text)| (format!("{field}.{key}"), text.clone()))
                    })
                    .collect();
                let text = counted(
                    "foreign key unresolved",
                    "foreign keys unresolved",
                    &flat,
                    |name, text| format!("{name}: {text}"),
                );
                let name = "foreign keys unresolved";
                coded(StatusCode::BAD_REQUEST, 13, name, &text, Some(json!(fields)))
            }
            Refusal::Unsupported(text) => {
                coded(StatusCode::METHOD_NOT_ALLOWED, 12, "operation unsupported", &text, None)
            }
            Refusal::StillReferenced(text) => {
                coded(StatusCode::BAD_REQUEST, 19, "referenced by others", &text, None)
            }
            Refusal::Unavailable(why) => {
                tracing::warn!(error = why, "the store is unavailable; a request was refused");
                retry_later(
                    "the store is unavailable; nothing is promised about this request: read \
                     before you repeat a write",
                )
            }
            Refusal::Contended => retry_later(
                "the entity is being changed by other writers faster than this request could \
                 follow; nothing was written, try again",
            ),
            Refusal::Broken(why) => {
                tracing::error!(error = why, "a request failed");
                message(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred")
            }
        }
    }
}

impl From<store::Error> for Refusal {
    /// For errors that do not depend on what was written; [`crate::write`] handles those that do.
    fn from(error: store::Error) -> Refusal {
        match error {
            store::Error::Unavailable(why) => Refusal::Unavailable(why),
            other => Refusal::Broken(other.to_string()),
        }
    }
}

impl From<Violations> for Refusal {
    fn from(violations: Violations) -> Refusal {
        Refusal::Schema(violations)
    }
}

/// An object with one member.
pub(crate) fn key(name: &str, value: Value) -> Object {
    Object::from_iter([(name.to_owned(), value)])
}

fn message(status: StatusCode, text: &str) -> Answer {
    Answer::json(status, &json!({ "message": text }))
}

fn retry_later(text: &str) -> Answer {
    let mut answer = message(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn body(code: u8, name: &str, message: &str) -> Object {
    Object::from_iter([
        ("code".to_owned(), code.into()),
        ("name".to_owned(), name.into()),
        ("message".to_owned(), message.into()),
    ])
}

fn coded(status: StatusCode, code: u8, name: &str, text: &str, fields: Option<Value>) -> Answer {
    let mut body = body(code, name, text);
    if let Some(fields) = fields {
        body.insert("fields".to_owned(), fields);
    }
    Answer::json(status, &Value::Object(body))
}

fn counted(
    one: &str,
    many: &str,
    entries: &BTreeMap<String, String>,
    each: impl Fn(&str, &str) -> String,
) -> String {
    let texts: Vec<String> = entries.iter().map(|(name, text)| each(name, text)).collect();
    match texts.as_slice() {
        [text] => format!("{one} ({text})"),
        texts => format!("{} {many} ({})", texts.len(), texts.join("; ")),
    }
}
