//! The live upstreams of this data plane, for everybody who looks after them or shows them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use balancer::Upstream;
use snapshot::LiveChange;
use upstream::Keeper;
use uuid::Uuid;

/// The live upstreams by the id of their entity, and the keeper that resolves their names and
/// probes their peers. Clones share them.
#[derive(Clone)]
pub(crate) struct Live {
    keeper: Keeper,
    upstreams: Arc<Mutex<HashMap<Uuid, Arc<Upstream>>>>,
}

impl Live {
    /// None yet; the keeper looks after those to come.
    pub(crate) fn new(keeper: Keeper) -> Live {
        Live { keeper, upstreams: Arc::default() }
    }

    /// Takes up what has changed.
    pub(crate) fn follow(&self, changes: &[LiveChange]) {
        let mut upstreams = self.lock();
        for change in changes {
            match change {
                LiveChange::Put(upstream) => {
                    self.keeper.put(upstream);
                    upstreams.insert(upstream.id(), upstream.clone());
                }
                LiveChange::Removed(upstream) => {
                    self.keeper.remove(upstream);
                    // One that was removed and made anew has the same id and is another.
                    if upstreams
                        .get(&upstream.id())
                        .is_some_and(|present| Arc::ptr_eq(present, upstream))
                    {
                        upstreams.remove(&upstream.id());
                    }
                }
            }
        }
    }

    /// All of them as they stand, by name.
    pub(crate) fn views(&self, now: Instant) -> Vec<balancer::View> {
        // Not under the lock: a view takes one of its own.
        let upstreams: Vec<Arc<Upstream>> = self.lock().values().cloned().collect();
        let mut views: Vec<_> = upstreams.iter().map(|upstream| upstream.view(now)).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// One of them.
    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<Upstream>> {
        self.lock().get(&id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Upstream>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("upstreams", &self.lock().len()).finish()
    }
}
