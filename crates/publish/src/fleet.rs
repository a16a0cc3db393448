//! The data planes: who they are, what they serve, and waiting until they serve enough.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::connection::Certificate;
use crate::feeds::OpenRollout;
use crate::health::{FleetHealth, HealthReport, NodeHealth};
use crate::members::{Entry, Members};
use crate::report::Report;
use lifecycle::Clock;
use model::{Cursor, Digest};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;
use wire::Entities;

/// The data planes, of this control plane and of all others on the same store. Clones share the
/// view.
#[derive(Clone, Debug)]
pub struct Fleet {
    inner: Arc<Inner>,
}

/// A data plane as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Kept over restarts.
    pub id: Uuid,
    /// The name of its machine.
    pub hostname: String,
    /// The version of its program.
    pub version: String,
    /// What the operator calls it by.
    pub labels: BTreeMap<String, String>,
    /// The plugins that it can run, with their versions.
    pub plugins: BTreeMap<String, String>,
}

/// How a data plane is connected to the control planes, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing has been heard of, nothing is held.
    Booting,
    /// The stream is up.
    Streaming,
    /// The stream is down, control planes are polled.
    Polling,
    /// As polling, and nothing has been heard for longer than the rule allows.
    Stale,
    /// It has not said yet, or says what this version does not know.
    #[serde(other)]
    Unknown,
}

/// An entity that a data plane could not apply as it is; its last good version stays there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The revision that brought it.
    pub revision: u64,
    /// The collection, by Kong's name.
    pub kind: String,
    /// The primary key.
    pub id: Uuid,
    /// Why, for the operator.
    pub reason: String,
    /// Whether it is in force there all the same, without the parts that the reason names.
    #[serde(default)]
    pub in_part: bool,
}

/// What is known of a data plane.
#[derive(Clone, Debug)]
pub struct Member {
    /// As it describes itself.
    pub node: Node,
    /// Where it came from last; `None` when it runs in this process.
    pub address: Option<IpAddr>,
    /// What it showed; `None` without TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether it has a stream or was heard of a moment ago.
    pub connected: bool,
    /// How it is connected, as it says.
    pub state: State,
    /// What it holds.
    pub received: Option<Cursor>,
    /// What it answers requests from.
    pub serving: Option<Cursor>,
    /// The digest of what it holds; its text is Kong's `config_hash`.
    pub digest: Option<Digest>,
    /// What it could not apply, up to 1,000.
    pub rejections: Vec<Rejection>,
    /// How many entities it could not apply.
    pub rejections_total: u64,
    /// When it was heard of last, in microseconds since 1970.
    pub last_seen_us: i64,
}

/// How many data planes are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that are connected to any control plane; none is enough when none is.
    All,
    /// All that are connected to this control plane; none is enough when none is.
    Here,
    /// More than half of those that are connected to any; none is enough when none is.
    Quorum,
    /// This many, whether or not as many are connected.
    Count(usize),
}

/// Who serves a revision, and who does not yet.
#[derive(Clone, Debug)]
pub struct Served {
    /// Whether as many serve it as were wanted.
    pub reached: bool,
    /// The connected data planes that serve it.
    pub applied: Vec<Standing>,
    /// The connected data planes that do not.
    pub lagging: Vec<Standing>,
    /// The connected data planes that an open rollout holds back: they are not to serve it yet,
    /// and are not waited for.
    pub held: Vec<Standing>,
}

/// Where a data plane stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The data plane.
    pub id: Uuid,
    /// The name of its machine.
    pub hostname: String,
    /// What it answers requests from.
    pub serving: Option<Cursor>,
}

/// Where a call came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The other end's address; `None` in this process.
    pub(crate) address: Option<IpAddr>,
    /// What it showed; `None` without TLS.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    members: Mutex<Members>,
    /// Up to where this control plane has released, and the rollout that is open there.
    released: Mutex<Option<(Cursor, Option<Arc<OpenRollout>>)>>,
    changed: watch::Sender<()>,
}

/// An open stream of a data plane; dropping it says that the stream is closed.
#[derive(Debug)]
pub(crate) struct Attached {
    fleet: Fleet,
    id: Uuid,
    certificate: Option<Arc<Certificate>>,
}

impl Fleet {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Fleet {
        let changed = watch::Sender::new(());
        Fleet {
            inner: Arc::new(Inner {
                clock,
                members: Mutex::default(),
                released: Mutex::default(),
                changed,
            }),
        }
    }

