//! The data plane that shares this process, as the control plane sees it.

use std::net::SocketAddr;

use admin::{Connections, UpstreamHealth};
use async_trait::async_trait;
use uuid::Uuid;

/// What a control plane can ask the data plane of its own process.
#[async_trait]
pub trait LocalDataPlane: Send + Sync + 'static {
    /// Connections and requests of the proxy's listeners.
    fn connections(&self) -> Connections;

    /// The health of an upstream; `None` when there is no such upstream yet.
    async fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth>;

    /// Sets the health of a target's addresses by hand: of all, or of the one named.
    ///
    /// # Errors
    /// Why the balancer refuses, in a sentence for the operator.
    async fn set_health(
        &self,
        upstream: Uuid,
        target: &str,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), String>;
}
