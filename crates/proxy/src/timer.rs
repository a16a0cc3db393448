//! Time-outs that cost nothing while they are kept.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A wait took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// The time-outs of one task, which waits for one thing after the other.
///
/// One entry in the runtime's timer serves all of them: it is not moved when a wait ends or begins, but looked at
/// when it fires. So a connection that answers in time touches the timer about once per time-out, not per request.
///
/// What is waited for is pinned by the caller: a future that was moved in would be held twice, once where it came in
/// and once where it is polled, and each connection's memory is that of its futures.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
    fires: Cell<Option<Instant>>,
}

impl Timer {
    /// Waits for `future`, at most for `limit` from the first time that it is not ready.
    pub(crate) async fn limit<F: Future>(
        &self,
        limit: Duration,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
            self.poll_until(deadline, context).map(Err)
        })
        .await
    }

    /// Waits for `future` as long as `progress` changes at least every `limit`.
    pub(crate) async fn limit_pauses<F: Future>(
        &self,
        limit: Duration,
        progress: &Cell<u64>,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        let mut wait: Option<(u64, Instant)> = None;
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            let deadline = match wait {
                Some((seen, deadline)) if seen == progress.get() => deadline,
                _ => {
                    let deadline = Instant::now() + limit;
                    wait = Some((progress.get(), deadline));
                    deadline
                }
            };
            self.poll_until(deadline, context).map(Err)
        })
        .await
    }

    /// Waits for `future`, at most for `limit` from when `begun` is seen to be true.
    pub(crate) async fn limit_once<F: Future>(
        &self,
        limit: Duration,
        begun: &Cell<bool>,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        let mut deadline = None;
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if !begun.get() => Poll::Pending,
            Poll::Pending => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + limit);
                self.poll_until(deadline, context).map(Err)
            }
        })
        .await
    }

    /// Waits for `future` until `deadline`.
    pub(crate) async fn until<F: Future>(
        &self,
        deadline: Instant,
        mut future: Pin<&mut F>,
    ) -> Result<F::Output, Elapsed> {
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_until(deadline, context).map(Err),
        })
        .await
    }

    /// Ready once `deadline` is past.
    pub(crate) fn poll_until(&self, deadline: Instant, context: &mut Context<'_>) -> Poll<Elapsed> {
        let mut sleep = self.sleep.borrow_mut();
        let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if self.fires.get().is_some_and(|fires| fires <= deadline) && !sleep.is_elapsed() {
            // It knows the task already, from when it was set.
            return Poll::Pending;
        }
        if self.fires.get().is_none_or(|fires| fires > deadline) {
            sleep.as_mut().reset(deadline);
            self.fires.set(Some(deadline));
        }
        while sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                self.fires.set(None);
                return Poll::Ready(Elapsed);
            }
            sleep.as_mut().reset(deadline);
            self.fires.set(Some(deadline));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, pin::pin, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::{Elapsed, Timer};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waits_end_at_their_own_time_whatever_came_before() {
        let timer = Timer::default();
        for limit in [5, 2, 7, 7, 1, 30, 3] {
            let begun = Instant::now();
            assert_eq!(timer.limit(SECOND * limit, pin!(pending::<()>())).await, Err(Elapsed));
            assert_eq!(begun.elapsed().as_secs(), u64::from(limit));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_ends_in_time_leaves_no_trace() {
        let timer = Timer::default();
        let begun = Instant::now();
        assert_eq!(timer.limit(SECOND * 10, pin!(sleep(SECOND))).await, Ok(()));
        assert_eq!(timer.limit(SECOND * 60, pin!(sleep(SECOND * 50))).await, Ok(()));
        assert_eq!(begun.elapsed().as_secs(), 51);
        assert_eq!(timer.until(Instant::now() + SECOND, pin!(pending::<()>())).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 52);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_gives_more_time() {
        let (timer, progress, begun) = (Timer::default(), Cell::new(0), Instant::now());
        let work = async {
            for _ in 0..4 {
                sleep(SECOND * 2).await;
                progress.set(progress.get() + 1);
            }
            pending::<()>().await
        };
        assert_eq!(timer.limit_pauses(SECOND * 3, &progress, pin!(work)).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 2 * 4 + 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_may_begin_later() {
        let (timer, ready, begun) = (Timer::default(), Cell::new(false), Instant::now());
        let work = async {
            sleep(SECOND * 100).await;
            ready.set(true);
            pending::<()>().await
        };
        assert_eq!(timer.limit_once(SECOND * 3, &ready, pin!(work)).await, Err(Elapsed));
        assert_eq!(begun.elapsed().as_secs(), 103);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_is_not_timed() {
        let timer = Timer::default();
        assert_eq!(timer.limit(Duration::ZERO, pin!(async { 1 })).await, Ok(1));
        assert!(timer.sleep.borrow().is_none());
    }
}
