//! A store whose faults can be chosen: lost notifications, outages, truncated logs, restores.
//!
//! What a database promises is tested with databases; this is for what the stream does when they
//! do not keep it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use model::{Change, Cursor, Entity, Kind, Rollout, Transaction};
use store::{
    Author, Committed, Error, Head, Key, ListQuery, Log, Notice, Notices, OpenRollout, Page, Said,
    Store, TaggedEntity, WriteSet,
};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;
use wire::Entities;

pub(super) const SERVICES: Kind = Kind::known("services");

/// Virtual time begins here, in microseconds since 1970.
const BEGINNING: i64 = 1_700_000_000_000_000;

/// A log in memory, as one control plane sees it.
#[derive(Debug)]
pub(super) struct FaultyStore {
    database: Arc<Database>,
    faults: Mutex<Faults>,
    /// Somebody else has posted.
    noticed: Arc<Notify>,
}

/// What all who look at it share.
#[derive(Debug)]
struct Database {
    began: Instant,
    state: Mutex<State>,
    grown: Notify,
    board: Mutex<Board>,
}

/// What is said beside the log.
#[derive(Debug, Default)]
struct Board {
    authors: BTreeMap<Uuid, Author>,
    /// With the round.
    said: BTreeMap<(Uuid, Uuid, String), (u64, Said)>,
    readers: Vec<Arc<Notify>>,
}

#[derive(Debug)]
struct State {
    epoch: Uuid,
    log: Vec<Transaction>,
    /// What was stored at each revision of the present epoch's way, from 0.
    history: Vec<Entities>,
    /// The same of former epochs.
    former: BTreeMap<Uuid, Vec<Entities>>,
    compacted: u64,
    epochs: u128,
    /// How far its clock is off, in microseconds.
    clock_off: i64,
}

/// What is wrong for one who looks.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    down: bool,
    deaf: bool,
    /// Nothing after this is seen.
    behind: Option<Cursor>,
    /// Of this revision and all after it whose number it divides, one change is not seen.
    forgets: Option<u64>,
}

impl FaultyStore {
    pub(super) fn new() -> Arc<FaultyStore> {
        let state = State {
            epoch: Uuid::from_u128(1),
            log: Vec::new(),
            history: vec![Entities::default()],
            former: BTreeMap::new(),
            compacted: 0,
            epochs: 1,
            clock_off: 0,
        };
        let database = Database {
            began: Instant::now(),
            state: Mutex::new(state),
            grown: Notify::new(),
            board: Mutex::default(),
        };
        FaultyStore::of(Arc::new(database))
    }

    fn of(database: Arc<Database>) -> Arc<FaultyStore> {
        let noticed: Arc<Notify> = Arc::default();
        database.board.lock().expect("no panic").readers.push(noticed.clone());
        Arc::new(FaultyStore { database, faults: Mutex::default(), noticed })
    }

    /// The same database for somebody else, with faults of its own.
    pub(super) fn for_another(&self) -> Arc<FaultyStore> {
        FaultyStore::of(self.database.clone())
    }

    /// Commits one transaction.
    pub(super) fn commit(&self, changes: Vec<Change>) -> Cursor {
        let mut state = self.lock();
        let prev = state.revision();
        let mut entities = state.history[prev as usize].clone();
        entities.apply(&changes);
        state.history.push(entities);
        let committed_us = self.now_us(&state);
        state.log.push(Transaction { prev, revision: prev + 1, committed_us, changes });
        self.database.grown.notify_waiters();
        state.at()
    }

    /// Commits one entity.
    pub(super) fn put(&self, id: u128, body: &str) -> Cursor {
        self.commit(vec![put(id, body)])
    }

    /// Opens a rollout to the data planes with `stage:canary`.
    pub(super) fn open_rollout(&self) -> Cursor {
        let labels = BTreeMap::from([("stage".to_owned(), "canary".to_owned())]);
        let rollout = Rollout { id: Rollout::ID, labels, opened_at: 0 };
        let body = serde_json::to_string(&rollout).expect("it is JSON");
        self.commit(vec![turn(Some(body.into()))])
    }

    /// Ends it: with what reverting puts back, or with nothing to promote.
    pub(super) fn end_rollout(&self, back: Vec<Change>) -> Cursor {
        self.commit([back, vec![turn(None)]].concat())
    }

    /// Where it stands, and what is stored there.
    pub(super) fn now(&self) -> (Cursor, Entities) {
        let state = self.lock();
        (state.at(), state.history[state.revision() as usize].clone())
    }

    /// What was stored at a revision of the present epoch, or of one that a restore ended.
    pub(super) fn at(&self, at: Cursor) -> Option<Entities> {
        let state = self.lock();
        let present = (state.epoch == at.epoch).then_some(&state.history);
        let history = present.or_else(|| state.former.get(&at.epoch))?;
        history.get(at.revision as usize).cloned()
    }

