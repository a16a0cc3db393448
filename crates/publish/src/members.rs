//! The data planes that are known: those of this control plane, and what the others tell of theirs.

use std::collections::HashMap;
use std::time::Duration;

use model::Cursor;
use tokio::time::Instant;
use uuid::Uuid;

use crate::feeds::OpenRollout;
use crate::fleet::{Member, Node, State, Wanted};
use crate::health::Told;

/// A data plane without an open stream counts as connected when it was heard of this recently: it
/// polls, or is on its way to another control plane.
pub(crate) const LIVE: Duration = Duration::from_secs(30);

/// More data planes than this are not remembered; the longest unseen goes first.
pub(crate) const MEMBERS: usize = 20_000;

/// All that are known.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Those that have called this control plane.
    pub(crate) local: HashMap<Uuid, Entry>,
    /// Those that the other control planes tell of.
    pub(crate) remote: HashMap<Uuid, Entry>,
    /// Those that were forgotten, and when they were seen last: what was said of them before is to
    /// be forgotten everywhere.
    pub(crate) forgotten: HashMap<Uuid, Instant>,
    /// There may be other control planes, and they have not been heard yet.
    pub(crate) deaf: bool,
}

/// A data plane.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) member: Member,
    pub(crate) health: Told,
    /// How many streams it has open.
    pub(crate) streams: usize,
    /// When it was heard of last.
    pub(crate) seen: Instant,
    /// What the other control planes have not been told yet.
    pub(crate) untold: Untold,
    /// The last time of hearing of it that they were told.
    pub(crate) told: Instant,
}

/// Parts of a data plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Untold {
    /// As it describes itself.
    pub(crate) node: bool,
    /// How it is connected.
    pub(crate) link: bool,
    /// What it reports.
    pub(crate) state: bool,
    /// The health of its targets.
    pub(crate) health: bool,
}

impl Members {
    /// Every data plane once, by the control plane that has its stream, else that heard of it last.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Entry> {
        let here = self
            .local
            .iter()
            .filter(|(id, entry)| self.remote.get(id).is_none_or(|remote| entry.precedes(remote)));
        let there = self
            .remote
            .iter()
            .filter(|(id, remote)| self.local.get(id).is_none_or(|entry| !entry.precedes(remote)));
        here.chain(there).map(|(_, entry)| entry)
    }

    /// Those that are connected.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.all().filter(|entry| entry.is_live())
    }

    /// Those that are connected to this control plane.
    pub(crate) fn live_here(&self) -> impl Iterator<Item = &Entry> {
        self.local.values().filter(|entry| entry.is_live())
    }

    /// Those that a wait is about.
    pub(crate) fn wanted(&self, wanted: Wanted) -> Box<dyn Iterator<Item = &Entry> + '_> {
        match wanted {
            Wanted::Here => Box::new(self.live_here()),
            Wanted::All | Wanted::Quorum | Wanted::Count(_) => Box::new(self.live()),
        }
    }

    /// Whether enough is known for such a wait to end.
    pub(crate) fn tell(&self, wanted: Wanted) -> bool {
        match wanted {
            Wanted::All | Wanted::Quorum => !self.deaf,
            Wanted::Here | Wanted::Count(_) => true,
        }
    }

    /// One data plane.
    pub(crate) fn get(&self, id: Uuid) -> Option<&Entry> {
        match (self.local.get(&id), self.remote.get(&id)) {
            (Some(entry), Some(remote)) if !entry.precedes(remote) => Some(remote),
            (Some(entry), _) => Some(entry),
            (None, remote) => remote,
        }
    }

    /// Forgets one, here and with the others. Whether it was known.
    pub(crate) fn remove(&mut self, id: Uuid) -> bool {
        let known = self.local.remove(&id).is_some() | self.remote.remove(&id).is_some();
        if known {
            self.forgotten.insert(id, Instant::now());
        }
        known
    }

    /// Forgets those that are not connected and were not seen for so long. Whether any was.
    pub(crate) fn forget(&mut self, unseen: Duration) -> bool {
        let stays = |entry: &Entry| entry.is_live() || entry.seen.elapsed() <= unseen;
        let before = self.local.len() + self.remote.len();
        let forgotten = &mut self.forgotten;
        self.local.retain(|id, entry| {
            let stays = stays(entry);
            if !stays {
                forgotten.insert(*id, entry.seen);
            }
            stays
        });
        self.remote.retain(|_, entry| stays(entry));
        self.local.len() + self.remote.len() < before
    }

    /// Forgets the one that was longest unseen when there are too many for another one.
    pub(crate) fn make_room(&mut self, id: Uuid) {
        if self.local.contains_key(&id) || self.local.len() < MEMBERS {
            return;
        }
        let unseen =
            self.local.iter().filter(|(_, entry)| entry.streams == 0).min_by_key(|(_, e)| e.seen);
        if let Some(id) = unseen.map(|(id, _)| *id) {
            self.local.remove(&id);
        }
    }
}

impl Entry {
    pub(crate) fn new(node: Node, seen: Instant) -> Entry {
        let member = Member {
            node,
            address: None,
            certificate: None,
            connected: true,
            state: State::Unknown,
            received: None,
            serving: None,
            digest: None,
            rejections: Vec::new(),
            rejections_total: 0,
            last_seen_us: 0,
        };
        let untold = Untold { node: true, link: true, ..Untold::default() };
        Entry { member, health: Told::default(), streams: 0, seen, untold, told: seen }
    }

    pub(crate) fn serves(&self, at: Cursor) -> bool {
        self.member.serving.is_some_and(|s| s.epoch == at.epoch && s.revision >= at.revision)
    }

    pub(crate) fn is_held(&self, open: Option<&OpenRollout>) -> bool {
        let Member { node, serving, .. } = &self.member;
        open.is_some_and(|open| open.holds(&node.labels, *serving))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.streams > 0 || self.seen.elapsed() < LIVE
    }

    /// Whether this is the better word on a data plane than another control plane's.
    fn precedes(&self, other: &Entry) -> bool {
        (self.streams > 0, self.seen) >= (other.streams > 0, other.seen)
    }
}
