//! What a real Kong answered.

use model::{Protocol, Route};
use uuid::Uuid;

use crate::request::{Request, Scheme};
use crate::rules::{Calculation, Rules};
use crate::table::Table;
use crate::testing::{hosts, paths, request, route, texts, with_header, with_id};
use crate::{Condition, path};

fn table(routes: impl IntoIterator<Item = Route>) -> Table<u128> {
    strict_or_not(routes, Calculation::Original)
}

fn strict_or_not(routes: impl IntoIterator<Item = Route>, calculation: Calculation) -> Table<u128> {
    let mut table = Table::new(Rules { calculation, ..Rules::default() });
    for route in routes {
        table.insert(&route, route.id.as_u128()).unwrap();
    }
    table
}

fn found(table: &Table<u128>, request: &Request<'_>) -> Option<u128> {
    table.find(request).map(|found| *found.payload)
}

fn headers<'a>(of: Request<'a>, headers: &'a &'a [(&'static str, &'static str)]) -> Request<'a> {
    Request { headers, ..of }
}

#[test]
fn exact_host_whatever_the_port() {
    let table =
        table([with_id(1, hosts(&["one.test"])), with_id(2, hosts(&["two.test", "zwei.test"]))]);
    for (host, route) in [
        ("one.test", Some(1)),
        ("two.test", Some(2)),
        ("zwei.test", Some(2)),
        ("one.test:8888", Some(1)),
        ("three.test", None),
        ("sub.one.test", None),
        ("one.test.", None),
        // Kong compares byte by byte; names of hosts have no case (RFC 4343).
        ("ONE.test", Some(1)),
    ] {
        assert_eq!(found(&table, &request(host, "/")), route, "{host}");
    }
}

#[test]
fn port_of_a_host() {
    let table = table([
        with_id(1, hosts(&["plain.test"])),
        with_id(2, hosts(&["p.test:81"])),
        with_id(3, hosts(&["[::1]:80"])),
        with_id(4, hosts(&["listener.test:8000"])),
    ]);
    for (host, route) in [
        ("plain.test", Some(1)),
        ("plain.test:81", Some(1)),
        ("p.test:81", Some(2)),
        ("p.test", None),
        ("p.test:82", None),
        ("[::1]:80", Some(3)),
        ("[::1]:81", None),
        ("listener.test", Some(4)),
    ] {
        assert_eq!(found(&table, &request(host, "/")), route, "{host}");
    }
}

#[test]
fn exact_hosts_outrank_more_conditions() {
    let routes = || {
        [
            with_id(1, hosts(&["w.test"])),
            with_id(
                2,
                with_header(Route { methods: texts(&["GET"]), ..paths(&["/w"]) }, "x-w", &["1"]),
            ),
            with_id(
                3,
                Route { methods: texts(&["GET"]), paths: texts(&["/w"]), ..hosts(&["*.w.test"]) },
            ),
            with_id(4, hosts(&["s.w.test"])),
        ]
    };
    let one: &[_] = &[("x-w", "1")];
    for (calculation, by_host, by_subdomain) in
        [(Calculation::Original, 1, 4), (Calculation::Strict, 2, 3)]
    {
        let table = strict_or_not(routes(), calculation);
        assert_eq!(found(&table, &headers(request("w.test", "/w"), &one)), Some(by_host));
        assert_eq!(found(&table, &headers(request("other.test", "/w"), &one)), Some(2));
        assert_eq!(found(&table, &request("s.w.test", "/w")), Some(by_subdomain));
        assert_eq!(found(&table, &request("z.w.test", "/w")), Some(3));
    }
}

#[test]
fn negative_regex_priority_outranks_a_positive_one() {
    let routes = || {
        [
            with_id(1, Route { regex_priority: Some(5), ..paths(&["~/files/[a-z]+"]) }),
            with_id(2, Route { regex_priority: Some(-3), ..paths(&["~/fil.*"]) }),
        ]
    };
    let request = request("", "/files/abc");
    assert_eq!(found(&table(routes()), &request), Some(2));
    assert_eq!(found(&strict_or_not(routes(), Calculation::Strict), &request), Some(1));
}

#[test]
fn a_tie_goes_to_the_greater_id() {
    let mut table = table([with_id(9, paths(&["/t"])), with_id(2, paths(&["/t"]))]);
    assert_eq!(found(&table, &request("", "/t")), Some(9));
    assert!(table.remove(Uuid::from_u128(9)));
    assert!(!table.remove(Uuid::from_u128(9)));
    assert_eq!(found(&table, &request("", "/t")), Some(2));
}

#[test]
fn longest_prefix_and_regular_expressions() {
    let table = table([
        with_id(1, paths(&["/api/v1/users"])),
        with_id(2, paths(&[r"~/api/v\d/"])),
        with_id(3, paths(&["/"])),
        with_id(4, paths(&["/several", "/several/longer"])),
    ]);
    for (path, route, prefix) in [
        ("/api/v1/users", 2, 8),
        ("/api/v2/x", 2, 8),
        ("/api/x", 3, 1),
        ("/several/longer/x", 4, 15),
        ("/severally", 4, 8),
    ] {
        let request = request("any", path);
        let found = table.find(&request).unwrap();
        assert_eq!((*found.payload, found.prefix), (route, Some(prefix)), "{path}");
    }
    assert_eq!(found(&table, &request("any", "")), None);
}

