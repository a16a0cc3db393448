//! DNS for targets: every name is asked for in the background and again when its records expire,
//! so that no request waits for it but the first.
//!
//! One task looks after all names of the node. A name is one query however many targets and
//! upstreams have it. What it finds goes into the upstreams ([`balancer::Upstream::set_answer`]).

pub(crate) mod dns;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use balancer::{Answer, Upstream};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use lifecycle::Backoff;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::follow::{Change, Changes};
use crate::resolve::dns::{Dns, Failure, Found};

/// Names that are asked for at the same time; the others wait for their turn.
const AT_ONCE: usize = 64;

/// The shortest life of a record: a TTL of 0 means "ask each time", which is done in the
/// background as often as this.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

/// The longest: so that a mistaken TTL does not last until a restart.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest wait before a name that cannot be resolved is tried again (Kong's 30 s).
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// How names are resolved: Kong's `dns_*` settings.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// The servers to ask (`dns_resolver`); empty for those of the system.
    pub servers: Vec<SocketAddr>,
    /// The file with fixed names (`dns_hostsfile`).
    pub hosts_file: Option<PathBuf>,
    /// What to ask for, in this order (`dns_order`); SRV only for names like `_http._tcp.example`.
    pub order: Vec<RecordKind>,
    /// How long an answer holds, whatever its TTL says (`dns_valid_ttl`).
    pub valid_ttl: Option<Duration>,
    /// How long an expired answer is used while the servers fail (`dns_stale_ttl`).
    pub stale_ttl: Duration,
    /// How long it holds that a name does not exist (`dns_not_found_ttl`).
    pub not_found_ttl: Duration,
    /// The first wait after a failure (`dns_error_ttl`); it grows up to 30 s.
    pub error_ttl: Duration,
}

