//! Services: where requests are sent.

use schema::{Field, Object, Record, Shorthand};
use serde_json::Value;
use uuid::Uuid;

use crate::reference::Reference;
use crate::{Protocol, types};

schema::record! {
    /// An upstream API: where the requests of its routes are sent.
    pub struct Service in "services" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// A unique name.
        pub name: Option<String> = types::utf8_name(),
        /// How often a failed request is tried again.
        pub retries: Option<u32> = Field::integer().between(0, 32767).default(5),
        /// What is spoken with the upstream.
        pub protocol: Protocol = types::protocol().required().default("http"),
        /// The host of the upstream: a name that DNS resolves, an address, or the name of an
        /// upstream entity.
        pub host: String = types::host().required(),
        /// The port of the upstream.
        pub port: u16 = types::port().required().default(80),
        /// What is put before the path of a request.
        pub path: Option<String> = types::path(),
        /// Milliseconds to connect.
        pub connect_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Milliseconds between two writes to the upstream.
        pub write_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Milliseconds between two reads from the upstream.
        pub read_timeout: Option<u32> = types::nonzero_timeout().default(60000),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// The certificate to present to the upstream.
        pub client_certificate: Option<Reference> = Field::foreign("certificates"),
        /// Whether to verify the upstream's certificate; null: as the node is set up.
        pub tls_verify: Option<bool> = Field::boolean(),
        /// How long a chain of the upstream's certificate may be; null: as the node is set up.
        pub tls_verify_depth: Option<u32> = Field::integer().between(0, 64).default(Value::Null),
        /// The CA certificates that the upstream's certificate is verified with.
        pub ca_certificates: Option<Vec<Uuid>> = Field::array(types::uuid()),
        /// Whether it takes part in routing.
        pub enabled: bool = Field::boolean().required().default(true),
    }
    rules |record| rules(record)
}

/// What the protocol leaves no room for must be null.
fn rules(record: Record) -> Record {
    const WITHOUT_PATH: [&str; 5] = ["tcp", "tls", "udp", "grpc", "grpcs"];
    let record = record.shorthand(Shorthand::new("url", Field::string(), expand_url)).conditional(
        "protocol",
        |f| f.one_of(WITHOUT_PATH),
        "path",
        Field::must_be_null,
    );
    let of_tls = ["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"];
    of_tls.into_iter().fold(record, |record, name| {
        record.conditional(
            "protocol",
            |f| f.not_one_of(["https", "tls"]),
            name,
            Field::must_be_null,
        )
    })
}

/// A URL as protocol, host, port and path; what it lacks is null, but for the port, which follows
/// from the protocol, and the protocol, which follows from the port.
fn expand_url(url: Value) -> Object {
    let url = UrlParts::of(url.as_str().unwrap_or_default());
    let port = url.port.and_then(|port| port.parse::<u64>().ok());
    let protocol = match (url.scheme, port) {
        (Some(scheme), _) => scheme,
        (None, Some(443)) => "https",
        (None, _) => "http",
    };
    let usual = if protocol == "https" { 443 } else { 80 };
    let text = |part: Option<&str>| part.map_or(Value::Null, Value::from);
    [
        ("protocol", Value::from(protocol)),
        ("host", text(url.host)),
        ("port", Value::from(port.unwrap_or(usual))),
        ("path", text(url.path)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The parts of a URL that a service has. Nothing is checked here: the fields that they become
/// are.
#[derive(Debug, PartialEq)]
struct UrlParts<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
    path: Option<&'a str>,
}

impl<'a> UrlParts<'a> {
    fn of(url: &'a str) -> UrlParts<'a> {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphanumeric())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let (scheme, rest) = match url.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, url),
        };
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                rest.split_at(end)
            }
            None => ("", rest),
        };
        let path = rest.split(['?', '#', ';']).next().filter(|path| !path.is_empty());
        let authority = authority.split_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = Some(bare.unwrap_or(host)).filter(|host| !host.is_empty());
        UrlParts { scheme, host, port, path }
    }
}

#[cfg(test)]
mod tests;
