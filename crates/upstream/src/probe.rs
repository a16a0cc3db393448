//! Active health checks: every address with a weight is asked in the background how it is.
//!
//! One task probes for the whole node. Peers wait in one queue by the time they are due; a probe
//! is a future of that task, so that many cost no more than their sockets. Each peer keeps its own
//! rhythm, with some jitter, and is never probed twice at a time. How many are probed at once is
//! bounded per upstream (`healthchecks.active.concurrency`) and for the node.

mod exchange;
mod grpc;
mod http;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use balancer::{ActiveChecks, Config, Outcome, Peer, PeerId, Source, Transition, Upstream};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lifecycle::Clock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;

use crate::follow::{Change, Changes};
use crate::probe::exchange::Exchange;

/// How often upstreams are looked at for what others changed in them (Kong's tick).
const SWEEP: Duration = Duration::from_millis(100);

/// The shortest time between two probes of a peer; below, an interval would be a mistake.
const SHORTEST: Duration = Duration::from_millis(10);

/// What is due within this time is begun together, to wake up less often.
const TOGETHER: Duration = Duration::from_millis(5);

/// A client certificate with its private key, both PEM.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The certificate, followed by those that it is signed by.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// Finds a certificate entity by its id in what is served at present.
pub type FindCertificate = dyn Fn(Uuid) -> Option<ClientCertificate> + Send + Sync;

/// Logs that a peer became available or not, in the words that all such events share.
pub fn log_transition(upstream: &Config, transition: &Transition) {
    let Transition { peer, from, to, cause, .. } = transition;
    let (name, address) = (&*upstream.name, peer.address());
    let target = format_args!("{}:{}", peer.host(), peer.port());
    if to.is_available() {
        tracing::info!(upstream = name, target = %target, %address, %from, %to, %cause, "target is healthy");
    } else {
        tracing::warn!(upstream = name, target = %target, %address, %from, %to, %cause, "target is unhealthy");
    }
}

/// Probes the peers of all upstreams, for ever.
pub(crate) struct Prober {
    clock: Arc<dyn Clock>,
    changes: Arc<Changes>,
    certificates: Arc<FindCertificate>,
    at_once: usize,
    random: StdRng,
    upstreams: FxHashMap<Uuid, Watched>,
    due: BinaryHeap<Reverse<(Instant, Uuid, PeerId)>>,
    /// Due, and waiting for room on the node.
    ready: VecDeque<(Uuid, PeerId)>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// An upstream whose peers are probed.
struct Watched {
    upstream: Arc<Upstream>,
    config: Arc<Config>,
    generation: u64,
    exchange: Arc<Exchange>,
    peers: FxHashMap<PeerId, Scheduled>,
    running: usize,
    /// Due, and waiting for room in this upstream.
    waiting: VecDeque<PeerId>,
}

struct Scheduled {
    peer: Arc<Peer>,
    /// Zero: not probed in its present state.
    interval: Duration,
    due: Instant,
    /// Whether it is being probed, or waits for room.
    is_busy: bool,
}

struct Done {
    upstream: Arc<Upstream>,
    peer: Arc<Peer>,
    /// `None` when nothing can be said.
    outcome: Option<Outcome>,
}

impl Prober {
    /// A prober that follows these changes. `at_once` bounds the probes of the node.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        changes: Arc<Changes>,
        certificates: Arc<FindCertificate>,
        at_once: usize,
        seed: u64,
    ) -> Prober {
        Prober {
            clock,
            changes,
            certificates,
            at_once: at_once.max(1),
            random: StdRng::seed_from_u64(seed),
            upstreams: FxHashMap::default(),
            due: BinaryHeap::new(),
            ready: VecDeque::new(),
            running: FuturesUnordered::new(),
        }
    }

