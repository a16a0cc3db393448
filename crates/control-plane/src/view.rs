//! What the Admin API sees of the data planes: `publish`'s fleet in `admin`'s words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use admin::{DataPlane, Laggard, Served, UpstreamHealth, Wanted};
use async_trait::async_trait;
use model::Cursor;
use publish::{Fleet, Member};
use uuid::Uuid;

use crate::local::LocalDataPlane;

/// The fleet as the Admin API sees it.
pub(crate) struct View {
    pub(crate) fleet: Fleet,
    pub(crate) local: Option<Arc<dyn LocalDataPlane>>,
}

#[async_trait]
impl admin::Barrier for View {
    async fn wait_served(&self, at: Cursor, wanted: Wanted, within: Duration) -> Served {
        let wanted = match wanted {
            Wanted::All => publish::Wanted::All,
            Wanted::Quorum => publish::Wanted::Quorum,
            Wanted::AtLeast(count) => {
                publish::Wanted::Count(usize::try_from(count).unwrap_or(usize::MAX))
            }
        };
        let served = self.fleet.wait_served(at, wanted, within).await;
        let laggards = served.lagging.into_iter().map(|standing| Laggard {
            node: if standing.hostname.is_empty() {
                standing.id.to_string()
            } else {
                standing.hostname
            },
            serving: standing.serving.map(|cursor| cursor.revision),
        });
        Served {
            reached: served.reached,
            serving: u32::try_from(served.applied.len()).unwrap_or(u32::MAX),
            laggards: laggards.collect(),
        }
    }
}

#[async_trait]
impl admin::Fleet for View {
    async fn upstream_health(&self, upstream: Uuid) -> Option<UpstreamHealth> {
        self.local.as_ref()?.upstream_health(upstream).await
    }

    async fn set_health(
        &self,
        upstream: Uuid,
        target: &str,
        address: Option<SocketAddr>,
        healthy: bool,
    ) -> Result<(), String> {
        match &self.local {
            Some(local) => local.set_health(upstream, target, address, healthy).await,
            None => Err(
                "the health of targets is set on the data planes, and none runs in this process"
                    .to_owned(),
            ),
        }
    }

    fn data_planes(&self) -> Vec<DataPlane> {
        self.fleet.members().into_iter().map(data_plane).collect()
    }
}

fn data_plane(member: Member) -> DataPlane {
    DataPlane {
        id: member.node.id,
        hostname: member.node.hostname,
        // The one that runs in this process has no address of its own.
        ip: member.address.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string()),
        version: member.node.version,
        config_hash: member.digest.unwrap_or_default().to_string(),
        sync_status: match member.state {
            publish::State::Unknown => "unknown",
            _ => "normal",
        }
        .to_owned(),
        last_seen: member.last_seen_us.div_euclid(1_000_000),
        serving: member.serving.map(|cursor| cursor.revision),
    }
}
