//! The conditions of a route, compiled.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use model::{Protocol, Route};

use crate::conditions::{Conditions, is_regex};
use crate::error::Rejected;
use crate::expression::Expression;
use crate::matched::Matched;
use crate::method::{Method, Methods};
use crate::name::Name;
use crate::network::{self, Place};
use crate::pattern::Pattern;
use crate::request::{Request, Scheme};
use crate::rules::{Calculation, Rules};

/// The kind of condition that a request did not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'t> {
    /// `protocols`, which only the `expressions` flavor makes a condition.
    Protocols,
    /// `hosts`
    Hosts,
    /// `methods`
    Methods,
    /// `snis`
    Snis,
    /// `sources`
    Sources,
    /// `destinations`
    Destinations,
    /// `paths`
    Paths,
    /// `headers`: the one with this name
    Header(&'t str),
    /// `expression`
    Expression,
}

impl fmt::Display for Condition<'_> {
    /// The route's field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Protocols => "protocols",
            Condition::Hosts => "hosts",
            Condition::Methods => "methods",
            Condition::Snis => "snis",
            Condition::Sources => "sources",
            Condition::Destinations => "destinations",
            Condition::Paths => "paths",
            Condition::Header(name) => return write!(f, "headers.{name}"),
            Condition::Expression => "expression",
        })
    }
}

/// All conditions of one entry: each list is a choice, and one of each list must hold. An empty
/// list always holds.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    protocols: Option<Schemes>,
    /// The wildcard of a host or SNI stands for at least so many bytes.
    wildcard_least: usize,
    port_of: PortOf,
    pub(crate) hosts: Box<[Host]>,
    pub(crate) methods: Methods,
    pub(crate) snis: Box<[Name]>,
    snis_of_plain: bool,
    pub(crate) sources: Box<[Place]>,
    pub(crate) destinations: Box<[Place]>,
    pub(crate) paths: Paths,
    pub(crate) headers: Box<[Header]>,
    pub(crate) expression: Option<Box<Expression>>,
}

/// One of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: Name,
    pub(crate) port: Option<u16>,
}

/// `paths`; one sort only, since a route with several sorts becomes several entries.
#[derive(Clone, Debug, Default)]
pub(crate) enum Paths {
    #[default]
    Any,
    /// All of one length.
    Prefixes(Box<[Box<[u8]>]>),
    Regexes(Box<[Pattern]>),
}

/// One of `headers`.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// In lower case.
    pub(crate) name: Box<str>,
    pub(crate) values: Box<[HeaderValue]>,
}

#[derive(Clone, Debug)]
pub(crate) enum HeaderValue {
    /// In lower case.
    Exact(Box<[u8]>),
    Regex(Pattern),
}

/// What the port of a host is compared with when the request names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortOf {
    /// The port that the scheme stands for: the `traditional` flavor.
    Scheme,
    /// The port of the listener.
    Listener,
}

/// A set of schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Schemes(u8);

/// Conditions that are known to hold because of where an entry was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) hosts: bool,
    pub(crate) paths: bool,
}

/// The match of a rule of which nothing is left to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Without a condition on the path.
    AnyPath,
    /// So many bytes of the path.
    Prefix(u32),
}

impl Settled {
    pub(crate) fn matched<'t>(self) -> Matched<'t> {
        let prefix = match self {
            Settled::AnyPath => None,
            Settled::Prefix(length) => usize::try_from(length).ok(),
        };
        Matched { prefix, pattern: None }
    }
}

/// A request in the form in which rules look at it.
#[derive(Debug)]
pub(crate) struct Prepared<'r> {
    pub(crate) request: &'r Request<'r>,
    pub(crate) host: Cow<'r, str>,
    pub(crate) sni: Option<Cow<'r, str>>,
    method: Method<'r>,
}

impl<'r> Prepared<'r> {
    pub(crate) fn new(request: &'r Request<'r>) -> Prepared<'r> {
        Prepared {
            request,
            host: crate::host::comparable(request.host),
            sni: request.sni.map(crate::host::comparable),
            method: Method::new(request.method),
        }
    }

    /// The port that was asked for, as expressions see it.
    pub(crate) fn port(&self) -> Option<u16> {
        self.request.port.or(self.request.destination.map(|d| d.port()))
    }
}

