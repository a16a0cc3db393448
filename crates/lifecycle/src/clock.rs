//! Time as an argument.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What time it is. Passed in (`Arc<dyn Clock>`), so that a test owns it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall clock: microseconds since 1970-01-01T00:00Z. May step in either direction.
    fn wall_us(&self) -> i64;

    /// Monotonic clock: for durations and deadlines. Never goes back.
    fn monotonic(&self) -> Instant;

    /// Wall clock in milliseconds since 1970.
    fn wall_ms(&self) -> i64 {
        self.wall_us().div_euclid(1_000)
    }

    /// Wall clock in whole seconds since 1970, as Kong's `created_at` counts.
    fn wall_s(&self) -> i64 {
        self.wall_us().div_euclid(1_000_000)
    }
}

/// The operating system's clocks. The monotonic one follows tokio's paused time in tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn wall_us(&self) -> i64 {
        // A clock set before 1970 reads as 1970; one beyond the year 294,000 as that.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    wall_us: AtomicI64,
    monotonic: Mutex<Instant>,
}

impl ManualClock {
    /// A clock at this wall time, in microseconds since 1970.
    pub fn at(wall_us: i64) -> ManualClock {
        ManualClock {
            wall_us: AtomicI64::new(wall_us),
            monotonic: Mutex::new(tokio::time::Instant::now().into_std()),
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let us = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.step_wall(us);
        *self.monotonic.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }

    /// Steps the wall clock alone, as an operator or NTP does; negative goes back.
    pub fn step_wall(&self, us: i64) {
        self.wall_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Instant {
        *self.monotonic.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(1_500_000);
        let start = clock.monotonic();
        assert_eq!((clock.wall_us(), clock.wall_ms(), clock.wall_s()), (1_500_000, 1_500, 1));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.wall_s(), 3);
        assert_eq!(clock.monotonic() - start, Duration::from_secs(2));
        clock.step_wall(-4_000_000);
        assert_eq!(clock.wall_us(), -500_000);
        assert_eq!(clock.wall_s(), -1);
        assert_eq!(clock.monotonic() - start, Duration::from_secs(2));
    }
}
