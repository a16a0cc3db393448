//! Whether anything happens on a connection.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Signs of life of one connection: requests under way, and bytes that its client took. Bytes that
/// a client sends are none, so that one cannot keep a connection by never finishing a head.
#[derive(Debug)]
pub(crate) struct Pulse {
    born: Instant,
    /// Milliseconds after `born`.
    last: AtomicU64,
    busy: AtomicUsize,
}

impl Pulse {
    pub(crate) fn new() -> Pulse {
        Pulse { born: Instant::now(), last: AtomicU64::new(0), busy: AtomicUsize::new(0) }
    }

    /// Notes a sign of life.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    /// A request is under way as long as this lives.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// Returns when there was no sign of life for this long, counted from now at the earliest.
    pub(crate) async fn idle(&self, limit: Duration) {
        let begun = Instant::now();
        loop {
            let last = self.born + Duration::from_millis(self.last.load(Ordering::Relaxed));
            let now = Instant::now();
            let until = if self.busy.load(Ordering::Relaxed) > 0 {
                now + limit
            } else {
                last.max(begun) + limit
            };
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request is under way.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Pulse);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.beat();
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_idles_from_its_last_sign_of_life() {
        let pulse = Pulse::new();
        tokio::time::advance(Duration::from_secs(30)).await;
        pulse.beat();
        let begun = Instant::now();
        pulse.idle(LIMIT).await;
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_no_idling() {
        let pulse = Pulse::new();
        let begun = Instant::now();
        let request = async {
            let _busy = pulse.busy();
            tokio::time::sleep(10 * LIMIT).await;
        };
        tokio::join!(pulse.idle(LIMIT), request);
        assert_eq!(begun.elapsed(), 11 * LIMIT);
    }
}
