//! Answers of the gateway's own, in the format that the client takes.

use std::borrow::Cow;

use http1::{Name, RequestHead, list};

use crate::failure::{Failure, Teller};

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Plain,
    Html,
    Xml,
    /// A body whose type only its maker knows.
    Untyped,
    /// No body: the message is in the trailers that gRPC clients read.
    Grpc,
}

impl Format {
    /// The format of a failure's answer. `default` is `error_default_type`.
    pub(crate) fn of_failure(failure: &Failure, request: &RequestHead, default: &str) -> Format {
        match failure.teller() {
            Teller::Core => Format::of_request(request),
            Teller::Server => Format::of_server_error(request, default),
            Teller::Blind => Format::of_type(default.as_bytes()),
        }
    }

    /// The format of an answer of Kong's core: what a gRPC call or the Accept field asks for, otherwise JSON.
    pub(crate) fn of_request(request: &RequestHead) -> Format {
        if is_grpc_call(request) {
            return Format::Grpc;
        }
        request.fields.get(Name::Accept).map_or(Format::Json, Format::accepted)
    }

    /// The format of an answer of Kong's error pages.
    pub(crate) fn of_server_error(request: &RequestHead, default: &str) -> Format {
        if is_grpc_call(request) {
            return Format::Grpc;
        }
        let fields = &request.fields;
        let wanted = fields.get(Name::Accept).or_else(|| fields.get(Name::ContentType));
        Format::accepted(wanted.unwrap_or(default.as_bytes()))
    }

    /// The format that is wanted most, the first one of equals. Parameters but `q` do not matter.
    fn accepted(wanted: &[u8]) -> Format {
        let mut best = (Format::Json, -1.0);
        for element in list(wanted) {
            let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let kind = parts.next().unwrap_or_default();
            let quality = parts
                .find_map(|part| part.strip_prefix(b"q="))
                .and_then(|text| std::str::from_utf8(text).ok()?.parse::<f32>().ok())
                .unwrap_or(1.0);
            if quality > best.1 {
                best = (Format::of_type(kind), quality);
            }
        }
        best.0
    }

    fn of_type(kind: &[u8]) -> Format {
        match kind {
            b"text/plain" | b"text/*" => Format::Plain,
            b"text/html" => Format::Html,
            b"application/xml" => Format::Xml,
            b"application/grpc" => Format::Grpc,
            _ => Format::Json,
        }
    }

