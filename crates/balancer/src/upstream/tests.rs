//! Long because they share one set of helpers and are read as one list of promises.

mod comeback;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;
use crate::config::{Algorithm, HashOn, Origin};
use crate::health::{Limits, Rules};
use crate::key::Key;
use crate::local::{Hold, Part};
use crate::peer::Turn;
use crate::target::ServiceAddress;
use crate::view::{Label, Weights};

fn config() -> Config {
    let limits = Limits { successes: 1, http_failures: 1, tcp_failures: 1, timeouts: 1 };
    Config {
        origin: Origin::Entity,
        passive: Rules {
            limits,
            healthy_statuses: [200].into_iter().collect(),
            unhealthy_statuses: [500].into_iter().collect(),
        },
        ..Config::implicit(Uuid::from_u128(1), "u.test")
    }
}

fn with(algorithm: Algorithm) -> Config {
    Config { algorithm, ..config() }
}

/// A target with `n` as its id, by `host:port`, at weight 100.
fn target(n: u128, place: &str) -> TargetSpec {
    let (host, port) = place.rsplit_once(':').unwrap();
    TargetSpec {
        id: Uuid::from_u128(n),
        host: host.into(),
        port: port.parse().unwrap(),
        weight: 100,
        failover: false,
    }
}

fn weighted(n: u128, place: &str, weight: u32) -> TargetSpec {
    TargetSpec { weight, ..target(n, place) }
}

fn upstream(config: Config, targets: &[TargetSpec]) -> Arc<Upstream> {
    let upstream = Upstream::new(config, 0);
    upstream.set_targets(targets);
    upstream
}

fn pick(upstream: &Upstream, tried: &[SocketAddr]) -> Result<Lease, NoPeer> {
    upstream.pick(&Pick { key: Key::None, tried, now: Instant::now() })
}

/// Who gets the next requests, by address.
fn spread(upstream: &Upstream, count: usize) -> BTreeMap<String, usize> {
    (0..count).fold(BTreeMap::new(), |mut spread, _| {
        let peer = pick(upstream, &[]).unwrap();
        *spread.entry(peer.address().to_string()).or_default() += 1;
        spread
    })
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(place, count)| (place.to_owned(), count)).collect()
}

fn peer_at(upstream: &Upstream, place: &str) -> Arc<Peer> {
    let mut peers = upstream.peers().into_iter();
    peers.find(|peer| peer.address().to_string() == place).unwrap()
}

fn fail(upstream: &Upstream, place: &str) -> Option<Transition> {
    let peer = peer_at(upstream, place);
    upstream.report(&peer, Outcome::Status(500), Source::Passive, Instant::now())
}

fn recover(upstream: &Upstream, place: &str) -> Option<Transition> {
    let peer = peer_at(upstream, place);
    upstream.report(&peer, Outcome::Status(200), Source::Passive, Instant::now())
}

#[test]
fn threshold_as_documented() {
    // Weights, which of them are out, threshold, whether that is healthy.
    let check = |weights: &[(u32, bool)], threshold: f64, healthy: bool| {
        let targets: Vec<TargetSpec> = (1..)
            .zip(weights)
            .map(|(n, (weight, _))| weighted(n, &format!("10.0.0.{n}:80"), *weight))
            .collect();
        let upstream = upstream(Config { threshold, ..config() }, &targets);
        for (n, _) in (1..).zip(weights).filter(|(_, (_, out))| *out) {
            upstream.set_health(&format!("10.0.0.{n}"), 80, None, false, Instant::now()).unwrap();
        }
        assert_eq!(upstream.view(Instant::now()).healthy, healthy, "{weights:?} at {threshold}");
        let expected = if healthy { None } else { Some(NoPeer::Unavailable) };
        assert_eq!(pick(&upstream, &[]).err(), expected);
    };
    check(&[(100, false), (100, true)], 0.0, true);
    check(&[(100, false), (100, true)], 50.0, false);
    check(&[(100, false), (100, true)], 49.0, true);
    check(&[(100, true)], 0.0, false);
    check(&[(0, false), (0, false)], 0.0, false);
    check(&[], 0.0, false);
    check(&[(100, false)], 100.0, false);
    check(&[(60, false), (40, true)], 50.0, true);
    check(&[(60, true), (40, false)], 50.0, false);
}