    /// Cannot be reached, or can again.
    pub(super) fn down(&self, down: bool) {
        self.faults().down = down;
    }

    /// Notifications are lost, or not any more.
    pub(super) fn deaf(&self, deaf: bool) {
        self.faults().deaf = deaf;
    }

    /// Shows nothing newer than now, as a replica that lags, or everything again.
    pub(super) fn behind(&self, behind: bool) {
        let now = self.now().0;
        self.faults().behind = behind.then_some(now);
    }

    /// Does what a store must not: of every so many revisions one lacks its last change.
    pub(super) fn forget(&self, every: u64) {
        self.faults().forgets = Some(every);
    }

    /// The log is cut at its beginning.
    pub(super) fn truncate(&self, upto: u64) {
        self.lock().compacted = upto;
    }

    /// Up to where the log is cut.
    pub(super) fn compacted(&self) -> u64 {
        self.lock().compacted
    }

    /// The database's clock is off by so much, in microseconds.
    pub(super) fn clock_off(&self, by: i64) {
        self.lock().clock_off = by;
    }

    /// The database is put back to how it was at a revision, as by a backup: nobody says so.
    pub(super) fn set_back(&self, to: u64) {
        let mut state = self.lock();
        state.history.truncate(to as usize + 1);
        state.log.truncate(to as usize);
        state.compacted = state.compacted.min(to);
    }

    /// The same, and the history that begins there has a name of its own.
    pub(super) fn restore(&self, to: u64) {
        let mut state = self.lock();
        let (was, history) = (state.epoch, state.history.clone());
        state.former.insert(was, history);
        state.next_epoch();
        drop(state);
        self.set_back(to);
    }

    fn now_us(&self, state: &State) -> i64 {
        BEGINNING + self.database.began.elapsed().as_micros() as i64 + state.clock_off
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.database.board.lock().expect("no panic under the lock")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.database.state.lock().expect("no panic under the lock")
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no panic under the lock")
    }

    fn reach(&self) -> Result<MutexGuard<'_, State>, Error> {
        match self.faults().down {
            true => Err(Error::Unavailable("switched off".to_owned())),
            false => Ok(self.lock()),
        }
    }

    /// Up to where it can be seen.
    fn seen(&self, state: &State) -> u64 {
        let behind = self.faults().behind.filter(|behind| behind.epoch == state.epoch);
        behind.map_or(state.revision(), |behind| behind.revision.min(state.revision()))
    }

    /// What can be seen of what it did.
    fn shown(&self, transaction: &Transaction) -> Transaction {
        let mut shown = transaction.clone();
        if self.faults().forgets.is_some_and(|every| shown.revision.is_multiple_of(every)) {
            shown.changes.pop();
        }
        shown
    }

    fn head_of(&self, state: &State) -> Head {
        let revision = self.seen(state);
        Head {
            at: Cursor { revision, ..state.at() },
            compacted: state.compacted.min(revision),
            now_us: self.now_us(state),
        }
    }
}

impl State {
    fn revision(&self) -> u64 {
        self.history.len() as u64 - 1
    }

    fn at(&self) -> Cursor {
        Cursor { epoch: self.epoch, revision: self.revision() }
    }

    fn next_epoch(&mut self) {
        self.epochs += 1;
        self.epoch = Uuid::from_u128(self.epochs);
    }
}

/// An entity after a change.
pub(super) fn put(id: u128, body: &str) -> Change {
    Change { kind: SERVICES, id: Uuid::from_u128(id), body: Some(body.into()) }
}

/// Its end.
fn turn(body: Option<Arc<str>>) -> Change {
    Change { kind: Rollout::KIND, id: Rollout::ID, body }
}

pub(super) fn gone(id: u128) -> Change {
    Change { body: None, ..put(id, "") }
}

fn not_here() -> Error {
    Error::Failed("the publisher has no business with this".to_owned())
}

#[async_trait]
impl Store for FaultyStore {
    async fn get(&self, _: &str, _: Uuid) -> Result<Option<Entity>, Error> {
        Err(not_here())
    }

    async fn find(&self, _: &str, _: &Key) -> Result<Option<Entity>, Error> {
        Err(not_here())
    }

    async fn keyed_before(&self, _: &str, _: &str, _: &str, _: u32) -> Result<Vec<Entity>, Error> {
        Err(not_here())
    }

    async fn list(&self, _: &ListQuery) -> Result<Page, Error> {
        Err(not_here())
    }

    async fn tags(
        &self,
        _: Option<&str>,
        _: Option<&TaggedEntity>,
        _: u32,
    ) -> Result<Vec<TaggedEntity>, Error> {
        Err(not_here())
    }

