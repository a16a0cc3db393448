//! The data plane that shares this process, as the control plane sees it.

use admin::Connections;
use uuid::Uuid;
use wire::UpstreamHealth;

/// What a control plane can ask the data plane of its own process.
pub trait LocalDataPlane: Send + Sync + 'static {
    /// Connections and requests of the proxy's listeners.
    fn connections(&self) -> Connections;

    /// The health of an upstream at this moment; `None` when there is no such upstream yet.
    fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth>;
}
