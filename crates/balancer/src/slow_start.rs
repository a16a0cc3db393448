//! How a peer that is new, or has come back, grows to its full share.

use std::time::{Duration, Instant};

/// The shares that a peer passes through: a tenth of its weight, two tenths, …, all of it.
pub(crate) const STEPS: u32 = 10;

/// The tenths of its share that a peer has at this time, 1 to [`STEPS`], and when it gets more.
pub(crate) fn share(since: Instant, length: Duration, now: Instant) -> (u32, Option<Instant>) {
    let step = length / STEPS;
    if step.is_zero() {
        return (STEPS, None);
    }
    let passed = now.saturating_duration_since(since).as_nanos() / step.as_nanos();
    match u32::try_from(passed) {
        Ok(passed) if passed + 1 < STEPS => (passed + 1, Some(since + step * (passed + 1))),
        _ => (STEPS, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_grows_by_tenths() {
        let begin = Instant::now();
        let at = |ms| share(begin, Duration::from_secs(10), begin + Duration::from_millis(ms));
        assert_eq!(at(0), (1, Some(begin + Duration::from_secs(1))));
        assert_eq!(at(999), (1, Some(begin + Duration::from_secs(1))));
        assert_eq!(at(1_000), (2, Some(begin + Duration::from_secs(2))));
        assert_eq!(at(8_500), (9, Some(begin + Duration::from_secs(9))));
        assert_eq!(at(9_000), (10, None));
        assert_eq!(at(1_000_000_000), (10, None));
    }

    #[test]
    fn without_a_time_it_is_whole_at_once() {
        let now = Instant::now();
        assert_eq!(share(now, Duration::ZERO, now), (STEPS, None));
        assert_eq!(share(now, Duration::from_nanos(9), now), (STEPS, None));
    }
}
