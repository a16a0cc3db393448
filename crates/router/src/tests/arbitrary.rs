//! Random routes and requests, out of few words, so that they often meet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{Endpoint, Protocol, Route};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use crate::request::{Request, Scheme};
use crate::testing;

/// What a [`Request`] borrows from.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) scheme: Scheme,
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    pub(super) port: Option<u16>,
    pub(super) path: &'static str,
    pub(super) query: Option<&'static str>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) sni: Option<&'static str>,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

impl Owned {
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&Request<'_>) -> R) -> R {
        use_it(&Request {
            scheme: self.scheme,
            method: self.method,
            host: self.host,
            port: self.port,
            path: self.path.as_bytes(),
            query: self.query.map(str::as_bytes),
            headers: &&self.headers[..],
            sni: self.sni,
            source: Some(self.source),
            destination: Some(self.destination),
        })
    }
}

fn some_of(words: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(words, 1..=words.len().min(3))
        .prop_shuffle()
        .prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

const HOSTS: &[&str] =
    &["a.test", "b.test", "*.test", "*.a.test", "a.*", "a.test:81", "*.test:82", "x.*:80"];
const PATHS: &[&str] =
    &["/", "/a", "/b", "/a/", "/a/b", "/a/bc", "~/a", r"~/a/\d+", "~/(a|b)/x", "~/a$", "~/[ab]/.*"];

fn headers() -> impl Strategy<Value = BTreeMap<String, Vec<String>>> {
    let values = some_of(&["1", "2", "Vv", "~*^v[0-9]", "~*."]);
    btree_map(select(vec!["x-a", "X-B", "x-c"]).prop_map(str::to_owned), values, 1..=2)
}

pub(super) fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let ip = select(vec!["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"]);
    let ip = option::of(ip.prop_map(|ip| ip.parse().expect("an address")));
    let endpoint = (ip, option::of(select(vec![80_u16, 81])))
        .prop_filter("one of both", |(ip, port)| ip.is_some() || port.is_some())
        .prop_map(|(ip, port)| Endpoint { ip, port });
    vec(endpoint, 1..=2)
}

/// Ids that tie and that do not.
fn ids() -> impl Strategy<Value = Uuid> {
    (0..40_u128).prop_map(|n| Uuid::from_u128(n << 100))
}

/// Classic HTTP routes with at least one condition.
pub(crate) fn http_route() -> impl Strategy<Value = Route> {
    let conditions = (
        option::of(some_of(HOSTS)),
        option::of(some_of(PATHS)),
        option::weighted(0.3, some_of(&["GET", "POST", "PURGE"])),
        option::weighted(0.3, headers()),
        option::weighted(0.2, some_of(&["a.test", "*.test", "b.test."])),
    );
    let priority = prop_oneof![Just(0_i64), -2..5_i64, Just(4097), Just(8192)];
    let protocols = select(vec![
        vec![Protocol::Https],
        vec![Protocol::Http, Protocol::Https],
        vec![Protocol::Http],
        vec![Protocol::Grpc, Protocol::Grpcs],
    ]);
    (ids(), conditions, priority, 0..3_i64, protocols).prop_filter_map(
        "no condition",
        |(id, (hosts, paths, methods, headers, snis), priority, created_at, protocols)| {
            let route = Route {
                id,
                created_at: Some(created_at),
                protocols,
                hosts,
                paths,
                methods,
                headers,
                snis,
                regex_priority: Some(priority),
                ..testing::route()
            };
            let none = route.hosts.is_none()
                && route.paths.is_none()
                && route.methods.is_none()
                && route.headers.is_none()
                && route.snis.is_none();
            (!none).then_some(route)
        },
    )
}

/// Routes of connections.
pub(super) fn stream_route() -> impl Strategy<Value = Route> {
    let protocols = select(vec![
        vec![Protocol::Tcp],
        vec![Protocol::Tls],
        vec![Protocol::Tcp, Protocol::Tls, Protocol::Udp],
        vec![Protocol::TlsPassthrough],
    ]);
    let snis = option::of(some_of(&["a.test", "*.test", "b.test"]));
    (ids(), protocols, snis, option::of(endpoints()), option::of(endpoints())).prop_filter_map(
        "no condition",
        |(id, protocols, snis, sources, destinations)| {
            let none = snis.is_none() && sources.is_none() && destinations.is_none();
            (!none).then(|| Route {
                id,
                protocols,
                snis,
                sources,
                destinations,
                ..testing::route()
            })
        },
    )
}

