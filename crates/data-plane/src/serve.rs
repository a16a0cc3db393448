//! What is received becomes what is served.

use std::sync::Arc;

use model::{Change, Cursor, Transaction};
use snapshot::{Applied, Builder, Cell};
use subscribe::{Apply, Rejection};

use crate::live::Live;

/// Builds snapshots out of what is received, and swaps them in. When a call returns, every traffic
/// thread answers its next request from the new one: that is what is then acknowledged.
pub(crate) struct Serve {
    builder: Builder,
    cell: Arc<Cell>,
    live: Live,
}

impl Serve {
    pub(crate) fn new(builder: Builder, cell: Arc<Cell>, live: Live) -> Serve {
        Serve { builder, cell, live }
    }

    fn serve(&self, applied: Applied) -> Vec<Rejection> {
        // First the upstreams, so that names are being resolved when requests for them come.
        self.live.follow(&applied.upstreams);
        self.cell.swap(applied.snapshot);
        let rejection =
            |one: snapshot::Rejection| Rejection { kind: one.kind, id: one.id, reason: one.reason };
        applied.rejections.into_iter().map(rejection).collect()
    }
}

impl Apply for Serve {
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
        let applied = self.builder.replace(at, &entities);
        self.serve(applied)
    }

    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
        let applied = self.builder.apply(transactions);
        self.serve(applied)
    }
}
