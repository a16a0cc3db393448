//! What has been released: the set of entities, and the newest changes as frames.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use model::{Cursor, Digest, Transaction};
use wire::Entities;
use wire::v1::resync::Reason;

use crate::frames::Framed;
use crate::recent::Recent;

/// The ring holds at most this many transactions…
const RING_TRANSACTIONS: usize = 4_096;
/// …and at most this many bytes, but always the newest transaction, which all streams need.
const RING_BYTES: usize = 64 << 20;
/// A stream takes at most this many frames at once…
const PULL_FRAMES: usize = 64;
/// …and no more transactions after this many bytes.
const PULL_BYTES: usize = wire::PART;
/// How many catch-ups from different revisions are kept for others who come from the same one.
const CATCH_UPS: usize = 64;

/// What the control plane has released to its data planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Up to here.
    pub at: Cursor,
    /// Of the set of entities there.
    pub digest: Digest,
    /// How many entities there are.
    pub entities: usize,
    /// When that revision was committed, in microseconds since 1970 by the database's clock.
    pub committed_us: i64,
}

/// The released set and the way to it. Pure: no clock, no I/O.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    at: Cursor,
    committed_us: i64,
    entities: Entities,
    recent: Recent,
    ring: VecDeque<Framed>,
    ring_bytes: usize,
    catch_ups: HashMap<u64, Arc<CatchUp>>,
    sealed: u64,
}

/// A way from a revision to the head that skips what came between.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pub(crate) transaction: Transaction,
    pub(crate) framed: Framed,
}

/// What a stream sends next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing: it is where the head is.
    UpToDate,
    /// These, after which it is at `to`.
    Frames { frames: Vec<Bytes>, to: u64 },
    /// Its data plane needs a snapshot.
    Resync(Reason),
}

impl Feed {
    /// Begins with everything that is at `at`; `recent` says what led there, as far as known.
    pub(crate) fn new(at: Cursor, committed_us: i64, entities: Entities, recent: Recent) -> Feed {
        Feed {
            at,
            committed_us,
            entities,
            recent,
            ring: VecDeque::new(),
            ring_bytes: 0,
            catch_ups: HashMap::new(),
            sealed: at.revision,
        }
    }

    pub(crate) fn released(&self) -> Released {
        Released {
            at: self.at,
            digest: self.entities.digest(),
            entities: self.entities.len(),
            committed_us: self.committed_us,
        }
    }

    /// The set, at no cost: it is shared until one of the two changes.
    pub(crate) fn entities(&self) -> Entities {
        self.entities.clone()
    }

    /// The set, to look into.
    pub(crate) fn entities_ref(&self) -> &Entities {
        &self.entities
    }

    /// The lowest revision that needs no snapshot.
    pub(crate) fn floor(&self) -> u64 {
        self.recent.floor()
    }

    /// Takes the next transaction.
    pub(crate) fn release(&mut self, transaction: &Transaction) {
        self.entities.apply(&transaction.changes);
        self.recent.note(transaction.revision, &transaction.changes);
        self.at.revision = transaction.revision;
        self.committed_us = transaction.committed_us;
        self.catch_ups.clear();
        let framed = Framed::new(transaction);
        self.ring_bytes += framed.size();
        self.ring.push_back(framed);
        while self.ring.len() > 1
            && (self.ring.len() > RING_TRANSACTIONS || self.ring_bytes > RING_BYTES)
        {
            if let Some(framed) = self.ring.pop_front() {
                self.ring_bytes -= framed.size();
            }
        }
    }

    /// Who is behind now passes through nothing that was released up to here: it gets there in
    /// one step, or by a snapshot that is not older.
    pub(crate) fn seal(&mut self) {
        self.ring.clear();
        self.ring_bytes = 0;
        self.sealed = self.at.revision;
    }

    /// The least revision of a snapshot that was made earlier and may still be handed out.
    pub(crate) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Whether the log can serve who holds `from`, and from which revision.
    pub(crate) fn judge(&self, from: Option<Cursor>) -> Result<u64, Reason> {
        match from {
            None => Err(Reason::Empty),
            Some(from) if from.epoch != self.at.epoch => Err(Reason::Epoch),
            Some(from) if from.revision > self.at.revision => Err(Reason::Ahead),
            Some(from) if from.revision < self.floor() => Err(Reason::TooOld),
            Some(from) => Ok(from.revision),
        }
    }

    /// What comes after `from`, which is not ahead of the head: from the ring, else as a
    /// catch-up, else by a snapshot.
    pub(crate) fn next(&mut self, from: u64) -> Next {
        if from >= self.at.revision {
            return Next::UpToDate;
        }
        let start = self.ring.partition_point(|framed| framed.revision <= from);
        if self.ring.get(start).is_some_and(|framed| framed.prev <= from) {
            let (mut frames, mut to, mut bytes) = (Vec::new(), from, 0);
            for framed in self.ring.range(start..) {
                frames.extend(framed.frames.iter().cloned());
                to = framed.revision;
                bytes += framed.size();
                if frames.len() >= PULL_FRAMES || bytes >= PULL_BYTES {
                    break;
                }
            }
            return Next::Frames { frames, to };
        }
        match self.catch_up(from) {
            Some(way) => {
                Next::Frames { frames: way.framed.frames.clone(), to: way.framed.revision }
            }
            None => Next::Resync(Reason::TooOld),
        }
    }