    /// The Content-Type; none where there is no body.
    pub(crate) fn content_type(self) -> Option<&'static str> {
        match self {
            Format::Json => Some("application/json; charset=utf-8"),
            Format::Plain => Some("text/plain; charset=utf-8"),
            Format::Html => Some("text/html; charset=utf-8"),
            Format::Xml => Some("application/xml; charset=utf-8"),
            Format::Untyped | Format::Grpc => None,
        }
    }

    /// Appends the body.
    pub(crate) fn write_body(self, message: &str, request_id: &str, out: &mut Vec<u8>) {
        let message = &*self.escape(message);
        let parts: &[&str] = match self {
            Format::Json => {
                &["{\n  \"message\":\"", message, "\",\n  \"request_id\":\"", request_id, "\"\n}"]
            }
            Format::Plain => &[message, "\nrequest_id: ", request_id, "\n"],
            Format::Html => &[
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  \
                 <body>\n    <h1>Error</h1>\n    <p>",
                message,
                ".</p>\n    <p>request_id: ",
                request_id,
                "</p>\n  </body>\n</html>\n",
            ],
            Format::Xml => &[
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>",
                message,
                "</message>\n  <requestid>",
                request_id,
                "</requestid>\n</error>\n",
            ],
            Format::Untyped | Format::Grpc => &[],
        };
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

impl Format {
    /// What a message is within a body: it may come from a configuration.
    pub(crate) fn escape(self, message: &str) -> Cow<'_, str> {
        let special: &[char] = match self {
            Format::Json => &['"', '\\'],
            Format::Html | Format::Xml => &['<', '>', '&'],
            Format::Plain | Format::Untyped | Format::Grpc => return message.into(),
        };
        if !message.contains(|c: char| special.contains(&c) || c.is_control()) {
            return message.into();
        }
        let mut escaped = String::with_capacity(message.len() + 16);
        for character in message.chars() {
            match character {
                '<' if self != Format::Json => escaped.push_str("&lt;"),
                '>' if self != Format::Json => escaped.push_str("&gt;"),
                '&' if self != Format::Json => escaped.push_str("&amp;"),
                '"' | '\\' if self == Format::Json => escaped.extend(['\\', character]),
                '\0'..='\u{1f}' if self == Format::Json => {
                    escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                other => escaped.push(other),
            }
        }
        escaped.into()
    }
}

/// Whether a request is a gRPC call: over HTTP/2 and with gRPC's content type.
pub(crate) fn is_grpc_call(request: &RequestHead) -> bool {
    request.version() == http1::Version::Http2 && has_grpc_type(request)
}

/// Whether a request has gRPC's content type, whatever it came over.
pub(crate) fn has_grpc_type(request: &RequestHead) -> bool {
    request.fields.get(Name::ContentType).is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// The gRPC status that a gRPC client is given for an HTTP status.
pub(crate) fn grpc_status(status: u16) -> u16 {
    match status {
        200..=299 => 0,
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => 14,
        504 => 4,
        402..=498 => 3,
        500..=599 => 13,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use http1::{RequestHead, Version};

    use super::Format;
    use crate::failure::Failure;

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.begin(b"GET", b"/", Version::Http11);
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn the_format_is_the_one_accepted_most() {
        for (accept, format) in [
            ("application/json", Format::Json),
            ("text/html", Format::Html),
            ("text/plain", Format::Plain),
            ("application/xml", Format::Xml),
            ("application/grpc", Format::Grpc),
            ("*/*", Format::Json),
            ("application/*", Format::Json),
            ("text/*", Format::Plain),
            ("image/png", Format::Json),
            ("TEXT/HTML", Format::Json),
            ("", Format::Json),
            ("text/html;q=0.2, application/xml;q=0.9", Format::Xml),
            ("text/plain;q=0.5, application/json", Format::Json),
            ("text/html, application/json", Format::Html),
            ("text/html; charset=utf-8 ; q=0.9, text/plain;q=x", Format::Plain),
        ] {
            assert_eq!(Format::of_request(&request(&[("Accept", accept)])), format, "{accept:?}");
        }
        assert_eq!(Format::of_request(&request(&[("Content-Type", "text/html")])), Format::Json);
    }

    #[test]
    fn errors_of_the_server_follow_the_request_then_the_setting() {
        let format = |fields: &[(&str, &str)]| {
            Format::of_failure(&Failure::Method, &request(fields), "text/plain")
        };
        assert_eq!(format(&[]), Format::Plain);
        assert_eq!(format(&[("Accept", "")]), Format::Json);
        assert_eq!(format(&[("Content-Type", "text/html")]), Format::Html);
        assert_eq!(format(&[("Content-Type", "application/json")]), Format::Json);
        assert_eq!(
            format(&[("Content-Type", "text/html"), ("Accept", "application/xml")]),
            Format::Xml
        );
        let blind = Failure::Head(http1::HeadError::NoHost);
        assert_eq!(
            Format::of_failure(&blind, &request(&[("Accept", "text/html")]), "text/plain"),
            Format::Plain
        );
    }

    #[test]
    fn bodies() {
        let body = |format: Format| {
            let mut out = Vec::new();
            format.write_body("Bad request", "abc", &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            body(Format::Json),
            "{\n  \"message\":\"Bad request\",\n  \"request_id\":\"abc\"\n}"
        );
        assert_eq!(body(Format::Plain), "Bad request\nrequest_id: abc\n");
        assert!(
            body(Format::Html).contains("    <p>Bad request.</p>\n    <p>request_id: abc</p>\n")
        );
        assert!(
            body(Format::Xml)
                .contains("  <message>Bad request</message>\n  <requestid>abc</requestid>\n")
        );
        assert_eq!(body(Format::Grpc), "");
    }
}
