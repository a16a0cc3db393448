//! Finds streams whose data plane takes nothing any more.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a frame may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// All open streams.
#[derive(Debug)]
pub(crate) struct Stalled {
    start: Instant,
    streams: Mutex<Vec<(Weak<Handed>, CancellationToken)>>,
}

/// When a stream gave a frame that was not asked past yet: milliseconds after
/// [`Stalled::start`] plus one, 0 when it waits for us.
#[derive(Debug, Default)]
struct Handed(AtomicU64);

/// A stream that is watched.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    inner: S,
    handed: Arc<Handed>,
    start: Instant,
}

impl Stalled {
    pub(crate) fn new() -> Stalled {
        Stalled { start: Instant::now(), streams: Mutex::default() }
    }

    /// Watches a stream; `close` ends the connection that it is sent on.
    pub(crate) fn watch<S>(&self, inner: S, close: CancellationToken) -> Watched<S> {
        let handed = Arc::new(Handed::default());
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.push((Arc::downgrade(&handed), close));
        Watched { inner, handed, start: self.start }
    }

    /// Closes the connections of streams that stand still for too long; gives their number. To be
    /// called every few seconds.
    pub(crate) fn sweep(&self) -> usize {
        let now = since(self.start);
        let mut closed = 0;
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).retain(|(handed, close)| {
            let Some(handed) = handed.upgrade() else { return false };
            let handed_at = handed.0.load(Ordering::Relaxed);
            let stalled =
                handed_at != 0 && now.saturating_sub(handed_at) > PATIENCE.as_millis() as u64;
            if stalled {
                close.cancel();
                closed += 1;
            }
            !stalled
        });
        closed
    }
}

impl<S: Stream + Unpin> Stream for Watched<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = self.inner.poll_next_unpin(cx);
        let handed_at = if polled.is_ready() { since(self.start) } else { 0 };
        self.handed.0.store(handed_at, Ordering::Relaxed);
        polled
    }
}

fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    #[tokio::test(start_paused = true)]
    async fn only_streams_that_are_not_read_are_closed() {
        let stalled = Stalled::new();
        let (stuck_close, busy_close, idle_close) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let mut stuck = stalled.watch(stream::repeat(1), stuck_close.clone());
        let mut busy = stalled.watch(stream::repeat(1), busy_close.clone());
        let mut idle = stalled.watch(stream::pending::<u8>(), idle_close.clone());
        let gone_close = CancellationToken::new();
        drop(stalled.watch(stream::repeat(1), gone_close.clone()));
        stuck.next().await;
        assert!(futures_util::poll!(idle.next()).is_pending());
        for _ in 0..7 {
            busy.next().await;
            tokio::time::advance(Duration::from_secs(5)).await;
            stalled.sweep();
        }
        assert!(stuck_close.is_cancelled());
        assert!(!busy_close.is_cancelled() && !idle_close.is_cancelled());
        assert!(!gone_close.is_cancelled());
        assert_eq!(stalled.streams.lock().expect("not poisoned").len(), 2);
    }
}
