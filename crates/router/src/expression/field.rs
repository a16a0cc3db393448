//! The fields of a request that an expression can look at.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::ControlFlow;

use crate::network;
use crate::rule::Prepared;

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Protocol,
    Sni,
    Method,
    Host,
    Path,
    Segments(Segments),
    SegmentCount,
    /// The field name with dashes, and as it was written if that differs.
    Header(Box<str>, Option<Box<str>>),
    Query(Box<str>),
    SourceIp,
    SourcePort,
    DestinationIp,
    DestinationPort,
}

/// One segment of the path, or several joined with slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segments {
    first: usize,
    last: usize,
}

/// One value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Text(&'a [u8]),
    Number(i64),
    Address(IpAddr),
}

impl Field {
    /// The field of a name that Kong's schema has; what is wrong with it otherwise.
    pub(super) fn new(name: &str) -> Result<Field, &'static str> {
        let field = match name {
            "net.protocol" => Field::Protocol,
            "tls.sni" => Field::Sni,
            "http.method" => Field::Method,
            "http.host" => Field::Host,
            "http.path" => Field::Path,
            "http.path.segments.len" => Field::SegmentCount,
            "net.src.ip" => Field::SourceIp,
            "net.src.port" => Field::SourcePort,
            "net.dst.ip" => Field::DestinationIp,
            "net.dst.port" => Field::DestinationPort,
            _ => {
                if let Some(segments) = name.strip_prefix("http.path.segments.") {
                    Field::Segments(
                        Segments::new(segments).ok_or("illformed http.path.segments.* field")?,
                    )
                } else if let Some(header) = name.strip_prefix("http.headers.") {
                    Field::header(header)
                } else if let Some(query) = name.strip_prefix("http.queries.") {
                    Field::Query(query.into())
                } else {
                    return Err("Unknown LHS field");
                }
            }
        };
        Ok(field)
    }

    fn header(name: &str) -> Field {
        let name = name.to_ascii_lowercase();
        let dashed = name.replace('_', "-");
        let written = Some(name).filter(|name| *name != dashed).map(String::into_boxed_str);
        Field::Header(dashed.into(), written)
    }

    /// Whether its letters are compared without regard to case: names of hosts (RFC 4343).
    pub(super) fn ignores_case(&self) -> bool {
        matches!(self, Field::Host | Field::Sni)
    }

    /// Calls `see` with each value until it breaks. A field that the request does not have has
    /// none.
    pub(super) fn each(
        &self,
        request: &Prepared<'_>,
        see: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let r = request.request;
        let text = |text: &[u8], see: &mut dyn FnMut(Value<'_>) -> ControlFlow<()>| {
            if text.is_empty() { ControlFlow::Continue(()) } else { see(Value::Text(text)) }
        };
        let port = |port: Option<u16>| port.map(|port| Value::Number(port.into()));
        let one = match self {
            Field::Protocol => return text(r.scheme.as_str().as_bytes(), see),
            Field::Method => return text(r.method.as_bytes(), see),
            Field::Host => return text(request.host.as_bytes(), see),
            Field::Path => return text(r.path, see),
            Field::Sni => return text(request.sni.as_deref().unwrap_or_default().as_bytes(), see),
            Field::Segments(segments) => segments.of(r.path).map(Value::Text),
            Field::SegmentCount => {
                Some(Value::Number(i64::try_from(segments(r.path).count()).unwrap_or(i64::MAX)))
            }
            Field::Header(dashed, written) => {
                let mut found = false;
                let mut seen = |value: &[u8]| {
                    found = true;
                    see(Value::Text(value))
                };
                // As in Kong, a header that is really spelt with underscores goes first.
                if let Some(written) = written {
                    r.headers.each(written, &mut seen)?;
                }
                return if found {
                    ControlFlow::Continue(())
                } else {
                    r.headers.each(dashed, &mut |value| see(Value::Text(value)))
                };
            }
            Field::Query(name) => {
                let query = r.query.unwrap_or_default();
                return form_urlencoded::parse(query)
                    .filter(|(key, _)| **key == **name)
                    .try_for_each(|(_, value)| see(Value::Text(value.as_bytes())));
            }
            Field::SourceIp => network::ip(r.source).map(Value::Address),
            Field::SourcePort => port(r.source.map(|s| s.port())),
            Field::DestinationIp => network::ip(r.destination).map(Value::Address),
            Field::DestinationPort => port(request.port()),
        };
        one.map_or(ControlFlow::Continue(()), see)
    }
}

impl Segments {
    fn new(text: &str) -> Option<Segments> {
        let (first, last) = match text.split_once('_') {
            Some((first, last)) => (index(first)?, index(last)?),
            None => (index(text)?, index(text)?),
        };
        (first < last || !text.contains('_')).then_some(Segments { first, last })
    }

    /// The segments joined, if the path has all of them.
    fn of<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let mut at = 1;
        let mut start = None;
        for (number, segment) in segments(path).enumerate() {
            if number == self.first {
                start = Some(at);
            }
            at += segment.len();
            if number == self.last {
                return path.get(start?..at);
            }
            at += 1;
        }
        None
    }
}

/// A number without leading zeros.
fn index(text: &str) -> Option<usize> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok())?
}

/// The segments behind the first slash, without empty ones at the end.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    let inner = path.get(1..end).unwrap_or_default();
    inner.split(|b| *b == b'/').take(if inner.is_empty() { 0 } else { usize::MAX })
}

/// `lower()`: as Kong's, for all letters where the value is text.
pub(super) fn lower(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        if text.iter().any(u8::is_ascii_uppercase) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Owned(text.to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(text.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Segments, segments};

    #[test]
    fn segments_of_paths() {
        for (path, count) in [("/a/b/c/", 3), ("/", 0), ("", 0), ("/a//b", 3), ("/a", 1)] {
            assert_eq!(segments(path.as_bytes()).count(), count, "{path}");
        }
    }

    #[test]
    fn ranges_of_segments() {
        let of = |range: &str| {
            let found = Segments::new(range).unwrap().of(b"/a/bb/c/");
            found.map(|f| std::str::from_utf8(f).unwrap())
        };
        assert_eq!(of("0"), Some("a"));
        assert_eq!(of("1_2"), Some("bb/c"));
        assert_eq!(of("0_2"), Some("a/bb/c"));
        assert_eq!(of("3"), None);
        assert_eq!(of("2_3"), None);
        for bad in ["", "01", "1_1", "2_1", "1_", "x", "-1", "+1"] {
            assert_eq!(Segments::new(bad), None, "{bad}");
        }
    }
}
