//! How a line of the access log looks.

use std::{io::Write, net::SocketAddr};

use http1::{Name, RequestHead, write_decimal};
use settings::AccessLogFormat;
use snapshot::{RouteEntry, ServiceEntry};
use uuid::Uuid;

use crate::{access_log::write_seconds, date::Date};

/// What the access log tells of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// When it was logged, as HTTP writes it.
    pub(crate) date: [u8; Date::LENGTH],
    pub(crate) client: SocketAddr,
    /// The request; none if it could not be read.
    pub(crate) request: Option<&'a RequestHead>,
    pub(crate) status: u16,
    /// Bytes sent to the client, the head included.
    pub(crate) sent: u64,
    pub(crate) request_id: &'a str,
    /// Milliseconds from the request's head to the end of its answer.
    pub(crate) total: u64,
    /// The last target tried.
    pub(crate) target: Option<SocketAddr>,
    pub(crate) upstream_status: Option<u16>,
    /// Milliseconds that the upstream took to begin its answer; none if it was not asked.
    pub(crate) upstream: Option<u64>,
    pub(crate) route: Option<Named<'a>>,
    pub(crate) service: Option<Named<'a>>,
    /// Why the gateway itself answered.
    pub(crate) failure: Option<&'a str>,
    /// Attempts to reach a target.
    pub(crate) tries: usize,
}

/// An entity, by its name or else its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) id: Uuid,
}

impl<'a> Named<'a> {
    pub(crate) fn route(entry: &'a RouteEntry) -> Named<'a> {
        Named { name: entry.route.name.as_deref(), id: entry.route.id }
    }

    pub(crate) fn service(entry: &'a ServiceEntry) -> Named<'a> {
        Named { name: entry.service.name.as_deref(), id: entry.service.id }
    }

    /// Appends it as a member of a JSON object.
    pub(crate) fn write(&self, key: &str, out: &mut Vec<u8>) {
        match self.name {
            Some(name) => write_text(out, key, name.as_bytes()),
            None => {
                let _ = write!(out, ",\"{key}\":\"{}\"", self.id);
            }
        }
    }
}

impl Line<'_> {
    /// Appends the line.
    pub(crate) fn write(&self, format: AccessLogFormat, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Combined => self.write_combined(out),
            AccessLogFormat::Json => self.write_json(out),
        }
    }

    /// `client - - [time] "request line" status bytes "referer" "user agent" kong_request_id: "id"`
    fn write_combined(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail, here and below.
        let _ = write!(out, "{} - - [", self.client.ip());
        write_common_time(&self.date, out);
        out.extend_from_slice(b"] \"");
        if let Some(request) = self.request {
            escape(out, request.method());
            out.push(b' ');
            escape(out, request.target());
            let _ = write!(out, " HTTP/{}", version(request));
        }
        out.extend_from_slice(b"\" ");
        write_decimal(out, u64::from(self.status));
        out.push(b' ');
        write_decimal(out, self.sent);
        for name in [&b"referer"[..], b"user-agent"] {
            out.extend_from_slice(b" \"");
            escape(out, self.field(name).unwrap_or(b"-"));
            out.push(b'"');
        }
        out.extend_from_slice(b" kong_request_id: \"");
        out.extend_from_slice(self.request_id.as_bytes());
        out.extend_from_slice(b"\"\n");
    }

    /// One JSON object. Query and header values other than the user agent are left out: they carry secrets.
    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        write_rfc3339(&self.date, out);
        let _ = write!(
            out,
            "\",\"request_id\":\"{}\",\"client\":\"{}\"",
            self.request_id,
            self.client.ip()
        );
        if let Some(request) = self.request {
            write_text(out, "method", request.method());
            write_text(out, "host", request.fields.get(Name::Host).unwrap_or_default());
            write_text(out, "path", request.path());
            write_text(out, "protocol", format!("HTTP/{}", version(request)).as_bytes());
        }
        let _ =
            write!(out, ",\"status\":{},\"sent_bytes\":{},\"request_s\":", self.status, self.sent);
        write_seconds(out, self.total);
        if let Some(upstream) = self.upstream {
            out.extend_from_slice(b",\"upstream_s\":");
            write_seconds(out, upstream);
        }
        if let Some(target) = self.target {
            let _ = write!(out, ",\"target\":\"{target}\",\"tries\":{}", self.tries);
        }
        if let Some(status) = self.upstream_status {
            let _ = write!(out, ",\"upstream_status\":{status}");
        }
        for (key, entity) in [("route", self.route), ("service", self.service)] {
            if let Some(entity) = entity {
                entity.write(key, out);
            }
        }
        if let Some(reason) = self.failure {
            write_text(out, "reason", reason.as_bytes());
        }
        if let Some(agent) = self.field(b"user-agent") {
            write_text(out, "user_agent", agent);
        }
        out.extend_from_slice(b"}\n");
    }

    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.request?.fields.named(name).next()
    }
}

