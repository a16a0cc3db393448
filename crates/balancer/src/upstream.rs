//! The live state of one upstream on a data plane.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Poll, Waker};
use std::time::Instant;

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::config::Config;
use crate::control::Control;
use crate::error::{CannotSet, NoPeer};
use crate::health::{Cause, Condition, Health, Outcome, Report, Source, Transition, step};
use crate::key::{Affinity, Inputs};
use crate::local::{Local, Newest};
use crate::peer::{Lease, Peer};
use crate::plan::Pick;
use crate::retry::{Budget, Retry};
use crate::target::{Answer, TargetChange, TargetSpec};
use crate::view::View;

/// One upstream: its targets, their addresses, health and counters.
///
/// Shared by snapshots, traffic threads, resolver and prober, and kept over every change of the
/// configuration, so that a change loses no state that it does not concern: requests in flight,
/// latencies, health and the position in the turn all stay.
///
/// [`pick`](Upstream::pick) takes no lock. Changes exclude each other and publish a new version
/// for the picks to come.
pub struct Upstream {
    id: Uuid,
    plan: Newest,
    generation: AtomicU64,
    control: Mutex<Control>,
    budget: Budget,
    /// Who waits for the first answer to its names.
    waiting: Mutex<Vec<Waker>>,
}

impl Upstream {
    /// An upstream without targets.
    ///
    /// `seed` decides where round-robin begins: random per node, so that the nodes of a fleet do
    /// not all send their first request to the same target.
    pub fn new(config: Config, seed: u64) -> Arc<Upstream> {
        let mut control = Control::new(&config, seed);
        let config = Arc::new(config);
        Arc::new(Upstream {
            id: config.id,
            plan: Arc::new(ArcSwap::from_pointee(control.plan(&config))),
            generation: AtomicU64::new(0),
            control: Mutex::new(control),
            budget: Budget::new(),
            waiting: Mutex::default(),
        })
    }

    /// The upstream of a service whose host names no upstream entity: that host is its only
    /// target.
    pub fn for_host(id: Uuid, host: &str, port: u16, seed: u64) -> Arc<Upstream> {
        let upstream = Upstream::new(Config::implicit(id, host), seed);
        let target = TargetSpec { id, host: host.into(), port, weight: 100, failover: false };
        upstream.set_targets(&[target]);
        upstream
    }

