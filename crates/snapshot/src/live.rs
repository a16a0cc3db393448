//! What becomes of live upstreams when the configuration changes.

use std::sync::Arc;

use balancer::Upstream;

/// Tells whoever resolves names and probes targets which upstreams there are.
#[derive(Clone, Debug)]
pub enum LiveChange {
    /// It is new, or its settings or targets have changed.
    Put(Arc<Upstream>),
    /// Nobody uses it any more but requests under way.
    Removed(Arc<Upstream>),
}

impl LiveChange {
    /// The upstream that it is about.
    pub fn upstream(&self) -> &Arc<Upstream> {
        match self {
            LiveChange::Put(upstream) | LiveChange::Removed(upstream) => upstream,
        }
    }
}