impl Rule {
    /// Compiles a route; of its paths only those given, which are of one sort.
    pub(crate) fn new(route: &Route, paths: &[&str], rules: Rules) -> Result<Rule, Rejected> {
        let conditions = Conditions(route);
        let expression = match &route.expression {
            Some(_) if rules.traditional() => return Err(Rejected::Flavor),
            Some(source) => Some(Box::new(Expression::new(source, conditions.is_stream())?)),
            None if conditions.none() => return Err(Rejected::NoCondition),
            None => None,
        };
        // Kong lets an expression stand alone.
        let classic = expression.is_none();
        let only_snis = conditions.methods().is_empty()
            && conditions.hosts().is_empty()
            && conditions.paths().is_empty()
            && conditions.headers().is_none()
            && conditions.sources().is_empty()
            && conditions.destinations().is_empty();
        let mut rule = Rule {
            protocols: Schemes::required(route, rules),
            wildcard_least: usize::from(rules.traditional()),
            port_of: if rules.traditional() { PortOf::Scheme } else { PortOf::Listener },
            hosts: Box::default(),
            methods: Methods::default(),
            snis: Box::default(),
            // With `strict`, a route by nothing but SNIs does not take all plain requests.
            snis_of_plain: rules.calculation == Calculation::Original || !only_snis,
            sources: Box::default(),
            destinations: Box::default(),
            paths: Paths::Any,
            headers: Box::default(),
            expression,
        };
        if classic {
            rule.hosts = conditions.hosts().iter().map(|host| Host::new(host)).collect();
            rule.methods = Methods::new(conditions.methods(), rules.traditional());
            rule.snis = conditions.snis().iter().map(|sni| Name::sni(sni)).collect();
            rule.sources = conditions.sources().iter().map(Place::new).collect();
            rule.destinations = conditions.destinations().iter().map(Place::new).collect();
            rule.paths = Paths::new(paths)?;
            rule.headers = conditions
                .headers()
                .into_iter()
                .flatten()
                .map(|(name, values)| Header::new(name, values))
                .collect::<Result<_, _>>()?;
        }
        Ok(rule)
    }

    /// Whether all conditions hold; else the first that does not. Those that are `known` to hold
    /// are not looked at.
    pub(crate) fn evaluate<'t>(
        &'t self,
        request: &Prepared<'_>,
        known: Known,
    ) -> Result<Matched<'t>, Condition<'t>> {
        if !self.protocols.is_none_or(|allowed| allowed.contain(request.request.scheme)) {
            return Err(Condition::Protocols);
        }
        if !known.hosts && !self.host_holds(request) {
            return Err(Condition::Hosts);
        }
        if !self.methods.is_empty() && !self.methods.contain(request.method) {
            return Err(Condition::Methods);
        }
        if !self.snis.is_empty() && !self.sni_holds(request) {
            return Err(Condition::Snis);
        }
        if !place_holds(&self.sources, request.request.source) {
            return Err(Condition::Sources);
        }
        if !self.destinations.is_empty() && !self.destination_holds(request) {
            return Err(Condition::Destinations);
        }
        let mut matched =
            self.paths.find(request.request.path, known.paths).ok_or(Condition::Paths)?;
        for header in &self.headers {
            if !header.holds(request.request) {
                return Err(Condition::Header(&header.name));
            }
        }
        if let Some(expression) = &self.expression
            && !expression.evaluate(request, &mut matched)
        {
            return Err(Condition::Expression);
        }
        Ok(matched)
    }

    /// How it matches where nothing is left to look at beyond what is `known`.
    pub(crate) fn settled(&self, known: Known) -> Option<Settled> {
        let open = self.protocols.is_some()
            || !(known.hosts || self.hosts.is_empty())
            || !self.methods.is_empty()
            || !self.snis.is_empty()
            || !self.sources.is_empty()
            || !self.destinations.is_empty()
            || !self.headers.is_empty()
            || self.expression.is_some();
        match &self.paths {
            _ if open => None,
            Paths::Any => Some(Settled::AnyPath),
            Paths::Prefixes(prefixes) if known.paths => {
                let length = prefixes.first().map_or(0, |prefix| prefix.len());
                u32::try_from(length).ok().map(Settled::Prefix)
            }
            Paths::Prefixes(_) | Paths::Regexes(_) => None,
        }
    }

    /// Whether the index by host says all about the hosts.
    pub(crate) fn hosts_are_names_only(&self) -> bool {
        self.hosts.iter().all(|host| {
            host.port.is_none() && (self.wildcard_least == 0 || matches!(host.name, Name::Exact(_)))
        })
    }

    /// Whether SNIs are no condition for requests without TLS.
    pub(crate) fn snis_of_plain(&self) -> bool {
        self.snis_of_plain
    }

    /// Whether every scheme that `other` allows is allowed.
    pub(crate) fn covers_protocols_of(&self, other: &Rule) -> bool {
        match (self.protocols, other.protocols) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.0 & !own.0 == 0,
        }
    }

    fn host_holds(&self, request: &Prepared<'_>) -> bool {
        if self.hosts.is_empty() {
            return true;
        }
        let port = match self.port_of {
            PortOf::Scheme => request.request.port.or(request.request.scheme.default_port()),
            PortOf::Listener => request.port(),
        };
        self.hosts.iter().any(|host| {
            host.name.matches(&request.host, self.wildcard_least)
                && host.port.is_none_or(|wanted| port == Some(wanted))
        })
    }

    fn sni_holds(&self, request: &Prepared<'_>) -> bool {
        if !request.request.scheme.is_tls() {
            return self.snis_of_plain;
        }
        request
            .sni
            .as_deref()
            .is_some_and(|sni| self.snis.iter().any(|name| name.matches(sni, self.wildcard_least)))
    }

    fn destination_holds(&self, request: &Prepared<'_>) -> bool {
        let ip = network::ip(request.request.destination);
        // As in Kong, the port of the host counts where there is one.
        let port = request.port();
        self.destinations.iter().any(|place| place.matches(ip, port))
    }
}

