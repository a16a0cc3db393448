//! Counts that one thread writes and any may read: no lock, no processor waits for another.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// So many more. Only ever called by the thread that made it.
    pub(super) fn add(&self, number: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(number), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Latencies by size. `N` buckets, the last one for what is beyond all bounds.
#[derive(Debug)]
pub(super) struct Sizes<const N: usize> {
    bounds: &'static [f64],
    counts: [Count; N],
    /// The sum, in microseconds.
    sum: Count,
}

impl<const N: usize> Sizes<N> {
    /// `bounds` are in milliseconds, ascending, one fewer than there are buckets.
    pub(super) fn new(bounds: &'static [f64]) -> Sizes<N> {
        Sizes { bounds, counts: std::array::from_fn(|_| Count::default()), sum: Count::default() }
    }

    /// Notes a latency, in microseconds.
    pub(super) fn observe(&self, us: u64) {
        let ms = us as f64 / 1e3;
        let bucket = self.bounds.iter().position(|bound| ms <= *bound).unwrap_or(N - 1);
        if let Some(count) = self.counts.get(bucket) {
            count.add(1);
        }
        self.sum.add(us);
    }

    /// Adds to what other threads have counted.
    pub(super) fn add_to(&self, total: &mut Summed) {
        total.counts.resize(N, 0);
        for (sum, count) in total.counts.iter_mut().zip(&self.counts) {
            *sum += count.get();
        }
        total.us += self.sum.get();
    }
}

/// The latencies of all threads together.
#[derive(Debug, Default)]
pub(super) struct Summed {
    pub(super) counts: Vec<u64>,
    pub(super) us: u64,
}

impl Summed {
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

/// Kong's buckets for what the gateway itself takes, in milliseconds.
pub(super) const GATEWAY: &[f64; 17] = &[
    1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0,
    3000.0, 6000.0,
];

/// Kong's buckets for what the upstream takes, and for all of a request, in milliseconds.
pub(super) const UPSTREAM: &[f64; 13] = &[
    25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10000.0, 30000.0, 60000.0,
];

/// The three latencies of the requests of a route.
#[derive(Debug)]
pub(super) struct Latencies {
    /// Until the upstream was asked, or until the gateway's own answer was sent.
    pub(super) gateway: Sizes<18>,
    /// From there until the upstream's answer began.
    pub(super) upstream: Sizes<14>,
    /// From the request's head to the answer's last byte.
    pub(super) total: Sizes<14>,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies {
            gateway: Sizes::new(GATEWAY),
            upstream: Sizes::new(UPSTREAM),
            total: Sizes::new(UPSTREAM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_first_bucket_that_holds_it() {
        let sizes = Sizes::<14>::new(UPSTREAM);
        for us in [0, 25_000, 25_001, 60_000_000, 60_000_001] {
            sizes.observe(us);
        }
        let mut summed = Summed::default();
        assert!(summed.is_empty());
        sizes.add_to(&mut summed);
        sizes.add_to(&mut summed);
        assert_eq!(summed.counts, [4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2]);
        assert_eq!(summed.us, 2 * 120_050_002);
    }
}
