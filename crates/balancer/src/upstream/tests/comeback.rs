//! What Weir has beyond Kong: ejection with trials, slow start, panic, failover in a retry.

use proptest::prelude::*;

use super::*;
use crate::config::PanicPolicy;
use crate::ejection::Ejection;

const SECOND: Duration = Duration::from_secs(1);

fn ejecting(algorithm: Algorithm, max_percent: f64) -> Config {
    let ejection = Ejection { time: 10 * SECOND, max_time: 60 * SECOND, max_percent };
    Config { ejection: Some(ejection), ..with(algorithm) }
}

fn three() -> Vec<TargetSpec> {
    (1..=3).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect()
}

fn pick_at(upstream: &Upstream, key: Key, now: Instant) -> Result<Lease, NoPeer> {
    upstream.pick(&Pick { key, tried: &[], now })
}

fn report(upstream: &Upstream, peer: &Arc<Peer>, status: u16, now: Instant) -> Option<Transition> {
    upstream.report(peer, Outcome::Status(status), Source::Passive, now)
}

/// How many of the next requests, one after the other, go to this place.
fn hits(upstream: &Upstream, place: &str, count: usize, now: Instant) -> usize {
    let place: SocketAddr = place.parse().unwrap();
    let picks = (0..count).map(|_| pick_at(upstream, Key::None, now).unwrap());
    picks.filter(|lease| lease.address() == place).count()
}

const FIRST: &str = "10.0.0.1:80";

#[test]
fn an_ejected_peer_comes_back_by_one_request() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::Latency] {
        let upstream = upstream(ejecting(algorithm, 50.0), &three());
        let begin = Instant::now();
        let peer = peer_at(&upstream, FIRST);
        let out = report(&upstream, &peer, 500, begin).unwrap();
        assert!(!out.to.is_available());
        assert_eq!(hits(&upstream, FIRST, 30, begin + 9 * SECOND), 0, "{algorithm:?}");
        let view = upstream.view(begin);
        assert_eq!(view.targets[0].addresses[0].until, Some(begin + 10 * SECOND));

        // On trial it has one request at a time.
        let trial = begin + 10 * SECOND;
        let lease = pick_at(&upstream, Key::None, trial).unwrap();
        assert_eq!(lease.address(), peer.address());
        assert_eq!(hits(&upstream, FIRST, 30, trial), 0, "{algorithm:?}");
        assert!(!peer.health().is_available(), "and is not well yet");
        drop(lease);
        assert_eq!(pick_at(&upstream, Key::None, trial).unwrap().address(), peer.address());

        // Failed: out for twice as long.
        assert!(report(&upstream, &peer, 500, trial).is_none(), "no news");
        assert_eq!(hits(&upstream, FIRST, 30, trial + 19 * SECOND), 0, "{algorithm:?}");
        let again = trial + 20 * SECOND;
        let lease = pick_at(&upstream, Key::None, again).unwrap();
        assert_eq!(lease.address(), peer.address());
        assert!(report(&upstream, &peer, 404, again).is_none(), "says nothing");
        drop(lease);

        // One success is enough.
        let lease = pick_at(&upstream, Key::None, again).unwrap();
        let back = report(&upstream, lease.peer(), 200, again).unwrap();
        assert!(back.to.is_available());
        drop(lease);
        assert!(hits(&upstream, FIRST, 30, again) >= 9, "{algorithm:?}");
        assert_eq!(upstream.view(again).weight.unavailable, 0);
    }
}

#[test]
fn no_more_than_the_share_is_ejected() {
    let targets: Vec<TargetSpec> = (1..=4).map(|n| target(n, &format!("10.0.0.{n}:80"))).collect();
    let upstream = upstream(ejecting(Algorithm::RoundRobin, 50.0), &targets);
    let now = Instant::now();
    for (n, is_out) in [(1, true), (2, true), (3, false), (4, false)] {
        let place = format!("10.0.0.{n}:80");
        let news = report(&upstream, &peer_at(&upstream, &place), 500, now);
        assert_eq!(news.is_some(), is_out, "{place}");
        assert_eq!(hits(&upstream, &place, 12, now) == 0, is_out, "{place}");
    }
    // One is back: there is room for another.
    let first = peer_at(&upstream, FIRST);
    upstream.report(&first, Outcome::Status(200), Source::Active, now);
    upstream.set_health("10.0.0.1", 80, None, true, now).unwrap();
    assert!(report(&upstream, &peer_at(&upstream, "10.0.0.3:80"), 500, now).is_some());
}