    /// Works until it is dropped.
    pub(crate) async fn run(mut self) {
        let changes = Arc::clone(&self.changes);
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = self.due.peek().map(|Reverse((due, ..))| *due);
            let is_watching = !self.upstreams.is_empty();
            tokio::select! {
                changes = changes.take() => changes.into_iter().for_each(|it| self.follow(it)),
                Some(done) = self.running.next() => self.take_over(&done),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.take_what_is_due();
                }
                _ = sweep.tick(), if is_watching => self.sweep(),
            }
        }
    }

    fn follow(&mut self, change: Change) {
        let (Change::Put(upstream) | Change::Remove(upstream)) = &change;
        let id = upstream.id();
        let is_watched =
            self.upstreams.get(&id).is_some_and(|watched| Arc::ptr_eq(&watched.upstream, upstream));
        match change {
            Change::Remove(_) if is_watched => {
                self.upstreams.remove(&id);
            }
            Change::Remove(_) => {}
            // What changed in it shows in its generation.
            Change::Put(_) if is_watched => {}
            Change::Put(upstream) => {
                let config = upstream.config();
                if !config.active.is_on() {
                    self.upstreams.remove(&id);
                    return;
                }
                let watched = Watched {
                    exchange: Arc::new(Exchange::new(&config, &*self.certificates)),
                    generation: upstream.generation(),
                    config,
                    upstream,
                    peers: FxHashMap::default(),
                    running: 0,
                    waiting: VecDeque::new(),
                };
                self.upstreams.insert(id, watched);
                self.look_at(id);
            }
        }
    }

    fn sweep(&mut self) {
        let changed: Vec<Uuid> = self
            .upstreams
            .iter()
            .filter(|(_, watched)| watched.upstream.generation() != watched.generation)
            .map(|(id, _)| *id)
            .collect();
        for id in changed {
            self.look_at(id);
        }
    }

    /// Brings what is known of an upstream up to date.
    fn look_at(&mut self, id: Uuid) {
        let Some(watched) = self.upstreams.get_mut(&id) else { return };
        // First, so that a change that comes meanwhile is seen next time.
        watched.generation = watched.upstream.generation();
        let config = watched.upstream.config();
        if !config.active.is_on() {
            self.upstreams.remove(&id);
            return;
        }
        if config != watched.config {
            watched.exchange = Arc::new(Exchange::new(&config, &*self.certificates));
            watched.config = config;
        }
        let mut before = std::mem::take(&mut watched.peers);
        let now = Instant::now();
        for peer in watched.upstream.peers() {
            let interval = interval_of(&watched.config.active, &peer);
            let mut scheduled = before.remove(&peer.id()).unwrap_or_else(|| Scheduled {
                peer: Arc::clone(&peer),
                interval: Duration::ZERO,
                due: now,
                is_busy: false,
            });
            if interval != scheduled.interval {
                scheduled.interval = interval;
                if !interval.is_zero() {
                    // Anywhere within the first interval, so that peers that come together are
                    // not probed together ever after.
                    scheduled.due = now + interval.mul_f64(self.random.random_range(0.0..1.0));
                    self.due.push(Reverse((scheduled.due, id, peer.id())));
                }
            }
            watched.peers.insert(peer.id(), scheduled);
        }
    }

    fn take_what_is_due(&mut self) {
        let until = Instant::now() + TOGETHER;
        while let Some(Reverse((due, ..))) = self.due.peek()
            && *due <= until
        {
            let Some(Reverse((due, id, peer))) = self.due.pop() else { break };
            if let Some(watched) = self.upstreams.get_mut(&id)
                && let Some(scheduled) = watched.peers.get_mut(&peer)
                && scheduled.due == due
                && !scheduled.interval.is_zero()
                && !scheduled.is_busy
            {
                scheduled.is_busy = true;
                self.ready.push_back((id, peer));
            }
        }
        self.begin_what_is_ready();
    }

    fn begin_what_is_ready(&mut self) {
        while self.running.len() < self.at_once
            && let Some((id, peer)) = self.ready.pop_front()
        {
            let Some(watched) = self.upstreams.get_mut(&id) else { continue };
            let Some(scheduled) = watched.peers.get(&peer) else {
                // It went while it waited; the room is for the next one.
                self.ready.extend(watched.waiting.pop_front().map(|next| (id, next)));
                continue;
            };
            if watched.running >= watched.config.active.concurrency.max(1) {
                watched.waiting.push_back(peer);
                continue;
            }
            watched.running += 1;
            let upstream = Arc::clone(&watched.upstream);
            let (exchange, peer) = (Arc::clone(&watched.exchange), Arc::clone(&scheduled.peer));
            self.running.push(Box::pin(async move {
                let outcome = exchange.with(&peer).await;
                Done { upstream, peer, outcome }
            }));
        }
    }

    fn take_over(&mut self, Done { upstream, peer, outcome }: &Done) {
        let id = upstream.id();
        let watched = self.upstreams.get_mut(&id);
        // Otherwise it was removed meanwhile, or another one took its place.
        if let Some(watched) = watched.filter(|it| Arc::ptr_eq(&it.upstream, upstream)) {
            watched.running = watched.running.saturating_sub(1);
            let now = self.clock.monotonic();
            let transition =
                outcome.and_then(|outcome| upstream.report(peer, outcome, Source::Active, now));
            if let Some(transition) = transition {
                log_transition(&watched.config, &transition);
            }
            if let Some(scheduled) = watched.peers.get_mut(&peer.id()) {
                scheduled.is_busy = false;
                scheduled.interval = interval_of(&watched.config.active, peer);
                if !scheduled.interval.is_zero() {
                    let step = scheduled.interval.mul_f64(self.random.random_range(0.95..1.05));
                    // In its rhythm, unless it lags behind.
                    scheduled.due = (scheduled.due + step).max(Instant::now() + SHORTEST);
                    self.due.push(Reverse((scheduled.due, id, peer.id())));
                }
            }
            if let Some(next) = watched.waiting.pop_front() {
                self.ready.push_front((id, next));
            }
        }
        self.begin_what_is_ready();
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("upstreams", &self.upstreams.len())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

fn interval_of(checks: &ActiveChecks, peer: &Peer) -> Duration {
    let interval = if peer.health().is_available() {
        checks.healthy_interval
    } else {
        checks.unhealthy_interval
    };
    if interval.is_zero() { interval } else { interval.max(SHORTEST) }
}

#[cfg(test)]
mod tests;