impl Default for ResolverSettings {
    /// Kong's defaults.
    fn default() -> ResolverSettings {
        ResolverSettings {
            servers: Vec::new(),
            hosts_file: Some("/etc/hosts".into()),
            order: vec![RecordKind::Last, RecordKind::Srv, RecordKind::A],
            valid_ttl: None,
            stale_ttl: Duration::from_secs(3600),
            not_found_ttl: Duration::from_secs(30),
            error_ttl: Duration::from_secs(1),
        }
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// What the name had last time, first of all.
    Last,
    /// Addresses with ports and weights.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// Looks after the names of all upstreams, for ever.
pub(crate) struct Resolver {
    dns: Arc<Dns>,
    settings: ResolverSettings,
    changes: Arc<Changes>,
    random: StdRng,
    /// The shortest life of an answer.
    shortest: Duration,
    upstreams: FxHashMap<Uuid, Followed>,
    names: FxHashMap<Arc<str>, Name>,
    due: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
    waiting: VecDeque<Arc<str>>,
    asked: FuturesUnordered<BoxFuture<'static, Asked>>,
}

/// An upstream and those of its names that are looked after.
struct Followed {
    upstream: Arc<Upstream>,
    names: Vec<Arc<str>>,
}

/// A name that was asked for, and what came of it.
struct Asked {
    name: Arc<str>,
    result: Result<Found, Failure>,
}

/// One name.
#[derive(Debug)]
struct Name {
    upstreams: FxHashMap<Uuid, Arc<Upstream>>,
    /// When it is asked for next; an entry of the queue with another time is an old one.
    due: Instant,
    /// Whether it is asked for or waits for its turn.
    is_busy: bool,
    answer: Option<Answer>,
    /// When the last good answer must not be used any more.
    stale_at: Option<Instant>,
    last_kind: Option<RecordKind>,
    backoff: Backoff,
}

impl Resolver {
    /// A resolver that follows these changes.
    pub(crate) fn new(settings: ResolverSettings, changes: Arc<Changes>, seed: u64) -> Resolver {
        Resolver {
            dns: Arc::new(Dns::new(&settings)),
            settings,
            changes,
            random: StdRng::seed_from_u64(seed),
            shortest: SHORTEST,
            upstreams: FxHashMap::default(),
            names: FxHashMap::default(),
            due: BinaryHeap::new(),
            waiting: VecDeque::new(),
            asked: FuturesUnordered::new(),
        }
    }

    /// Works until it is dropped.
    pub(crate) async fn run(mut self) {
        let changes = Arc::clone(&self.changes);
        loop {
            let next = self.due.peek().map(|Reverse((due, _))| *due);
            tokio::select! {
                changes = changes.take() => self.follow(changes),
                Some(Asked { name, result }) = self.asked.next() => self.take_over(&name, result),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.ask_what_is_due();
                }
            }
        }
    }

    fn follow(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Put(upstream) => self.put(upstream),
                Change::Remove(upstream) => {
                    let id = upstream.id();
                    if self
                        .upstreams
                        .get(&id)
                        .is_some_and(|it| Arc::ptr_eq(&it.upstream, &upstream))
                        && let Some(gone) = self.upstreams.remove(&id)
                    {
                        gone.names.iter().for_each(|name| self.forget(name, id));
                    }
                }
            }
        }
    }

    fn put(&mut self, upstream: Arc<Upstream>) {
        let id = upstream.id();
        let names = upstream.names();
        let now = Instant::now();
        let error_ttl = self.settings.error_ttl.max(Duration::from_millis(10));
        for name in &names {
            let entry = self.names.entry(Arc::clone(name)).or_insert_with(|| {
                self.due.push(Reverse((now, Arc::clone(name))));
                Name {
                    upstreams: FxHashMap::default(),
                    due: now,
                    is_busy: false,
                    answer: None,
                    stale_at: None,
                    last_kind: None,
                    backoff: Backoff::new(error_ttl, LONGEST_RETRY.max(error_ttl)),
                }
            });
            // In the place of one with the same id, if there was one.
            entry.upstreams.insert(id, Arc::clone(&upstream));
            // Also when it was followed before: the target may have gone and come back.
            if let Some(answer) = &entry.answer {
                upstream.set_answer(name, answer);
            }
        }
        let followed = Followed { upstream, names: names.clone() };
        let before = self.upstreams.insert(id, followed);
        for name in before.iter().flat_map(|before| &before.names) {
            if !names.contains(name) {
                self.forget(name, id);
            }
        }
    }

    fn forget(&mut self, name: &Arc<str>, id: Uuid) {
        if let Some(entry) = self.names.get_mut(name) {
            entry.upstreams.remove(&id);
            if entry.upstreams.is_empty() {
                self.names.remove(name);
            }
        }
    }

    fn ask_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, _))) = self.due.peek()
            && *due <= now
        {
            let Some(Reverse((due, name))) = self.due.pop() else { break };
            if let Some(entry) = self.names.get_mut(&name)
                && entry.due == due
                && !entry.is_busy
            {
                entry.is_busy = true;
                self.waiting.push_back(name);
            }
        }
        self.ask_who_waits();
    }

    fn ask_who_waits(&mut self) {
        while self.asked.len() < AT_ONCE
            && let Some(name) = self.waiting.pop_front()
        {
            let Some(entry) = self.names.get(&name) else { continue };
            let (dns, last) = (Arc::clone(&self.dns), entry.last_kind);
            self.asked.push(Box::pin(async move {
                let result = dns.resolve(&name, last).await;
                Asked { name, result }
            }));
        }
    }

    fn take_over(&mut self, name: &Arc<str>, result: Result<Found, Failure>) {
        self.ask_who_waits();
        // Nobody wants it any more.
        let Some(entry) = self.names.get_mut(name) else { return };
        let now = Instant::now();
        let failed_before = entry.backoff.failures() > 0;
        let (answer, wait) = match result {
            Ok(found) => {
                entry.backoff.reset();
                entry.last_kind = Some(found.kind);
                let life = self.settings.valid_ttl.unwrap_or(found.ttl);
                let life = life.clamp(self.shortest, LONGEST);
                entry.stale_at = Some(now + life + self.settings.stale_ttl);
                if failed_before {
                    tracing::info!(name = &**name, "the name resolves again");
                }
                // A little late rather than early: a caching server would answer with what is
                // left of the TTL.
                let late =
                    (life / 10).min(self.shortest).mul_f64(self.random.random_range(0.0..1.0));
                (Some(found.answer), life + late)
            }
            Err(Failure::NotFound(why)) => {
                if entry.answer != Some(Answer::Failed(Arc::clone(&why))) {
                    tracing::warn!(name = &**name, reason = &*why, "the name does not resolve");
                }
                entry.backoff.reset();
                entry.stale_at = None;
                let wait = self.settings.not_found_ttl.max(self.shortest);
                (Some(Answer::Failed(why)), wait.mul_f64(self.random.random_range(0.9..1.1)))
            }
            Err(Failure::Broken(why)) => {
                if !failed_before {
                    tracing::warn!(
                        name = &**name,
                        reason = &*why,
                        "the name cannot be resolved; check the DNS servers (dns_resolver)"
                    );
                }
                let is_usable = entry.stale_at.is_some_and(|stale_at| now < stale_at);
                let wait = entry.backoff.next_delay(&mut self.random);
                let wait = wait.max(self.settings.error_ttl.min(self.shortest) / 2);
                ((!is_usable).then_some(Answer::Failed(why)), wait)
            }
        };
        if let Some(answer) = answer {
            for upstream in entry.upstreams.values() {
                upstream.set_answer(name, &answer);
            }
            entry.answer = Some(answer);
        }
        entry.is_busy = false;
        entry.due = now + wait;
        self.due.push(Reverse((entry.due, Arc::clone(name))));
    }
}

#[cfg(test)]
mod tests;
