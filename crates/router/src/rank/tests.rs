use model::{Endpoint, Protocol, Route, RouterFlavor};

use super::Rank;
use crate::rules::{Calculation, Rules};
use crate::testing::{expression, hosts, paths, route, texts, with_header};

fn rank(route: &Route, rules: Rules) -> Rank {
    let paths: Vec<&str> = route.paths.iter().flatten().map(String::as_str).collect();
    Rank::of(route, &paths, route.id, 0, rules)
}

fn number(route: &Route, calculation: Calculation) -> u64 {
    rank(route, Rules { calculation, ..Rules::default() }).number()
}

fn with_method(route: Route) -> Route {
    Route { methods: texts(&["GET"]), ..route }
}

fn with_path(route: Route) -> Route {
    Route { paths: texts(&["/foo"]), ..route }
}

fn one_header(route: Route) -> Route {
    with_header(route, "x-a", &["1"])
}

fn regex(regex_priority: i64) -> Route {
    Route { regex_priority: Some(regex_priority), ..paths(&["~/foo"]) }
}

#[test]
fn numbers_of_kongs_own_function() {
    let plain = || hosts(&["a.com"]);
    let wildcard = || hosts(&["*.a.com"]);
    let foo = || paths(&["/foo"]);
    for (route, original, strict) in [
        (foo(), 536_870_916, 0x2000_0000_0000_0004),
        (plain(), 0x1000_0000_2000_0000, 0x3000_0000_0000_0000),
        (wildcard(), 536_870_912, 0x2000_0000_0000_0000),
        (with_path(plain()), 0x1000_0000_4000_0004, 0x5000_0000_0000_0004),
        (with_path(wildcard()), 1_073_741_828, 0x4000_0000_0000_0004),
        (with_method(with_path(plain())), 0x1000_0000_6000_0004, 0x7000_0000_0000_0004),
        (with_method(foo()), 1_073_741_828, 0x4000_0000_0000_0004),
        (one_header(with_method(foo())), 1_611_661_316, 0x6010_0000_0000_0004),
        // Kong's function returns -2146435068, which its caller converts to the top bit alone.
        (
            one_header(with_method(with_path(wildcard()))),
            0x8000_0000_0000_0000,
            0x8010_0000_0000_0004,
        ),
        (one_header(with_method(with_path(plain()))), 0x9000_0000_0010_0004, 0x9010_0000_0000_0004),
        (regex(0), 0x0008_0000_2000_0000, 0x2008_0000_0000_0000),
        (regex(5), 0x0008_0000_2028_0000, 0x2008_0000_0028_0000),
        (regex(8192), 0x0008_0000_2000_0000, 0x2008_0001_0000_0000),
        (regex(-3), 0x8008_0000_2000_0000, 0x2008_0000_0000_0000),
        (regex(4097), 0x8008_0000_2000_0000, 0x2008_0000_8008_0000),
        (with_method(regex(0)), 0x0008_0000_4000_0000, 0x4008_0000_0000_0000),
        (one_header(route()), 537_919_488, 0x2010_0000_0000_0000),
        (with_header(one_header(route()), "b", &["1"]), 538_968_064, 0x2020_0000_0000_0000),
        // An empty list of hosts counts as all exact.
        (with_path(hosts(&[])), 0x1000_0000_2000_0004, 0x3000_0000_0000_0004),
    ] {
        assert_eq!(number(&route, Calculation::Original), original, "original of {route:?}");
        assert_eq!(number(&route, Calculation::Strict), strict, "strict of {route:?}");
    }
}

#[test]
fn strict_orders_negative_regex_priorities() {
    let strict = Rules { calculation: Calculation::Strict, ..Rules::default() };
    let ranks = [-9, -3, 0, 5, 8192].map(|priority| rank(&regex(priority), strict));
    assert!(ranks.is_sorted(), "{ranks:?}");
}

#[test]
fn stream_numbers() {
    let ip = |ip: &str| Some(vec![Endpoint { ip: Some(ip.parse().unwrap()), port: None }]);
    let port = |port| Some(vec![Endpoint { ip: None, port: Some(port) }]);
    let tcp = || Route { protocols: vec![Protocol::Tcp], ..route() };
    let number = |route: &Route| number(route, Calculation::Original);
    assert_eq!(number(&Route { sources: ip("127.0.0.0/8"), ..tcp() }), 0x10);
    assert_eq!(
        number(&Route { sources: ip("127.0.0.1"), destinations: port(80), ..tcp() }),
        0x2000_0000_0000_0084
    );
    assert_eq!(number(&Route { snis: texts(&["a"]), ..tcp() }), 0x2000_0000_0000_0000);
}

#[test]
fn an_expression_outranks_classic_routes() {
    let expression = expression("http.path == \"/\"");
    let many = one_header(with_method(with_path(hosts(&["a.com"]))));
    for calculation in [Calculation::Original, Calculation::Strict] {
        assert!(number(&expression, calculation) > number(&many, calculation));
    }
}

#[test]
fn traditional_order() {
    let rules = Rules { flavor: RouterFlavor::Traditional, ..Rules::default() };
    // Each goes before the next.
    let routes = [
        one_header(with_method(paths(&["/foo"]))),
        with_path(hosts(&["*.a.com:80"])),
        with_path(hosts(&["a.com"])),
        Route { regex_priority: Some(9), ..with_method(paths(&["~/foo"])) },
        with_method(paths(&["~/foo"])),
        with_method(paths(&["/fooo"])),
        with_method(paths(&["/foo"])),
        hosts(&["a.com"]),
        hosts(&["*.a.com"]),
        with_header(one_header(route()), "b", &["1"]),
        one_header(route()),
        regex(5),
        regex(-3),
        paths(&["/foo/bar/baz"]),
        paths(&["/foo"]),
        Route { created_at: Some(7), ..paths(&["/fon"]) },
        with_method(route()),
        Route { snis: texts(&["a"]), ..route() },
    ];
    let ranks: Vec<_> = routes.iter().map(|r| std::cmp::Reverse(rank(r, rules))).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
}