#[test]
fn when_all_are_ejected_the_first_trial_ends_it() {
    let upstream = upstream(ejecting(Algorithm::RoundRobin, 100.0), &three());
    let now = Instant::now();
    for peer in upstream.peers() {
        report(&upstream, &peer, 500, now);
    }
    assert_eq!(pick_at(&upstream, Key::None, now).unwrap_err(), NoPeer::Unavailable);
    let later = now + 10 * SECOND;
    let lease = pick_at(&upstream, Key::None, later).unwrap();
    report(&upstream, lease.peer(), 200, later).unwrap();
    assert!(pick_at(&upstream, Key::None, later).is_ok());
}

#[test]
fn where_a_key_names_the_peer_its_trial_is_by_its_own_requests() {
    let upstream = upstream(ejecting(Algorithm::ConsistentHashing, 100.0), &three());
    let begin = Instant::now();
    let owner = |key, now| pick_at(&upstream, Key::Hash(key), now).unwrap().address();
    let before: Vec<SocketAddr> = (0..300).map(|key| owner(key, begin)).collect();
    let peer = peer_at(&upstream, FIRST);
    for time in [10, 20, 40] {
        let out = begin + (time - 1) * SECOND;
        if time == 10 {
            report(&upstream, &peer, 500, begin).unwrap();
        }
        assert!((0..300).all(|key| owner(key, out) != peer.address()));
        if time < 40 {
            // On trial every key is where it was; the first failure takes it out again.
            let trial = begin + if time == 10 { 10 } else { 30 } * SECOND;
            let during: Vec<SocketAddr> = (0..300).map(|key| owner(key, trial)).collect();
            assert_eq!(during, before);
            assert!(report(&upstream, &peer, 500, trial).is_none());
        }
    }
    // All of them out: who is on trial may be asked, whatever the threshold.
    let now = begin + 60 * SECOND;
    for other in upstream.peers() {
        report(&upstream, &other, 500, now);
    }
    assert!(pick_at(&upstream, Key::Hash(1), now).is_err());
    let trial = now + 60 * SECOND;
    assert!(pick_at(&upstream, Key::Hash(1), trial).is_ok());
}

#[test]
fn hands_and_probes_have_the_word() {
    let upstream = upstream(ejecting(Algorithm::RoundRobin, 100.0), &three());
    let begin = Instant::now();
    let peer = peer_at(&upstream, FIRST);
    report(&upstream, &peer, 500, begin).unwrap();
    upstream.set_health("10.0.0.1", 80, None, false, begin).unwrap();
    let later = begin + 3_600 * SECOND;
    assert_eq!(hits(&upstream, FIRST, 30, later), 0, "set by hand, it has no trial");
    upstream.set_health("10.0.0.1", 80, None, true, later).unwrap();
    assert_eq!(hits(&upstream, FIRST, 30, later), 10);
    upstream.configure(Config {
        active: crate::config::ActiveChecks {
            healthy_interval: SECOND,
            rules: config().passive,
            ..crate::config::ActiveChecks::off()
        },
        ..ejecting(Algorithm::RoundRobin, 100.0)
    });
    report(&upstream, &peer, 500, later).unwrap();
    upstream.report(&peer, Outcome::Status(200), Source::Active, later).unwrap();
    assert_eq!(hits(&upstream, FIRST, 30, later), 10, "a probe brings it back at once");
    report(&upstream, &peer, 500, later).unwrap();
    upstream.configure(config());
    assert_eq!(hits(&upstream, FIRST, 30, later + 60 * SECOND), 0, "as Kong without ejection");
}

#[test]
fn a_target_that_was_removed_has_no_past() {
    let upstream = upstream(ejecting(Algorithm::RoundRobin, 100.0), &three());
    let now = Instant::now();
    report(&upstream, &peer_at(&upstream, FIRST), 500, now).unwrap();
    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(1))]);
    assert_eq!(upstream.view(now).weight, Weights { total: 200, unavailable: 0 });
    upstream.change_targets(&[TargetChange::Put(target(1, FIRST))]);
    let view = upstream.view(now);
    assert_eq!(view.targets[0].health, Label::Healthy);
    assert_eq!(view.targets[0].addresses[0].cause, Cause::Initial);
    assert_eq!(hits(&upstream, FIRST, 30, now), 10);
    assert_eq!(hits(&upstream, FIRST, 30, now + 60 * SECOND), 10, "and no trial is left of it");
}

#[test]
fn a_name_that_lost_an_address_forgets_its_health() {
    let upstream = upstream(config(), &[target(1, "a.example:80")]);
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2)]));
    fail(&upstream, "10.0.0.2:80").unwrap();
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1)]));
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1), v4(2)]));
    assert_eq!(peer_at(&upstream, "10.0.0.2:80").health(), Health::Healthy);
}

