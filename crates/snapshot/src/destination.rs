//! Where a service's requests go.

use std::fmt;
use std::sync::{Arc, OnceLock};

use balancer::Upstream;
use uuid::Uuid;

use crate::live::LiveChange;

/// Namespace of the ids of implicit upstreams.
const IMPLICIT: Uuid = Uuid::from_u128(0x6c1d_8f0a_93b7_4f6e_9c52_0d1e_7ab3_44f8);

/// Hears of implicit upstreams as they come and go, on whatever thread needs or drops them: must
/// return at once.
pub type Follow = Arc<dyn Fn(LiveChange) + Send + Sync>;

/// Where a service's requests go.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// To the upstream entity that its host names.
    Entity(Arc<Upstream>),
    /// To its host.
    Host(Arc<ImplicitUpstream>),
}

impl Destination {
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        match self {
            Destination::Entity(upstream) => upstream,
            Destination::Host(implicit) => implicit.upstream(),
        }
    }
}

/// The upstream of a host that no upstream entity is named after.
///
/// It is made by the first request that goes there: of 100,000 services most are idle, and a live
/// upstream costs several times what the service itself does. It goes with the last snapshot that
/// has it.
pub(crate) struct ImplicitUpstream {
    host: Arc<str>,
    port: u16,
    /// See [`Upstream::new`].
    seed: u64,
    made: OnceLock<Arc<Upstream>>,
    follow: Follow,
}

impl ImplicitUpstream {
    pub(crate) fn new(host: Arc<str>, port: u16, seed: u64, follow: Follow) -> ImplicitUpstream {
        ImplicitUpstream { host, port, seed, made: OnceLock::new(), follow }
    }

    fn upstream(&self) -> &Arc<Upstream> {
        self.made.get_or_init(|| {
            let id = Uuid::new_v5(&IMPLICIT, format!("{}:{}", self.host, self.port).as_bytes());
            let seed = self.seed ^ crate::upstreams::hash(id);
            let upstream = Upstream::for_host(id, &self.host, self.port, seed);
            (self.follow)(LiveChange::Put(Arc::clone(&upstream)));
            upstream
        })
    }
}

impl Drop for ImplicitUpstream {
    fn drop(&mut self) {
        if let Some(upstream) = self.made.take() {
            (self.follow)(LiveChange::Removed(upstream));
        }
    }
}

impl fmt::Debug for ImplicitUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