#[test]
fn errors_speak_as_kong_does() {
    let nothing = upstream(config(), &[]);
    let error = pick(&nothing, &[]).unwrap_err();
    assert_eq!(error.to_string(), "failure to get a peer from the ring-balancer");

    let service = Upstream::for_host(Uuid::from_u128(2), "a.example", 80, 0);
    assert_eq!(pick(&service, &[]).unwrap_err(), NoPeer::Unresolved);
    assert!(!service.is_resolved());
    service.set_answer("a.example", &Answer::Failed("no such name".into()));
    assert!(service.is_resolved());
    let error = pick(&service, &[]).unwrap_err();
    assert_eq!(error, NoPeer::NameResolution("no such name".into()));
    assert_eq!(error.to_string(), "name resolution failed");

    let named = upstream(config(), &[target(1, "a.example:80")]);
    assert_eq!(pick(&named, &[]).unwrap_err(), NoPeer::Unresolved);
    named.set_answer("a.example", &Answer::Failed("no such name".into()));
    assert_eq!(pick(&named, &[]).unwrap_err(), NoPeer::Unavailable);
}

#[test]
fn a_service_with_an_address_needs_no_resolver() {
    for (host, at) in [("10.0.0.1", "10.0.0.1:81"), ("::1", "[::1]:81")] {
        let service = Upstream::for_host(Uuid::from_u128(2), host, 81, 0);
        assert!(service.names().is_empty());
        assert_eq!(pick(&service, &[]).unwrap().address().to_string(), at);
    }
}

#[test]
fn failures_take_a_peer_out_and_transitions_say_so() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    let now = Instant::now();
    let peer = peer_at(&upstream, "10.0.0.1:80");
    let report = |outcome, source| upstream.report(&peer, outcome, source, now);

    assert!(report(Outcome::Status(404), Source::Passive).is_none());
    assert!(report(Outcome::Status(500), Source::Active).is_none(), "active checks are off");
    let transition = report(Outcome::Status(500), Source::Passive).unwrap();
    assert!(Arc::ptr_eq(&transition.peer, &peer));
    assert_eq!((transition.from, transition.to), (Health::Healthy, Health::Unhealthy));
    let cause = Cause::Report(Source::Passive, Outcome::Status(500));
    assert_eq!((transition.cause, transition.since), (cause, now));
    assert_eq!(cause.to_string(), "traffic: status 500");
    assert_eq!((peer.mark().cause, peer.mark().since), (cause, Some(now)));
    assert_eq!(spread(&upstream, 10), counts([("10.0.0.2:80", 10)]));

    assert!(report(Outcome::Timeout, Source::Passive).is_none(), "it is out already");
    assert_eq!(report(Outcome::Status(200), Source::Passive).unwrap().to, Health::Healthy);
    assert_eq!(spread(&upstream, 10), counts([("10.0.0.1:80", 5), ("10.0.0.2:80", 5)]));
}

#[test]
fn reports_of_peers_that_are_gone_change_nothing() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    let gone = peer_at(&upstream, "10.0.0.1:80");
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(1))]);
    // Its slot is taken by another one.
    upstream.change_targets(&[TargetChange::Put(target(3, "10.0.0.3:80"))]);
    let generation = upstream.generation();
    assert!(
        upstream.report(&gone, Outcome::Status(500), Source::Passive, Instant::now()).is_none()
    );
    assert_eq!(upstream.generation(), generation);
    assert_eq!(spread(&upstream, 4), counts([("10.0.0.2:80", 2), ("10.0.0.3:80", 2)]));
}

