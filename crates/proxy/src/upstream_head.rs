//! The head that the upstream gets: the client's, without what concerns one connection, and with what the gateway
//! knows about the client.

use std::{io::Write, net::SocketAddr};

use http1::{Framing, Name, RequestHead, list, write_decimal, write_field, write_ipv4};

/// What is told about the client, and how.
pub(crate) struct Forwarding<'a> {
    /// The other end of the client's connection.
    pub(crate) peer: SocketAddr,
    /// The client, behind trusted proxies.
    pub(crate) client: SocketAddr,
    /// Whether the peer's forwarding fields are believed.
    pub(crate) trusted: bool,
    /// The scheme of the client's connection.
    pub(crate) scheme: &'static str,
    /// The port that the client connected to.
    pub(crate) port: u16,
    /// The part of the path that was stripped, not escaped; `None` where nothing was.
    pub(crate) prefix: Option<&'a [u8]>,
    /// The request's id, where upstreams get it.
    pub(crate) request_id: Option<&'a [u8]>,
    /// How we call ourselves in `Via`.
    pub(crate) product: &'a str,
}

/// Where the request goes.
pub(crate) struct Destination<'a> {
    /// Path and query, escaped.
    pub(crate) target: &'a [u8],
    /// The Host field.
    pub(crate) host: &'a [u8],
    /// How the body is delimited; `None` for no body at all.
    pub(crate) framing: Option<Framing>,
    /// Whether the connection is to become a tunnel.
    pub(crate) websocket: bool,
}

/// What is said of a request without a Host field (HTTP/1.0), as Kong says it.
const NO_HOST: &[u8] = b"kong";

