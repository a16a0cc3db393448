//! What a request is to the router, and what follows from the route for the upstream: one way for requests and for
//! those who ask what would become of one.

use std::{borrow::Cow, net::SocketAddr, ops::ControlFlow, sync::Arc};

use http1::{Field, Fields, Name, RequestHead, list};
use plugin::Captures;
use router::{Headers, Match, Scheme, path};
use snapshot::RouteEntry;

use crate::{failure::Failure, request::Origin};

/// The fields of a request as the router asks for them.
pub(crate) struct RoutedBy<'a>(pub(crate) &'a Fields);

impl Headers for RoutedBy<'_> {
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        let named = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
        self.0.iter().filter(named).try_for_each(|field| see(field.value))
    }
}

/// The normal form of the path of a request that may be routed at all.
///
/// # Errors
/// [`Failure::Method`], [`Failure::Path`]
pub(crate) fn path(request: &RequestHead) -> Result<Cow<'_, [u8]>, Failure> {
    if matches!(request.method(), b"TRACE" | b"CONNECT") {
        return Err(Failure::Method);
    }
    path::check(request.path())?;
    Ok(path::normalise(request.path()))
}

/// What the router is asked.
pub(crate) fn asked<'a>(
    request: &'a RequestHead,
    origin: &'a Origin,
    client: SocketAddr,
    normal: &'a [u8],
    headers: &'a RoutedBy<'a>,
) -> router::Request<'a> {
    let host = request.host();
    router::Request {
        scheme: if origin.tls { Scheme::Https } else { Scheme::Http },
        method: std::str::from_utf8(request.method()).unwrap_or_default(),
        host: host.map_or("", |host| host.name),
        port: host.and_then(|host| host.port),
        path: normal,
        query: request.query(),
        headers,
        sni: origin.sni.as_deref(),
        source: Some(client),
        destination: Some(origin.local),
    }
}

/// The path to ask the upstream for, without the query.
pub(crate) fn target(entry: &RouteEntry, matched: Option<usize>, normal: &[u8]) -> Vec<u8> {
    let base = entry.service.as_deref().and_then(|entry| entry.service.path.as_deref());
    let base = base.unwrap_or_default().as_bytes();
    let joined =
        path::upstream(base, entry.path_handling(), entry.route.strip_path, matched, normal);
    match path::escape(&joined) {
        Cow::Borrowed(_) => joined,
        Cow::Owned(escaped) => escaped,
    }
}

/// The part of the path that is taken off, where the upstream is told of one.
pub(crate) fn stripped<'n>(
    entry: &RouteEntry,
    matched: Option<usize>,
    normal: &'n [u8],
) -> Option<&'n [u8]> {
    let prefix = matched.filter(|prefix| entry.route.strip_path && *prefix > 1)?;
    normal.get(..prefix)
}

/// What the path's regular expression captured, where there is one.
pub(crate) fn captures(found: Option<&Match<'_, '_, Arc<RouteEntry>>>) -> Captures {
    let mut captures = Captures::default();
    let Some(groups) = found.and_then(Match::captures) else { return captures };
    for (number, (name, value)) in groups.iter().enumerate() {
        if let Some(value) = value {
            captures.0.push((number.to_string(), value.to_vec()));
            captures.0.extend(name.map(|name| (name.to_owned(), value.to_vec())));
        }
    }
    captures
}

/// Whether a request asks for a WebSocket (RFC 6455 §4.1), the only protocol that connections are handed over to.
pub(crate) fn asks_for_websocket(request: &RequestHead) -> bool {
    request.connection().upgrade
        && request.method() == b"GET"
        && request
            .fields
            .all(Name::Upgrade)
            .any(|value| list(value).any(|name| name.eq_ignore_ascii_case(b"websocket")))
}
