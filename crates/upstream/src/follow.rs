//! Which upstreams came, changed and went: from whoever applies the configuration to the tasks
//! that look after them.

use std::sync::{Arc, Mutex, PoisonError};

use balancer::Upstream;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

/// What names an upstream while it is held: an upstream that was removed and made anew has the
/// same id and is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle(usize);

impl Handle {
    /// The handle of an upstream. Only means it as long as somebody holds it.
    pub(crate) fn of(upstream: &Arc<Upstream>) -> Handle {
        Handle(Arc::as_ptr(upstream).addr())
    }
}

/// What became of an upstream.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// It is new or has changed.
    Put(Arc<Upstream>),
    /// It is served no more.
    Remove(Arc<Upstream>),
}

/// Changes that nobody has taken yet. The last one of each upstream is enough, so there are never
/// more than upstreams.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pending: Mutex<FxHashMap<Handle, Change>>,
    more: Notify,
}

impl Changes {
    pub(crate) fn add(&self, change: Change) {
        let (Change::Put(upstream) | Change::Remove(upstream)) = &change;
        let handle = Handle::of(upstream);
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, change);
        self.more.notify_one();
    }

    /// Waits until there are some, and takes them. Safe to drop while it waits.
    pub(crate) async fn take(&self) -> Vec<Change> {
        loop {
            let taken =
                std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken.into_values().collect();
            }
            self.more.notified().await;
        }
    }
}