fn place_holds(places: &[Place], address: Option<std::net::SocketAddr>) -> bool {
    places.is_empty() || {
        let (ip, port) = (network::ip(address), address.map(|a| a.port()));
        places.iter().any(|place| place.matches(ip, port))
    }
}

impl Host {
    fn new(configured: &str) -> Host {
        let (host, port) = crate::host::split(configured);
        Host { name: Name::host(host), port }
    }
}

impl Paths {
    fn new(paths: &[&str]) -> Result<Paths, Rejected> {
        match paths.first() {
            None => Ok(Paths::Any),
            Some(first) if is_regex(first) => paths
                .iter()
                .map(|path| Pattern::of_path(path.strip_prefix('~').unwrap_or(path)))
                .collect::<Result<_, _>>()
                .map(Paths::Regexes),
            Some(_) => {
                Ok(Paths::Prefixes(paths.iter().map(|path| path.as_bytes().into()).collect()))
            }
        }
    }

    /// What of the path matches; `None` if nothing does.
    fn find(&self, path: &[u8], known: bool) -> Option<Matched<'_>> {
        match self {
            Paths::Any => Some(Matched::default()),
            Paths::Prefixes(prefixes) if known => {
                Some(Matched { prefix: prefixes.first().map(|p| p.len()), pattern: None })
            }
            Paths::Prefixes(prefixes) => prefixes
                .iter()
                .find(|prefix| path.starts_with(prefix))
                .map(|prefix| Matched { prefix: Some(prefix.len()), pattern: None }),
            Paths::Regexes(patterns) => patterns.iter().find_map(|pattern| {
                let found = pattern.find(path)?;
                Some(Matched { prefix: Some(found.end), pattern: Some(pattern) })
            }),
        }
    }
}

impl Header {
    fn new(name: &str, values: &[String]) -> Result<Header, Rejected> {
        let values = values
            .iter()
            .map(|value| match value.strip_prefix("~*") {
                Some(regex) => Pattern::of_header(regex).map(HeaderValue::Regex),
                None => Ok(HeaderValue::Exact(value.to_ascii_lowercase().into_bytes().into())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Header { name: name.to_ascii_lowercase().into(), values })
    }

    /// Whether one of the request's values is one of those wanted.
    fn holds(&self, request: &Request<'_>) -> bool {
        let mut see = |value: &[u8]| {
            if self.values.iter().any(|wanted| wanted.matches(value)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        request.headers.each(&self.name, &mut see).is_break()
    }
}

impl HeaderValue {
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            HeaderValue::Exact(exact) => value.eq_ignore_ascii_case(exact),
            HeaderValue::Regex(regex) => regex.is_match(value),
        }
    }
}

impl Schemes {
    /// The schemes that the flavor makes a condition. Left out where a plain request shall be
    /// told to use TLS, and where TCP works with TLS.
    fn required(route: &Route, rules: Rules) -> Option<Schemes> {
        if rules.flavor != model::RouterFlavor::Expressions {
            return None;
        }
        if let [Protocol::Https | Protocol::Tls | Protocol::TlsPassthrough] = route.protocols[..] {
            return None;
        }
        let bits = route.protocols.iter().fold(0, |bits, protocol| {
            bits | Schemes::bit(match protocol {
                Protocol::Http | Protocol::Grpc => Scheme::Http,
                Protocol::Https | Protocol::Grpcs => Scheme::Https,
                Protocol::Tcp | Protocol::TlsPassthrough => Scheme::Tcp,
                Protocol::Tls => Scheme::Tls,
                Protocol::Udp => Scheme::Udp,
            })
        });
        Some(Schemes(bits))
    }

    fn bit(scheme: Scheme) -> u8 {
        match scheme {
            Scheme::Http => 1,
            Scheme::Https => 2,
            Scheme::Tcp => 4,
            Scheme::Tls => 8,
            Scheme::Udp => 16,
        }
    }

    fn contain(self, scheme: Scheme) -> bool {
        self.0 & Schemes::bit(scheme) != 0
    }
}