    /// The way from `from` to the head in one transaction; `None` when that needs a snapshot.
    pub(crate) fn catch_up(&mut self, from: u64) -> Option<Arc<CatchUp>> {
        if let Some(way) = self.catch_ups.get(&from) {
            return Some(way.clone());
        }
        let transaction = Transaction {
            prev: from,
            revision: self.at.revision,
            committed_us: self.committed_us,
            changes: self.recent.catch_up(from, &self.entities)?,
        };
        let framed = Framed::new(&transaction);
        let way = Arc::new(CatchUp { transaction, framed });
        if self.catch_ups.len() < CATCH_UPS {
            self.catch_ups.insert(from, way.clone());
        }
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Change, Kind};
    use prost::Message;
    use uuid::Uuid;
    use wire::v1;

    const KIND: Kind = Kind::known("services");
    const EPOCH: Uuid = Uuid::from_u128(77);

    fn put(id: u128, body: &str) -> Change {
        Change { kind: KIND, id: Uuid::from_u128(id), body: Some(body.into()) }
    }

    fn transaction(revision: u64, changes: Vec<Change>) -> Transaction {
        Transaction { prev: revision - 1, revision, committed_us: 0, changes }
    }

    fn feed(revision: u64) -> Feed {
        let at = Cursor { epoch: EPOCH, revision };
        Feed::new(at, 0, Entities::default(), Recent::since(revision))
    }

    /// Follows a feed from a revision to its head, as a data plane does.
    fn follow(feed: &mut Feed, mut from: u64, held: &mut Entities) -> u64 {
        let mut parts = wire::Assembler::default();
        loop {
            match feed.next(from) {
                Next::UpToDate => return from,
                Next::Resync(reason) => panic!("resync: {reason:?}"),
                Next::Frames { frames, to } => {
                    let mut reached = from;
                    for frame in frames {
                        let frame = v1::WatchFrame::decode(&frame[5..]).expect("a frame");
                        let Some(v1::watch_frame::Kind::Transaction(part)) = frame.kind else {
                            panic!("{frame:?}")
                        };
                        if let Some(transaction) = parts.push(part).expect("a part") {
                            assert!(transaction.prev <= reached && reached < transaction.revision);
                            held.apply(&transaction.changes);
                            reached = transaction.revision;
                        }
                    }
                    assert_eq!(reached, to);
                    from = to;
                }
            }
        }
    }

    #[test]
    fn everybody_ends_with_the_same_set_wherever_they_begin() {
        let mut feed = feed(0);
        let mut histories = vec![Entities::default()];
        for revision in 1..=6_000u64 {
            let change = match revision % 5 {
                0 => Change { body: None, ..put(u128::from(revision / 7 % 50), "") },
                _ => put(u128::from(revision % 50), &revision.to_string()),
            };
            feed.release(&transaction(revision, vec![change]));
            histories.push(feed.entities());
        }
        assert_eq!(feed.ring.len(), RING_TRANSACTIONS);
        for from in [0, 1, 17, 1_903, 1_904, 1_905, 5_999, 6_000] {
            let mut held = histories[from as usize].clone();
            assert_eq!(follow(&mut feed, from, &mut held), 6_000);
            assert_eq!(held, feed.entities(), "from {from}");
        }
    }

    #[test]
    fn the_ring_is_bounded_by_bytes_but_keeps_the_newest() {
        let mut feed = feed(0);
        let large = "x".repeat(1 << 20);
        let huge: Vec<Change> = (0..70).map(|id| put(id, &large)).collect();
        feed.release(&transaction(1, vec![put(1, "small")]));
        feed.release(&transaction(2, huge));
        assert_eq!(feed.ring.len(), 1);
        let mut held = Entities::default();
        held.apply(&[put(1, "small")]);
        assert_eq!(follow(&mut feed, 1, &mut held), 2);
        assert_eq!(held, feed.entities());
        feed.release(&transaction(3, vec![put(1, "small")]));
        assert_eq!(feed.ring.len(), 1, "the huge one went");
        assert!(feed.ring_bytes < 1_000);
    }

    #[test]
    fn cursors_that_the_log_cannot_serve_are_told_why() {
        let mut feed = feed(10);
        feed.release(&transaction(11, vec![put(1, "a")]));
        let at = |epoch, revision| Some(Cursor { epoch, revision });
        assert_eq!(feed.judge(None), Err(Reason::Empty));
        assert_eq!(feed.judge(at(Uuid::nil(), 11)), Err(Reason::Epoch));
        assert_eq!(feed.judge(at(EPOCH, 12)), Err(Reason::Ahead));
        assert_eq!(feed.judge(at(EPOCH, 9)), Err(Reason::TooOld));
        assert_eq!(feed.judge(at(EPOCH, 10)), Ok(10));
        assert_eq!(feed.judge(at(EPOCH, 11)), Ok(11));
    }

    #[test]
    fn a_catch_up_is_made_once_for_all_who_need_it() {
        let mut feed = feed(0);
        feed.release(&transaction(1, vec![put(1, "a")]));
        let first = feed.catch_up(0).expect("remembered");
        let second = feed.catch_up(0).expect("remembered");
        assert!(Arc::ptr_eq(&first, &second));
        feed.release(&transaction(2, vec![put(1, "b")]));
        let third = feed.catch_up(0).expect("remembered");
        assert_eq!(third.transaction.revision, 2, "a new head makes old ways useless");
    }
}
