//! Tables of routes, beside Kong's engine and beside every route tried one after another.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use arbitrary::{Arbitrary, Unstructured};
use model::{Endpoint, Protocol, Route, RouterFlavor};
use router::oracle::{Kong, Plain, route};
use router::{Calculation, Request, Rules, Scheme, Table};
use uuid::Uuid;

/// Takes the bytes as routes, the changes that made them, and requests.
pub fn check(input: &[u8]) {
    if let Ok(case) = Case::arbitrary(&mut Unstructured::new(input)) {
        case.check();
    }
}

#[derive(Arbitrary, Debug)]
struct Case {
    flavor: Flavor,
    strict: bool,
    requests: Few<Asked, 6>,
    routes: Few<Planned, 12>,
    removed: Few<u8, 4>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Flavor {
    Compatible,
    Traditional,
    Expressions,
}

/// At most `N` of them, at least none.
#[derive(Clone, Debug)]
struct Few<T, const N: usize>(Vec<T>);

impl<'a, T: Arbitrary<'a>, const N: usize> Arbitrary<'a> for Few<T, N> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let number = u.int_in_range(0..=N)?;
        (0..number).map(|_| T::arbitrary(u)).collect::<arbitrary::Result<_>>().map(Few)
    }
}

#[derive(Arbitrary, Debug)]
struct Planned {
    id: u8,
    created_at: i8,
    kind: Kind,
    sources: Option<Few<Place, 2>>,
    destinations: Option<Few<Place, 2>>,
    snis: Option<Few<Name, 2>>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Http {
        protocols: HttpProtocols,
        hosts: Option<Few<(Name, Option<Port>), 3>>,
        paths: Option<Few<Path, 4>>,
        methods: Option<Few<Method, 3>>,
        headers: Few<(Header, Few<Wanted, 3>), 2>,
        regex_priority: RegexPriority,
    },
    Stream(StreamProtocols),
    Expression {
        text: Term,
        priority: u8,
    },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum HttpProtocols {
    Http,
    Https,
    Both,
    Grpc,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum StreamProtocols {
    Tcp,
    Tls,
    Udp,
    All,
    Passthrough,
}

/// Where Kong's arithmetic goes wrong in its several ways.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum RegexPriority {
    Small(i8),
    Wrapping(u16),
    Any(i32),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Port {
    Http,
    Https,
    Other,
}

impl Port {
    fn number(self) -> u16 {
        match self {
            Port::Http => 80,
            Port::Https => 443,
            Port::Other => 8000,
        }
    }
}

/// Declares an enumeration of words.
macro_rules! words {
    ($name:ident: $($variant:ident = $text:literal),+) => {
        #[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        enum $name { $($variant),+ }

        impl $name {
            fn text(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
    };
}

words!(Label: A = "a", B = "b", Ab = "ab", Test = "test", Long = "a-rather-long-label-of-a-name");
words!(Segment: A = "a", B = "b", Ab = "ab", Number = "42", Empty = "", Escaped = "%2F",
    Wide = "ü", Dots = "..", Long = "a-rather-long-segment-of-a-path");
words!(Method: Get = "GET", Post = "POST", Purge = "PURGE");
words!(Header: A = "x-a", B = "X-B");
words!(Wanted: One = "1", Two = "v2", Upper = "V2", Digit = "~*^v\\d$", Any = "~*.", Either = "~*1|v2");
words!(Piece: A = "a", B = "b", Slash = "/", Digits = r"\d+", NoSlash = "[^/]+", Group = "(a|b)",
    All = ".*", Named = "(?<n>[ab]+)", Choice = "(?:a|ab)", Optional = "b?", End = "$",
    Twice = "a{2}", Folded = "(?i:A)", Wide = "ü");

/// Labels, with a wildcard in place of the first or the last.
#[derive(Arbitrary, Clone, Debug)]
struct Name {
    labels: Few<Label, 3>,
    wildcard: Wildcard,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Wildcard {
    None,
    First,
    Last,
}

impl Name {
    fn plain(&self) -> String {
        let labels: Vec<_> = self.labels.0.iter().map(|label| label.text()).collect();
        labels.join(".")
    }

    /// A name for a route; Kong has no empty ones.
    fn pattern(&self) -> String {
        let name = if self.labels.0.is_empty() { "a".to_owned() } else { self.plain() };
        match self.wildcard {
            Wildcard::None => name,
            Wildcard::First => format!("*.{name}"),
            Wildcard::Last => format!("{name}.*"),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Path {
    Prefix(Few<Segment, 4>),
    Regex(Few<Piece, 6>),
}

impl Path {
    fn text(&self) -> String {
        match self {
            Path::Prefix(segments) => path_of(&segments.0),
            Path::Regex(pieces) => {
                let pieces: String = pieces.0.iter().map(|piece| piece.text()).collect();
                format!("~/{pieces}")
            }
        }
    }
}

fn path_of(segments: &[Segment]) -> String {
    let segments: Vec<_> = segments.iter().map(|segment| segment.text()).collect();
    let path = format!("/{}", segments.join("/"));
    String::from_utf8_lossy(&router::path::normalise(path.as_bytes())).into_owned()
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Place {
    ip: Option<Net>,
    port: Port,
    /// Only looked at when there is an address.
    any_port: bool,
}

words!(Net: One = "10.0.0.1", Eight = "10.0.0.0/8", Half = "128.0.0.0/1", Six = "::1", Local = "fd00::/8");
words!(Ip: Ten = "10.0.0.1", Near = "10.9.9.9", Far = "192.0.2.1", Six = "::1", Local = "fd00::2");

impl Place {
    fn endpoint(self) -> Option<Endpoint> {
        let port = (self.ip.is_none() || !self.any_port).then(|| self.port.number());
        Some(Endpoint { ip: self.ip.map(|ip| ip.text().parse()).transpose().ok()?, port })
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Term {
    Predicate(Predicate),
    All(Box<(Term, Term)>),
    Any(Box<(Term, Term)>),
    Not(Box<Term>),
}

words!(Predicate:
    Host = "http.host == \"a.test\"", NotHost = "http.host != \"a.test\"",
    HostEnds = "http.host =^ \".test\"", HostBegins = "http.host ^= \"a.\"",
    HostMatches = "http.host ~ r#\"^[ab]\\.\"#", Path = "http.path == \"/a\"",
    PathBegins = "http.path ^= \"/a\"", PathMatches = "http.path ~ r#\"^/(a|b)\"#",
    PathHas = "http.path contains \"b\"", PathLower = "lower(http.path) ^= \"/a\"",
    Segment = "http.path.segments.0 == \"a\"", Segments = "http.path.segments.0_1 == \"a/b\"",
    Count = "http.path.segments.len > 1", Method = "http.method == \"GET\"",
    Header = "http.headers.x_a == \"1\"", AnyHeader = "any(http.headers.x_b) ~ \"^v\"",
    Query = "http.queries.q == \"1\"", Protocol = "net.protocol == \"https\"",
    Sni = "tls.sni == \"a.test\"", Source = "net.src.ip in 10.0.0.0/8",
    NotSource = "net.src.ip not in 10.0.0.0/8", Port = "net.dst.port >= 443");

impl Term {
    fn text(&self) -> String {
        match self {
            Term::Predicate(predicate) => predicate.text().to_owned(),
            Term::All(two) => format!("({} && {})", two.0.text(), two.1.text()),
            Term::Any(two) => format!("({} || {})", two.0.text(), two.1.text()),
            Term::Not(term) => format!("!({})", term.text()),
        }
    }
}

impl Planned {
    fn route(&self, number: usize) -> Route {
        let names = |names: &Few<Name, 2>| names.0.iter().map(Name::pattern).collect();
        let places = |places: &Few<Place, 2>| {
            places.0.iter().copied().filter_map(Place::endpoint).collect::<Vec<_>>()
        };
        let id = u128::from(self.id) << 96 | u128::try_from(number).unwrap_or_default();
        let mut route = Route {
            id: Uuid::from_u128(id),
            created_at: Some(self.created_at.into()),
            snis: self.snis.as_ref().map(names),
            sources: self.sources.as_ref().map(places),
            destinations: self.destinations.as_ref().map(places),
            ..route()
        };
        match &self.kind {
            Kind::Http { protocols, hosts, paths, methods, headers, regex_priority } => {
                route.protocols = protocols.list();
                route.hosts = hosts.as_ref().map(|hosts| {
                    let host = |(name, port): &(Name, Option<Port>)| match port {
                        None => name.pattern(),
                        Some(port) => format!("{}:{}", name.pattern(), port.number()),
                    };
                    hosts.0.iter().map(host).collect()
                });
                route.paths = paths.as_ref().map(|paths| paths.0.iter().map(Path::text).collect());
                route.methods = methods
                    .as_ref()
                    .map(|methods| methods.0.iter().map(|m| m.text().to_owned()).collect());
                // A header without values is none that Kong takes.
                let headers: BTreeMap<String, Vec<String>> = headers
                    .0
                    .iter()
                    .filter(|(_, values)| !values.0.is_empty())
                    .map(|(name, values)| {
                        let values = values.0.iter().map(|value| value.text().to_owned()).collect();
                        (name.text().to_owned(), values)
                    })
                    .collect();
                route.headers = Some(headers);
                route.regex_priority = Some(match regex_priority {
                    RegexPriority::Small(priority) => (*priority).into(),
                    RegexPriority::Wrapping(priority) => (*priority).into(),
                    RegexPriority::Any(priority) => (*priority).into(),
                });
            }
            Kind::Stream(protocols) => route.protocols = protocols.list(),
            Kind::Expression { text, priority } => {
                (route.snis, route.sources, route.destinations) = (None, None, None);
                route.expression = Some(text.text());
                route.priority = Some((*priority).into());
            }
        }
        route
    }
}

impl HttpProtocols {
    fn list(self) -> Vec<Protocol> {
        match self {
            HttpProtocols::Http => vec![Protocol::Http],
            HttpProtocols::Https => vec![Protocol::Https],
            HttpProtocols::Both => vec![Protocol::Http, Protocol::Https],
            HttpProtocols::Grpc => vec![Protocol::Grpc, Protocol::Grpcs],
        }
    }
}

impl StreamProtocols {
    fn list(self) -> Vec<Protocol> {
        match self {
            StreamProtocols::Tcp => vec![Protocol::Tcp],
            StreamProtocols::Tls => vec![Protocol::Tls],
            StreamProtocols::Udp => vec![Protocol::Udp],
            StreamProtocols::All => vec![Protocol::Tcp, Protocol::Tls, Protocol::Udp],
            StreamProtocols::Passthrough => vec![Protocol::TlsPassthrough],
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Asked {
    scheme: AskedScheme,
    method: Method,
    host: Name,
    port: Option<Port>,
    path: Few<Segment, 5>,
    query: Option<Query>,
    headers: Few<(Header, Wanted), 3>,
    sni: Option<Name>,
    source: (Ip, Port),
    destination: (Ip, Port),
}

words!(Query: Empty = "", One = "q=1", Two = "q=1&q=2", Other = "r&q");

#[derive(Arbitrary, Clone, Copy, Debug)]
enum AskedScheme {
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
}

impl Asked {
    fn with(&self, use_it: impl FnOnce(&Request<'_>)) {
        let scheme = match self.scheme {
            AskedScheme::Http => Scheme::Http,
            AskedScheme::Https => Scheme::Https,
            AskedScheme::Tcp => Scheme::Tcp,
            AskedScheme::Tls => Scheme::Tls,
            AskedScheme::Udp => Scheme::Udp,
        };
        let address = |(ip, port): (Ip, Port)| {
            let ip: Option<IpAddr> = ip.text().parse().ok();
            ip.map(|ip| SocketAddr::new(ip, port.number()))
        };
        let (host, path) = (self.host.plain(), path_of(&self.path.0));
        let sni = self.sni.as_ref().map(Name::plain).filter(|sni| !sni.is_empty());
        let http = scheme.is_http();
        let headers: Vec<_> = self
            .headers
            .0
            .iter()
            .filter(|_| http)
            .map(|(name, value)| (name.text(), value.text()))
            .collect();
        let headers = &headers[..];
        use_it(&Request {
            scheme,
            method: if http { self.method.text() } else { "" },
            host: if http { &host } else { "" },
            port: self.port.map(Port::number).filter(|_| http),
            path: if http { path.as_bytes() } else { b"" },
            query: self.query.map(|query| query.text().as_bytes()).filter(|_| http),
            headers: &headers,
            sni: sni.as_deref().filter(|_| scheme.is_tls()),
            source: address(self.source),
            destination: address(self.destination),
        });
    }
}

impl Case {
    fn check(&self) {
        let rules = Rules {
            flavor: match self.flavor {
                Flavor::Compatible => RouterFlavor::TraditionalCompatible,
                Flavor::Traditional => RouterFlavor::Traditional,
                Flavor::Expressions => RouterFlavor::Expressions,
            },
            calculation: if self.strict { Calculation::Strict } else { Calculation::Original },
        };
        let mut table = Table::new(rules);
        let mut routes = Vec::new();
        for (number, planned) in self.routes.0.iter().enumerate() {
            let route = planned.route(number);
            // What is refused here (no condition, a name of a group twice) no judge is asked about.
            if table.insert(&route, route.id).is_ok() {
                routes.push(route);
            }
        }
        self.compare(&table, &routes);
        let before = table.clone();
        let all = routes.clone();
        for number in &self.removed.0 {
            if !routes.is_empty() {
                let route = routes.remove(usize::from(*number) % routes.len());
                assert!(table.remove(route.id));
            }
        }
        self.compare(&table, &routes);
        self.compare(&before, &all);
        self.check_shadows(&before, &all);
    }

    fn compare(&self, table: &Table<Uuid>, routes: &[Route]) {
        assert_eq!(table.len(), routes.len());
        let rules = table.rules();
        let plain = Plain::new(routes, rules).expect("Kong takes the expressions");
        let kong = comparable_with_kong(routes, rules)
            .then(|| Kong::new(routes, rules).expect("Kong takes the routes"));
        for asked in &self.requests.0 {
            asked.with(|request| {
                let ours = table.find(request).map(|found| (*found.payload, found.prefix));
                let theirs = plain.find(request).map(|found| (found.route, found.prefix));
                let classic =
                    |route: Uuid| routes.iter().any(|r| r.id == route && r.expression.is_none());
                let exact = |found: (Uuid, Option<usize>)| {
                    if classic(found.0) { found } else { (found.0, None) }
                };
                assert_eq!(ours.map(exact), theirs.map(exact), "plainly: {request:?} {routes:#?}");
                if let Some(kong) = &kong {
                    let theirs = kong.find(request).map(|found| (found.route, found.prefix));
                    assert_eq!(ours.map(exact), theirs.map(exact), "Kong: {request:?} {routes:#?}");
                }
                let first = table.candidates(request).into_iter().find(|c| c.outcome.is_ok());
                assert_eq!(first.map(|c| c.route), ours.map(|found| found.0), "candidates");
            });
        }
    }

    /// What is said to be hidden whole is never found.
    fn check_shadows(&self, table: &Table<Uuid>, routes: &[Route]) {
        for route in routes {
            let shadows = table.shadows(route.id);
            for shadow in shadows.iter().filter(|shadow| shadow.whole) {
                for asked in &self.requests.0 {
                    asked.with(|request| {
                        let found = table.find(request).map(|found| *found.payload);
                        assert_ne!(found, Some(shadow.hidden), "{request:?} {routes:#?}");
                    });
                }
            }
        }
    }
}

/// Kong's engine knows neither the order of the `traditional` flavor nor, in `strict`, negative
/// priorities and routes by nothing but SNIs.
fn comparable_with_kong(routes: &[Route], rules: Rules) -> bool {
    rules.flavor != RouterFlavor::Traditional
        && (rules.calculation == Calculation::Original
            || routes.iter().all(|route| route.regex_priority >= Some(0) && route.snis.is_none()))
}
