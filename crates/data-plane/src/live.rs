//! The live upstreams of this data plane, for everybody who looks after them or shows them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use balancer::{Origin, Upstream};
use snapshot::LiveChange;
use upstream::Keeper;
use uuid::Uuid;

/// The live upstreams by the id of their entity (those of a service's own host are not among
/// them), and the keeper that resolves the names and probes the peers of all. Clones share them.
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
                    if upstream.config().origin == Origin::Entity {
                        upstreams.insert(upstream.id(), upstream.clone());
                    }
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

    /// Calls this for every one of them; it must be quick.
    pub(crate) fn each(&self, each: impl FnMut(&Arc<Upstream>)) {
        self.lock().values().for_each(each);
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

#[cfg(test)]
pub(crate) mod testing {
    //! Live upstreams for the tests of this crate.

    use balancer::{Config, TargetSpec};
    use lifecycle::{Shutdown, SystemClock, Tasks};
    use upstream::{KeeperSettings, ResolverSettings};

    use super::*;

    /// The id of a target with this host.
    pub(crate) fn target_id(upstream: u128, host: &str) -> Uuid {
        Uuid::new_v5(&Uuid::from_u128(upstream), host.as_bytes())
    }

    /// An upstream with passive checks and these hosts as targets, on port 80.
    pub(crate) fn upstream(id: u128, hosts: &[&str]) -> Arc<Upstream> {
        let body = format!(
            r#"{{"id":"{}","name":"u{id}.test","healthchecks":{{"active":{{"healthy":{{}},
                "unhealthy":{{}}}},"passive":{{"healthy":{{}},
                "unhealthy":{{"tcp_failures":1}}}}}}}}"#,
            Uuid::from_u128(id)
        );
        let upstream = Upstream::new(Config::from(&model::Upstream::from_body(&body).unwrap()), 1);
        let spec = |host: &&str| TargetSpec {
            id: target_id(id, host),
            host: (*host).into(),
            port: 80,
            weight: 100,
            failover: false,
        };
        upstream.set_targets(&hosts.iter().map(spec).collect::<Vec<_>>());
        upstream
    }

    /// These, looked after by nobody: the keeper's tasks end with the test's runtime.
    pub(crate) fn live_with(upstreams: &[Arc<Upstream>]) -> Live {
        let settings = KeeperSettings {
            resolver: ResolverSettings {
                servers: vec![([127, 0, 0, 1], 9).into()],
                hosts_file: None,
                order: Vec::new(),
                valid_ttl: None,
                stale_ttl: std::time::Duration::ZERO,
                not_found_ttl: std::time::Duration::ZERO,
                error_ttl: std::time::Duration::ZERO,
            },
            certificates: Arc::new(|_| None),
            seed: 1,
        };
        let keeper = Keeper::start(settings, Arc::new(SystemClock), &Tasks::new(Shutdown::new()));
        let live = Live::new(keeper);
        live.lock().extend(upstreams.iter().map(|one| (one.id(), Arc::clone(one))));
        live
    }
}