#[test]
fn a_share_grows_slowly() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::StickySessions] {
        let upstream = upstream(with(algorithm), &three());
        upstream.configure(Config { slow_start: 10 * SECOND, ..with(algorithm) });
        let begin = Instant::now();
        assert_eq!(hits(&upstream, FIRST, 30, begin), 10);
        upstream.change_targets(&[TargetChange::Put(target(4, "10.0.0.4:80"))]);
        // It grows from the first request on, and the others keep their equal shares.
        for (after, expected) in [(0, 1), (1, 2), (5, 6), (9, 10), (100, 10)] {
            let now = begin + after * SECOND;
            let turn = 30 + expected;
            assert_eq!(hits(&upstream, "10.0.0.4:80", turn, now), expected, "after {after} s");
            assert_eq!(hits(&upstream, FIRST, turn, now), 10, "after {after} s");
        }
        let now = begin + 200 * SECOND;
        let first = peer_at(&upstream, FIRST);
        report(&upstream, &first, 500, now);
        report(&upstream, &first, 200, now);
        assert_eq!(hits(&upstream, FIRST, 31, now), 1, "who comes back begins again");
        assert_eq!(hits(&upstream, FIRST, 40, now + 10 * SECOND), 10);
    }
}

#[test]
fn least_connections_fill_a_new_peer_slowly() {
    let config = Config { slow_start: 10 * SECOND, ..with(Algorithm::LeastConnections) };
    let upstream = upstream(config, &three());
    let begin = Instant::now();
    let old: Vec<Lease> = (0..90).map(|_| pick_at(&upstream, Key::None, begin).unwrap()).collect();
    upstream.change_targets(&[TargetChange::Put(target(4, "10.0.0.4:80"))]);
    let later = begin + 60 * SECOND;
    let new: Vec<Lease> = (0..9).map(|_| pick_at(&upstream, Key::None, later).unwrap()).collect();
    let on_new = new.iter().filter(|lease| lease.host().ends_with(".4")).count();
    assert!(on_new <= 4, "without slow start it would get all nine: {on_new}");
    drop(old);
}

#[test]
fn in_a_panic_everybody_is_asked_if_the_upstream_says_so() {
    let now = Instant::now();
    for algorithm in [Algorithm::RoundRobin, Algorithm::ConsistentHashing, Algorithm::Latency] {
        for (panic, threshold, down, served) in [
            (PanicPolicy::FailClosed, 0.0, 3, 0),
            (PanicPolicy::FailOpen, 0.0, 3, 3),
            (PanicPolicy::FailOpen, 50.0, 2, 3),
            (PanicPolicy::FailOpen, 0.0, 2, 1),
            (PanicPolicy::FailClosed, 50.0, 2, 0),
        ] {
            let config = Config { panic, threshold, ..with(algorithm) };
            let upstream = upstream(config.clone(), &three());
            for n in 1..=down {
                fail(&upstream, &format!("10.0.0.{n}:80"));
            }
            let asked = || {
                let picks = (0..60).map(|key| pick_at(&upstream, Key::Hash(key * 7_919), now));
                let places: std::collections::BTreeSet<SocketAddr> =
                    picks.filter_map(|lease| Some(lease.ok()?.address())).collect();
                places.len()
            };
            assert_eq!(asked(), served, "{algorithm:?} {panic:?} {threshold} {down}");
            assert!(!upstream.view(now).healthy || down == 2, "it is told as it is");
            // The policy takes effect at once.
            upstream.configure(Config { panic: PanicPolicy::FailOpen, ..config });
            assert_eq!(asked(), if (threshold, down) == (0.0, 2) { 1 } else { 3 });
            recover(&upstream, FIRST);
            recover(&upstream, "10.0.0.2:80");
            assert_eq!(asked(), if down == 3 { 2 } else { 3 }, "it ends by itself");
        }
    }
}

#[test]
fn a_retry_takes_who_is_kept_back_before_who_failed() {
    let spare = TargetSpec { failover: true, ..target(3, "10.0.0.3:80") };
    let targets = [target(1, FIRST), target(2, "10.0.0.2:80"), spare];
    let upstream = upstream(config(), &targets);
    let mut tried = Vec::new();
    for attempt in 0..3 {
        assert!(upstream.has_other(&tried));
        let lease = pick(&upstream, &tried).unwrap();
        assert_eq!(lease.host().ends_with(".3"), attempt == 2, "{tried:?}");
        tried.push(lease.address());
    }
    assert!(!upstream.has_other(&tried));
    let again = pick(&upstream, &tried).unwrap();
    assert!(!again.host().ends_with(".3"), "then a primary again");
}

#[test]
fn two_targets_at_one_address_are_one_to_a_retry() {
    let upstream = upstream(config(), &[target(1, "a.example:80"), target(2, "b.example:80")]);
    upstream.set_answer("a.example", &Answer::Addresses(vec![v4(1)]));
    upstream.set_answer("b.example", &Answer::Addresses(vec![v4(1), v4(2)]));
    for _ in 0..6 {
        let first = pick(&upstream, &[]).unwrap().address();
        let second = pick(&upstream, &[first]).unwrap().address();
        assert_ne!(first, second);
        assert!(!upstream.has_other(&[first, second]));
    }
}

