//! A route of classic fields as the expression that Kong makes of it.

use std::fmt::Write as _;

use model::{Endpoint, Protocol, Route, RouterFlavor};

use crate::conditions::{Conditions, is_regex};
use crate::rules::Rules;

/// Kong's expression for a route, letter for letter: its own one if it has one, else one of the
/// conditions that it has; in the `expressions` flavor with its protocols.
pub(super) fn expression_of(route: &Route, rules: Rules) -> String {
    let conditions = route.expression.clone().unwrap_or_else(|| classic(route));
    match protocols(route) {
        Some(protocols) if rules.flavor == RouterFlavor::Expressions => {
            format!("({conditions}) && {protocols}")
        }
        _ => conditions,
    }
}

/// Left out where a plain request shall be told to use TLS, and where TCP works with TLS.
fn protocols(route: &Route) -> Option<String> {
    if let [Protocol::Https | Protocol::Tls | Protocol::TlsPassthrough] = route.protocols[..] {
        return None;
    }
    any_of(&route.protocols, |protocol| {
        let scheme = match protocol {
            Protocol::Http | Protocol::Grpc => "http",
            Protocol::Https | Protocol::Grpcs => "https",
            Protocol::Tcp | Protocol::TlsPassthrough => "tcp",
            Protocol::Tls => "tls",
            Protocol::Udp => "udp",
        };
        format!("net.protocol == {}", quoted(scheme))
    })
}

/// The conditions of the classic fields.
fn classic(route: &Route) -> String {
    let c = Conditions(route);
    let stream = c.is_stream();
    let mut terms = Vec::new();
    if let Some(snis) = any_of(c.snis(), |sni| sni_term(sni)) {
        let protocol = if stream { "tls" } else { "https" };
        terms.push(format!("(net.protocol != r#\"{protocol}\"# || {snis})"));
    }
    terms.extend(any_of(c.sources(), |e| place_term("net.src", e)));
    terms.extend(any_of(c.destinations(), |e| place_term("net.dst", e)));
    if !stream {
        terms.extend(any_of(c.methods(), |m| format!("http.method == {}", quoted(m))));
        terms.extend(any_of(c.hosts(), |host| host_term(host)));
        terms.extend(any_of(c.paths(), |path| path_term(path)));
        for (name, values) in c.headers().into_iter().flatten() {
            let field = name.to_lowercase().replace('-', "_");
            terms.extend(any_of(values, |value| header_term(&field, value)));
        }
    }
    terms.join(" && ")
}

fn any_of<T>(choices: &[T], term: impl Fn(&T) -> String) -> Option<String> {
    let terms: Vec<_> = choices.iter().map(term).collect();
    (!terms.is_empty()).then(|| format!("({})", terms.join(" || ")))
}

fn sni_term(sni: &str) -> String {
    let undotted = || sni.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(sni);
    if sni.starts_with('*') {
        format!("tls.sni =^ {}", quoted(undotted().trim_start_matches('*')))
    } else if let Some(prefix) = sni.strip_suffix('*') {
        format!("tls.sni ^= {}", quoted(prefix))
    } else {
        format!("tls.sni == {}", quoted(undotted()))
    }
}

fn place_term(side: &str, endpoint: &Endpoint) -> String {
    let ip = endpoint.ip.map(|ip| {
        let net = ip.net();
        if net.prefix_len() == net.max_prefix_len() {
            format!("{side}.ip == {}", net.addr())
        } else {
            format!("{side}.ip in {}", net.trunc())
        }
    });
    let port = endpoint.port.map(|port| format!("{side}.port == {port}"));
    match (ip, port) {
        (Some(ip), Some(port)) => format!("({ip} && {port})"),
        (ip, port) => ip.or(port).unwrap_or_default(),
    }
}

fn host_term(host: &str) -> String {
    let (name, port) = crate::host::split(host);
    let mut term = if let Some(suffix) = name.strip_prefix('*') {
        format!("http.host =^ r#\"{suffix}\"#")
    } else if let Some(prefix) = name.strip_suffix('*') {
        format!("http.host ^= r#\"{prefix}\"#")
    } else {
        format!("http.host == r#\"{name}\"#")
    };
    if let Some(port) = port {
        term.insert(0, '(');
        let _: std::fmt::Result = write!(term, " && net.dst.port == {port})");
    }
    term
}

fn path_term(path: &str) -> String {
    if is_regex(path) {
        let pattern = path.strip_prefix('~').unwrap_or(path).replace("?<", "?P<");
        format!("http.path ~ {}", quoted(&format!("^{pattern}")))
    } else {
        format!("http.path ^= {}", quoted(path))
    }
}

fn header_term(field: &str, value: &str) -> String {
    let (operator, value) =
        value.strip_prefix("~*").map_or(("==", value), |pattern| ("~", pattern));
    let value = quoted(&value.to_ascii_lowercase());
    format!("any(lower(http.headers.{field})) {operator} {value}")
}

fn quoted(text: &str) -> String {
    if text.contains("\"#") {
        format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        format!("r#\"{text}\"#")
    }
}

#[cfg(test)]
mod tests {
    use model::{Endpoint, Protocol, Route, RouterFlavor};

    use super::expression_of;
    use crate::rules::Rules;
    use crate::testing::{hosts, paths, route, texts, with_header};

    #[test]
    fn kongs_expressions() {
        for (route, expression) in [
            (
                hosts(&["a.com:8080", "b.*"]),
                r##"((http.host == r#"a.com"# && net.dst.port == 8080) || http.host ^= r#"b."#)"##,
            ),
            (
                Route { paths: texts(&["/foo"]), ..hosts(&["*.a.com"]) },
                r##"(http.host =^ r#".a.com"#) && (http.path ^= r#"/foo"#)"##,
            ),
            (paths(&["~/foo$"]), r##"(http.path ~ r#"^/foo$"#)"##),
            (
                with_header(route(), "X-A", &["~*^Foo", "Bar"]),
                r##"(any(lower(http.headers.x_a)) ~ r#"^foo"# || any(lower(http.headers.x_a)) == r#"bar"#)"##,
            ),
            (
                Route { protocols: vec![Protocol::Https], snis: texts(&["a.com"]), ..route() },
                r##"(net.protocol != r#"https"# || (tls.sni == r#"a.com"#))"##,
            ),
            (
                Route {
                    protocols: vec![Protocol::Tcp],
                    sources: Some(vec![Endpoint { ip: "1.1.1.1".parse().ok(), port: None }]),
                    destinations: Some(vec![Endpoint { ip: None, port: Some(80) }]),
                    ..route()
                },
                "(net.src.ip == 1.1.1.1) && (net.dst.port == 80)",
            ),
        ] {
            assert_eq!(expression_of(&route, Rules::default()), expression);
        }
        let with_protocols = Rules { flavor: RouterFlavor::Expressions, ..Rules::default() };
        assert_eq!(
            expression_of(
                &Route { protocols: vec![Protocol::Grpc], ..paths(&["/a"]) },
                with_protocols
            ),
            r##"((http.path ^= r#"/a"#)) && (net.protocol == r#"http"#)"##
        );
    }
}
