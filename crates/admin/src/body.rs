//! Request bodies: which are read, how, and how much of them (admin-api.md §7).

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::declarative::Sent;
use crate::error::Refusal;
use crate::form::{self, Argument, MAX_ARGUMENTS};
use crate::state::Object;

/// A client that sends nothing for this long in the middle of its body is cut off.
const IDLE: Duration = Duration::from_secs(30);

/// A client whose body is not complete after this long is cut off: a trickle that stays below
/// [`IDLE`] must not hold a connection for days.
const TOTAL: Duration = Duration::from_secs(300);

/// How long the rest of a body that is too large is read and dropped.
const LINGER: Duration = Duration::from_secs(2);

/// What a client wrote.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Input {
    /// The members.
    pub(crate) object: Object,
    /// Whether they are text (a form) whose types are to be inferred from the declaration.
    pub(crate) textual: bool,
}

enum Kind {
    Json,
    Form,
    Multipart(String),
}

/// The most that is read of a whole configuration, whatever the limit of other bodies is.
const MAX_CONFIGURATION: usize = 256 * 1024 * 1024;

/// Reads a whole configuration: YAML, a JSON object, or text in the member `config`.
pub(crate) async fn read_configuration<B>(parts: &Parts, body: B) -> Result<Option<Sent>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let value = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if matches!(essence, "application/yaml" | "text/yaml") {
        let bytes = collect(parts, body, MAX_CONFIGURATION).await?;
        let text = String::from_utf8(bytes.into());
        return match text {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Ok(Some(Sent::Text(text))),
            Err(_) => Err(Refusal::bad_request("the configuration is not valid UTF-8")),
        };
    }
    let mut input = read(parts, body, MAX_CONFIGURATION).await?.object;
    if input.contains_key("_format_version") {
        return Ok(Some(Sent::Object(Value::Object(input))));
    }
    match input.remove("config") {
        Some(Value::String(text)) => Ok(Some(Sent::Text(text))),
        _ => Ok(None),
    }
}

/// Reads the body of a POST, PUT or PATCH, at most so many bytes of it.
pub(crate) async fn read<B>(parts: &Parts, body: B, most: usize) -> Result<Input, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let kind = kind(parts);
    // Also a body that will be refused is read: a client that is still sending when the
    // connection closes may never see the answer.
    let bytes = collect(parts, body, most).await?;
    match kind? {
        // No Content-Type: only a body that is not there can be understood.
        None if bytes.is_empty() => Ok(Input::default()),
        None => Err(unsupported("the request has a body and no Content-Type")),
        Some(Kind::Json) => match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Input { object, textual: false }),
            Ok(_) => Err(Refusal::bad_request("Cannot parse JSON body: expected an object")),
            Err(_) => Err(Refusal::bad_request("Cannot parse JSON body")),
        },
        Some(Kind::Form) => nested(form::parse(&bytes).map_err(refused)?),
        Some(Kind::Multipart(boundary)) => nested(parts_of(bytes, boundary).await?),
    }
}

/// The Refusal for arguments that cannot be read, of a body or a query.
pub(crate) fn refused(refused: form::Refused) -> Refusal {
    Refusal::bad_request(match refused {
        form::Refused::TooMany => "Too many arguments".to_owned(),
        form::Refused::TooDeep(name) => {
            let start: String = name.chars().take(80).collect();
            format!("the argument '{start}…' nests too deeply")
        }
        form::Refused::NotUtf8 => "an argument is not valid UTF-8".to_owned(),
    })
}

fn kind(parts: &Parts) -> Result<Option<Kind>, Refusal> {
    let mut values = parts.headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::bad_request("Multiple Content-Type headers not allowed"));
    }
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Some(Kind::Json)),
        "application/x-www-form-urlencoded" => Ok(Some(Kind::Form)),
        "multipart/form-data" => match multer::parse_boundary(text) {
            Ok(boundary) => Ok(Some(Kind::Multipart(boundary))),
            Err(_) => Err(Refusal::bad_request(
                "Cannot parse multipart body: the Content-Type names no boundary",
            )),
        },
        _ => Err(unsupported(&format!("Content-Type '{essence}' is not supported"))),
    }
}