/// Appends the head.
pub(crate) fn write(
    out: &mut Vec<u8>,
    request: &RequestHead,
    to: &Destination<'_>,
    about: &Forwarding<'_>,
) {
    out.extend_from_slice(request.method());
    out.push(b' ');
    out.extend_from_slice(to.target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(out, b"Host", to.host);
    out.extend_from_slice(if to.websocket {
        b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n".as_slice()
    } else {
        b"Connection: keep-alive\r\n"
    });
    let options = request.connection();
    if options.others {
        for field in request.fields.iter() {
            if is_passed_on(field.known) && !options.lists(&request.fields, field.name) {
                write_field(out, field.name, field.value);
            }
        }
    } else {
        request.fields.write(out, is_passed_on);
    }
    if request.fields.all(Name::Te).any(|value| list(value).any(is_trailers)) {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    match to.framing {
        None | Some(Framing::None | Framing::UntilClose) => {}
        Some(Framing::Length(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Some(Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    write_forwarding(out, request, about);
    out.extend_from_slice(b"\r\n");
}

/// Whether a field is the client's to say. The others are about one connection (RFC 9110 §7.6.1), or the gateway
/// writes them itself.
fn is_passed_on(name: Name) -> bool {
    !matches!(
        name,
        Name::Host
            | Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::Proxy
            | Name::Upgrade
            | Name::Te
            | Name::TransferEncoding
            | Name::ContentLength
            | Name::Expect
            | Name::Via
            | Name::XForwardedFor
            | Name::XForwardedProto
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedPath
            | Name::XForwardedPrefix
            | Name::XRealIp
            | Name::XKongRequestId
    )
}

fn is_trailers(option: &[u8]) -> bool {
    option
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .eq_ignore_ascii_case(b"trailers")
}

fn write_forwarding(out: &mut Vec<u8>, request: &RequestHead, about: &Forwarding<'_>) {
    let fields = &request.fields;
    let believed = |name| if about.trusted { fields.get(name) } else { None };

    out.extend_from_slice(b"Via: ");
    for value in fields.all(Name::Via) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(request.version().text().as_bytes());
    out.push(b' ');
    out.extend_from_slice(about.product.as_bytes());

    // All lines are kept; Kong 3.9 loses those behind the first.
    out.extend_from_slice(b"\r\nX-Forwarded-For: ");
    for value in fields.all(Name::XForwardedFor) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    let told = if fields.contains(Name::XForwardedFor) { about.peer } else { about.client };
    let start = out.len();
    write_address(out, told);
    let address = start..out.len();

    out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    out.extend_from_slice(believed(Name::XForwardedProto).unwrap_or(about.scheme.as_bytes()));

    out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
    match believed(Name::XForwardedHost) {
        Some(host) => out.extend_from_slice(host),
        None => {
            let start = out.len();
            out.extend_from_slice(request.host_name().unwrap_or(NO_HOST));
            if let Some(host) = out.get_mut(start..) {
                host.make_ascii_lowercase();
            }
        }
    }

    out.extend_from_slice(b"\r\nX-Forwarded-Port: ");
    match believed(Name::XForwardedPort) {
        Some(port) => out.extend_from_slice(port),
        None => write_decimal(out, u64::from(about.port)),
    }

    out.extend_from_slice(b"\r\nX-Forwarded-Path: ");
    out.extend_from_slice(believed(Name::XForwardedPath).unwrap_or(request.path()));
    out.extend_from_slice(b"\r\n");

    if let Some(prefix) = believed(Name::XForwardedPrefix) {
        write_field(out, b"X-Forwarded-Prefix", prefix);
    } else if let Some(prefix) = about.prefix {
        out.extend_from_slice(b"X-Forwarded-Prefix: ");
        write_prefix(out, prefix);
        out.extend_from_slice(b"\r\n");
    }

    out.extend_from_slice(b"X-Real-IP: ");
    if told == about.client {
        out.extend_from_within(address);
    } else {
        write_address(out, about.client);
    }
    out.extend_from_slice(b"\r\n");

    if let Some(id) = about.request_id {
        write_field(out, b"X-Kong-Request-Id", id);
    }
}

/// Writes the prefix as it was matched, decoded as Kong has it, but for what would end the line: a path may decode to
/// line breaks.
fn write_prefix(out: &mut Vec<u8>, prefix: &[u8]) {
    if prefix.iter().any(u8::is_ascii_control) {
        out.extend_from_slice(&router::path::escape(prefix));
    } else {
        out.extend_from_slice(prefix);
    }
}

fn write_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => write_ipv4(out, ip),
        std::net::IpAddr::V6(ip) => {
            // Writing to memory does not fail.
            let _ = write!(out, "{ip}");
        }
    }
}

#[cfg(test)]
mod tests {
    use http1::{Framing, RequestHead};

    use super::{Destination, Forwarding, write};

    fn head(
        request: &str,
        change: impl FnOnce(&mut Destination<'_>, &mut Forwarding<'_>),
    ) -> String {
        let mut head = RequestHead::default();
        head.read(request.replace('\n', "\r\n").as_bytes()).unwrap();
        let mut to =
            Destination { target: b"/x?y", host: b"u.test:81", framing: None, websocket: false };
        let mut about = Forwarding {
            peer: "10.0.0.5:4000".parse().unwrap(),
            client: "10.0.0.5:4000".parse().unwrap(),
            trusted: false,
            scheme: "http",
            port: 8000,
            prefix: None,
            request_id: Some(b"abc"),
            product: "kong/3.9.3",
        };
        change(&mut to, &mut about);
        let mut out = Vec::new();
        write(&mut out, &head, &to, &about);
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn a_plain_request() {
        let head =
            head("GET /a/x?y HTTP/1.1\nhost: A.test:8\nX-MiXed: 1\nx-mixed: 2\n\n", |_, _| {});
        assert_eq!(
            head,
            "GET /x?y HTTP/1.1\nHost: u.test:81\nConnection: keep-alive\nX-MiXed: 1\nx-mixed: 2\nVia: 1.1 kong/3.9.3\n\
             X-Forwarded-For: 10.0.0.5\nX-Forwarded-Proto: http\nX-Forwarded-Host: a.test\nX-Forwarded-Port: 8000\n\
             X-Forwarded-Path: /a/x\nX-Real-IP: 10.0.0.5\nX-Kong-Request-Id: abc\n\n"
        );
    }

    #[test]
    fn what_concerns_one_connection_is_left_out() {
        let request = "POST / HTTP/1.1\nHost: a\nConnection: close, X-Mine\nConnection: x-too, content-length\nX-Mine: 1\nX-Too: 2\n\
                       Keep-Alive: timeout=5\nProxy-Connection: keep-alive\nProxy: http://evil\nUpgrade: h2c\nTE: gzip, trailers\n\
                       Expect: 100-continue\nContent-Length: 3\nProxy-Authorization: Basic YTpi\n\n";
        let head = head(request, |to, _| to.framing = Some(Framing::Length(3)));
        let kept: Vec<&str> =
            head.lines().skip(1).take_while(|line| !line.starts_with("Via")).collect();
        assert_eq!(
            kept,
            [
                "Host: u.test:81",
                "Connection: keep-alive",
                "Proxy-Authorization: Basic YTpi",
                "TE: trailers",
                "Content-Length: 3"
            ]
        );
    }

    #[test]
    fn forwarding_fields_are_replaced_unless_trusted() {
        let request = "GET /p HTTP/1.0\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-For: 5.6.7.8\nX-Forwarded-Proto: https\n\
                       X-Forwarded-Host: evil.test\nX-Forwarded-Port: 99\nX-Forwarded-Path: /evil\nX-Forwarded-Prefix: /e\n\
                       X-Real-IP: 9.9.9.9\nVia: 1.0 before\nX-Kong-Request-Id: mine\nForwarded: for=9.9.9.9\n\n";
        let untrusted = head(request, |_, about| about.prefix = Some(b"/pre"));
        assert_eq!(
            untrusted.lines().skip(3).collect::<Vec<_>>().join("\n"),
            "Forwarded: for=9.9.9.9\nVia: 1.0 before, 1.0 kong/3.9.3\nX-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.5\n\
             X-Forwarded-Proto: http\nX-Forwarded-Host: kong\nX-Forwarded-Port: 8000\nX-Forwarded-Path: /p\n\
             X-Forwarded-Prefix: /pre\nX-Real-IP: 10.0.0.5\nX-Kong-Request-Id: abc\n"
        );
        let trusted = head(request, |_, about| {
            about.trusted = true;
            about.client = "9.9.9.9:0".parse().unwrap();
        });
        assert_eq!(
            trusted.lines().skip(5).collect::<Vec<_>>().join("\n"),
            "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 10.0.0.5\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil.test\n\
             X-Forwarded-Port: 99\nX-Forwarded-Path: /evil\nX-Forwarded-Prefix: /e\nX-Real-IP: 9.9.9.9\n\
             X-Kong-Request-Id: abc\n"
        );
    }

    #[test]
    fn a_prefix_cannot_bring_fields_along() {
        let head = head("GET / HTTP/1.1\nHost: a\n\n", |_, about| {
            about.prefix = Some(b"/a b\r\nX-Admin: 1")
        });
        assert!(head.contains("X-Forwarded-Prefix: /a%20b%0D%0AX-Admin:%201\n"), "{head}");
    }

    #[test]
    fn an_upgrade_is_asked_for() {
        let request = "GET / HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n\n";
        let head = head(request, |to, _| to.websocket = true);
        assert!(
            head.contains(
                "Connection: keep-alive, Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
            ),
            "{head}"
        );
    }
}
