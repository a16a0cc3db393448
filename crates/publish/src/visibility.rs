//! When a revision is released.

use std::time::Duration;

use tokio::time::Instant;

/// Turns commit times into moments of release: a revision is released when it is `propagation` old
/// by the database's clock, and never before the one that it follows.
///
/// The moments are on this process's monotonic clock, so what was stamped needs no database and no
/// wall clock any more. A wait is never longer than `propagation`, since what has been read was
/// committed before: a database clock that steps back delays nothing by more than that.
#[derive(Debug)]
pub(crate) struct Visibility {
    propagation: Duration,
    last: Option<Instant>,
}

impl Visibility {
    pub(crate) fn new(propagation: Duration) -> Visibility {
        Visibility { propagation, last: None }
    }

    /// When the next revision is released, which was committed at `committed_us` and read at
    /// `now`, when the database's clock showed `database_us`.
    pub(crate) fn stamp(&mut self, committed_us: i64, database_us: i64, now: Instant) -> Instant {
        let age = Duration::from_micros(
            u64::try_from(database_us.saturating_sub(committed_us)).unwrap_or(0),
        );
        let own = now + self.propagation.saturating_sub(age);
        let moment = self.last.map_or(own, |last| own.max(last));
        self.last = Some(moment);
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    #[test]
    fn a_revision_waits_until_it_is_old_enough() {
        let now = Instant::now();
        let mut visibility = Visibility::new(Duration::from_secs(5));
        assert_eq!(visibility.stamp(0, 100 * S, now), now, "old enough when it was read");
        assert_eq!(visibility.stamp(98 * S, 100 * S, now), now + Duration::from_secs(3));
        assert_eq!(visibility.stamp(100 * S, 100 * S, now), now + Duration::from_secs(5));
    }

    #[test]
    fn the_order_of_revisions_holds_when_the_database_clock_steps_back() {
        let now = Instant::now();
        let mut visibility = Visibility::new(Duration::from_secs(5));
        let first = visibility.stamp(100 * S, 100 * S, now);
        let second = visibility.stamp(10 * S, 100 * S, now);
        assert_eq!(second, first, "committed 90 s before its predecessor, by a clock that stepped");
        // The clock is back by an hour: what was committed before the step seems to come.
        let third = visibility.stamp(3_700 * S, 100 * S, now);
        assert_eq!(third, now + Duration::from_secs(5), "no wait is longer than the propagation");
    }

    #[test]
    fn without_propagation_nothing_waits() {
        let now = Instant::now();
        let mut visibility = Visibility::new(Duration::ZERO);
        assert_eq!(visibility.stamp(200 * S, 100 * S, now), now);
    }
}
