//! What is received becomes what is served.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifecycle::Clock;
use model::{Change, Cursor, TargetHealth, Transaction};
use snapshot::{Applied, Builder, Cell};
use subscribe::{Apply, Rejection};
use uuid::Uuid;

use crate::by_hand::ByHand;
use crate::live::Live;

/// Builds snapshots out of what is received, and swaps them in. When a call returns, every traffic
/// thread answers its next request from the new one: that is what is then acknowledged.
pub(crate) struct Serve {
    builder: Builder,
    cell: Arc<Cell>,
    live: Live,
    by_hand: ByHand,
    clock: Arc<dyn Clock>,
    /// Words on health that could not be read.
    unread: BTreeMap<Uuid, String>,
}

impl Serve {
    pub(crate) fn new(
        builder: Builder,
        cell: Arc<Cell>,
        live: Live,
        by_hand: ByHand,
        clock: Arc<dyn Clock>,
    ) -> Serve {
        Serve { builder, cell, live, by_hand, clock, unread: BTreeMap::new() }
    }

    fn serve<'a>(
        &mut self,
        applied: Applied,
        changes: impl Iterator<Item = &'a Change> + Clone,
    ) -> Vec<Rejection> {
        // First the upstreams, so that names are being resolved when requests for them come.
        self.live.follow(&applied.upstreams);
        self.set_by_hand(changes);
        self.cell.swap(applied.snapshot);
        let rejection = |one: snapshot::Rejection| Rejection {
            kind: one.kind,
            id: one.id,
            reason: one.reason,
            in_part: one.in_part,
        };
        let unread = self.unread.iter().map(|(id, reason)| Rejection {
            kind: TargetHealth::KIND,
            id: *id,
            reason: reason.clone(),
            in_part: false,
        });
        applied.rejections.into_iter().map(rejection).chain(unread).collect()
    }

    /// Targets are as the changes say by now, so that their health can be set.
    fn set_by_hand<'a>(&mut self, changes: impl Iterator<Item = &'a Change> + Clone) {
        let words = changes.filter(|change| change.kind == TargetHealth::KIND);
        let mut said = words.clone().peekable();
        if said.peek().is_none() {
            return;
        }
        said.for_each(|change| drop(self.unread.remove(&change.id)));
        self.unread.extend(self.by_hand.take(words));
        self.by_hand.carry_out(&self.live, self.clock.monotonic());
    }
}

impl Apply for Serve {
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
        let applied = self.builder.replace(at, &entities);
        self.by_hand.keep(&entities);
        self.unread.clear();
        self.serve(applied, entities.iter())
    }

    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
        let applied = self.builder.apply(transactions);
        self.serve(applied, transactions.iter().flat_map(|one| &one.changes))
    }
}