/// Expression routes, for HTTP.
pub(super) fn expression_route() -> impl Strategy<Value = Route> {
    (ids(), expression(), 0..3_u64).prop_map(|(id, expression, priority)| Route {
        id,
        expression: Some(expression),
        priority: Some(priority),
        ..testing::route()
    })
}

fn expression() -> impl Strategy<Value = String> {
    let predicate = select(vec![
        "http.host == \"a.test\"",
        "http.host != \"a.test\"",
        "http.host =^ \".test\"",
        "http.host ^= \"a.\"",
        "http.host contains \"es\"",
        "http.host ~ r#\"^[ab]\\.\"#",
        "http.path == \"/a\"",
        "http.path ^= \"/a\"",
        "http.path ^= \"/\"",
        "http.path ~ r#\"^/(a|b)\"#",
        "http.path ~ r#\"b\"#",
        "lower(http.path) == \"/a\"",
        "http.path.segments.0 == \"a\"",
        "http.path.segments.0_1 == \"a/b\"",
        "http.path.segments.len > 1",
        "http.method == \"GET\"",
        "http.headers.x_a == \"1\"",
        "any(http.headers.x_a) == \"1\"",
        "any(lower(http.headers.x_b)) ~ \"^v\"",
        "http.queries.q == \"\"",
        "any(http.queries.q) != \"1\"",
        "net.protocol == \"https\"",
        "tls.sni == \"a.test\"",
        "net.src.ip in 10.0.0.0/8",
        "net.src.ip not in 10.0.0.0/8",
        "net.src.ip == 10.0.0.1",
        "net.dst.port == 81",
        "net.dst.port != 81",
        "net.dst.port >= 0x51",
    ])
    .prop_map(str::to_owned);
    predicate.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|terms| format!("({})", terms.join(" && "))),
            vec(inner.clone(), 2..4).prop_map(|terms| format!("({})", terms.join(" || "))),
            inner.prop_map(|term| format!("!({term})")),
        ]
    })
}

pub(super) fn http_request() -> impl Strategy<Value = Owned> {
    let target = (
        select(vec!["a.test", "b.test", "x.a.test", "x.test", "a.org", "x.", "other", ""]),
        option::of(select(vec![80_u16, 81, 82])),
        select(vec!["/", "/a", "/ab", "/a/", "/a/b", "/a/bcd", "/a/12", "/b/x/y", "/c", ""]),
        option::of(select(vec!["q", "q=1", "q=1&q=2", "x=1&q=%31", ""])),
    );
    let value = select(vec!["1", "2", "vV", "V7", "x"]);
    let header = (select(vec!["x-a", "x-b", "X-C"]), value);
    let connection = (
        any::<bool>(),
        option::of(select(vec!["a.test", "b.test", "c.test"])),
        addresses(),
        addresses(),
    );
    (target, select(vec!["GET", "POST", "PURGE", "get"]), vec(header, 0..4), connection).prop_map(
        |((host, port, path, query), method, headers, (tls, sni, source, destination))| Owned {
            scheme: if tls { Scheme::Https } else { Scheme::Http },
            method,
            host,
            port,
            path,
            query,
            headers,
            sni: sni.filter(|_| tls),
            source,
            destination,
        },
    )
}

pub(super) fn connection() -> impl Strategy<Value = Owned> {
    let scheme = select(vec![Scheme::Tcp, Scheme::Tls, Scheme::Udp]);
    let sni = option::of(select(vec!["a.test", "b.test", "c.test"]));
    (scheme, sni, addresses(), addresses()).prop_map(|(scheme, sni, source, destination)| Owned {
        scheme,
        method: "",
        host: "",
        port: None,
        path: "",
        query: None,
        headers: Vec::new(),
        sni: sni.filter(|_| scheme.is_tls()),
        source,
        destination,
    })
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    let ip = select(vec!["10.0.0.1", "10.9.9.9", "11.0.0.1", "::1", "fd00::1"]);
    (ip, select(vec![80_u16, 81, 443]))
        .prop_map(|(ip, port)| SocketAddr::new(ip.parse().expect("an address"), port))
}