fn version(request: &RequestHead) -> &'static str {
    match request.version() {
        http1::Version::Http2 => "2.0",
        other => other.text(),
    }
}

/// Appends text of a client as nginx does: what could end the quotes, or the line, as `\x` and two digits.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            _ => out.push(*byte),
        }
    }
}

/// Appends the time as the Common Log Format has it.
pub(crate) fn write_common_time(date: &[u8; Date::LENGTH], out: &mut Vec<u8>) {
    let part = |range| date.get::<std::ops::Range<usize>>(range).unwrap_or_default();
    for piece in [part(5..7), b"/", part(8..11), b"/", part(12..16), b":", part(17..25), b" +0000"]
    {
        out.extend_from_slice(piece);
    }
}

/// Appends the time as RFC 3339 has it.
pub(crate) fn write_rfc3339(date: &[u8; Date::LENGTH], out: &mut Vec<u8>) {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let part = |range| date.get::<std::ops::Range<usize>>(range).unwrap_or_default();
    let month = MONTHS.iter().position(|month| part(8..11) == *month).unwrap_or_default() + 1;
    out.extend_from_slice(part(12..16));
    let _ = write!(out, "-{month:02}-");
    for piece in [part(5..7), b"T", part(17..25), b"Z"] {
        out.extend_from_slice(piece);
    }
}

/// Appends a member of a JSON object. What is no UTF-8 is replaced.
pub(crate) fn write_text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let _ = write!(out, ",\"{name}\":\"");
    for character in String::from_utf8_lossy(value).chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => {
                let _ = write!(out, "{character}");
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use http1::RequestHead;

    use uuid::Uuid;

    use super::{Line, Named};

    pub(crate) const LINE: Line<'static> = Line {
        date: *b"Sun, 06 Nov 1994 08:49:37 GMT",
        client: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)), 4000),
        request: None,
        status: 400,
        sent: 120,
        request_id: "abc",
        total: 7,
        target: None,
        upstream_status: None,
        upstream: None,
        route: None,
        service: None,
        failure: Some("bad_request"),
        tries: 0,
    };

    fn request() -> RequestHead {
        let mut head = RequestHead::default();
        let text = "GET /a\"b?key=secret HTTP/1.1\r\nHost: h\r\nUser-Agent: a\\\"b\u{e9}\r\nReferer: http://x/\r\n\r\n";
        head.read(text.as_bytes()).unwrap();
        head
    }

    fn combined_text(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        line.write_combined(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn json_value(line: &Line<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        line.write_json(&mut out);
        assert_eq!(out.last(), Some(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn combined() {
        assert_eq!(
            combined_text(&LINE),
            "10.0.0.5 - - [06/Nov/1994:08:49:37 +0000] \"\" 400 120 \"-\" \"-\" kong_request_id: \"abc\"\n"
        );
        let head = request();
        assert_eq!(
            combined_text(&Line { request: Some(&head), status: 200, ..LINE }),
            "10.0.0.5 - - [06/Nov/1994:08:49:37 +0000] \"GET /a\\x22b?key=secret HTTP/1.1\" 200 120 \"http://x/\" \
             \"a\\x5C\\x22b\\xC3\\xA9\" kong_request_id: \"abc\"\n"
        );
    }

    #[test]
    fn json() {
        let head = request();
        let line = Line {
            request: Some(&head),
            status: 200,
            total: 12_345,
            target: Some("10.1.1.1:80".parse().unwrap()),
            upstream_status: Some(200),
            upstream: Some(9),
            route: Some(Named { name: Some("r"), id: Uuid::nil() }),
            service: Some(Named { name: None, id: Uuid::nil() }),
            failure: None,
            tries: 2,
            ..LINE
        };
        assert_eq!(
            json_value(&line),
            serde_json::json!({
                "time": "1994-11-06T08:49:37Z", "request_id": "abc", "client": "10.0.0.5", "method": "GET", "host": "h",
                "path": "/a\"b", "protocol": "HTTP/1.1", "status": 200, "sent_bytes": 120, "request_s": 12.345,
                "upstream_s": 0.009, "target": "10.1.1.1:80", "tries": 2, "upstream_status": 200, "route": "r",
                "service": "00000000-0000-0000-0000-000000000000", "user_agent": "a\\\"bé",
            })
        );
        assert_eq!(json_value(&LINE)["reason"], "bad_request");
    }
}
