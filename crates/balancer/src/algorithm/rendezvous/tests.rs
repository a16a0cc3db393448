use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::pool::testing::{pool_of, put, remove};

/// As many different keys.
fn keys(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| xxhash_rust::xxh32::xxh32(format!("user-{n}").as_bytes(), 0))
}

fn owners(pool: &Pool, count: u32) -> Vec<Slot> {
    let hashing = Rendezvous::new(pool);
    keys(count).map(|key| hashing.winner(key, None).unwrap()).collect()
}

/// The sum of squared deviations from the weights' shares, by their variance.
fn chi_squared(owners: &[Slot], weights: &[u32]) -> f64 {
    let mut counts = vec![0.0; weights.len()];
    owners.iter().for_each(|slot| counts[*slot as usize] += 1.0);
    let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
    let expected = weights.iter().map(|weight| f64::from(*weight) / total * owners.len() as f64);
    let used = counts.iter().zip(expected).filter(|(_, expected)| *expected > 0.0);
    used.map(|(count, expected)| (count - expected).powi(2) / expected).sum()
}

/// The value that chi-squared exceeds by chance once in 100,000 times (Wilson and Hilferty).
fn critical(degrees: usize) -> f64 {
    let degrees = degrees as f64;
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + 4.265 * spread.sqrt()).powi(3)
}

