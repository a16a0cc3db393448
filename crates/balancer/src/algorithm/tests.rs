//! The spread of round-robin, least-connections and latency.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{Algorithm as Name, Config};
use crate::local::{Hold, Part};
use crate::peer::{Lease, Peer, Turn};
use crate::pool::testing::{pool_of, put, remove};

fn ask<'a>(tried: &'a [SocketAddr], now: Instant) -> Ask<'a> {
    Ask { key: Key::None, tried, now }
}

fn picks(algorithm: &dyn Algorithm, pool: &Pool, count: u64) -> Vec<Slot> {
    let now = Instant::now();
    (0..count).map(|_| algorithm.pick(pool, &ask(&[], now)).unwrap()).collect()
}

fn counts(picks: &[Slot]) -> BTreeMap<Slot, u64> {
    picks.iter().fold(BTreeMap::new(), |mut counts, slot| {
        *counts.entry(*slot).or_default() += 1;
        counts
    })
}

/// Picks of one turn, and of each peer in it.
fn turn(weights: &[u32]) -> (u64, BTreeMap<Slot, u64>) {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u64::from(*weight)));
    let shares = (0..).zip(weights).filter(|(_, weight)| **weight > 0);
    let shares: BTreeMap<Slot, u64> =
        shares.map(|(slot, weight)| (slot, u64::from(*weight) / divisor)).collect();
    (shares.values().sum(), shares)
}

/// Every window of one turn's length, begun after any number of picks, has exactly the shares.
fn check_exact(weights: &[u32], seed: u64) {
    let pool = pool_of(weights);
    let algorithm = build(Name::RoundRobin, &pool, seed);
    let (length, shares) = turn(weights);
    let picks = picks(&*algorithm, &pool, 2 * length + 7);
    let window = counts(&picks[..length as usize]);
    assert_eq!(window, shares);
    for (leaving, entering) in picks.iter().zip(&picks[length as usize..]) {
        assert_eq!(leaving, entering, "turns repeat, so every window has the same shares");
    }
}

#[test]
fn recorded_shares() {
    for weights in [&[100, 100][..], &[100, 200, 0], &[10, 25], &[1_000, 100], &[65_535, 1], &[5]] {
        check_exact(weights, 0);
    }
    assert_eq!(turn(&[10, 25]).0, 7);
}

proptest! {
    #[test]
    fn a_copy_takes_the_turn_that_comes(
        weights in prop::collection::vec(prop_oneof![0u32..40, 100u32..2_000], 1..40),
        seed: u64,
        behind in 0u64..50,
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let pool = pool_of(&weights);
        for name in [Name::RoundRobin, Name::LeastConnections, Name::Latency] {
            let algorithm = build(name, &pool, seed);
            picks(&*algorithm, &pool, behind);
            let copied = picks(&*algorithm.rebuilt(&pool), &pool, 1);
            prop_assert_eq!(copied, picks(&*algorithm, &pool, 1), "{:?}", name);
        }
    }

    #[test]
    fn every_window_is_exact(weights in prop::collection::vec(0u32..40, 1..40), seed: u64) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        check_exact(&weights, seed);
    }

    #[test]
    fn every_window_of_a_long_turn_is_exact(
        weights in prop::collection::vec(100u32..2_000, 8..60),
        seed: u64,
    ) {
        check_exact(&weights, seed);
    }
}

/// How far a peer's picks in any run of picks are off its share of the run.
fn worst_lead(weights: &[u32]) -> f64 {
    let pool = pool_of(weights);
    let algorithm = build(Name::RoundRobin, &pool, 0);
    let (length, shares) = turn(weights);
    let picks = picks(&*algorithm, &pool, 2 * length);
    let mut worst: f64 = 0.0;
    for (slot, share) in shares {
        let share = share as f64 / length as f64;
        // The lead over the ideal at each moment; a run's is the difference of two.
        let mut lead = 0.0;
        let (mut low, mut high) = (0.0f64, 0.0f64);
        for pick in &picks {
            lead += f64::from(u8::from(*pick == slot)) - share;
            (low, high) = (low.min(lead), high.max(lead));
        }
        worst = worst.max(high - low);
    }
    worst
}