/// What may happen to an upstream.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Report(usize, u16),
    Probe(usize, u16),
    Hand(usize, bool),
    Remove(usize),
    Put(usize, u32),
}

fn event() -> impl Strategy<Value = Event> {
    let peer = 0usize..5;
    prop_oneof![
        (0u64..20).prop_map(Event::Wait),
        (peer.clone(), prop::sample::select(vec![200u16, 404, 500]))
            .prop_map(|(n, s)| Event::Report(n, s)),
        (peer.clone(), prop::sample::select(vec![200u16, 500]))
            .prop_map(|(n, s)| Event::Probe(n, s)),
        (peer.clone(), any::<bool>()).prop_map(|(n, healthy)| Event::Hand(n, healthy)),
        peer.clone().prop_map(Event::Remove),
        (peer, 0u32..3).prop_map(|(n, weight)| Event::Put(n, weight * 50)),
    ]
}

proptest! {
    /// Whatever happens in whatever order: who is picked has a weight, is healthy or on trial, a
    /// trial is one request at a time, the weights add up, the bound of ejection holds, and when
    /// all calms down everybody that was ejected comes back.
    #[test]
    fn the_rules_hold_in_every_order(
        algorithm in prop::sample::select(vec![
            Algorithm::RoundRobin, Algorithm::ConsistentHashing, Algorithm::LeastConnections,
            Algorithm::Latency, Algorithm::StickySessions,
        ]),
        events in prop::collection::vec(event(), 1..80),
    ) {
        let config = Config { slow_start: 5 * SECOND, ..ejecting(algorithm, 60.0) };
        let upstream = upstream(config, &three());
        let mut now = Instant::now();
        let place = |n: usize| format!("10.0.0.{}:80", n + 1);
        let find = |n: usize| {
            upstream.peers().into_iter().find(|peer| peer.address().to_string() == place(n))
        };
        for event in events {
            match event {
                Event::Wait(seconds) => now += Duration::from_secs(seconds),
                Event::Report(n, status) => {
                    if let Some(peer) = find(n) {
                        report(&upstream, &peer, status, now);
                    }
                }
                Event::Probe(n, status) => {
                    if let Some(peer) = find(n) {
                        upstream.report(&peer, Outcome::Status(status), Source::Active, now);
                    }
                }
                Event::Hand(n, healthy) => {
                    // A target that is not there is refused.
                    let host = format!("10.0.0.{}", n + 1);
                    let _ = upstream.set_health(&host, 80, None, healthy, now);
                }
                Event::Remove(n) => {
                    upstream.change_targets(&[TargetChange::Remove(Uuid::from_u128(n as u128 + 1))]);
                }
                Event::Put(n, weight) => {
                    let target = weighted(n as u128 + 1, &place(n), weight);
                    upstream.change_targets(&[TargetChange::Put(target)]);
                }
            }
            let keyed =
                matches!(algorithm, Algorithm::ConsistentHashing | Algorithm::StickySessions);
            let mut trials: Vec<SocketAddr> = Vec::new();
            let mut leases = Vec::new();
            for key in 0..6 {
                let Ok(lease) = pick_at(&upstream, Key::Hash(key * 7_919), now) else { continue };
                let peer = lease.peer();
                if !peer.health().is_available() {
                    prop_assert!(peer.is_on_trial(), "{event:?} {peer:?}");
                    prop_assert!(keyed || !trials.contains(&peer.address()), "one at a time");
                    trials.push(peer.address());
                }
                leases.push(lease);
            }
            let view = upstream.view(now);
            let sum = |pick: fn(&Weights) -> u64| -> u64 {
                view.targets.iter().map(|target| pick(&target.weight)).sum()
            };
            prop_assert_eq!(view.weight.total, sum(|weight| weight.total));
            prop_assert_eq!(view.weight.unavailable, sum(|weight| weight.unavailable));
        }
        let out = |upstream: &Upstream| {
            let view = upstream.view(now);
            let addresses = view.targets.into_iter().flat_map(|target| target.addresses);
            addresses.filter(|address| address.until.is_some()).map(|it| it.address).collect()
        };
        let out: Vec<SocketAddr> = out(&upstream);
        let later = now + 61 * SECOND;
        for address in out {
            let Some(peer) = upstream.peers().into_iter().find(|it| it.address() == address) else {
                continue;
            };
            upstream.view(later);
            prop_assert!(peer.is_on_trial(), "{address}");
            report(&upstream, &peer, 200, later);
            prop_assert!(peer.health().is_available());
        }
    }
}