#[test]
fn shares_follow_the_weights() {
    let check = |weights: &[u32]| {
        let pool = pool_of(weights);
        let chi = chi_squared(&owners(&pool, 100_000), weights);
        let limit = critical(weights.iter().filter(|weight| **weight > 0).count() - 1);
        assert!(chi < limit, "{} peers: {chi:.1}, limit {limit:.1}", weights.len());
    };
    check(&[100, 100]);
    check(&[100, 300]);
    check(&[100, 200, 0]);
    check(&[1, 65_535]);
    check(&[100; 10]);
    check(&[10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    for size in [61, 10_000] {
        check(&vec![100; size]);
        check(&(0..size).map(|n| [50, 100, 150, 200, 97, 103][n % 6]).collect::<Vec<_>>());
    }
    // One peer that is much heavier than all others together, among many.
    let mut heavy = vec![10; 2_000];
    heavy.push(60_000);
    check(&heavy);
}

#[test]
fn removing_one_of_many_moves_little_more_than_its_share() {
    for size in [3u32, 10, 61, 100] {
        let mut pool = pool_of(&vec![100; size as usize]);
        let before = owners(&pool, 100_000);
        remove(&mut pool, size / 2);
        let after = owners(&pool, 100_000);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let limit = 1.1 / f64::from(size);
        assert!(moved as f64 / 100_000.0 <= limit, "{size}: {moved} of 100,000");
    }
}

#[test]
fn removing_a_peer_moves_its_keys_and_hardly_others() {
    for size in [2, 10, 100, 500] {
        for uneven in [false, true] {
            let weight = |n: u32| if uneven { 50 + n % 4 * 50 } else { 100 };
            let weights: Vec<u32> = (0..size).map(weight).collect();
            let mut pool = pool_of(&weights);
            let before = owners(&pool, 20_000);
            let leaving = size / 2;
            remove(&mut pool, leaving);
            let after = owners(&pool, 20_000);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            let not_its = moved.filter(|(before, _)| **before != leaving).count();
            let share = f64::from(weight(leaving)) / f64::from(weights.iter().sum::<u32>());
            // Who had been driven from its home by the one that left, goes back.
            assert!(not_its as f64 <= 0.05 * share * 20_000.0, "{size}: {not_its} others moved");
        }
    }
}

#[test]
fn keys_moved_by_one_of_n_stay_below_the_bound() {
    for size in [10, 100, 1_000] {
        let mut moved = 0;
        // Over several peers, since the share of one varies by chance with 100,000 keys.
        let leavers = [0, size / 2];
        for leaving in leavers {
            let mut pool = pool_of(&vec![100; size as usize]);
            let before = owners(&pool, 100_000);
            remove(&mut pool, leaving);
            let after = owners(&pool, 100_000);
            moved += before.iter().zip(&after).filter(|(before, after)| before != after).count();
        }
        let share = moved as f64 / (leavers.len() as f64 * 100_000.0);
        assert!(share <= 1.1 / f64::from(size), "{size}: {share}");
    }
}

#[test]
fn a_weight_moves_keys_one_way() {
    for size in [5, 50, 600] {
        let mut pool = pool_of(&vec![100; size as usize]);
        let before = owners(&pool, 20_000);
        put(&mut pool, 1, 150, true);
        let after = owners(&pool, 20_000);
        let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        assert!(!moved.is_empty());
        assert!(moved.iter().all(|(_, to)| **to == 1), "{size}: only to the heavier one");
    }
}

#[test]
fn an_outage_is_undone_by_its_end() {
    for size in [3, 40, 700] {
        let mut pool = pool_of(&vec![100; size as usize]);
        let before = owners(&pool, 5_000);
        for slot in 0..size / 2 {
            put(&mut pool, slot, 100, false);
        }
        let meanwhile = owners(&pool, 5_000);
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert!(*meanwhile >= size / 2);
            assert!(*before < size / 2 || before == meanwhile, "who is up keeps its keys");
        }
        for slot in 0..size / 2 {
            put(&mut pool, slot, 100, true);
        }
        assert_eq!(owners(&pool, 5_000), before);
    }
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let build = |order: &mut dyn Iterator<Item = u32>| {
        let mut pool = Pool::default();
        for slot in order {
            put(&mut pool, slot, 100, true);
        }
        pool
    };
    // Other slots for the same peers, as after removals, would show as well: identities decide.
    for size in [5, 2_000] {
        let forward = owners(&build(&mut (0..size)), 5_000);
        let backward = owners(&build(&mut (0..size).rev()), 5_000);
        assert_eq!(forward, backward);
    }
    let settled = |pool: &Pool| {
        let homes = settle(pool).homes;
        homes.into_iter().map(|home| (home.slot, home.place)).collect::<BTreeMap<_, _>>()
    };
    let mut pool = pool_of(&vec![100; 20_000]);
    let before = settled(&pool);
    for slot in 0..500 {
        remove(&mut pool, slot * 7);
    }
    for slot in (0..500).rev() {
        put(&mut pool, slot * 7, 100, true);
    }
    assert_eq!(settled(&pool), before);
    let places: std::collections::BTreeSet<u16> = before.values().copied().collect();
    assert_eq!(places.len(), before.len(), "no home is given twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// Looking from the peers and looking from the places find the same winner, whoever is out.
    #[test]
    fn both_sides_agree(
        weights in prop::collection::vec(prop_oneof![Just(0u32), Just(100), 1..300u32, Just(65_535)], 2..400),
        out in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        first_key: u32,
    ) {
        let mut pool = pool_of(&weights);
        for index in out {
            let slot = index.index(weights.len());
            put(&mut pool, slot as Slot, weights[slot], false);
        }
        let settled = settle(&pool);
        let is_even = false;
        let roll = Roll::new(&settled.homes, is_even);
        let map = Map::new(settled, is_even);
        for key in (0..100).map(|n: u32| first_key.wrapping_add(n.wrapping_mul(0x9e37_79b9))) {
            let key = Permutation::of(key);
            prop_assert_eq!(roll.winner(&key, None), map.winner(&key, None));
            let skip = |slot: Slot| slot.is_multiple_of(3);
            prop_assert_eq!(roll.winner(&key, Some(&skip)), map.winner(&key, Some(&skip)));
            prop_assert_eq!(roll.winner(&key, Some(&|_| false)), roll.winner(&key, None));
        }
    }

    /// With one weight the shortcut that looks at places alone finds the same winner.
    #[test]
    fn the_shortcut_agrees(count in 1usize..500, first_key: u32) {
        let pool = pool_of(&vec![100; count]);
        let settled = settle(&pool);
        let short = Roll::new(&settled.homes, true);
        let long = Roll::new(&settled.homes, false);
        let map = Map::new(settled, true);
        for key in (0..100).map(|n: u32| first_key.wrapping_add(n.wrapping_mul(0x9e37_79b9))) {
            let key = Permutation::of(key);
            let winner = short.winner(&key, None);
            prop_assert!(winner.is_some());
            prop_assert_eq!(winner, long.winner(&key, None));
            prop_assert_eq!(winner, map.winner(&key, None));
        }
    }
}

#[test]
fn retries_walk_over_all_peers() {
    for size in [4u32, 400] {
        let pool = pool_of(&vec![100; size as usize]);
        let hashing = Rendezvous::new(&pool);
        let mut tried = Vec::new();
        for _ in 0..size {
            let ask = Ask { key: Key::Hash(77), tried: &tried, now: Instant::now() };
            let slot = hashing.pick(&pool, &ask).unwrap();
            let address = pool.member(slot).unwrap().peer.address();
            assert!(!tried.contains(&address));
            tried.push(address);
        }
        let ask = Ask { key: Key::Hash(77), tried: &tried, now: Instant::now() };
        assert_eq!(hashing.pick(&pool, &ask), None);
    }
}

#[test]
fn more_peers_than_homes_is_no_end() {
    let pool = pool_of(&vec![100; PLACES + 10]);
    let owners = owners(&pool, 1_000);
    assert!(owners.iter().collect::<std::collections::BTreeSet<_>>().len() > 900);
}