#[test]
fn a_heavy_peer_does_not_come_in_bursts() {
    let order = |weights: &[u32]| {
        let pool = pool_of(weights);
        let picks = picks(&*build(Name::RoundRobin, &pool, 0), &pool, turn(weights).0);
        picks.iter().map(|slot| char::from(b'a' + *slot as u8)).collect::<String>()
    };
    assert_eq!(order(&[1, 1, 1]), "abc");
    assert_eq!(order(&[3, 1]), "aaba");
    assert_eq!(order(&[5, 1, 1]), "abaaaca");
    assert_eq!(order(&[3, 2, 1]), "abacba");
    assert_eq!(order(&[4, 1, 1, 1, 1]), "abacadae");
    let mixed: Vec<u32> = (0..200).map(|n| 100 + n * 7 % 90).collect();
    // The last two are turns that are not laid out.
    for (weights, bound) in [
        (&[100, 1][..], 1.0),
        (&[7, 5, 3, 2, 1], 2.0),
        (&[997, 1_009, 1_013, 991, 499], 5.0),
        (&mixed, 5.0),
    ] {
        let lead = worst_lead(weights);
        assert!(lead <= bound, "{lead} of {} peers", weights.len());
    }
}

#[test]
fn the_spread_is_exact_over_all_threads() {
    for weights in [vec![3, 2, 1], vec![997, 1_009, 1_013, 991, 499]] {
        let pool = pool_of(&weights);
        let algorithm = build(Name::RoundRobin, &pool, 42);
        let (length, shares) = turn(&weights);
        let (threads, turns) = (4, 8);
        let begin = Barrier::new(threads);
        let all: Vec<Slot> = std::thread::scope(|scope| {
            let run = || {
                begin.wait();
                picks(&*algorithm, &pool, length * turns)
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
        });
        let expected =
            shares.into_iter().map(|(slot, share)| (slot, share * turns * threads as u64));
        assert_eq!(counts(&all), expected.collect());
    }
}

#[test]
fn a_change_keeps_the_turn() {
    let mut pool = pool_of(&[1, 1, 1]);
    let algorithm = build(Name::RoundRobin, &pool, 0);
    assert_eq!(picks(&*algorithm, &pool, 1), [0]);
    let algorithm = algorithm.rebuilt(&pool);
    assert_eq!(picks(&*algorithm, &pool, 1), [1], "nothing changed");
    put(&mut pool, 3, 1, true);
    let algorithm = algorithm.rebuilt(&pool);
    assert_eq!(picks(&*algorithm, &pool, 3), [2, 3, 0], "a new peer gets its place");
    remove(&mut pool, 1);
    let algorithm = algorithm.rebuilt(&pool);
    assert_eq!(picks(&*algorithm, &pool, 3), [2, 3, 0], "the next in line was removed");
    put(&mut pool, 2, 0, true);
    let algorithm = algorithm.rebuilt(&pool);
    assert_eq!(picks(&*algorithm, &pool, 2), [3, 0], "another one was drained");
}

#[test]
fn frequent_changes_favour_nobody() {
    let mut pool = pool_of(&[1, 1, 1, 1, 1]);
    let mut algorithm = build(Name::RoundRobin, &pool, 0);
    let mut all = Vec::new();
    for round in 0..1_000 {
        all.extend(picks(&*algorithm, &pool, 1));
        put(&mut pool, 5, round % 2, true);
        algorithm = algorithm.rebuilt(&pool);
    }
    let counts = counts(&all);
    for slot in 0..5 {
        let count = counts.get(&slot).copied().unwrap_or_default();
        assert!((170..=220).contains(&count), "{counts:?}");
    }
}

#[test]
fn an_empty_pool_has_nothing_to_pick() {
    let pool = Pool::default();
    for name in [
        Name::RoundRobin,
        Name::ConsistentHashing,
        Name::LeastConnections,
        Name::Latency,
        Name::StickySessions,
    ] {
        let algorithm = build(name, &pool, 3);
        assert_eq!(algorithm.pick(&pool, &ask(&[], Instant::now())), None, "{name:?}");
        assert_eq!(algorithm.rebuilt(&pool).pick(&pool, &ask(&[], Instant::now())), None);
    }
}

#[test]
fn no_algorithm_picks_what_was_tried() {
    let now = Instant::now();
    for size in [2u32, 3, 70, 250] {
        let weights: Vec<u32> =
            (0..size).map(|n| if n == 0 { 60_000 } else { 1 + n % 3 }).collect();
        let pool = pool_of(&weights);
        for name in [
            Name::RoundRobin,
            Name::ConsistentHashing,
            Name::LeastConnections,
            Name::Latency,
            Name::StickySessions,
        ] {
            let algorithm = build(name, &pool, 1);
            let address = |slot| pool.member(slot).unwrap().peer.address();
            let mut tried = vec![address(0)];
            while tried.len() < size as usize {
                let key = Key::Hash(9);
                let slot = algorithm.pick(&pool, &Ask { key, tried: &tried, now }).unwrap();
                assert!(!tried.contains(&address(slot)), "{name:?} {size}");
                tried.push(address(slot));
            }
        }
    }
}

fn lease_of(peer: Arc<Peer>, counted: bool) -> Lease {
    let config = Part::of(&Arc::new(Config::implicit(uuid::Uuid::nil(), "a.example")));
    Lease::new(config, Hold::Shared(peer), counted, Turn::Usual)
}

fn lease(algorithm: &dyn Algorithm, pool: &Pool, now: Instant) -> (Slot, Lease) {
    let slot = algorithm.pick(pool, &ask(&[], now)).unwrap();
    let peer = Arc::clone(&pool.member(slot).unwrap().peer);
    (slot, lease_of(peer, algorithm.counts()))
}

#[test]
fn least_connections_as_recorded() {
    let pool = pool_of(&[20, 50]);
    let algorithm = build(Name::LeastConnections, &pool, 0);
    let now = Instant::now();
    let leases: Vec<_> = (0..70).map(|_| lease(&*algorithm, &pool, now)).collect();
    let slots: Vec<Slot> = leases.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots[..3], [1, 1, 0]);
    assert_eq!(counts(&slots), BTreeMap::from([(0, 20), (1, 50)]));
}

