//! What a request is answered with.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

/// Kong's content type, to the letter.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A status, headers of its own, and a body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A status alone.
    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A JSON value.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
        Answer::text(status, value.to_string())
    }

    /// Text that is JSON already.
    pub(crate) fn text(status: StatusCode, json: impl Into<Bytes>) -> Answer {
        let mut answer = Answer::empty(status);
        answer.headers.insert(header::CONTENT_TYPE, JSON);
        answer.body = json.into();
        answer
    }

    /// Its `message`, for those who are no client.
    pub(crate) fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["message"].as_str().map_or_else(|| self.status.to_string(), str::to_owned)
    }

    /// With one more header; a value that no header can have is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}
