//! Where the newest snapshot lies.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::snapshot::Snapshot;

/// Holds the newest snapshot. Swapping it is one store; no reader ever waits.
pub struct Cell(Arc<ArcSwap<Snapshot>>);

impl Cell {
    /// A cell with a first snapshot.
    pub fn new(first: Arc<Snapshot>) -> Arc<Cell> {
        Arc::new(Cell(Arc::new(ArcSwap::new(first))))
    }

    /// The newest snapshot; for readers that come by now and then.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Makes a snapshot the newest. Requests under way keep the one that they have.
    pub fn swap(&self, next: Arc<Snapshot>) {
        self.0.store(next);
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cell").field(&self.0.load().at).finish()
    }
}

/// One thread's view of a [`Cell`]: loading costs about a nanosecond while nothing has changed.
pub struct Cache(arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Cache {
    /// A view of `cell`.
    pub fn new(cell: &Cell) -> Cache {
        Cache(arc_swap::Cache::new(Arc::clone(&cell.0)))
    }

    /// The newest snapshot.
    pub fn load(&mut self) -> &Arc<Snapshot> {
        self.0.load()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}