#[test]
fn health_is_set_by_hand() {
    let upstream = upstream(config(), &[target(1, "a.example:80"), target(2, "10.0.0.9:80")]);
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2)]));
    let now = Instant::now();
    let set = |host: &str, address: Option<&str>, healthy| {
        let address = address.map(|address| address.parse().unwrap());
        upstream.set_health(host, 80, address, healthy, now)
    };
    assert_eq!(set("a.example", None, false).unwrap().len(), 2);
    assert_eq!(set("a.example", None, false).unwrap().len(), 0, "nothing new");
    assert_eq!(spread(&upstream, 3), counts([("10.0.0.9:80", 3)]));
    let transitions = set("a.example", Some("10.0.0.2:80"), true).unwrap();
    assert_eq!(transitions.len(), 1);
    assert_eq!(transitions[0].cause, Cause::Manual);
    assert_eq!(spread(&upstream, 4), counts([("10.0.0.2:80", 2), ("10.0.0.9:80", 2)]));
    assert!(matches!(
        set("a.example", Some("10.0.0.3:80"), true),
        Err(CannotSet::UnknownTarget { .. })
    ));
    assert!(matches!(set("b.example", None, true), Err(CannotSet::UnknownTarget { .. })));

    upstream.configure(Config { passive: Rules::off(), ..config() });
    let error = set("a.example", None, true).unwrap_err();
    assert_eq!(error.to_string(), "no healthchecker found for u.test");
    assert_eq!(spread(&upstream, 6).len(), 3, "without checks all are healthy");
}

fn v4(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

#[test]
fn a_change_leaves_all_other_state_alone() {
    let targets: Vec<TargetSpec> = (1..=4).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect();
    let upstream = upstream(with(Algorithm::LeastConnections), &targets);
    let held: Vec<Lease> = (0..8).map(|_| pick(&upstream, &[]).unwrap()).collect();
    fail(&upstream, "10.0.0.2:80").unwrap();
    let before: Vec<Arc<Peer>> = upstream.peers();

    upstream.change_targets(&[TargetChange::Put(target(5, "10.0.0.5:80"))]);
    upstream.change_targets(&[TargetChange::Put(weighted(3, "10.0.0.3:80", 7))]);
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(4))]);
    upstream.configure(Config { threshold: 1.0, ..with(Algorithm::LeastConnections) });
    // All targets anew, one of them under another id.
    upstream.set_targets(&[targets[0].clone(), target(22, "10.0.0.2:80"), targets[2].clone()]);

    let after = upstream.peers();
    assert_eq!(after.len(), 3);
    for (old, new) in before.iter().zip(&after) {
        assert!(Arc::ptr_eq(old, new), "{} was made anew", old.address());
        assert_eq!(new.in_flight(), 2);
    }
    assert!(!after[1].health().is_available());
    assert!(recover(&upstream, "10.0.0.2:80").is_some());
    drop(held);
    assert!(after.iter().all(|peer| peer.in_flight() == 0));
}

#[test]
fn a_target_made_anew_in_one_go_keeps_its_state() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    fail(&upstream, "10.0.0.1:80").unwrap();
    upstream.change_targets(&[
        TargetChange::Remove(Uuid::from_u128(1)),
        TargetChange::Put(weighted(7, "10.0.0.1:80", 50)),
    ]);
    assert!(!peer_at(&upstream, "10.0.0.1:80").health().is_available());
    assert_eq!(upstream.view(Instant::now()).targets[0].id, Uuid::from_u128(7));
    // In two goes it is a new one, and new ones are healthy.
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(7))]);
    upstream.change_targets(&[TargetChange::Put(target(8, "10.0.0.1:80"))]);
    assert!(peer_at(&upstream, "10.0.0.1:80").health().is_available());
}

#[test]
fn a_target_may_move_and_swap_places() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    upstream.change_targets(&[TargetChange::Put(target(1, "10.0.0.3:81"))]);
    assert_eq!(spread(&upstream, 4), counts([("10.0.0.2:80", 2), ("10.0.0.3:81", 2)]));
    upstream.set_targets(&[target(1, "10.0.0.2:80"), target(2, "10.0.0.3:81")]);
    assert_eq!(spread(&upstream, 4), counts([("10.0.0.2:80", 2), ("10.0.0.3:81", 2)]));
    upstream.set_targets(&[]);
    assert_eq!(pick(&upstream, &[]).unwrap_err(), NoPeer::Unavailable);
    assert!(upstream.view(Instant::now()).targets.is_empty());
}

