//! Whether a request that failed is sent to another target, when, and which it may not be.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use balancer::Upstream;
use smallvec::SmallVec;

use crate::{
    failure::{Failure, Retry},
    timer::Timer,
};

/// The tries of one request: how many are left, and what is known of those made.
pub(crate) struct Again<'a> {
    upstream: &'a Upstream,
    method: &'a [u8],
    /// What the upstream says beyond the service's `retries`.
    policy: Option<Arc<balancer::Retry>>,
    left: u32,
    made: u32,
    tried: SmallVec<[SocketAddr; 1]>,
}

/// The end of one try, unless the head of its answer is there by then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TryEnd(Option<(Instant, Duration)>);

impl<'a> Again<'a> {
    /// Of a request for which the upstream has this `policy`. `retries` is the service's.
    pub(crate) fn new(
        upstream: &'a Upstream,
        method: &'a [u8],
        retries: u32,
        policy: Option<Arc<balancer::Retry>>,
    ) -> Again<'a> {
        Again { upstream, method, policy, left: retries, made: 0, tried: SmallVec::new() }
    }

    /// The addresses that failed.
    pub(crate) fn tried(&self) -> &[SocketAddr] {
        &self.tried
    }

    /// When a try that begins now has to have its answer.
    pub(crate) fn try_end(&self, now: Instant) -> TryEnd {
        let limit = self.policy.as_ref().map(|policy| policy.timeout);
        TryEnd(limit.filter(|limit| !limit.is_zero()).map(|limit| (now + limit, limit)))
    }

    /// Whether the request may be sent once more after this, by itself: nothing was sent, or doing it twice is as
    /// good as once.
    pub(crate) fn is_safe_after(&self, failure: &Failure) -> bool {
        match failure.retry() {
            Retry::Safe => true,
            Retry::IfIdempotent => self.may_repeat(),
            Retry::Never => false,
        }
    }

    /// Whether an answer of this status from `address` is left for one of another target. Counts against the budget.
    pub(crate) fn declines(&self, status: u16, address: SocketAddr, replayable: bool) -> bool {
        let Some(policy) = &self.policy else {
            return false;
        };
        if self.left == 0 || !replayable || !policy.statuses.contains(status) || !self.may_repeat()
        {
            return false;
        }
        let mut tried = self.tried.clone();
        tried.push(address);
        self.upstream.has_other(&tried) && self.upstream.may_retry(policy, Instant::now())
    }

    /// Decides on another try after one at `address` failed: how long to wait before, or that there is none.
    /// `chance` is a random number from 0 to 1.
    pub(crate) fn next(
        &mut self,
        failure: &Failure,
        address: SocketAddr,
        chance: impl FnOnce() -> f64,
    ) -> Option<Duration> {
        // What was declined has been counted.
        let is_counted = matches!(failure, Failure::Declined(_));
        let has_budget = || {
            let policy = self.policy.as_ref();
            policy.is_none_or(|policy| self.upstream.may_retry(policy, Instant::now()))
        };
        if self.left == 0 || !self.is_safe_after(failure) || !(is_counted || has_budget()) {
            return None;
        }
        self.left -= 1;
        self.made += 1;
        self.tried.push(address);
        let policy = self.policy.as_ref().filter(|policy| !policy.backoff.is_zero());
        Some(policy.map_or(Duration::ZERO, |policy| policy.wait(self.made, chance())))
    }

    fn may_repeat(&self) -> bool {
        balancer::Retry::may_repeat(self.policy.as_deref(), self.method)
    }
}

impl TryEnd {
    /// Gives up on `future` at the end of the try, unless `answered` by then. `sent` says whether the target may
    /// have acted on the request.
    pub(crate) async fn hold<T, E: From<Failure>>(
        self,
        timer: &Timer,
        answered: &Cell<Option<Instant>>,
        sent: bool,
        mut future: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, E> {
        let Some((end, limit)) = self.0 else {
            return future.await;
        };
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Pending if answered.get().is_none() => timer
                .poll_until(end.into(), context)
                .map(|_| Err(Failure::TryTimeout { limit, sent }.into())),
            other => other,
        })
        .await
    }
}
