//! Expressions: the parser, and what they mean, beside Kong's own engine.

use model::{Protocol, Route, RouterFlavor};
use router::oracle::{Kong, route};
use router::{Rejected, Request, Rules, Scheme, Table};
use uuid::Uuid;

/// Takes any text as the expression of a route.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let rules = Rules { flavor: RouterFlavor::Expressions, ..Rules::default() };
    let route = Route {
        id: Uuid::from_u128(1),
        // With this one alone there is no condition on the protocol.
        protocols: vec![Protocol::Https],
        expression: Some(text.to_owned()),
        priority: Some(0),
        ..route()
    };
    let mut table = Table::new(rules);
    let ours = table.insert(&route, ());
    if text.contains("net.port") {
        // Kong renames it before its engine sees it, as we do.
        return;
    }
    let theirs = Kong::new(std::slice::from_ref(&route), rules);
    let kong = match (ours, theirs) {
        (Ok(()), Ok(kong)) => kong,
        (Ok(()), Err(reason)) => panic!("we take what Kong does not ({reason}): {text}"),
        (Err(reason), Ok(_)) => {
            assert!(is_ours_alone(&reason), "Kong takes what we do not ({reason}): {text}");
            return;
        }
        (Err(_), Err(_)) => return,
    };
    if !comparable(text) {
        return;
    }
    with_requests(|request| {
        assert_eq!(
            table.find(request).is_some(),
            kong.find(request).is_some(),
            "{request:?} and {text}"
        );
    });
}

/// Whether it is one of the reasons that Kong has elsewhere than in its engine, or not at all.
fn is_ours_alone(reason: &Rejected) -> bool {
    let text = reason.to_string();
    ["illformed http.path.segments.*", "nested deeper", "longer than"]
        .iter()
        .any(|reason| text.contains(reason))
}

/// Whether it says nothing that Weir compares without regard to case, and Kong with.
fn comparable(text: &str) -> bool {
    let names = ["http.host", "tls.sni"].iter().any(|field| text.contains(field));
    let escapes = text.contains('\\');
    !text.bytes().any(|b| b.is_ascii_uppercase()) && !(names && (escapes || !text.is_ascii()))
}

fn with_requests(mut check: impl FnMut(&Request<'_>)) {
    let headers: &[(&str, &str)] = &[("x-a", "1"), ("x-b", "v1"), ("x-b", "2"), ("host", "a.test")];
    for (scheme, method, host, port, path, query) in [
        (Scheme::Http, "get", "a.test", None, "/a/b", Some("q=1&q=2&r")),
        (Scheme::Https, "post", "b.test", Some(8443), "/a/b/c/", Some("")),
        (Scheme::Http, "put", "", Some(80), "/", None),
    ] {
        check(&Request {
            scheme,
            method,
            host,
            port,
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            headers: &headers,
            sni: scheme.is_tls().then_some("a.test"),
            source: Some(([10, 0, 0, 1], 40000).into()),
            destination: Some(([0, 0, 0, 0, 0, 0, 0, 1], 8000).into()),
        });
    }
}