#[test]
fn names_bring_one_address_per_record_at_full_weight() {
    let upstream = upstream(
        config(),
        &[target(1, "a.example:80"), target(2, "a.example:81"), target(3, "10.0.0.9:80")],
    );
    assert_eq!(upstream.names(), ["a.example".into()]);
    assert_eq!(spread(&upstream, 2), counts([("10.0.0.9:80", 2)]), "goes on with what there is");
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2), v4(1)]));
    let expected = counts([
        ("10.0.0.1:80", 1),
        ("10.0.0.2:80", 1),
        ("10.0.0.1:81", 1),
        ("10.0.0.2:81", 1),
        ("10.0.0.9:80", 1),
    ]);
    assert_eq!(spread(&upstream, 5), expected);

    let generation = upstream.generation();
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2), v4(1)]));
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(2), v4(1), v4(1)]));
    upstream.set_answer("b.example", &Answer::Addresses(vec![v4(1)]));
    assert_eq!(upstream.generation(), generation, "nothing new");

    fail(&upstream, "10.0.0.2:80").unwrap();
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(2), v4(3)]));
    assert!(!peer_at(&upstream, "10.0.0.2:80").health().is_available(), "it stayed");
    // A target of the same name that comes later has the answer at once.
    upstream.change_targets(&[TargetChange::Put(target(4, "a.example:82"))]);
    assert!(spread(&upstream, 20).contains_key("10.0.0.3:82"));
    upstream.set_answer("a.example", &Answer::Failed("gone".into()));
    assert_eq!(spread(&upstream, 3), counts([("10.0.0.9:80", 3)]));
    upstream.set_targets(&[]);
    assert!(upstream.names().is_empty());
}

#[test]
fn srv_records_bring_port_and_weight() {
    let service = |last, port, weight| ServiceAddress {
        address: v4(last),
        port,
        weight,
        name: format!("n{last}.example").into(),
    };
    let upstream = upstream(config(), &[weighted(1, "_http._tcp.example:80", 7)]);
    let services = vec![service(1, 8001, 10), service(2, 0, 0), service(3, 8003, 20)];
    upstream.set_answer("_http._tcp.example", &Answer::Services(services));
    let expected = counts([("10.0.0.1:8001", 10), ("10.0.0.2:80", 1), ("10.0.0.3:8003", 20)]);
    assert_eq!(spread(&upstream, 31), expected);
    let peer = peer_at(&upstream, "10.0.0.1:8001");
    assert_eq!((&**peer.srv_name().unwrap(), peer.port()), ("n1.example", 80));

    upstream.change_targets(&[TargetChange::Put(weighted(1, "_http._tcp.example:80", 0))]);
    assert_eq!(pick(&upstream, &[]).unwrap_err(), NoPeer::Unavailable, "weight 0 is out");
}

#[test]
fn weight_zero_is_listed_and_gets_nothing() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), weighted(2, "10.0.0.2:80", 0)]);
    assert_eq!(spread(&upstream, 5), counts([("10.0.0.1:80", 5)]));
    assert_eq!(upstream.peers().len(), 1, "and is not probed");
    let view = upstream.view(Instant::now());
    assert_eq!(view.targets[1].health, Label::ChecksOff);
    assert_eq!(view.targets[1].addresses[0].health, Label::ChecksOff);
    assert_eq!(view.weight, Weights { total: 100, unavailable: 0 });
}

