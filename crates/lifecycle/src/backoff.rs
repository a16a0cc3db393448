//! How long to wait before trying again.

use std::time::Duration;

use rand::Rng;

/// Exponential back-off with full jitter: the n-th wait is uniform in `0..=min(max, base * 2^n)`.
///
/// Full jitter spreads the reconnects of a fleet that lost the same peer at the same moment over
/// the whole interval, which is what keeps the peer alive when it comes back.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `base`, every wait is at most `max`.
    pub const fn new(base: Duration, max: Duration) -> Backoff {
        Backoff { base, max, failures: 0 }
    }

    /// Notes a failure and says how long to wait before the next attempt.
    pub fn next_delay<R: Rng + ?Sized>(&mut self, random: &mut R) -> Duration {
        let ceiling = self.base.saturating_mul(2u32.saturating_pow(self.failures)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(random.random_range(0.0..=1.0))
    }

    /// How many failures in a row have been noted.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt succeeded: the next failure waits at most `base` again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn waits_grow_within_their_ceilings_and_reset() {
        let mut random = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut longest = Duration::ZERO;
        for n in 0..200u32 {
            let ceiling =
                Duration::from_millis(100 * 2u64.pow(n.min(10))).min(Duration::from_secs(5));
            let wait = backoff.next_delay(&mut random);
            assert!(wait <= ceiling, "wait {n} was {wait:?}, above {ceiling:?}");
            longest = longest.max(wait);
        }
        assert!(longest > Duration::from_secs(4), "full jitter reaches up to the ceiling");
        assert_eq!(backoff.failures(), 200);
        backoff.reset();
        assert!(backoff.next_delay(&mut random) <= Duration::from_millis(100));
    }
}
