//! The rule of the cursor: what is taken of what arrives.
//!
//! Streams, polls and snapshots overlap, repeat, come late and in any order; all of them go
//! through here. Pure: no clock, no I/O. Checked against a model in [`tests`].

use model::{Cursor, Digest, Transaction};
use uuid::Uuid;
use wire::Entities;
use wire::v1::resync::Reason;

/// What has been received, and where that is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    at: Option<Cursor>,
    entities: Entities,
    /// Counts the requests for a snapshot: only the answer to the latest one counts.
    asked: u64,
}

/// Names a request for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// What lies between the cursor and what arrived: a poll.
    Changes,
    /// Everything.
    Snapshot,
    /// The same, of another control plane: this one is behind.
    Another,
}

/// Why a snapshot was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It answers a request that was overtaken by a later one.
    #[error("another snapshot was asked for meanwhile")]
    Overtaken,
    /// It would lead back.
    #[error("it is older than what is held")]
    Older,
}

impl Inbox {
    /// Begins with what was kept.
    pub(crate) fn restored(at: Cursor, entities: Entities) -> Inbox {
        Inbox { at: Some(at), entities, asked: 0 }
    }

    /// Where what is held stands; `None`: nothing is held.
    pub(crate) fn at(&self) -> Option<Cursor> {
        self.at
    }

    /// What is held.
    pub(crate) fn entities(&self) -> &Entities {
        &self.entities
    }

    /// Transactions of `epoch` arrived. Those that lead on are taken and given back.
    pub(crate) fn transactions(
        &mut self,
        epoch: Uuid,
        arrived: Vec<Transaction>,
    ) -> (Vec<Transaction>, Need) {
        // Of another history, or asked for when something was held that is not any more: a late
        // answer. The answers to what is asked now will say what to do.
        let Some(at) = self.at.as_mut().filter(|at| at.epoch == epoch) else {
            return (Vec::new(), Need::Nothing);
        };
        let mut taken = Vec::new();
        for transaction in arrived {
            if transaction.revision <= at.revision {
                continue;
            }
            if transaction.prev > at.revision {
                return (taken, Need::Changes);
            }
            // Bodies are whole, so that a transaction that begins before the cursor is safe.
            self.entities.apply(&transaction.changes);
            at.revision = transaction.revision;
            taken.push(transaction);
        }
        (taken, Need::Nothing)
    }

    /// A control plane cannot serve the cursor `asked_from`.
    pub(crate) fn resync(&self, asked_from: Option<Cursor>, reason: Reason) -> Need {
        match reason {
            // The cursor has moved on since: the answer says nothing about it.
            _ if asked_from != self.at => Need::Nothing,
            Reason::Ahead => Need::Another,
            Reason::Unspecified | Reason::Empty | Reason::TooOld | Reason::Epoch => Need::Snapshot,
        }
    }

    /// A snapshot is asked for; what was asked for before does not count any more.
    pub(crate) fn ask(&mut self) -> Ticket {
        self.asked += 1;
        Ticket(self.asked)
    }

    /// A snapshot arrived.
    pub(crate) fn snapshot(
        &mut self,
        ticket: Ticket,
        at: Cursor,
        entities: Entities,
    ) -> Result<(), Refused> {
        if ticket.0 != self.asked {
            return Err(Refused::Overtaken);
        }
        if self.at.is_some_and(|own| own.epoch == at.epoch && own.revision > at.revision) {
            return Err(Refused::Older);
        }
        self.asked += 1;
        self.at = Some(at);
        self.entities = entities;
        Ok(())
    }

    /// Whether the set at `at` has another digest elsewhere; `false` when that cannot be said.
    pub(crate) fn differs(&self, at: Cursor, digest: Digest) -> bool {
        self.at == Some(at) && self.entities.digest() != digest
    }
}

#[cfg(test)]
mod tests;
