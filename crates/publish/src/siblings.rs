//! What the other control planes on the same store have said, made into one view.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use store::{Notices, Said};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fleet::Node;
use crate::members::{Entry, LIVE};
use crate::notices::{self, HEALTH, Health, LINK, Link, NODE, Report, STATE};

/// The other control planes. Pure: what they said and the time come in.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    others: HashMap<Uuid, Sibling>,
    /// Until when this control plane withdrew what was said of a data plane, by the database's
    /// clock.
    withdrawn: HashMap<Uuid, i64>,
}

/// One of them.
#[derive(Debug, Default)]
struct Sibling {
    round: u64,
    posted_us: i64,
    /// Whether it showed a sign of life lately.
    lives: bool,
    words: HashMap<Uuid, Words>,
}

/// What one of them says of a data plane.
#[derive(Debug, Default)]
struct Words {
    link: Option<(i64, Link)>,
    node: Option<Node>,
    state: Option<Report>,
    health: Option<Health>,
    /// Until when it withdrew what was said, also by others.
    withdrawn_us: Option<i64>,
}

/// What has changed by their words.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// What is known of these data planes now; `None` when it is nothing any more.
    pub(crate) members: Vec<(Uuid, Option<Entry>)>,
    /// These are to be forgotten here, too, if they are not connected.
    pub(crate) forgotten: Vec<Uuid>,
}

/// When notices were read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// By the monotonic clock of this process.
    pub(crate) now: Instant,
    /// Everything was read, not only what is new.
    pub(crate) whole: bool,
    /// Nothing could be read for a while before, nor could they write: their silence says nothing.
    pub(crate) after_outage: bool,
}

impl Siblings {
    /// Their rounds that have been read.
    pub(crate) fn known(&self) -> impl Iterator<Item = (Uuid, u64)> + '_ {
        self.others.iter().map(|(id, sibling)| (*id, sibling.round))
    }

    /// Whether there is any that lives.
    pub(crate) fn any(&self) -> bool {
        self.others.values().any(|sibling| sibling.lives)
    }

    /// This control plane withdraws what was said of a data plane until then.
    pub(crate) fn withdraw(&mut self, subject: Uuid, until_us: i64) {
        self.withdrawn.insert(subject, until_us);
    }

    /// Takes in what was read, of all authors but this control plane, which is `me`.
    pub(crate) fn take(&mut self, read: Notices, me: Uuid, reading: Reading) -> News {
        let mut touched: BTreeSet<Uuid> = BTreeSet::new();
        let mut news = News::default();
        let former = std::mem::take(&mut self.others);
        let mut former = match reading.whole {
            true => {
                touched.extend(former.values().flat_map(|sibling| sibling.words.keys()));
                former
                    .into_iter()
                    .map(|(id, s)| (id, Sibling { words: HashMap::new(), ..s }))
                    .collect()
            }
            false => former,
        };
        for author in read.authors.iter().filter(|author| author.id != me) {
            let mut sibling = former.remove(&author.id).unwrap_or_default();
            let silent = read.now_us.saturating_sub(author.posted_us);
            let lives = silent < micros(LIVE) || (reading.after_outage && sibling.lives);
            if lives != sibling.lives {
                touched.extend(sibling.words.keys());
            }
            sibling.round = author.round;
            sibling.posted_us = author.posted_us;
            sibling.lives = lives;
            self.others.insert(author.id, sibling);
        }
        touched.extend(former.into_values().flat_map(|gone| gone.words.into_keys()));
        for said in read.said {
            let Some(sibling) = self.others.get_mut(&said.author) else { continue };
            touched.insert(said.subject);
            if said.part == LINK && said.body.is_none() {
                news.forgotten.push(said.subject);
            }
            sibling.words.entry(said.subject).or_default().take(said);
        }
        let merge = |subject| (subject, self.merge(subject, read.now_us, reading.now));
        news.members = touched.into_iter().map(merge).collect();
        news
    }

    /// What the one says who knows best: who has its stream, else who heard of it last.
    fn merge(&self, subject: Uuid, now_us: i64, now: Instant) -> Option<Entry> {
        let said = || {
            let words = |sibling: &'_ Sibling| sibling.words.contains_key(&subject);
            self.others.values().filter(move |sibling| words(sibling))
        };
        let withdrawn = said()
            .filter_map(|sibling| sibling.words.get(&subject)?.withdrawn_us)
            .chain(self.withdrawn.get(&subject).copied())
            .max();
        let (streams, said_us, sibling, words) = said()
            .filter_map(|sibling| {
                let words = sibling.words.get(&subject)?;
                let (said_us, link) = words.link.as_ref()?;
                let streams = link.streams && sibling.lives;
                let stands = streams || withdrawn.is_none_or(|until| *said_us > until);
                stands.then_some((streams, *said_us, sibling, words))
            })
            .max_by_key(|(streams, said_us, ..)| (*streams, *said_us))?;
        let (_, link) = words.link.as_ref()?;
        // While its stream was there it was there, whether or not that was worth a word.
        let heard_us = if link.streams { said_us.max(sibling.posted_us) } else { said_us };
        let order_us = if streams { said_us } else { heard_us };
        let ago = u64::try_from(now_us.saturating_sub(order_us)).unwrap_or(0);
        let seen = now.checked_sub(Duration::from_micros(ago))?;
        let mut entry = notices::relayed(words.node.clone()?, link.clone(), seen, heard_us);
        entry.streams = usize::from(streams);
        if let Some(report) = &words.state {
            report.clone().into_entry(&mut entry);
        }
        if let Some(health) = &words.health {
            entry.health = health.clone().into_told();
        }
        Some(entry)
    }
}

impl Words {
    fn take(&mut self, said: Said) {
        let Said { part, said_us, body, .. } = said;
        let body = body.as_deref();
        match &*part {
            LINK => {
                self.link = body.and_then(notices::read).map(|link| (said_us, link));
                if body.is_none() {
                    self.withdrawn_us = Some(said_us);
                }
            }
            NODE => self.node = body.and_then(notices::read),
            STATE => self.state = body.and_then(notices::read),
            HEALTH => self.health = body.and_then(notices::read),
            // Of a newer version.
            _ => {}
        }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
