//! The answer of a plugin that ends a request.

use bytes::Bytes;
use http1::Fields;

/// An answer that is sent in place of the upstream's.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Fields to send beside those that every answer of the gateway has.
    pub fields: Fields,
    /// The body.
    pub rendering: Rendering,
}

/// What the body of an answer is made from: Kong's two paths (`kong.response.error` and
/// `kong.response.exit`), which clients can tell apart.
#[derive(Clone, Debug)]
pub enum Rendering {
    /// Rendered by what the client accepts (JSON, HTML, XML or plain text), with the request's id;
    /// `None` is the usual text of the status.
    Negotiated(Option<String>),
    /// Compact JSON, exactly this.
    Json(serde_json::Value),
    /// Exactly these bytes; the plugin sets the type in [`Answer::fields`].
    Verbatim(Bytes),
    /// No body of the plugin's own: statuses that nginx would answer with a page of its own get the
    /// rendering of [`Rendering::Negotiated`], the others stay empty.
    Bodyless,
}

impl Answer {
    /// An error, rendered by what the client accepts.
    pub fn error(status: u16, message: impl Into<String>) -> Answer {
        let rendering = Rendering::Negotiated(Some(message.into()));
        Answer { status, fields: Fields::default(), rendering }
    }

    /// JSON, exactly this.
    pub fn json(status: u16, body: serde_json::Value) -> Answer {
        Answer { status, fields: Fields::default(), rendering: Rendering::Json(body) }
    }

    /// The same answer with one more field.
    pub fn field(mut self, name: &str, value: &str) -> Answer {
        self.fields.push(name.as_bytes(), value.as_bytes());
        self
    }
}