#[test]
fn idle_peers_of_the_same_weight_take_turns() {
    for name in [Name::LeastConnections, Name::Latency] {
        let pool = pool_of(&[100, 100, 100]);
        let algorithm = build(name, &pool, 0);
        let picks = picks(&*algorithm, &pool, 30);
        assert_eq!(counts(&picks), BTreeMap::from([(0, 10), (1, 10), (2, 10)]), "{name:?}");
    }
}

#[test]
fn many_peers_are_filled_evenly_from_a_sample() {
    let weights: Vec<u32> = (0..1_000).map(|n| if n % 2 == 0 { 100 } else { 300 }).collect();
    let pool = pool_of(&weights);
    let algorithm = build(Name::LeastConnections, &pool, 5);
    let now = Instant::now();
    let leases: Vec<_> = (0..40_000).map(|_| lease(&*algorithm, &pool, now)).collect();
    for (_, lease) in &leases {
        let index = lease.peer().slot() as usize;
        let ideal = 40_000.0 * f64::from(weights[index]) / 200_000.0;
        let load = f64::from(lease.in_flight()) / ideal;
        assert!((0.8..1.25).contains(&load), "{index} has {load} of its share");
    }
}

#[test]
fn latency_prefers_the_faster_and_tries_the_slower_again() {
    let pool = pool_of(&[100, 100]);
    let algorithm = build(Name::Latency, &pool, 0);
    let mut now = Instant::now();
    let mut slots = Vec::new();
    for _ in 0..100 {
        let (slot, lease) = lease(&*algorithm, &pool, now);
        let took = Duration::from_millis(if slot == 0 { 150 } else { 5 });
        now += took;
        lease.observe(took, false, now);
        slots.push(slot);
    }
    assert!(counts(&slots)[&1] >= 97, "{:?}", counts(&slots));
    // Idle for long: all is forgotten, so the slow one gets its chance.
    now += Duration::from_secs(300);
    let again: Vec<Slot> = (0..2).map(|_| lease(&*algorithm, &pool, now).0).collect();
    assert_eq!(counts(&again).len(), 2);
}

#[test]
fn latency_does_not_flood_the_fastest() {
    let pool = pool_of(&[100, 100, 100]);
    let algorithm = build(Name::Latency, &pool, 0);
    let now = Instant::now();
    for (slot, ms) in [(0, 10), (1, 11), (2, 12)] {
        let peer = Arc::clone(&pool.member(slot).unwrap().peer);
        lease_of(peer, true).observe(Duration::from_millis(ms), false, now);
    }
    let leases: Vec<_> = (0..30).map(|_| lease(&*algorithm, &pool, now)).collect();
    let slots: Vec<Slot> = leases.iter().map(|(slot, _)| *slot).collect();
    assert!(counts(&slots).values().all(|count| (8..=12).contains(count)), "{:?}", counts(&slots));
}