#[test]
fn failover_targets_wait_for_the_last_primary() {
    let spare = TargetSpec { failover: true, ..target(3, "10.0.0.3:80") };
    let targets = [target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80"), spare];
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::Latency] {
        let upstream = upstream(with(algorithm), &targets);
        assert!(!spread(&upstream, 30).contains_key("10.0.0.3:80"), "{algorithm:?}");
        fail(&upstream, "10.0.0.1:80");
        assert_eq!(spread(&upstream, 9), counts([("10.0.0.2:80", 9)]), "{algorithm:?}");
        fail(&upstream, "10.0.0.2:80");
        assert_eq!(spread(&upstream, 9), counts([("10.0.0.3:80", 9)]), "{algorithm:?}");
        fail(&upstream, "10.0.0.3:80");
        assert_eq!(pick(&upstream, &[]).unwrap_err(), NoPeer::Unavailable);
        recover(&upstream, "10.0.0.3:80");
        recover(&upstream, "10.0.0.1:80");
        assert_eq!(spread(&upstream, 9), counts([("10.0.0.1:80", 9)]), "{algorithm:?}");
    }
    let hashing = upstream(with(Algorithm::ConsistentHashing), &targets);
    let picked = |key| hashing.pick(&Pick { key: Key::Hash(key), tried: &[], now: Instant::now() });
    assert!((0..100).any(|key| picked(key).unwrap().address() == ([10, 0, 0, 3], 80).into()));
    hashing.configure(config());
    assert!(!spread(&hashing, 30).contains_key("10.0.0.3:80"), "kept back from now on");
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_another() {
    let targets: Vec<TargetSpec> = (1..=3).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect();
    for algorithm in
        [Algorithm::RoundRobin, Algorithm::ConsistentHashing, Algorithm::LeastConnections]
    {
        let upstream = upstream(with(algorithm), &targets);
        let mut tried = Vec::new();
        for attempt in 0..9 {
            let lease = pick(&upstream, &tried).unwrap();
            if attempt < 3 {
                assert!(!tried.contains(&lease.address()), "{algorithm:?}");
            }
            tried.push(lease.address());
        }
        // With one healthy peer left that was tried, it is tried again.
        fail(&upstream, "10.0.0.1:80");
        fail(&upstream, "10.0.0.2:80");
        assert_eq!(pick(&upstream, &tried).unwrap().address(), ([10, 0, 0, 3], 80).into());
    }
}

#[test]
fn attempts_beyond_the_peers_go_round() {
    let upstream = upstream(config(), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    for _ in 0..5 {
        let mut tried = Vec::new();
        let mut hits: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..4 {
            let lease = pick(&upstream, &tried).unwrap();
            tried.push(lease.address());
            *hits.entry(lease.address().to_string()).or_default() += 1;
        }
        assert_eq!(hits, counts([("10.0.0.1:80", 2), ("10.0.0.2:80", 2)]));
    }
}

struct Visitor {
    cookie: Option<String>,
}

impl Inputs for Visitor {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn client_ip(&self) -> IpAddr {
        v4(200)
    }
    fn header(&self, name: &str, found: &mut dyn FnMut(&[u8])) {
        if let (true, Some(cookie)) = (name.eq_ignore_ascii_case("cookie"), &self.cookie) {
            found(cookie.as_bytes());
        }
    }
    fn path(&self) -> &[u8] {
        b"/"
    }
    fn query(&self) -> Option<&[u8]> {
        None
    }
    fn capture(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }
    fn new_uuid(&self) -> Uuid {
        Uuid::from_u128(99)
    }
}

/// One request: the address it went to. The visitor keeps the cookie that it is given.
fn visit(upstream: &Upstream, visitor: &mut Visitor) -> String {
    let affinity = upstream.affinity(visitor);
    let lease =
        upstream.pick(&Pick { key: affinity.key(), tried: &[], now: Instant::now() }).unwrap();
    if let Some(text) = affinity.set_cookie(&lease) {
        visitor.cookie = text.split(';').next().map(str::to_owned);
    }
    lease.address().to_string()
}

#[test]
fn sticky_sessions_stay_until_the_target_is_gone() {
    let config = Config { sticky_cookie: "session".into(), ..with(Algorithm::StickySessions) };
    let targets: Vec<TargetSpec> = (1..=3).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect();
    let upstream = upstream(config, &targets);
    let mut visitor = Visitor { cookie: None };
    let home = visit(&upstream, &mut visitor);
    assert_eq!(home, "10.0.0.1:80");
    for _ in 0..5 {
        visit(&upstream, &mut Visitor { cookie: None });
        assert_eq!(visit(&upstream, &mut visitor), home);
    }
    upstream.change_targets(&[TargetChange::Put(weighted(1, "10.0.0.1:80", 0))]);
    assert_eq!(visit(&upstream, &mut visitor), home, "drained, not gone");
    assert!(!spread(&upstream, 12).contains_key(&home), "no new sessions");
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(1))]);
    let next = visit(&upstream, &mut visitor);
    assert_ne!(next, home);
    assert_eq!(visit(&upstream, &mut visitor), next, "the new cookie counts");
    fail(&upstream, &next);
    assert_ne!(visit(&upstream, &mut visitor), next, "unhealthy is as good as gone");
}