    /// The id it was made with; stays the same when its configuration changes.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The present configuration.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.plan.load().config)
    }

    /// Takes a new configuration over. Where health checks are switched off, every peer is healthy
    /// again.
    pub fn configure(&self, config: Config) {
        let mut control = self.lock();
        control.configure(&config);
        self.publish_with(&mut control, &Arc::new(config));
    }

    /// Replaces all targets; those that are not in the list go. Keeps the state of every address
    /// that stays, also when its target has a new id.
    pub fn set_targets(&self, targets: &[TargetSpec]) {
        let mut control = self.lock();
        control.set_targets(targets);
        self.publish(&mut control);
    }

    /// Adds, changes and removes single targets. A change costs what it touches, and publishing
    /// once at most O(peers) with a small constant: give changes that belong together at once.
    pub fn change_targets(&self, changes: &[TargetChange]) {
        let mut control = self.lock();
        // Removals last: a target that is deleted and made anew in one go keeps its state.
        let mut removed = Vec::new();
        for change in changes {
            match change {
                TargetChange::Put(target) => {
                    removed.retain(|id| *id != target.id);
                    control.put_target(target);
                }
                TargetChange::Remove(id) => removed.push(*id),
            }
        }
        for id in removed {
            control.remove_target(id);
        }
        self.publish(&mut control);
    }

    /// The names among the targets' hosts: what a resolver has to keep [answering](Self::set_answer).
    pub fn names(&self) -> Vec<Arc<str>> {
        self.lock().names()
    }

    /// Takes over what the resolver found for a name, for all targets with that host. Addresses
    /// that stay keep their state.
    pub fn set_answer(&self, name: &str, answer: &Answer) {
        let mut control = self.lock();
        if control.set_answer(name, answer) {
            self.publish(&mut control);
        }
    }

    /// Whether a pick has something to go by: `false` while nothing is known but names that were
    /// not answered yet.
    pub fn is_resolved(&self) -> bool {
        self.plan.load().refusal != Some(NoPeer::Unresolved)
    }

    /// Waits until [`is_resolved`](Upstream::is_resolved): what a request does, within a bound,
    /// that was refused with [`NoPeer::Unresolved`], before it picks again.
    pub async fn resolved(&self) {
        poll_fn(|context| {
            if self.is_resolved() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            drop(waiting);
            // The answer may have come before the waker was in the list.
            if self.is_resolved() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Reads from a request what ties it to a peer. Costs nothing for algorithms that do not look
    /// at the request.
    pub fn affinity(&self, inputs: &dyn Inputs) -> Affinity {
        Affinity::of(&self.config(), inputs)
    }

    /// The peer for the next attempt.
    ///
    /// # Errors
    /// When there is none; see [`NoPeer`].
    pub fn pick(&self, pick: &Pick<'_>) -> Result<Lease, NoPeer> {
        let local = Local::of(&self.plan);
        if !local.plan.revision.is_due(pick.now) {
            return local.pick(pick);
        }
        self.advance(pick.now);
        Local::of(&self.plan).pick(pick)
    }

    /// The peer that [`Upstream::pick`] would give now, without taking anybody's turn and without counting as a
    /// request in flight. Costs as much as a change of the targets.
    ///
    /// # Errors
    /// As [`Upstream::pick`].
    pub fn preview(&self, pick: &Pick<'_>) -> Result<Arc<Peer>, NoPeer> {
        self.plan.load().preview(pick).map(Arc::clone)
    }

    /// Notes that a request begins; what ties it to a peer, and how it is tried again, where the
    /// upstream says so.
    pub fn begin(&self, inputs: &dyn Inputs, now: Instant) -> (Affinity, Option<Arc<Retry>>) {
        let local = Local::of(&self.plan);
        let config = &local.plan.config;
        let retry = config.retry.clone();
        if retry.as_ref().is_some_and(|retry| retry.budget.is_some()) {
            self.budget.request(now);
        }
        (Affinity::of(config, inputs), retry)
    }

    /// Whether the budget has room for a retry, which is counted then.
    pub fn may_retry(&self, retry: &Retry, now: Instant) -> bool {
        self.budget.retry(retry, now)
    }

    /// Whether there is a healthy peer at another address than those that were tried.
    pub fn has_other(&self, tried: &[SocketAddr]) -> bool {
        self.plan.load().has_other(tried)
    }

    /// Counts what came of an attempt. The transition, when it made the peer available or not.
    ///
    /// Report what reached the peer: an answer's status, or why there was none. A request that
    /// the gateway answered itself is no report. Reports about peers that are gone are ignored.
    pub fn report(
        &self,
        peer: &Arc<Peer>,
        outcome: Outcome,
        source: Source,
        now: Instant,
    ) -> Option<Transition> {
        let local = Local::of(&self.plan);
        let config = &local.plan.config;
        let rules = match source {
            Source::Passive => &config.passive,
            Source::Active => &config.active.rules,
        };
        let report = rules.judge(outcome)?;
        let cause = Cause::Report(source, outcome);
        if source == Source::Passive && peer.is_on_trial() {
            return self.judge(peer, report, cause, now);
        }
        let (before, after) = peer.update(|condition| step(condition, report, &rules.limits));
        if before.health.is_available() == after.health.is_available() {
            return None;
        }
        self.settle(peer, (before.health, after.health), cause, now)
    }

    /// The end of a peer's trial: one success brings it back, one failure takes it out for longer,
    /// whatever the limits say.
    fn judge(
        &self,
        peer: &Arc<Peer>,
        report: Report,
        cause: Cause,
        now: Instant,
    ) -> Option<Transition> {
        if report == Report::Success {
            let (before, after) = peer.update(|_| Condition::settled(Health::Healthy));
            return self.settle(peer, (before.health, after.health), cause, now);
        }
        let mut control = self.lock();
        control.fail_trial(peer, now);
        self.publish(&mut control);
        None
    }

    /// Sets a target's health by hand, for the one address or for all that it has now, and clears
    /// the counters. Answers with the transitions.
    ///
    /// # Errors
    /// When health checks are off, or there is no such target or address.
    pub fn set_health(
        &self,
        host: &str,
        port: u16,
        address: Option<SocketAddr>,
        healthy: bool,
        now: Instant,
    ) -> Result<Vec<Transition>, CannotSet> {
        let config = self.config();
        if !config.checks_on() {
            return Err(CannotSet::ChecksOff(Arc::clone(&config.name)));
        }
        let peers = self.lock().peers_of(host, port, address);
        if peers.is_empty() {
            let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
            return Err(CannotSet::UnknownTarget {
                upstream: Arc::clone(&config.name),
                target: format!("{host}:{port}{at}"),
            });
        }
        let to = if healthy { Health::Healthy } else { Health::Unhealthy };
        let set = |peer: &Arc<Peer>| {
            let (before, after) = peer.update(|_| Condition::settled(to));
            self.settle(peer, (before.health, after.health), Cause::Manual, now)
        };
        Ok(peers.iter().filter_map(set).collect())
    }

    /// The peers that active checks are for: every address with a weight above 0.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.lock().weighted_peers()
    }

    /// Grows with every change of configuration, targets, addresses or availability. Who keeps
    /// something derived from this upstream compares it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Everything that an operator may want to see.
    pub fn view(&self, now: Instant) -> View {
        let config = self.config();
        self.advance(now);
        self.lock().view(&config, now)
    }

    /// Brings the pool in line with a peer that was moved. The transition, if the pool learned
    /// something new: of several that follow each other at once, those that it saw are told.
    fn settle(
        &self,
        peer: &Arc<Peer>,
        (from, to): (Health, Health),
        cause: Cause,
        now: Instant,
    ) -> Option<Transition> {
        let mut control = self.lock();
        let is_news = control.settle_health(peer, to, cause, now);
        if is_news || cause == Cause::Manual {
            self.publish(&mut control);
        }
        is_news.then(|| Transition { peer: Arc::clone(peer), from, to, cause, since: now })
    }

    /// Does what time alone asks for.
    fn advance(&self, now: Instant) {
        let mut control = match self.control.try_lock() {
            Ok(control) => control,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever changes it at present is done soon, and the next pick is not far.
            Err(TryLockError::WouldBlock) => return,
        };
        if self.plan.load().revision.is_due(now) {
            control.advance(now);
            self.publish(&mut control);
        }
    }

    fn publish(&self, control: &mut Control) {
        self.publish_with(control, &self.config());
    }

    fn publish_with(&self, control: &mut Control, config: &Arc<Config>) {
        self.plan.store(Arc::new(control.plan(config)));
        self.generation.fetch_add(1, Ordering::Release);
        if self.is_resolved() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.drain(..).for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("id", &self.id)
            .field("name", &self.config().name)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An upstream of so many targets with an address each, without health checks.
    pub(crate) fn upstream_of(targets: usize) -> Arc<Upstream> {
        let upstream = Upstream::new(Config::implicit(Uuid::nil(), "a.example"), 0);
        let target = |n: u32| TargetSpec {
            id: Uuid::from_u128(u128::from(n)),
            host: std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string().into(),
            port: 80,
            weight: 100,
            failover: false,
        };
        upstream.set_targets(&(1..).take(targets).map(target).collect::<Vec<_>>());
        upstream
    }
}

#[cfg(test)]
mod tests;
