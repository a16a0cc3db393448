//! A data plane as control planes tell each other of it: JSON, in parts that change apart.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Cursor, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Notice;
use tokio::time::Instant;
use uuid::Uuid;
use wire::UpstreamHealth;

use crate::connection::Certificate;
use crate::fleet::{Node, Rejection, State};
use crate::health::Told;
use crate::members::{Entry, Untold};

/// How it is connected: [`Link`].
pub(crate) const LINK: &str = "link";
/// As it describes itself: [`Node`].
pub(crate) const NODE: &str = "node";
/// What it reports: [`Report`].
pub(crate) const STATE: &str = "state";
/// The health of its targets: [`Health`].
pub(crate) const HEALTH: &str = "health";

/// Rejections that are named to the others; the rest is counted.
const REJECTIONS: usize = 100;
/// A longer report of health, in bytes, is told as one that leaves everything out.
const LARGEST_HEALTH: usize = 64 << 10;

/// How a data plane is connected to a control plane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Whether it has a stream; else it was heard of at the time of the notice.
    pub(crate) streams: bool,
    /// Where it came from last.
    pub(crate) address: Option<IpAddr>,
    /// What it showed.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// What a data plane reports of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    state: State,
    received: Option<(Uuid, u64)>,
    serving: Option<(Uuid, u64)>,
    digest: Option<[u8; 16]>,
    rejections: Vec<Rejection>,
    rejections_total: u64,
}

/// What a data plane tells of its targets' health.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Health {
    upstreams: Vec<(Uuid, UpstreamHealth)>,
    left_out: u64,
}

impl Entry {
    /// What the other control planes have not been told of it, which counts as told from now on.
    /// Of one that polls, they are told again when it was heard of for so long since: `refresh`.
    pub(crate) fn tell(&mut self, refresh: Duration, notices: &mut Vec<Notice>) {
        let polls = self.polled(refresh);
        let untold = std::mem::take(&mut self.untold);
        let age_us = u64::try_from(self.seen.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut say = |part: &str, body: Option<String>| {
            let (subject, part) = (self.member.node.id, part.to_owned());
            notices.push(Notice { subject, part, age_us, body });
        };
        if untold.node {
            say(NODE, words(&self.member.node));
        }
        if untold.state {
            say(STATE, words(&Report::of(self)));
        }
        if untold.health {
            say(HEALTH, Health::of(&self.health));
        }
        if untold.link || polls {
            let link = Link {
                streams: self.streams > 0,
                address: self.member.address,
                certificate: self.member.certificate.clone(),
            };
            say(LINK, words(&link));
            self.told = self.seen;
        }
    }

    /// Whether there is something that they have not been told.
    pub(crate) fn is_untold(&self, refresh: Duration) -> bool {
        self.untold != Untold::default() || self.polled(refresh)
    }

    fn polled(&self, refresh: Duration) -> bool {
        self.streams == 0 && self.seen > self.told + refresh
    }

    /// Counts a notice as not told after all.
    pub(crate) fn retell(&mut self, part: &str) {
        let untold = &mut self.untold;
        match part {
            NODE => untold.node = true,
            STATE => untold.state = true,
            HEALTH => untold.health = true,
            _ => untold.link = true,
        }
    }

    /// Counts nothing as told.
    pub(crate) fn retell_all(&mut self) {
        let health = self.health.held() > 0;
        self.untold = Untold { node: true, link: true, state: true, health };
    }
}

/// What takes back all that was said of a data plane until it was `seen`.
pub(crate) fn withdrawn(subject: Uuid, seen: Instant) -> impl Iterator<Item = Notice> {
    let age_us = u64::try_from(seen.elapsed().as_micros()).unwrap_or(u64::MAX);
    [LINK, NODE, STATE, HEALTH].into_iter().map(move |part| Notice {
        subject,
        part: part.to_owned(),
        age_us,
        body: None,
    })
}

/// What a notice says; `None` when another version says it in a way that this one does not know.
pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Option<T> {
    serde_json::from_str(body).ok()
}

/// None of these can fail to be written.
fn words(said: &impl Serialize) -> Option<String> {
    serde_json::to_string(said).ok()
}

impl Report {
    fn of(entry: &Entry) -> Report {
        let said = &entry.member;
        let pair = |cursor: Cursor| (cursor.epoch, cursor.revision);
        Report {
            state: said.state,
            received: said.received.map(pair),
            serving: said.serving.map(pair),
            digest: said.digest.map(Digest::to_bytes),
            rejections: said.rejections.iter().take(REJECTIONS).cloned().collect(),
            rejections_total: said.rejections_total,
        }
    }

    /// Fills it in.
    pub(crate) fn into_entry(self, entry: &mut Entry) {
        let cursor = |(epoch, revision)| Cursor { epoch, revision };
        let said = &mut entry.member;
        said.state = self.state;
        said.received = self.received.map(cursor);
        said.serving = self.serving.map(cursor);
        said.digest = self.digest.and_then(|bytes| Digest::from_bytes(&bytes));
        said.rejections = self.rejections;
        said.rejections_total = self.rejections_total;
    }
}

impl Health {
    fn of(told: &Told) -> Option<String> {
        let (upstreams, left_out) = told.all();
        let all = upstreams.iter().map(|(id, health)| (*id, health.clone())).collect();
        words(&Health { upstreams: all, left_out })
            .filter(|text| text.len() <= LARGEST_HEALTH)
            .or_else(|| {
                let left_out = left_out.saturating_add(upstreams.len() as u64);
                words(&Health { upstreams: Vec::new(), left_out })
            })
    }

    /// As it was told.
    pub(crate) fn into_told(self) -> Told {
        Told::relayed(self.upstreams.into_iter().collect(), self.left_out)
    }
}

/// A data plane of another control plane, which it described so.
pub(crate) fn relayed(node: Node, link: Link, seen: Instant, last_seen_us: i64) -> Entry {
    let mut entry = Entry::new(node, seen);
    entry.member.address = link.address;
    entry.member.certificate = link.certificate;
    entry.member.last_seen_us = last_seen_us;
    entry
}
