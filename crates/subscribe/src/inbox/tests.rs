//! The inbox against a model of everything that a network and several control planes can do to it.

use std::sync::Arc;

use model::{Change, Cursor, Kind, Transaction};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{RngSeed, TestRunner};
use uuid::Uuid;
use wire::Entities;
use wire::v1::resync::Reason;

use super::{Inbox, Need, Refused, Ticket};

const KIND: Kind = Kind::known("services");

fn epoch(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn cursor(n: u128, revision: u64) -> Cursor {
    Cursor { epoch: epoch(n), revision }
}

fn put(id: u128, body: &str) -> Change {
    Change { kind: KIND, id: Uuid::from_u128(id), body: Some(body.into()) }
}

fn transaction(prev: u64, revision: u64, changes: Vec<Change>) -> Transaction {
    Transaction { prev, revision, committed_us: 0, changes }
}

fn set(changes: &[Change]) -> Entities {
    let mut entities = Entities::default();
    entities.apply(changes);
    entities
}

#[test]
fn what_is_known_is_dropped_and_what_overlaps_is_taken() {
    let mut inbox = Inbox::restored(cursor(1, 5), set(&[put(1, "a")]));
    let arrived = vec![
        transaction(3, 4, vec![put(1, "old")]),
        transaction(4, 5, vec![put(1, "old")]),
        transaction(4, 6, vec![put(1, "b")]),
        transaction(6, 7, vec![put(2, "c")]),
    ];
    let (taken, need) = inbox.transactions(epoch(1), arrived);
    assert_eq!(taken.iter().map(|t| t.revision).collect::<Vec<_>>(), [6, 7]);
    assert_eq!(need, Need::Nothing);
    assert_eq!(inbox.at(), Some(cursor(1, 7)));
    assert_eq!(*inbox.entities(), set(&[put(1, "b"), put(2, "c")]));
}

#[test]
fn a_gap_asks_for_what_is_missing() {
    let mut inbox = Inbox::restored(cursor(1, 5), Entities::default());
    let arrived = vec![transaction(5, 6, vec![put(1, "a")]), transaction(7, 8, vec![put(2, "b")])];
    let (taken, need) = inbox.transactions(epoch(1), arrived);
    assert_eq!((taken.len(), need), (1, Need::Changes));
    assert_eq!(inbox.at(), Some(cursor(1, 6)));
    assert_eq!(*inbox.entities(), set(&[put(1, "a")]));
}

#[test]
fn another_history_is_only_entered_by_a_snapshot() {
    let mut inbox = Inbox::restored(cursor(1, 5), Entities::default());
    let arrived = vec![transaction(5, 6, vec![put(1, "a")])];
    assert_eq!(inbox.transactions(epoch(2), arrived), (vec![], Need::Nothing));
    assert_eq!(inbox.resync(Some(cursor(1, 5)), Reason::Epoch), Need::Snapshot);
    let ticket = inbox.ask();
    assert_eq!(inbox.snapshot(ticket, cursor(2, 3), set(&[put(1, "z")])), Ok(()));
    assert_eq!(inbox.at(), Some(cursor(2, 3)), "revisions of two epochs do not compare");
}

#[test]
fn snapshots_never_lead_back_and_only_the_latest_request_counts() {
    let mut inbox = Inbox::restored(cursor(1, 5), Entities::default());
    let (first, second) = (inbox.ask(), inbox.ask());
    let newer = || set(&[put(1, "a")]);
    assert_eq!(inbox.snapshot(first, cursor(1, 9), newer()), Err(Refused::Overtaken));
    assert_eq!(inbox.snapshot(second, cursor(1, 4), newer()), Err(Refused::Older));
    assert_eq!(inbox.snapshot(second, cursor(1, 5), newer()), Ok(()), "a repair, same revision");
    assert_eq!(inbox.snapshot(second, cursor(1, 9), newer()), Err(Refused::Overtaken), "used");
}

#[test]
fn answers_to_an_outdated_question_are_ignored() {
    let inbox = Inbox::restored(cursor(1, 5), Entities::default());
    for reason in [Reason::TooOld, Reason::Epoch, Reason::Ahead, Reason::Empty] {
        assert_eq!(inbox.resync(Some(cursor(1, 4)), reason), Need::Nothing);
        assert_eq!(inbox.resync(None, reason), Need::Nothing);
    }
    assert_eq!(inbox.resync(Some(cursor(1, 5)), Reason::TooOld), Need::Snapshot);
    assert_eq!(inbox.resync(Some(cursor(1, 5)), Reason::Unspecified), Need::Snapshot);
    assert_eq!(inbox.resync(Some(cursor(1, 5)), Reason::Ahead), Need::Another);
}

#[test]
fn digests_are_compared_at_the_same_revision_only() {
    let inbox = Inbox::restored(cursor(1, 5), set(&[put(1, "a")]));
    let other = set(&[put(1, "b")]).digest();
    assert!(inbox.differs(cursor(1, 5), other));
    assert!(!inbox.differs(cursor(1, 5), inbox.entities().digest()));
    assert!(!inbox.differs(cursor(1, 6), other));
    assert!(!inbox.differs(cursor(2, 5), other));
}

/// One history: the state after each revision from 0, and the changes between them.
#[derive(Clone, Debug)]
struct History {
    epoch: Uuid,
    states: Vec<Entities>,
    changes: Vec<Change>,
}

impl History {
    fn head(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn state(&self, revision: u64) -> &Entities {
        &self.states[revision as usize]
    }

    /// The way between two revisions as one transaction, merged as a control plane does.
    fn way(&self, from: u64, to: u64) -> Transaction {
        let log =
            (from..to).map(|at| transaction(at, at + 1, vec![self.changes[at as usize].clone()]));
        wire::merge(log.collect()).expect("there is something between them")
    }
}

/// A control plane: which history it knows, how far, and where its log begins.
#[derive(Clone, Copy, Debug)]
struct ControlPlane {
    history: usize,
    released: u64,
    floor: u64,
}

/// Something on its way to the data plane.
#[derive(Clone, Debug)]
enum Message {
    Transactions(Uuid, Vec<Transaction>),
    Resync(Option<Cursor>, Reason, usize),
    Snapshot(Ticket, Cursor, Entities),
}

#[derive(Clone, Debug)]
enum Step {
    /// Somebody writes: an entity, and a number that makes the body, or a deletion.
    Write(u8, Option<u16>),
    /// A control plane reads the database: some revisions, or a new epoch.
    Read(u8, u8),
    /// A control plane forgets a part of its log.
    Compact(u8, u8),
    /// The database is restored from a backup that is so many revisions old.
    Restore(u8),
    /// A control plane answers the present cursor by a poll or a stream: in so many pieces.
    Changes(u8, u8),
    /// The data plane asks for a snapshot.
    Snapshot(u8),
    /// A message arrives, not the oldest necessarily; it may arrive again later.
    Deliver(u8, bool),
    /// A message is lost.
    Lose(u8),
}

struct World {
    histories: Vec<History>,
    control_planes: [ControlPlane; 3],
    network: Vec<Message>,
    inbox: Inbox,
    /// What an `Apply` would hold.
    served: Entities,
}

impl World {
    fn new() -> World {
        let first =
            History { epoch: epoch(1), states: vec![Entities::default()], changes: Vec::new() };
        World {
            histories: vec![first],
            control_planes: [ControlPlane { history: 0, released: 0, floor: 0 }; 3],
            network: Vec::new(),
            inbox: Inbox::default(),
            served: Entities::default(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(id, value) => {
                let history = self.histories.last_mut().expect("there is one");
                let mut next = history.states[history.states.len() - 1].clone();
                let body: Option<Arc<str>> = value.map(|value| value.to_string().into());
                let change = Change { body, ..put(u128::from(id % 6), "") };
                next.apply(std::slice::from_ref(&change));
                history.states.push(next);
                history.changes.push(change);
            }
            Step::Read(cp, count) => {
                let newest = self.histories.len() - 1;
                let cp = &mut self.control_planes[usize::from(cp % 3)];
                if cp.history != newest {
                    let released = self.histories[newest].head();
                    *cp = ControlPlane { history: newest, released, floor: released };
                } else {
                    let head = self.histories[newest].head();
                    cp.released = (cp.released + u64::from(count)).min(head);
                }
            }
            Step::Compact(cp, keep) => {
                let cp = &mut self.control_planes[usize::from(cp % 3)];
                cp.floor = cp.floor.max(cp.released.saturating_sub(u64::from(keep)));
            }
            Step::Restore(age) => {
                let last = self.histories.last().expect("there is one");
                let keep = last.states.len().saturating_sub(usize::from(age)).max(1);
                let restored = History {
                    epoch: epoch(self.histories.len() as u128 + 1),
                    states: last.states[..keep].to_vec(),
                    changes: last.changes[..keep - 1].to_vec(),
                };
                self.histories.push(restored);
            }
            Step::Changes(cp, pieces) => {
                let message = self.changes(usize::from(cp % 3), pieces);
                self.network.extend(message);
            }
            Step::Snapshot(cp) => self.ask_for_snapshot(usize::from(cp % 3)),
            Step::Deliver(which, again) if !self.network.is_empty() => {
                let which = usize::from(which) % self.network.len();
                let message =
                    if again { self.network[which].clone() } else { self.network.remove(which) };
                self.deliver(message);
            }
            Step::Lose(which) if !self.network.is_empty() => {
                let which = usize::from(which) % self.network.len();
                self.network.remove(which);
            }
            Step::Deliver(..) | Step::Lose(_) => {}
        }
    }

    /// What a control plane says to the present cursor: one message per piece, which the network
    /// may lose, repeat and reorder like everything else.
    fn changes(&self, which: usize, pieces: u8) -> Vec<Message> {
        let cp = self.control_planes[which];
        let history = &self.histories[cp.history];
        let from = self.inbox.at();
        let refuse = |reason| vec![Message::Resync(from, reason, which)];
        match from {
            None => refuse(Reason::Empty),
            Some(at) if at.epoch != history.epoch => refuse(Reason::Epoch),
            Some(at) if at.revision > cp.released => refuse(Reason::Ahead),
            Some(at) if at.revision < cp.floor => refuse(Reason::TooOld),
            Some(at) => {
                let mut cuts: Vec<u64> = (at.revision..=cp.released).collect();
                while cuts.len() > usize::from(pieces % 6) + 2 {
                    cuts.remove(cuts.len() / 2);
                }
                let ways: Vec<Transaction> =
                    cuts.windows(2).map(|cut| history.way(cut[0], cut[1])).collect();
                match pieces % 2 {
                    0 => vec![Message::Transactions(history.epoch, ways)],
                    _ => ways
                        .into_iter()
                        .map(|way| Message::Transactions(history.epoch, vec![way]))
                        .collect(),
                }
            }
        }
    }

    fn ask_for_snapshot(&mut self, which: usize) {
        let cp = self.control_planes[which];
        let history = &self.histories[cp.history];
        let at = Cursor { epoch: history.epoch, revision: cp.released };
        let ticket = self.inbox.ask();
        self.network.push(Message::Snapshot(ticket, at, history.state(cp.released).clone()));
    }

    fn deliver(&mut self, message: Message) {
        let before = self.inbox.at();
        let asked = match message {
            Message::Transactions(epoch, transactions) => {
                let (taken, need) = self.inbox.transactions(epoch, transactions);
                let mut reached = before.map_or(0, |at| at.revision);
                for transaction in taken {
                    assert!(
                        transaction.prev <= reached && reached < transaction.revision,
                        "applied {}..{} at {reached}",
                        transaction.prev,
                        transaction.revision,
                    );
                    reached = transaction.revision;
                    self.served.apply(&transaction.changes);
                }
                assert_ne!(need, Need::Snapshot, "changes never ask for a snapshot");
                None
            }
            Message::Resync(from, reason, which) => {
                (self.inbox.resync(from, reason) == Need::Snapshot).then_some(which)
            }
            Message::Snapshot(ticket, at, entities) => {
                if self.inbox.snapshot(ticket, at, entities.clone()).is_ok() {
                    self.served = entities;
                }
                None
            }
        };
        if let Some(which) = asked {
            self.ask_for_snapshot(which);
        }
        self.check(before);
    }

    fn check(&self, before: Option<Cursor>) {
        let Some(at) = self.inbox.at() else { return };
        let history = self.histories.iter().find(|h| h.epoch == at.epoch).expect("a known epoch");
        assert_eq!(
            self.inbox.entities().to_changes(),
            history.state(at.revision).to_changes(),
            "what is held at {at} is not what was stored there"
        );
        assert_eq!(self.served, *self.inbox.entities());
        if let Some(before) = before.filter(|before| before.epoch == at.epoch) {
            assert!(before.revision <= at.revision, "went back from {before} to {at}");
        }
    }

    /// The network works again and the control planes have read everything: a few questions later
    /// the data plane is current, whatever is still on its way.
    fn heal(&mut self) {
        for cp in 0..3 {
            self.step(Step::Read(cp, 0));
            self.step(Step::Read(cp, u8::MAX));
        }
        let newest = self.histories.last().expect("there is one");
        let head = Cursor { epoch: newest.epoch, revision: newest.head() };
        for _ in 0..4 {
            let late = std::mem::take(&mut self.network);
            self.network = self.changes(0, 3);
            while !self.network.is_empty() {
                let message = self.network.remove(0);
                self.deliver(message);
            }
            late.into_iter().for_each(|message| self.deliver(message));
            if self.inbox.at() == Some(head) {
                return;
            }
        }
        panic!("not converged: at {:?}, the head is {head}", self.inbox.at());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let small = || 0u8..12;
    prop_oneof![
        6 => (any::<u8>(), prop::option::weighted(0.8, any::<u16>()))
            .prop_map(|(id, value)| Step::Write(id, value)),
        5 => (any::<u8>(), small()).prop_map(|(cp, count)| Step::Read(cp, count)),
        1 => (any::<u8>(), small()).prop_map(|(cp, keep)| Step::Compact(cp, keep)),
        1 => small().prop_map(Step::Restore),
        5 => (any::<u8>(), any::<u8>()).prop_map(|(cp, pieces)| Step::Changes(cp, pieces)),
        2 => any::<u8>().prop_map(Step::Snapshot),
        9 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(which, again)| Step::Deliver(which, again)),
        2 => any::<u8>().prop_map(Step::Lose),
    ]
}

#[test]
fn every_schedule_leads_through_stored_states_and_converges() {
    let config = ProptestConfig {
        cases: 6_000,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec(step(), 0..150);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.heal();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
