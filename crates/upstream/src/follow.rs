//! Which upstreams came, changed and went: from whoever applies the configuration to the tasks
//! that look after them.

use std::sync::{Arc, Mutex, PoisonError};

use balancer::Upstream;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use uuid::Uuid;

/// What became of an upstream. One that was removed and made anew has the same id and is another.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// It is new or has changed, or takes the place of one with the same id.
    Put(Arc<Upstream>),
    /// It is served no more.
    Remove(Arc<Upstream>),
}

/// Changes that nobody has taken yet. The last one of each id is enough, so there are never more
/// than upstreams.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pending: Mutex<FxHashMap<Uuid, Change>>,
    more: Notify,
}

impl Changes {
    pub(crate) fn add(&self, change: Change) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match &change {
            Change::Put(upstream) => {
                pending.insert(upstream.id(), change);
            }
            Change::Remove(upstream) => match pending.get(&upstream.id()) {
                // That it goes says nothing about the one that came instead.
                Some(Change::Put(other)) if !Arc::ptr_eq(other, upstream) => {}
                _ => {
                    pending.insert(upstream.id(), change);
                }
            },
        }
        drop(pending);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_change_of_an_id_counts() {
        let upstream = || Upstream::for_host(Uuid::nil(), "10.0.0.1", 80, 0);
        let (old, new) = (upstream(), upstream());
        let check = async |changes: &[Change], expected: &Change| {
            let pending = Changes::default();
            changes.iter().for_each(|change| pending.add(change.clone()));
            let taken = pending.take().await;
            let same = match (&taken[..], expected) {
                ([Change::Put(a)], Change::Put(b)) => Arc::ptr_eq(a, b),
                ([Change::Remove(a)], Change::Remove(b)) => Arc::ptr_eq(a, b),
                _ => false,
            };
            assert!(same, "{changes:?} became {taken:?}");
        };
        let put = |upstream: &Arc<Upstream>| Change::Put(Arc::clone(upstream));
        let remove = |upstream: &Arc<Upstream>| Change::Remove(Arc::clone(upstream));
        check(&[put(&old), remove(&old)], &remove(&old)).await;
        check(&[put(&old), remove(&old), put(&new)], &put(&new)).await;
        check(&[put(&new), remove(&old)], &put(&new)).await;
    }
}