    async fn referrers(&self, _: &str, _: Uuid) -> Result<Vec<Entity>, Error> {
        Err(not_here())
    }

    async fn write(&self, _: WriteSet) -> Result<Committed, Error> {
        Err(not_here())
    }

    async fn head(&self) -> Result<Head, Error> {
        let state = self.reach()?;
        Ok(self.head_of(&state))
    }

    async fn log_after(&self, after: u64, limit: usize) -> Result<Log, Error> {
        let state = self.reach()?;
        let head = self.head_of(&state);
        if after < head.compacted {
            return Ok(Log { head, transactions: Vec::new() });
        }
        let mut changes = 0;
        let newest = head.at.revision;
        let rest = state.log.iter().filter(|one| one.revision > after && one.revision <= newest);
        let page = rest.take_while(|transaction| {
            let fits = changes < limit;
            changes += transaction.changes.len();
            fits
        });
        Ok(Log { head, transactions: page.map(|one| self.shown(one)).collect() })
    }

    async fn snapshot(&self) -> Result<(Cursor, Vec<Entity>), Error> {
        let state = self.reach()?;
        let revision = self.seen(&state);
        let entities = state.history[revision as usize].iter().map(|(kind, id, body)| Entity {
            kind: kind.clone(),
            id,
            body: body.clone(),
            version: revision,
        });
        Ok((Cursor { revision, ..state.at() }, entities.collect()))
    }

    async fn rollout(&self) -> Result<Option<OpenRollout>, Error> {
        let state = self.reach()?;
        let seen = self.seen(&state);
        if state.history[seen as usize].get(&Rollout::KIND, Rollout::ID).is_none() {
            return Ok(None);
        }
        let log = &state.log[..seen as usize];
        let touches = |t: &&Transaction| t.changes.iter().any(|c| c.kind == Rollout::KIND);
        let opened = log.iter().rfind(touches).map_or(0, |transaction| transaction.revision);
        let formerly = &state.history[opened as usize];
        let touched = log[opened as usize..].iter().flat_map(|transaction| &transaction.changes);
        let before: BTreeMap<_, _> = touched
            .map(|c| ((c.kind.clone(), c.id), formerly.get(&c.kind, c.id).cloned()))
            .collect();
        let before =
            before.into_iter().map(|((kind, id), body)| Change { kind, id, body }).collect();
        Ok(Some(OpenRollout { opened, before }))
    }

    async fn grown(&self, revision: u64) {
        loop {
            let notified = self.database.grown.notified();
            let seen = self.seen(&self.lock());
            if seen > revision && !self.faults().deaf {
                return;
            }
            notified.await;
            if !self.faults().deaf {
                return;
            }
        }
    }

    async fn compact(&self, revision: u64) -> Result<(), Error> {
        self.reach()?.compacted = revision;
        Ok(())
    }

    async fn revision_at(&self, time_us: i64) -> Result<u64, Error> {
        let state = self.reach()?;
        let before = state.log.iter().rev().find(|t| t.committed_us <= time_us);
        Ok(before.map_or(state.compacted, |transaction| transaction.revision))
    }

    async fn count(&self, _: &[store::Increment]) -> Result<Vec<i64>, Error> {
        Err(not_here())
    }

    async fn forget_counters(&self) -> Result<(), Error> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn post(&self, author: Uuid, round: u64, notices: &[Notice]) -> Result<(), Error> {
        let posted_us = self.now_us(&*self.reach()?);
        let mut board = self.board();
        board.authors.insert(author, Author { id: author, posted_us, round });
        for notice in notices {
            let Notice { subject, part, age_us, body } = notice.clone();
            let said_us = posted_us - age_us as i64;
            let said = Said { author, subject, part, said_us, body };
            board.said.insert((author, subject, said.part.clone()), (round, said));
        }
        board.readers.iter().for_each(|reader| reader.notify_one());
        Ok(())
    }

    async fn notices(&self, known: &[(Uuid, u64)]) -> Result<Notices, Error> {
        let now_us = self.now_us(&*self.reach()?);
        let board = self.board();
        let known: BTreeMap<Uuid, u64> = known.iter().copied().collect();
        let news = board
            .said
            .values()
            .filter(|(round, said)| known.get(&said.author).is_none_or(|known| round > known));
        let said = news.map(|(_, said)| said.clone()).collect();
        Ok(Notices { now_us, authors: board.authors.values().copied().collect(), said })
    }

    async fn noticed(&self) {
        loop {
            self.noticed.notified().await;
            if !self.faults().deaf {
                return;
            }
        }
    }

    async fn clear_notices(&self, _: Duration, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn renew_epoch(&self, seen: Cursor) -> Result<Cursor, Error> {
        let mut state = self.reach()?;
        if seen.epoch == state.epoch && seen.revision > state.revision() {
            state.next_epoch();
        }
        Ok(state.at())
    }
}