    /// All data planes that are remembered, by hostname and id.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self
            .lock()
            .all()
            .map(|entry| Member { connected: entry.is_live(), ..entry.member.clone() })
            .collect();
        members.sort_by(|a, b| (&a.node.hostname, a.node.id).cmp(&(&b.node.hostname, b.node.id)));
        members
    }

    /// One data plane.
    pub fn member(&self, id: Uuid) -> Option<Member> {
        let members = self.lock();
        let entry = members.get(id)?;
        Some(Member { connected: entry.is_live(), ..entry.member.clone() })
    }

    /// What the connected data planes say of an upstream.
    pub fn upstream_health(&self, upstream: Uuid) -> FleetHealth {
        let mut health = FleetHealth::default();
        for entry in self.lock().live() {
            health.connected += 1;
            health.incomplete += usize::from(entry.health.is_incomplete());
            if let Some(told) = entry.health.of(upstream) {
                let Node { id, hostname, .. } = &entry.member.node;
                let (id, hostname) = (*id, hostname.clone());
                health.reports.push(NodeHealth { id, hostname, health: told.clone() });
            }
        }
        health.reports.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
        health
    }

    /// The connected data planes that could not apply an entity as it is, and what they say.
    pub fn rejected_by(&self, kind: &str, id: Uuid) -> Vec<(Node, Rejection)> {
        let members = self.lock();
        let mut found: Vec<(Node, Rejection)> = members
            .live()
            .filter_map(|entry| {
                let mut rejections = entry.member.rejections.iter();
                let rejection = rejections.find(|one| one.id == id && one.kind == kind)?;
                Some((entry.member.node.clone(), rejection.clone()))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
        found
    }

    /// How many data planes are connected to any control plane.
    pub fn connected(&self) -> usize {
        self.lock().live().count()
    }

    /// How many data planes are connected to this control plane.
    pub fn connected_here(&self) -> usize {
        self.lock().live_here().count()
    }

    /// Completes with every change of the view, such as a report. For who shows it.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.inner.changed.subscribe()
    }

    /// Waits until as many connected data planes as `wanted` serve `at` or what follows it, for
    /// `timeout` at most. Driven by their reports, not by a clock.
    ///
    /// A data plane that comes or goes meanwhile is counted as it then stands. One that follows
    /// another history than `at.epoch` does not serve it.
    pub async fn wait_served(&self, at: Cursor, wanted: Wanted, timeout: Duration) -> Served {
        let deadline = Instant::now() + timeout;
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if self.has_reached(at, wanted) {
                return self.served(at, wanted);
            }
            // Who falls silent is not announced: look again now and then.
            let look_again = (Instant::now() + crate::members::LIVE / 10).min(deadline);
            if tokio::time::timeout_at(look_again, changes.changed()).await.is_err()
                && Instant::now() >= deadline
            {
                return self.served(at, wanted);
            }
        }
    }

    /// Who serves `at` now.
    pub fn served(&self, at: Cursor, wanted: Wanted) -> Served {
        let open = self.rollout_beyond(at);
        let (mut applied, mut lagging, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let members = self.lock();
        for entry in members.wanted(wanted) {
            let Member { node, serving, .. } = &entry.member;
            let standing =
                Standing { id: node.id, hostname: node.hostname.clone(), serving: *serving };
            let list = match entry.serves(at) {
                true => &mut applied,
                false if entry.is_held(open.as_deref()) => &mut held,
                false => &mut lagging,
            };
            list.push(standing);
        }
        for list in [&mut applied, &mut lagging, &mut held] {
            list.sort_by(|a, b| (&a.hostname, a.id).cmp(&(&b.hostname, b.id)));
        }
        let reached = members.tell(wanted) && wanted.reached(applied.len(), lagging.len());
        Served { reached, applied, lagging, held }
    }

    /// As [`served`](Fleet::served), without the lists: asked with every report.
    fn has_reached(&self, at: Cursor, wanted: Wanted) -> bool {
        let open = self.rollout_beyond(at);
        let (mut applied, mut lagging) = (0, 0);
        let members = self.lock();
        for entry in members.wanted(wanted) {
            match entry.serves(at) {
                true => applied += 1,
                false => lagging += usize::from(!entry.is_held(open.as_deref())),
            }
        }
        members.tell(wanted) && wanted.reached(applied, lagging)
    }

    /// The rollout that is open.
    pub fn rollout(&self) -> Option<Arc<OpenRollout>> {
        self.released_here().as_ref()?.1.clone()
    }

    /// What this data plane is to serve now: what is released, or what an open rollout holds it
    /// back at. `None` before the store was read.
    pub fn target(&self, member: &Member) -> Option<Cursor> {
        let released = self.released_here();
        let (at, open) = released.as_ref()?;
        let held = open.as_ref().filter(|open| open.holds(&member.node.labels, member.serving));
        Some(held.map_or(*at, |open| open.opened))
    }

    /// So much is released here, and this rollout is open there.
    pub(crate) fn released(&self, at: Cursor, open: Option<Arc<OpenRollout>>) {
        let former = self.released_here().replace((at, open.clone()));
        if open.is_some() || former.is_some_and(|(_, open)| open.is_some()) {
            // Who is waited for has changed.
            self.inner.changed.send_replace(());
        }
    }

    /// The rollout that may hold data planes back from serving `at`. Nothing is known of `at` until
    /// it is released here: it may be what ended the rollout.
    fn rollout_beyond(&self, at: Cursor) -> Option<Arc<OpenRollout>> {
        let released = self.released_here();
        let (here, open) = released.as_ref()?;
        let known = here.epoch == at.epoch && here.revision >= at.revision;
        open.clone().filter(|open| known && at.revision > open.opened.revision)
    }

    fn released_here(&self) -> MutexGuard<'_, Option<(Cursor, Option<Arc<OpenRollout>>)>> {
        self.inner.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A data plane called.
    pub(crate) fn seen(&self, node: Node, origin: &Origin) {
        self.update(node, origin, |_| {});
    }

    /// A data plane opened a stream.
    pub(crate) fn attach(&self, node: Node, origin: &Origin) -> Attached {
        let id = node.id;
        let other = self.lock().local.get(&id).and_then(|entry| {
            let former = &entry.member.node.hostname;
            (entry.streams > 0 && *former != node.hostname).then(|| former.clone())
        });
        if let Some(other) = other {
            tracing::warn!(
                node = %id,
                hostname = node.hostname,
                other,
                "two data planes have the same node id and are counted as one; give each a data \
                 directory of its own"
            );
        }
        self.update(node, origin, |entry| {
            entry.streams += 1;
            entry.untold.link = true;
        });
        Attached { fleet: self.clone(), id, certificate: origin.certificate.clone() }
    }

    /// A data plane told of the health of its targets. The number of the report that is held.
    pub(crate) fn report_health(&self, node: Node, report: HealthReport, origin: &Origin) -> u64 {
        let mut held = 0;
        self.update(node, origin, |entry| {
            entry.health.take(report);
            entry.untold.health = true;
            held = entry.health.held();
        });
        held
    }

    /// A data plane reported. The number of the report of health that is held of it.
    pub(crate) fn report(&self, report: Report, origin: &Origin) -> u64 {
        let Report { node, received, serving, digest, state, rejections, rejections_total } =
            report;
        let mut held = 0;
        self.update(node, origin, |entry| {
            held = entry.health.held();
            let said = &mut entry.member;
            entry.untold.state |= (said.received, said.serving, said.digest, said.state)
                != (received, serving, digest, state)
                || said.rejections_total != rejections_total
                || said.rejections != rejections;
            said.received = received;
            said.serving = serving;
            said.digest = digest;
            said.state = state;
            said.rejections = rejections;
            said.rejections_total = rejections_total;
        });
        held
    }

    /// Forgets a data plane, until it calls again; so do the other control planes. Whether it was
    /// known.
    pub fn expel(&self, id: Uuid) -> bool {
        let known = self.lock().remove(id);
        self.inner.changed.send_replace(());
        known
    }

    /// Forgets data planes that were not heard of for so long.
    pub(crate) fn forget(&self, unseen: Duration) {
        if self.lock().forget(unseen) {
            self.inner.changed.send_replace(());
        }
    }

    fn update(&self, node: Node, origin: &Origin, change: impl FnOnce(&mut Entry)) {
        let (id, last_seen_us, seen) = (node.id, self.inner.clock.wall_us(), Instant::now());
        let mut members = self.lock();
        members.make_room(id);
        let entry = members.local.entry(id).or_insert_with(|| Entry::new(node.clone(), seen));
        entry.seen = seen;
        entry.untold.node |= entry.member.node != node;
        entry.untold.link |= entry.member.address != origin.address
            || entry.member.certificate != origin.certificate;
        entry.member.node = node;
        entry.member.address = origin.address;
        entry.member.certificate = origin.certificate.clone();
        entry.member.last_seen_us = last_seen_us;
        change(entry);
        drop(members);
        self.inner.changed.send_replace(());
    }

    /// Tells everybody who looks at the view that it changed.
    pub(crate) fn announce(&self) {
        self.inner.changed.send_replace(());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Members> {
        self.inner.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attached {
    /// Whether its certificate does not belong to the cluster any more.
    pub(crate) fn is_revoked(&self, released: &Entities) -> bool {
        self.certificate.as_ref().is_some_and(|shown| shown.is_revoked(released))
    }

    /// Forgets the data plane.
    pub(crate) fn expel(&self) {
        tracing::warn!(
            node = %self.id,
            "a data plane is cut off: its certificate was revoked"
        );
        self.fleet.expel(self.id);
    }

    /// How many streams there are to this control plane, this one included.
    pub(crate) fn streams(&self) -> usize {
        self.fleet.lock().local.values().map(|entry| entry.streams).sum()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(entry) = self.fleet.lock().local.get_mut(&self.id) {
            entry.streams = entry.streams.saturating_sub(1);
            entry.untold.link = true;
            entry.seen = Instant::now();
        }
        self.fleet.inner.changed.send_replace(());
    }
}

impl Wanted {
    fn reached(self, applied: usize, lagging: usize) -> bool {
        match self {
            Wanted::All | Wanted::Here => lagging == 0,
            Wanted::Quorum => applied > lagging || lagging == 0,
            Wanted::Count(count) => applied >= count,
        }
    }
}
