//! A key in the request's body.

use bytes::Bytes;
use http1::Name;
use plugin::{Directory, Exchange};
use serde_json::{Map, Value};

use super::Found;

/// The most of a body that is read in search of a key.
const LIMIT: usize = 1 << 20;

/// A body in which a key may be; what cannot be read holds none.
pub(super) enum Body {
    Form(Vec<(String, String)>),
    Json(Map<String, Value>),
    Other,
}

impl Body {
    pub(super) async fn read(exchange: &mut Exchange<'_>) -> Body {
        let kind = exchange.request.fields.get(Name::ContentType).unwrap_or_default();
        let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
        let form = kind.starts_with("application/x-www-form-urlencoded");
        if !form && !kind.starts_with("application/json") {
            return Body::Other;
        }
        let Ok(bytes) = exchange.body.read(LIMIT).await else { return Body::Other };
        if form {
            return Body::Form(form_urlencoded::parse(&bytes).into_owned().collect());
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Body::Json(fields),
            _ => Body::Other,
        }
    }

    pub(super) fn find<'d>(&self, name: &str, directory: &'d dyn Directory) -> Found<'d> {
        match self {
            Body::Form(pairs) => {
                let mut values = pairs.iter().filter(|(key, _)| key == name);
                match (values.next(), values.next()) {
                    (Some(_), Some(_)) => Found::Several,
                    (Some((_, value)), None) if value.is_empty() => Found::Empty,
                    (Some((_, value)), None) => Found::of(value, directory),
                    _ => Found::Nothing,
                }
            }
            Body::Json(fields) => match fields.get(name) {
                Some(Value::String(value)) if value.is_empty() => Found::Empty,
                Some(Value::String(value)) => Found::of(value, directory),
                Some(Value::Array(_) | Value::Object(_)) => Found::Several,
                _ => Found::Nothing,
            },
            Body::Other => Found::Nothing,
        }
    }

    /// Keeps the key from the upstream.
    pub(super) fn hide(&mut self, exchange: &mut Exchange<'_>, name: &str) {
        let rest = match self {
            Body::Form(pairs) => {
                pairs.retain(|(key, _)| key != name);
                form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(pairs.iter())
                    .finish()
                    .into_bytes()
            }
            Body::Json(fields) => {
                fields.remove(name);
                Value::Object(std::mem::take(fields)).to_string().into_bytes()
            }
            Body::Other => return,
        };
        exchange.body.replace(Bytes::from(rest));
    }
}
