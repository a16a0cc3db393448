//! Who gets what while a rollout is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Cursor, Rollout, Transaction};
use wire::Entities;

use crate::feed::Feed;
use crate::recent::Recent;

/// The rollout that is open, as far as the log has been released here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRollout {
    /// Whom it begins with.
    pub rollout: Rollout,
    /// The revision that opened it: what all others stay at.
    pub opened: Cursor,
}

/// What has been released: the newest, and while a rollout is open what the others stay at. Pure:
/// no clock, no I/O.
///
/// A revision is always the store's at that revision: who is held back stays at the one that opened
/// the rollout, however many come after it. So a cursor says what a data plane holds, whatever it
/// was entitled to on the way, and any control plane can lead it on.
#[derive(Debug)]
pub(crate) struct Feeds {
    newest: Feed,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    open: Arc<OpenRollout>,
    feed: Feed,
}

/// Whether a transaction begins or ends a rollout. Such a one is released alone.
pub(crate) fn is_turn(transaction: &Transaction) -> bool {
    transaction.changes.iter().any(|change| change.kind == Rollout::KIND)
}

impl OpenRollout {
    /// Whether a data plane with these labels, which holds `at`, is held back. One that is beyond
    /// the opening has seen what came after it, and never goes back.
    pub fn holds(&self, labels: &BTreeMap<String, String>, at: Option<Cursor>) -> bool {
        let beyond =
            |at: Cursor| at.epoch == self.opened.epoch && at.revision > self.opened.revision;
        !self.rollout.matches(labels) && !at.is_some_and(beyond)
    }
}

impl Feeds {
    /// Begins with everything that is stored at `at`, and the rollout that is open there.
    pub(crate) fn new(
        at: Cursor,
        committed_us: i64,
        mut entities: Entities,
        recent: Recent,
        open: Option<&store::OpenRollout>,
    ) -> Feeds {
        let row = entities.remove(&Rollout::KIND, Rollout::ID);
        let held = row.zip(open).and_then(|(body, open)| {
            let opened = Cursor { revision: open.opened, ..at };
            let mut before = entities.clone();
            before.apply(&open.before);
            before.remove(&Rollout::KIND, Rollout::ID);
            let feed = Feed::new(opened, committed_us, before, recent.until(open.opened));
            Some(Held { open: opening(&body, opened)?, feed })
        });
        let newest = Feed::new(at, committed_us, entities, recent);
        Feeds { newest, held }
    }

    /// Takes the next transaction: alone when it [turns](is_turn).
    pub(crate) fn release(&mut self, transaction: &mut Transaction) {
        let turn = transaction.changes.iter().rev().find(|change| change.kind == Rollout::KIND);
        let turn = turn.map(|change| change.body.clone());
        // Control planes alone need to know.
        transaction.changes.retain(|change| change.kind != Rollout::KIND);
        self.newest.release(transaction);
        match turn {
            None => {}
            Some(Some(body)) => {
                self.held = opening(&body, self.newest.released().at)
                    .map(|open| Held { open, feed: self.newest.clone() });
            }
            Some(None) => {
                self.held = None;
                // Between the beginning and the end are revisions that who was held back must not
                // pass through.
                self.newest.seal();
                tracing::info!(at = %self.newest.released().at, "the rollout is over");
            }
        }
    }

    /// What is released to those that nothing is held back from.
    pub(crate) fn newest(&self) -> &Feed {
        &self.newest
    }

    /// What is released to a data plane with these labels that holds `at`.
    pub(crate) fn of(
        &mut self,
        labels: &BTreeMap<String, String>,
        at: Option<Cursor>,
    ) -> &mut Feed {
        match &mut self.held {
            Some(held) if held.open.holds(labels, at) => &mut held.feed,
            _ => &mut self.newest,
        }
    }

    /// Whether a data plane with these labels that holds `at` is held back.
    pub(crate) fn holds(&self, labels: &BTreeMap<String, String>, at: Option<Cursor>) -> bool {
        self.held.as_ref().is_some_and(|held| held.open.holds(labels, at))
    }

    /// The rollout that is open.
    pub(crate) fn open(&self) -> Option<&Arc<OpenRollout>> {
        self.held.as_ref().map(|held| &held.open)
    }
}

fn opening(body: &str, opened: Cursor) -> Option<Arc<OpenRollout>> {
    match Rollout::from_body(body) {
        Ok(rollout) => {
            tracing::info!(
                %opened,
                labels = ?rollout.labels,
                "a rollout is open: what follows goes to data planes with its labels only"
            );
            Some(Arc::new(OpenRollout { rollout, opened }))
        }
        Err(error) => {
            tracing::error!(%error, %opened, "the open rollout cannot be read; nothing is held back");
            None
        }
    }
}

#[cfg(test)]
mod tests;
