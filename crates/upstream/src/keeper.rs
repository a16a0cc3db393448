//! Follows the upstreams that are served: their names are resolved, their peers probed.

use std::fmt;
use std::sync::Arc;

use balancer::Upstream;
use lifecycle::{Clock, Tasks};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::follow::{Change, Changes};
use crate::probe::{FindCertificate, Prober};
use crate::resolve::{Resolver, ResolverSettings};

/// Probes of the node that may be under way at once, however many upstreams there are.
const PROBES_AT_ONCE: usize = 512;

/// What a [`Keeper`] is made from.
pub struct KeeperSettings {
    /// How names are resolved.
    pub resolver: ResolverSettings,
    /// Finds the client certificates that probes show.
    pub certificates: Arc<FindCertificate>,
    /// For jitter; random per node.
    pub seed: u64,
}

impl fmt::Debug for KeeperSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperSettings").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

/// Looks after the live upstreams of a node: one resolver and one prober, whatever the number of
/// threads. Clones are the same keeper.
#[derive(Clone, Debug)]
pub struct Keeper {
    to_resolver: Arc<Changes>,
    to_prober: Arc<Changes>,
}

impl Keeper {
    /// Starts its two tasks on the present runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(settings: KeeperSettings, clock: Arc<dyn Clock>, tasks: &Tasks) -> Keeper {
        let keeper = Keeper { to_resolver: Arc::default(), to_prober: Arc::default() };
        let mut random = StdRng::seed_from_u64(settings.seed);
        let resolver =
            Resolver::new(settings.resolver, Arc::clone(&keeper.to_resolver), random.random());
        let prober = Prober::new(
            clock,
            Arc::clone(&keeper.to_prober),
            settings.certificates,
            PROBES_AT_ONCE,
            random.random(),
        );
        tasks.background("resolver", resolver.run());
        tasks.background("prober", prober.run());
        keeper
    }

    /// Looks after an upstream that is new or has changed; one with the same id that was looked
    /// after before is let go. Returns at once.
    pub fn put(&self, upstream: &Arc<Upstream>) {
        self.to_resolver.add(Change::Put(Arc::clone(upstream)));
        self.to_prober.add(Change::Put(Arc::clone(upstream)));
    }

    /// Ceases to look after an upstream. Returns at once.
    pub fn remove(&self, upstream: &Arc<Upstream>) {
        self.to_resolver.add(Change::Remove(Arc::clone(upstream)));
        self.to_prober.add(Change::Remove(Arc::clone(upstream)));
    }
}