#[test]
fn hashing_keeps_its_word_over_changes() {
    let config =
        Config { hash_on: HashOn::Cookie("stick".into()), ..with(Algorithm::ConsistentHashing) };
    let upstream = upstream(config, &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    let mut visitor = Visitor { cookie: None };
    let home = visit(&upstream, &mut visitor);
    assert_eq!(visitor.cookie.as_deref(), Some("stick=00000000-0000-0000-0000-000000000063"));
    upstream.change_targets(&[TargetChange::Put(target(3, "10.0.0.3:80"))]);
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(3))]);
    assert_eq!(visit(&upstream, &mut visitor), home);
    fail(&upstream, &home);
    assert_ne!(visit(&upstream, &mut visitor), home);
    recover(&upstream, &home);
    assert_eq!(visit(&upstream, &mut visitor), home);
}

#[test]
fn a_new_peer_begins_at_the_average_latency() {
    let upstream =
        upstream(with(Algorithm::Latency), &[target(1, "10.0.0.1:80"), target(2, "10.0.0.2:80")]);
    let now = Instant::now();
    for (place, ms) in [("10.0.0.1:80", 10), ("10.0.0.2:80", 30)] {
        let lease = Lease::new(
            Part::of(&upstream.config()),
            Hold::Shared(peer_at(&upstream, place)),
            true,
            Turn::Usual,
        );
        lease.observe(Duration::from_millis(ms), false, now);
    }
    upstream.change_targets(&[TargetChange::Put(target(3, "10.0.0.3:80"))]);
    assert_eq!(peer_at(&upstream, "10.0.0.3:80").latency(now), Duration::from_millis(20));
}

#[test]
fn the_view_tells_it_all() {
    let spare = TargetSpec { failover: true, ..weighted(3, "c.example:80", 50) };
    let upstream = upstream(
        config(),
        &[target(1, "a.example:80"), target(2, "b.example:80"), spare, target(4, "[::1]:80")],
    );
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2)]));
    upstream.set_answer("b.example", &Answer::Failed("dns server error: 3 name error".into()));
    let transition = fail(&upstream, "10.0.0.2:80").unwrap();
    let view = upstream.view(Instant::now());
    assert_eq!((view.health(), view.healthy, view.checks_on), (Label::Healthy, true, true));
    assert_eq!(view.weight, Weights { total: 300, unavailable: 100 });
    let [v6, a, b, c] = &view.targets[..] else { panic!("{view:?}") };
    assert_eq!((&*a.host, &*a.dns, a.health), ("a.example", "A", Label::Healthy));
    assert_eq!((a.weight.available(), a.node_weight), (100, 100));
    let down = &a.addresses[1];
    assert_eq!((down.health, down.state), (Label::Unhealthy, Health::Unhealthy));
    assert_eq!((down.cause, down.since), (transition.cause, Some(transition.since)));
    assert_eq!((&*b.dns, b.health), ("dns server error: 3 name error", Label::DnsError));
    assert_eq!((&*c.dns, c.health, c.failover), ("unknown", Label::DnsError, true));
    assert_eq!((&*v6.host, &*v6.dns, v6.health), ("[::1]", "AAAA", Label::Healthy));

    upstream.configure(Config { passive: Rules::off(), ..config() });
    let view = upstream.view(Instant::now());
    assert_eq!((view.health(), view.targets[1].health), (Label::ChecksOff, Label::ChecksOff));
    assert_eq!(view.targets[2].health, Label::DnsError, "also with checks off");
    assert_eq!(view.weight.unavailable, 0);
}

struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn who_waits_for_a_name_is_woken_by_its_answer() {
    let upstream = Upstream::for_host(Uuid::nil(), "a.example", 80, 0);
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Arc::clone(&woken).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut resolved = std::pin::pin!(upstream.resolved());
    assert!(resolved.as_mut().poll(&mut context).is_pending());
    upstream.configure(Config::implicit(Uuid::nil(), "a.example"));
    assert!(!woken.0.load(Ordering::SeqCst), "nothing new");
    upstream.set_answer("a.example", &Answer::Failed("gone".into()));
    assert!(woken.0.load(Ordering::SeqCst), "a failure is an answer");
    assert!(resolved.as_mut().poll(&mut context).is_ready());
}

/// Threads pick and report while targets come, go and change: nobody is lost, nobody sees a half
/// of a change, and every transition is told once.
#[test]
fn picks_go_on_while_everything_changes() {
    let stay: Vec<TargetSpec> = (1..=3).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect();
    let upstream = upstream(config(), &stay);
    let done = AtomicBool::new(false);
    let toggles: usize = std::thread::scope(|scope| {
        let pickers: Vec<_> = (0..3)
            .map(|thread| {
                let (upstream, done) = (&upstream, &done);
                scope.spawn(move || {
                    let mut downs_less_ups = 0i64;
                    let mut round = 0;
                    while !done.load(Ordering::Relaxed) {
                        let lease = pick(upstream, &[]).unwrap();
                        let Some(last) = lease.host().strip_prefix("10.0.0.") else {
                            panic!("{lease:?}")
                        };
                        // Only the first goes up and down, so that there is always somebody.
                        if last == "1" {
                            round += 1;
                            let status = if round % 3 == thread { 500 } else { 200 };
                            let outcome = Outcome::Status(status);
                            let peer = lease.peer();
                            if let Some(transition) =
                                upstream.report(peer, outcome, Source::Passive, Instant::now())
                            {
                                downs_less_ups += if transition.to.is_available() { -1 } else { 1 };
                            }
                        } else if last == "2" {
                            let first = peer_at(upstream, "10.0.0.1:80");
                            let outcome = Outcome::Status(200);
                            let now = Instant::now();
                            if let Some(transition) =
                                upstream.report(&first, outcome, Source::Passive, now)
                            {
                                assert!(transition.to.is_available(), "its own doing is told");
                                downs_less_ups -= 1;
                            }
                        }
                    }
                    downs_less_ups
                })
            })
            .collect();
        for round in 0..300u128 {
            let extra = target(10 + round, &format!("10.0.0.{}:80", 10 + round % 100));
            let id = extra.id;
            upstream.change_targets(&[TargetChange::Put(extra)]);
            upstream.configure(Config { threshold: (round % 2) as f64, ..config() });
            upstream.change_targets(&[TargetChange::Remove(id)]);
        }
        done.store(true, Ordering::Relaxed);
        let sum: i64 = pickers.into_iter().map(|picker| picker.join().unwrap()).sum();
        usize::try_from(sum).unwrap()
    });
    let is_down = !peer_at(&upstream, "10.0.0.1:80").health().is_available();
    assert_eq!(toggles, usize::from(is_down), "every way down was followed by one way up");
    let weight = upstream.view(Instant::now()).weight;
    assert_eq!((weight.total, weight.available()), (300, if is_down { 200 } else { 300 }));
}
