//! A store whose faults can be chosen: lost notifications, outages, truncated logs, restores.
//!
//! What a database promises is tested with databases; this is for what the stream does when they
//! do not keep it.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use model::{Change, Cursor, Entity, Kind, Transaction};
use store::{Committed, Error, Head, Key, ListQuery, Log, Page, Store, TaggedEntity, WriteSet};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;
use wire::Entities;

pub(super) const SERVICES: Kind = Kind::known("services");

/// Virtual time begins here, in microseconds since 1970.
const BEGINNING: i64 = 1_700_000_000_000_000;

/// A log in memory.
#[derive(Debug)]
pub(super) struct FaultyStore {
    began: Instant,
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug)]
struct State {
    epoch: Uuid,
    log: Vec<Transaction>,
    /// What was stored at each revision of the present epoch's way, from 0.
    history: Vec<Entities>,
    compacted: u64,
    down: bool,
    deaf: bool,
    epochs: u128,
}

impl FaultyStore {
    pub(super) fn new() -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            began: Instant::now(),
            state: Mutex::new(State {
                epoch: Uuid::from_u128(1),
                log: Vec::new(),
                history: vec![Entities::default()],
                compacted: 0,
                down: false,
                deaf: false,
                epochs: 1,
            }),
            grown: Notify::new(),
        })
    }

    /// Commits one transaction.
    pub(super) fn commit(&self, changes: Vec<Change>) -> Cursor {
        let mut state = self.lock();
        let prev = state.revision();
        let mut entities = state.history[prev as usize].clone();
        entities.apply(&changes);
        state.history.push(entities);
        let committed_us = self.now_us();
        state.log.push(Transaction { prev, revision: prev + 1, committed_us, changes });
        let at = state.at();
        if !state.deaf {
            self.grown.notify_waiters();
        }
        at
    }

    /// Commits one entity.
    pub(super) fn put(&self, id: u128, body: &str) -> Cursor {
        self.commit(vec![put(id, body)])
    }

    /// Where it stands, and what is stored there.
    pub(super) fn now(&self) -> (Cursor, Entities) {
        let state = self.lock();
        (state.at(), state.history[state.revision() as usize].clone())
    }

    /// What was stored at a revision of the present epoch.
    pub(super) fn at(&self, at: Cursor) -> Option<Entities> {
        let state = self.lock();
        (state.epoch == at.epoch).then(|| state.history.get(at.revision as usize).cloned())?
    }

    /// Cannot be reached, or can again.
    pub(super) fn down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Notifications are lost, or not any more.
    pub(super) fn deaf(&self, deaf: bool) {
        self.lock().deaf = deaf;
    }

    /// The log is cut at its beginning.
    pub(super) fn truncate(&self, upto: u64) {
        self.lock().compacted = upto;
    }

    /// Up to where the log is cut.
    pub(super) fn compacted(&self) -> u64 {
        self.lock().compacted
    }

    /// The database is put back to how it was at a revision, as by a backup: nobody says so.
    pub(super) fn set_back(&self, to: u64) {
        let mut state = self.lock();
        state.history.truncate(to as usize + 1);
        state.log.truncate(to as usize);
    }

    fn now_us(&self) -> i64 {
        BEGINNING + self.began.elapsed().as_micros() as i64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    fn reach(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.lock();
        if state.down { Err(Error::Unavailable("switched off".to_owned())) } else { Ok(state) }
    }

    fn head_of(&self, state: &State) -> Head {
        Head { at: state.at(), compacted: state.compacted, now_us: self.now_us() }
    }
}

impl State {
    fn revision(&self) -> u64 {
        self.history.len() as u64 - 1
    }

    fn at(&self) -> Cursor {
        Cursor { epoch: self.epoch, revision: self.revision() }
    }
}

/// An entity after a change.
pub(super) fn put(id: u128, body: &str) -> Change {
    Change { kind: SERVICES, id: Uuid::from_u128(id), body: Some(body.into()) }
}

/// Its end.
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
        if after < state.compacted {
            return Ok(Log { head, transactions: Vec::new() });
        }
        let mut changes = 0;
        let rest = state.log.iter().filter(|transaction| transaction.revision > after);
        let page = rest.take_while(|transaction| {
            let fits = changes < limit;
            changes += transaction.changes.len();
            fits
        });
        Ok(Log { head, transactions: page.cloned().collect() })
    }

    async fn snapshot(&self) -> Result<(Cursor, Vec<Entity>), Error> {
        let state = self.reach()?;
        let revision = state.revision();
        let entities = state.history[revision as usize].iter().map(|(kind, id, body)| Entity {
            kind: kind.clone(),
            id,
            body: body.clone(),
            version: revision,
        });
        Ok((state.at(), entities.collect()))
    }

    async fn grown(&self, revision: u64) {
        let notified = self.grown.notified();
        {
            let state = self.lock();
            if state.revision() > revision && !state.deaf {
                return;
            }
        }
        notified.await;
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

    async fn renew_epoch(&self, seen: Cursor) -> Result<Cursor, Error> {
        let mut state = self.reach()?;
        if seen.epoch == state.epoch && seen.revision > state.revision() {
            state.epochs += 1;
            state.epoch = Uuid::from_u128(state.epochs);
        }
        Ok(state.at())
    }
}
