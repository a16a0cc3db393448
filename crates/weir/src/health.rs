//! The data plane of this process, in the words in which the control plane asks.

use std::net::SocketAddr;

use async_trait::async_trait;
use balancer::{AddressView, TargetView};
use control_plane::{AddressHealth, Connections, LocalDataPlane, TargetHealth, UpstreamHealth};
use data_plane::View;
use uuid::Uuid;

/// The data plane of this process.
pub(crate) struct Local {
    view: View,
}

impl Local {
    pub(crate) fn new(view: View) -> Local {
        Local { view }
    }
}

#[async_trait]
impl LocalDataPlane for Local {
    fn connections(&self) -> Connections {
        let traffic = self.view.traffic();
        Connections {
            accepted: traffic.accepted,
            handled: traffic.accepted,
            active: traffic.active,
            reading: 0,
            writing: 0,
            waiting: 0,
            requests: traffic.requests,
        }
    }

    async fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        let view = self.view.upstream(upstream)?.view(self.view.clock().monotonic());
        Some(UpstreamHealth {
            checked: view.checks_on,
            healthy: view.healthy,
            targets: view.targets.iter().map(target).collect(),
        })
    }

    async fn set_health(
        &self,
        upstream: Uuid,
        target: &str,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), String> {
        let upstream = self.view.upstream(upstream).ok_or("this upstream is not served yet")?;
        let (host, port) = target.rsplit_once(':').ok_or("the target has no port")?;
        let port = port.parse().map_err(|_| "the target's port is no number")?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let now = self.view.clock().monotonic();
        upstream
            .set_health(host, port, address, healthy, now)
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn target(view: &TargetView) -> TargetHealth {
    let host = &view.host;
    let target = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", view.port)
    } else {
        format!("{host}:{}", view.port)
    };
    let dns = if view.addresses.is_empty() { "ERROR".to_owned() } else { view.dns.to_string() };
    TargetHealth { target, dns, addresses: view.addresses.iter().map(address).collect() }
}

fn address(view: &AddressView) -> AddressHealth {
    AddressHealth { address: view.address, weight: view.weight, healthy: view.state.is_available() }
}
