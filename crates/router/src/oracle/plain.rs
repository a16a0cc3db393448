//! Every route by its fields, one after another, as the reference says it and no faster.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use model::{Endpoint, Protocol, Route, RouterFlavor};
use regex_automata::meta::Regex;

use super::{Found, Kong};
use crate::conditions::{Conditions, is_regex};
use crate::entry::{groups, part_id};
use crate::rank::Rank;
use crate::request::{Request, Scheme};
use crate::rules::{Calculation, Rules};

/// All routes in their order, in any flavor.
#[derive(Debug)]
pub struct Plain {
    rules: Rules,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    rank: Rank,
    route: Route,
    paths: Vec<String>,
    /// The engine with this expression alone.
    expression: Option<Kong>,
}

impl Plain {
    /// The routes that the flavor takes.
    ///
    /// # Errors
    /// What Kong's engine says to an expression that it does not take.
    pub fn new(routes: &[Route], rules: Rules) -> Result<Plain, String> {
        let mut parts = Vec::new();
        for route in
            routes.iter().filter(|route| route.expression.is_none() || !rules.traditional())
        {
            let groups = groups(route, rules);
            for (paths, number) in groups.iter().zip(1..) {
                let id = if groups.len() == 1 { route.id } else { part_id(route.id, number) };
                let alone = Rules { flavor: RouterFlavor::TraditionalCompatible, ..rules };
                let expression = match &route.expression {
                    Some(_) => Some(Kong::new(std::slice::from_ref(route), alone)?),
                    None => None,
                };
                parts.push(Part {
                    rank: Rank::of(route, paths, id, number, rules),
                    route: route.clone(),
                    paths: paths.iter().map(|path| (*path).to_owned()).collect(),
                    expression,
                });
            }
        }
        parts.sort_by_key(|part| Reverse(part.rank));
        Ok(Plain { rules, parts })
    }

    /// The first route whose conditions all hold.
    pub fn find(&self, request: &Request<'_>) -> Option<Found> {
        self.parts.iter().find_map(|part| {
            let prefix = part.holds(self.rules, request)?;
            Some(Found { route: part.route.id, prefix })
        })
    }
}

impl Part {
    /// What of the path matches, if all conditions hold.
    fn holds(&self, rules: Rules, request: &Request<'_>) -> Option<Option<usize>> {
        let c = Conditions(&self.route);
        if c.is_stream() == request.scheme.is_http() || !protocols_hold(&self.route, rules, request)
        {
            return None;
        }
        if let Some(expression) = &self.expression {
            return expression.find(request).map(|found| found.prefix);
        }
        let all = one_of(c.hosts(), |host| host_holds(host, rules, request))
            && one_of(c.methods(), |method| method_holds(method, rules, request))
            && snis_hold(c, rules, request)
            && one_of(c.sources(), |place| {
                place_holds(place, request.source, request.source.map(|source| source.port()))
            })
            && one_of(c.destinations(), |place| {
                let port = request.port.or(request.destination.map(|address| address.port()));
                place_holds(place, request.destination, port)
            })
            && c.headers().into_iter().flatten().all(|(name, values)| {
                values.iter().any(|value| header_holds(name, value, request))
            });
        if !all {
            return None;
        }
        if self.paths.is_empty() {
            return Some(None);
        }
        self.paths.iter().find_map(|path| path_holds(path, request.path)).map(Some)
    }
}

fn one_of<T>(choices: &[T], holds: impl Fn(&T) -> bool) -> bool {
    choices.is_empty() || choices.iter().any(holds)
}

/// A condition in the `expressions` flavor only, and not where a redirect or TCP is to work.
fn protocols_hold(route: &Route, rules: Rules, request: &Request<'_>) -> bool {
    use Protocol::{Grpc, Grpcs, Http, Https, Tcp, Tls, TlsPassthrough, Udp};
    rules.flavor != RouterFlavor::Expressions
        || matches!(route.protocols[..], [Https | Tls | TlsPassthrough])
        || route.protocols.iter().any(|protocol| {
            request.scheme
                == match protocol {
                    Http | Grpc => Scheme::Http,
                    Https | Grpcs => Scheme::Https,
                    Tcp | TlsPassthrough => Scheme::Tcp,
                    Tls => Scheme::Tls,
                    Udp => Scheme::Udp,
                }
        })
}

/// The wildcard stands for something in the `traditional` flavor, for anything in the others.
fn name_holds(configured: &str, name: &str, rules: Rules) -> bool {
    let (configured, name) = (configured.to_ascii_lowercase(), name.to_ascii_lowercase());
    let least = usize::from(rules.traditional());
    match configured.split_once('*') {
        None => configured == name,
        Some((before, behind)) => {
            name.len() >= before.len() + behind.len() + least
                && name.starts_with(before)
                && name.ends_with(behind)
        }
    }
}

fn host_holds(configured: &str, rules: Rules, request: &Request<'_>) -> bool {
    let (name, wanted) = crate::host::split(configured);
    let by_scheme = match request.scheme {
        Scheme::Http => Some(80),
        Scheme::Https => Some(443),
        Scheme::Tcp | Scheme::Tls | Scheme::Udp => None,
    };
    let by_listener = request.destination.map(|address| address.port());
    let port = request.port.or(if rules.traditional() { by_scheme } else { by_listener });
    let bare = crate::host::without_brackets;
    name_holds(bare(name), bare(request.host), rules)
        && wanted.is_none_or(|wanted| port == Some(wanted))
}

fn method_holds(configured: &str, rules: Rules, request: &Request<'_>) -> bool {
    if rules.traditional() {
        configured.to_ascii_uppercase() == request.method
    } else {
        configured == request.method
    }
}

fn snis_hold(c: Conditions<'_>, rules: Rules, request: &Request<'_>) -> bool {
    if c.snis().is_empty() {
        return true;
    }
    if !request.scheme.is_tls() {
        let kinds = [
            c.hosts().is_empty(),
            c.paths().is_empty(),
            c.methods().is_empty(),
            c.headers().is_none(),
            c.sources().is_empty(),
            c.destinations().is_empty(),
        ];
        return rules.calculation == Calculation::Original || kinds.contains(&false);
    }
    c.snis().iter().any(|sni| {
        let undotted = sni.strip_suffix('.').filter(|sni| !sni.is_empty()).unwrap_or(sni);
        request.sni.is_some_and(|sni| name_holds(undotted, sni, rules))
    })
}

fn place_holds(place: &Endpoint, address: Option<std::net::SocketAddr>, port: Option<u16>) -> bool {
    place.ip.is_none_or(|ip| address.is_some_and(|a| ip.net().contains(&a.ip().to_canonical())))
        && place.port.is_none_or(|wanted| port == Some(wanted))
}

fn header_holds(name: &str, configured: &str, request: &Request<'_>) -> bool {
    let pattern = configured
        .strip_prefix("~*")
        .and_then(|pattern| Regex::new(&format!("(?i:{pattern})")).ok());
    let mut see = |value: &[u8]| {
        let holds = match &pattern {
            Some(pattern) => pattern.is_match(value),
            None => value.eq_ignore_ascii_case(configured.as_bytes()),
        };
        if holds { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    request.headers.each(&name.to_ascii_lowercase(), &mut see).is_break()
}

/// How much of the path matches.
fn path_holds(configured: &str, path: &[u8]) -> Option<usize> {
    if !is_regex(configured) {
        return path.starts_with(configured.as_bytes()).then_some(configured.len());
    }
    let pattern = Regex::new(&format!("^(?:{})", configured.trim_start_matches('~'))).ok()?;
    pattern.find(path).map(|found| found.end())
}
