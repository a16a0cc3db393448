//! Counters in memory: exact, shared by all threads, bounded.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::period::Period;
use super::who::Who;

/// A limit for one period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limit {
    pub(super) period: Period,
    pub(super) most: f64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    /// What was left of each limit before this request, in the order of the limits.
    pub(super) left: Lefts,
    /// The place of the limit that stops it.
    pub(super) stopped_by: Option<usize>,
}

/// One number for each limit.
pub(super) type Lefts = SmallVec<[f64; Period::ALL.len()]>;

/// How often who asked in the present windows.
pub(super) struct Counters {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

const SHARDS: usize = 16;
/// The most that is remembered, for all shards: beyond it, somebody is forgotten, and may ask anew.
const MOST: usize = 1 << 20;

#[derive(Default)]
struct Shard {
    by_who: FxHashMap<Hashed, [Window; Period::ALL.len()]>,
    /// The size at which windows that have passed are cleared away.
    sweep_at: usize,
}

/// Who, with a hash that is made once, by a key: clients choose their addresses and texts.
#[derive(Clone, PartialEq, Eq)]
struct Hashed {
    hash: u64,
    who: Who,
}

/// The number of requests since a window began, in seconds since 1970.
#[derive(Clone, Copy, Default)]
struct Window {
    start: u64,
    count: u64,
}

impl Counters {
    pub(super) fn new() -> Counters {
        Counters { shards: Default::default(), hasher: RandomState::new() }
    }

    /// Counts a request if no limit stops it. Checking and counting are one step: of requests at
    /// the same time no more pass than the limit says.
    pub(super) fn count(&self, who: Who, limits: &[Limit], now: u64) -> Counted {
        let hash = match &who {
            Who::Id(id) => self.hasher.hash_one(id.as_u128()),
            Who::Address(IpAddr::V4(address)) => self.hasher.hash_one(address.to_bits()),
            Who::Address(IpAddr::V6(address)) => self.hasher.hash_one(address.to_bits()),
            Who::Text(text) => self.hasher.hash_one(text),
        };
        let at = (hash >> 32) as usize % SHARDS;
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = Counted { left: Lefts::new(), stopped_by: None };
        let Some(windows) = shard.windows(Hashed { hash, who }, now) else { return counted };
        for (at, limit) in limits.iter().enumerate() {
            let window = &mut windows[limit.period as usize];
            let start = limit.period.start(now);
            // A request that was long on its way may come after the first of the next window.
            if window.start < start {
                *window = Window { start, count: 0 };
            }
            let left = limit.most - window.count as f64;
            if left <= 0.0 {
                counted.stopped_by = Some(at);
            }
            counted.left.push(left);
        }
        if counted.stopped_by.is_none() {
            for limit in limits {
                windows[limit.period as usize].count += 1;
            }
        }
        counted
    }
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Shard {
    /// The windows of somebody; there always are some.
    fn windows(&mut self, who: Hashed, now: u64) -> Option<&mut [Window; Period::ALL.len()]> {
        if !self.by_who.contains_key(&who) {
            if self.by_who.len() >= self.sweep_at.max(64) {
                self.sweep(now);
            }
            self.by_who.insert(who.clone(), Default::default());
        }
        self.by_who.get_mut(&who)
    }

    fn sweep(&mut self, now: u64) {
        let runs = |(window, period): (&Window, Period)| {
            window.count > 0 && window.start >= period.start(now)
        };
        self.by_who.retain(|_, windows| windows.iter().zip(Period::ALL).any(runs));
        while self.by_who.len() >= MOST / SHARDS {
            let Some(somebody) = self.by_who.keys().next().cloned() else { break };
            self.by_who.remove(&somebody);
        }
        self.sweep_at = (self.by_who.len() * 2).clamp(64, MOST / SHARDS);
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn who(text: &str) -> Who {
        Who::Text(text.into())
    }

    const MINUTE: Limit = Limit { period: Period::Minute, most: 3.0 };
    const HOUR: Limit = Limit { period: Period::Hour, most: 5.0 };

    #[test]
    fn a_request_that_is_stopped_is_not_counted() {
        let counters = Counters::new();
        let count = |now| {
            let counted = counters.count(who("a"), &[MINUTE, HOUR], now);
            (counted.left.to_vec(), counted.stopped_by)
        };
        assert_eq!(count(0), (vec![3.0, 5.0], None));
        count(1);
        assert_eq!(count(2), (vec![1.0, 3.0], None));
        assert_eq!(count(59), (vec![0.0, 2.0], Some(0)));
        assert_eq!(count(60), (vec![3.0, 2.0], None));
        count(61);
        assert_eq!(count(62), (vec![1.0, 0.0], Some(1)));
        assert_eq!(counters.count(who("b"), &[MINUTE, HOUR], 62).left[..], [3.0, 5.0]);
    }

    #[test]
    fn a_late_request_counts_in_the_window_that_has_begun() {
        let counters = Counters::new();
        counters.count(who("a"), &[MINUTE], 60);
        assert_eq!(counters.count(who("a"), &[MINUTE], 59).left[..], [2.0]);
        assert_eq!(counters.count(who("a"), &[MINUTE], 61).left[..], [1.0]);
    }

    #[test]
    fn no_more_pass_than_the_limit_from_any_number_of_threads() {
        let (counters, passed) = (Counters::new(), AtomicUsize::new(0));
        let limit = [Limit { period: Period::Day, most: 1000.0 }];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if counters.count(who("a"), &limit, 5).stopped_by.is_none() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1000);
    }

    #[test]
    fn what_has_passed_is_forgotten() {
        let counters = Counters::new();
        let size = || -> usize {
            counters.shards.iter().map(|shard| shard.lock().unwrap().by_who.len()).sum()
        };
        for second in 0..20_000_u64 {
            let limit = [Limit { period: Period::Second, most: 1.0 }];
            counters.count(who(&second.to_string()), &limit, second);
        }
        assert!(size() < SHARDS * 130, "{}", size());
    }
}
