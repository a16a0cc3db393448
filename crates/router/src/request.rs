//! What a request (or a connection) shows to the router.

use std::fmt;
use std::net::SocketAddr;
use std::ops::ControlFlow;

/// How the request or connection came in; the value of the expression field `net.protocol`.
///
/// gRPC is [`Scheme::Http`] or [`Scheme::Https`]; a TLS connection whose name was read without
/// ending TLS is [`Scheme::Tls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP connection without TLS.
    Tcp,
    /// A TLS connection that is not HTTP.
    Tls,
    /// UDP datagrams.
    Udp,
}

impl Scheme {
    /// Kong's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
            Scheme::Udp => "udp",
        }
    }

    /// Whether a name of a TLS handshake can exist.
    pub fn is_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::Tls)
    }

    /// Whether HTTP is spoken; the other schemes belong to stream routes.
    pub fn is_http(self) -> bool {
        matches!(self, Scheme::Http | Scheme::Https)
    }

    /// The port that a URL of this scheme means when it names none.
    pub(crate) fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Http => Some(80),
            Scheme::Https => Some(443),
            Scheme::Tcp | Scheme::Tls | Scheme::Udp => None,
        }
    }
}

/// The header fields of a request, however the caller keeps them.
pub trait Headers {
    /// Calls `see` with the value of every field line named `name` (lower case; field names
    /// compare without regard to case, RFC 9110 §5.1), in order, until `see` breaks. Returns what
    /// `see` returned last.
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()>;
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for &[(N, V)] {
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        self.iter()
            .filter(|(n, _)| n.as_ref().eq_ignore_ascii_case(name))
            .try_for_each(|(_, value)| see(value.as_ref()))
    }
}

/// The headers of what has none (stream connections).
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What is matched against the routes.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// How it came in.
    pub scheme: Scheme,
    /// The method as sent (methods are case-sensitive, RFC 9110 §9.1); empty for streams.
    pub method: &'a str,
    /// The host as sent, without the port ([`crate::host::split`]); empty when there is none.
    /// Brackets around an IPv6 address and the case of letters do not matter.
    pub host: &'a str,
    /// The port that was sent with the host.
    pub port: Option<u16>,
    /// The path in normal form ([`crate::path::normalise`]), without the query; empty for streams.
    pub path: &'a [u8],
    /// The query without its `?`, as sent.
    pub query: Option<&'a [u8]>,
    /// The header fields.
    pub headers: &'a dyn Headers,
    /// The name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// Where the client is: the real address, after trusted proxies were seen through.
    pub source: Option<SocketAddr>,
    /// Where it came in: the listener's address, the port translated by `port_maps`.
    pub destination: Option<SocketAddr>,
}

impl fmt::Debug for Request<'_> {
    /// Leaves out query and headers, which may carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("scheme", &self.scheme)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &String::from_utf8_lossy(self.path))
            .field("sni", &self.sni)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}