#[test]
fn headers_without_case() {
    let table = table([
        with_id(1, with_header(route(), "x-v", &["one", "Two"])),
        with_id(2, with_header(with_header(route(), "X-V", &["three"]), "x-w", &["yes"])),
        with_id(3, with_header(route(), "x-r", &[r"~*^V\D[1-3]$"])),
    ]);
    let cases: [(&[_], Option<u128>); 9] = [
        (&[("X-V", "one")], Some(1)),
        (&[("x-v", "TWO")], Some(1)),
        (&[("x-v", "three")], None),
        (&[("x-v", "three"), ("x-w", "yes")], Some(2)),
        (&[("x-v", "three"), ("x-w", "no")], None),
        (&[("x-v", "zzz"), ("x-v", "two")], Some(1)),
        (&[("x-v", "onetwo")], None),
        // In Kong the pattern is put in lower case, which turns \D into \d.
        (&[("x-r", "v-2")], Some(3)),
        (&[("x-r", "v12")], None),
    ];
    for (fields, route) in &cases {
        assert_eq!(found(&table, &headers(request("", "/"), fields)), *route, "{fields:?}");
    }
}

#[test]
fn snis_only_bind_tls() {
    let sni = |id, name, paths: Option<Vec<String>>| {
        let protocols = vec![Protocol::Https];
        with_id(id, Route { protocols, snis: texts(&[name]), paths, ..route() })
    };
    let routes = || [sni(1, "s1.test", texts(&["/sni"])), sni(2, "only.test", None)];
    let table = table(routes());
    let tls = |sni| Request { scheme: Scheme::Https, sni, ..request("x", "/sni") };
    assert_eq!(found(&table, &tls(Some("S1.test"))), Some(1));
    assert_eq!(found(&table, &tls(Some("only.test"))), Some(2));
    assert_eq!(found(&table, &tls(Some("other.test"))), None);
    assert_eq!(found(&table, &tls(None)), None);
    assert_eq!(found(&table, &request("x", "/sni")), Some(1));
    assert_eq!(found(&table, &request("x", "/other")), Some(2));
    let strict = strict_or_not(routes(), Calculation::Strict);
    assert_eq!(found(&strict, &request("x", "/other")), None);
    assert_eq!(found(&strict, &request("x", "/sni")), Some(1));
}

#[test]
fn captures_are_those_of_the_path() {
    let table = table([with_id(1, paths(&[r"~/users/(?<user>[^/]+)/(\d+)?"]))]);
    let normal = path::normalise(b"/users/%6aohn%20doe/");
    let request = Request { path: &normal, ..request("", "") };
    let found = table.find(&request).unwrap();
    let captures = found.captures().unwrap();
    assert_eq!(captures.named("user"), Some(&b"john doe"[..]));
    assert_eq!(captures.get(0), Some(&b"/users/john doe/"[..]));
    assert_eq!(captures.get(2), None);
    assert_eq!(captures.iter().count(), 3);
}

#[test]
fn candidates_say_what_failed() {
    let table = table([
        with_id(1, Route { methods: texts(&["POST"]), ..paths(&["/a"]) }),
        with_id(2, with_header(paths(&["/a"]), "x-a", &["1"])),
        with_id(3, paths(&["/"])),
        with_id(4, paths(&["/b"])),
    ]);
    let request = request("", "/a");
    let outcomes: Vec<_> = table
        .candidates(&request)
        .into_iter()
        .map(|candidate| (*candidate.payload, candidate.outcome.err()))
        .collect();
    assert_eq!(
        outcomes,
        [(2, Some(Condition::Header("x-a"))), (1, Some(Condition::Methods)), (3, None)]
    );
    let check = |id| {
        let candidates = table.check(Uuid::from_u128(id), &request);
        candidates.iter().map(|c| c.outcome.err()).collect::<Vec<_>>()
    };
    assert_eq!(check(2), [Some(Condition::Header("x-a"))]);
    assert_eq!(check(4), [Some(Condition::Paths)]);
    assert_eq!(check(9), []);
}

#[test]
fn a_route_that_cannot_be_compiled_leaves_the_former() {
    let mut table = table([with_id(1, paths(&["/a"]))]);
    assert!(table.insert(&with_id(1, paths(&["~/(?=x)"])), 2).is_err());
    assert!(table.insert(&with_id(1, route()), 2).is_err());
    assert_eq!(found(&table, &request("", "/a")), Some(1));
}

#[test]
fn many_hosts_and_paths_are_not_multiplied_without_bound() {
    let hosts: Vec<_> = (0..200).map(|n| format!("h{n}.test")).collect();
    let paths: Vec<_> = (100..300).map(|n| format!("/p{n}")).collect();
    let table = table([with_id(1, Route { hosts: Some(hosts), paths: Some(paths), ..route() })]);
    assert_eq!(found(&table, &request("h7.test", "/p299/x")), Some(1));
    assert_eq!(found(&table, &request("h7.test", "/p300")), None);
    assert_eq!(found(&table, &request("h200.test", "/p299")), None);
}

#[test]
fn paths_beyond_the_depth_of_the_index() {
    let long = format!("/{}", "a".repeat(2000));
    let longer = format!("{long}b");
    let table = table([with_id(1, paths(&[&long])), with_id(2, paths(&[&longer]))]);
    assert_eq!(found(&table, &request("", &longer)), Some(2));
    assert_eq!(found(&table, &request("", &long)), Some(1));
    assert_eq!(found(&table, &request("", &long[..1999])), None);
}