fn unsupported(why: &str) -> Refusal {
    Refusal::Message(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!(
            "{why}; send application/json, application/x-www-form-urlencoded or \
             multipart/form-data"
        ),
    )
}

async fn collect<B>(parts: &Parts, body: B, most: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let announced = body.size_hint().lower() > most as u64;
    // A client that asks first sends nothing when it is refused.
    if announced && parts.headers.contains_key(header::EXPECT) {
        return Err(too_large(most));
    }
    let mut body = std::pin::pin!(body);
    let read = if announced {
        Ok(Err(Broken::TooLarge))
    } else {
        tokio::time::timeout(TOTAL, whole(body.as_mut(), most)).await
    };
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Broken::Off(why))) => {
            Err(Refusal::bad_request(format!("the body broke off: {why}")))
        }
        Ok(Err(Broken::TooLarge)) => {
            // Dropped as it comes, for a moment.
            let _ = tokio::time::timeout(LINGER, async {
                while let Some(Ok(_)) = body.frame().await {}
            })
            .await;
            Err(too_large(most))
        }
        Ok(Err(Broken::Stalled)) | Err(_) => {
            tracing::debug!("an Admin client did not send its body in time");
            Err(Refusal::Message(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not arrive in time".to_owned(),
            ))
        }
    }
}

/// Why a body could not be read to its end.
enum Broken {
    Off(String),
    Stalled,
    TooLarge,
}

async fn whole<B>(mut body: Pin<&mut B>, most: usize) -> Result<Bytes, Broken>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut bytes = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame()).await.map_err(|_| Broken::Stalled)?;
        let Some(frame) = frame else { return Ok(bytes.freeze()) };
        let frame = frame.map_err(|error| Broken::Off(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > most {
                return Err(Broken::TooLarge);
            }
            bytes.extend_from_slice(&data);
        }
    }
}

fn too_large(most: usize) -> Refusal {
    let remedy = match most {
        MAX_CONFIGURATION => "",
        _ => "; the setting nginx_admin_client_max_body_size allows more",
    };
    let text = format!("the body is larger than {}{remedy}", in_mib(most));
    Refusal::Message(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// An amount of bytes for the reader, exact where it is whole.
pub(crate) fn in_mib(bytes: usize) -> String {
    const MIB: usize = 1024 * 1024;
    if bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{:.2} MiB", bytes as f64 / MIB as f64)
    }
}

fn nested(arguments: Vec<Argument>) -> Result<Input, Refusal> {
    Ok(Input { object: form::nest(arguments).map_err(refused)?, textual: true })
}

/// The parts of a multipart body as arguments; of several with one name the last one counts.
async fn parts_of(bytes: Bytes, boundary: String) -> Result<Vec<Argument>, Refusal> {
    let bad = |error: multer::Error| {
        Refusal::bad_request(format!("Cannot parse multipart body: {error}"))
    };
    let stream = futures_util::stream::iter([Ok::<Bytes, Infallible>(bytes)]);
    let mut multipart = multer::Multipart::new(stream, boundary);
    let mut arguments: Vec<Argument> = Vec::new();
    while let Some(field) = multipart.next_field().await.map_err(bad)? {
        if arguments.len() == MAX_ARGUMENTS {
            return Err(refused(form::Refused::TooMany));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let json = field.content_type().is_some_and(|t| t.essence_str() == "application/json");
        let data = field.bytes().await.map_err(bad)?;
        let value = if json {
            serde_json::from_slice(&data)
                .map_err(|_| Refusal::bad_request("Cannot parse JSON body"))?
        } else {
            let text = String::from_utf8(data.into());
            Value::String(text.map_err(|_| refused(form::Refused::NotUtf8))?)
        };
        arguments.retain(|argument| argument.name != name);
        arguments.push(Argument { name, value });
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests;
