//! Where the newest snapshot lies.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::snapshot::Snapshot;

/// Holds the newest snapshot. Swapping it is one store; no reader ever waits.
pub struct Cell {
    newest: Arc<ArcSwap<Snapshot>>,
    /// Snapshots that requests may still have. The last holder frees what a snapshot shared with
    /// no other, which takes time after a large change: that is done here and not by a request.
    retired: Mutex<Vec<Arc<Snapshot>>>,
}

impl Cell {
    /// A cell with a first snapshot.
    pub fn new(first: Arc<Snapshot>) -> Arc<Cell> {
        let newest = Arc::new(ArcSwap::new(first));
        Arc::new(Cell { newest, retired: Mutex::default() })
    }

    /// The newest snapshot; for readers that come by now and then.
    pub fn load(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// Makes a snapshot the newest. Requests under way keep the one that they have. Frees those
    /// before that nobody has any more.
    pub fn swap(&self, next: Arc<Snapshot>) {
        let former = self.newest.swap(next);
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.push(former);
        retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cell").field(&self.newest.load().at).finish()
    }
}

/// One thread's view of a [`Cell`]: loading costs about a nanosecond while nothing has changed.
pub struct Cache(arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl Cache {
    /// A view of `cell`.
    pub fn new(cell: &Cell) -> Cache {
        Cache(arc_swap::Cache::new(Arc::clone(&cell.newest)))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Cursor;
    use uuid::Uuid;

    use super::{Cache, Cell};
    use crate::snapshot::Snapshot;

    fn snapshot(revision: u64) -> Arc<Snapshot> {
        let at = Cursor { epoch: Uuid::nil(), revision };
        Arc::new(Snapshot { at, ..Snapshot::empty(router::Rules::default()) })
    }

    #[test]
    fn a_request_never_frees_a_snapshot() {
        let cell = Cell::new(snapshot(1));
        let mut cache = Cache::new(&cell);
        let held = Arc::clone(cache.load());
        cell.swap(snapshot(2));
        assert_eq!(cache.load().at.revision, 2);
        let former = Arc::downgrade(&held);
        drop(held);
        assert!(former.upgrade().is_some(), "it was the last of the readers");
        cell.swap(snapshot(3));
        assert!(former.upgrade().is_none());
        assert_eq!(cell.load().at.revision, 3);
    }
}
