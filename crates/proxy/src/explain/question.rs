//! The description of a request that somebody asks about.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderName, HeaderValue};
use http1::{HeadError, RequestHead, Version};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Unexplained;

/// A request that was described, and what else was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: String,
    pub(super) tls: bool,
    pub(super) version: Version,
    pub(super) host: Option<String>,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The other end of the connection.
    pub(super) peer: SocketAddr,
    pub(super) sni: Option<String>,
    /// Where the client connected to; if nothing is said, a listener of the scheme.
    pub(super) listener: Option<SocketAddr>,
    /// Id or user name of whom plugins will find out.
    pub(super) consumer: Option<String>,
    /// A route that is asked about whether or not it is a candidate.
    pub(super) route: Option<Uuid>,
    /// The oldest revision that is of use.
    pub(super) revision: Option<u64>,
}

const FIELDS: [&str; 12] = [
    "client_address",
    "consumer",
    "headers",
    "host",
    "http_version",
    "listener",
    "method",
    "path",
    "revision",
    "route",
    "scheme",
    "sni",
];

impl Question {
    /// Reads a description; what it leaves out has the value that most requests have.
    pub(super) fn read(described: &Map<String, Value>) -> Result<Question, Unexplained> {
        if let Some(name) = described.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(wrong(name, format!("unknown field; known are {}", FIELDS.join(", "))));
        }
        let text = |name| text(described, name);
        let sni = text("sni")?;
        let tls = match text("scheme")?.as_deref() {
            None => sni.is_some(),
            Some("https") => true,
            Some("http") if sni.is_some() => {
                return Err(wrong("sni", "a request without TLS has no server name"));
            }
            Some("http") => false,
            Some(_) => return Err(wrong("scheme", "expected http or https")),
        };
        let version = match text("http_version")?.as_deref() {
            None | Some("1.1") => Version::Http11,
            Some("1.0") => Version::Http10,
            Some("2") => Version::Http2,
            Some(_) => return Err(wrong("http_version", "expected 1.0, 1.1 or 2")),
        };
        let host = text("host")?;
        if host.is_none() && version != Version::Http10 {
            return Err(wrong("host", "required: what the request has in its Host header"));
        }
        let target = text("path")?.unwrap_or_else(|| "/".to_owned());
        if !target.starts_with('/') {
            return Err(wrong("path", "expected a path that begins with /"));
        }
        if let Some(bad) = target.chars().find(|c| c.is_ascii_control() || *c == ' ') {
            return Err(wrong("path", format!("{bad:?} cannot be sent; write it as %XX")));
        }
        Ok(Question {
            method: method(text("method")?)?,
            tls,
            version,
            host,
            target,
            headers: headers(described)?,
            peer: address("client_address", text("client_address")?)?
                .unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            sni,
            listener: address("listener", text("listener")?)?,
            consumer: text("consumer")?,
            route: text("route")?
                .map(|id| id.parse().map_err(|_| wrong("route", "expected the id of a route")))
                .transpose()?,
            revision: match described.get("revision") {
                None | Some(Value::Null) => None,
                Some(value) => Some(
                    value.as_u64().ok_or_else(|| wrong("revision", "expected a whole number"))?,
                ),
            },
        })
    }

    /// The head as the proxy would have read it.
    ///
    /// # Errors
    /// What the proxy would answer with 400.
    pub(super) fn head(&self) -> Result<RequestHead, HeadError> {
        let mut head = RequestHead::default();
        head.begin(self.method.as_bytes(), self.target.as_bytes(), self.version);
        if let Some(host) = &self.host {
            head.fields.push(b"Host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            head.fields.push(name.as_str().as_bytes(), value.as_bytes());
        }
        head.finish()?;
        Ok(head)
    }
}

fn method(method: Option<String>) -> Result<String, Unexplained> {
    let method = method.unwrap_or_else(|| "GET".to_owned());
    if http::Method::from_bytes(method.as_bytes()).is_err() {
        return Err(wrong("method", "expected a method, as GET"));
    }
    Ok(method)
}

/// `headers`: an object of texts, or lists of texts for headers that come several times.
fn headers(described: &Map<String, Value>) -> Result<Vec<(HeaderName, HeaderValue)>, Unexplained> {
    let object = match described.get("headers") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(object)) => object,
        Some(_) => return Err(wrong("headers", "expected an object of names and values")),
    };
    let mut headers = Vec::new();
    for (name, values) in object {
        let path = format!("headers.{name}");
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong(&path, "not the name of a header"))?;
        if header == http::header::HOST {
            return Err(wrong(&path, "say it in the field host"));
        }
        let values = match values {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            let value = value.ok_or_else(|| {
                wrong(&path, "expected a text without control characters, or a list of such texts")
            })?;
            headers.push((header.clone(), value));
        }
    }
    Ok(headers)
}

/// An address with or without a port.
fn address(name: &str, text: Option<String>) -> Result<Option<SocketAddr>, Unexplained> {
    let Some(text) = text else { return Ok(None) };
    let read = text.parse::<SocketAddr>().ok();
    let read = read.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)));
    read.map(Some).ok_or_else(|| wrong(name, "expected an IP address, with or without a port"))
}

fn text(described: &Map<String, Value>, name: &str) -> Result<Option<String>, Unexplained> {
    match described.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(wrong(name, "expected a text that is not empty")),
    }
}

fn wrong(field: &str, reason: impl Into<String>) -> Unexplained {
    Unexplained::Field { field: field.to_owned(), reason: reason.into() }
}
