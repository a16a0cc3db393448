//! What the Admin API sees of the data planes: `publish`'s fleet in `admin`'s words.

use std::sync::Arc;
use std::time::Duration;

use admin::{
    AddressHealth, Certificate, DataPlane, FleetHealth, Laggard, NodeHealth, Rejected, RejectedBy,
    Served, TargetHealth, UpstreamHealth, Wanted,
};
use async_trait::async_trait;
use model::{Cursor, Rollout};
use publish::{Fleet, Member};
use uuid::Uuid;

use crate::local::LocalDataPlane;

/// The fleet as the Admin API sees it.
pub(crate) struct View {
    pub(crate) fleet: Fleet,
    pub(crate) local: Option<Arc<dyn LocalDataPlane>>,
    /// This process, which is also the data plane's when it has one.
    pub(crate) node: Uuid,
    pub(crate) hostname: String,
}

#[async_trait]
impl admin::Barrier for View {
    async fn wait_served(&self, at: Cursor, wanted: Wanted, within: Duration) -> Served {
        let wanted = match wanted {
            Wanted::All => publish::Wanted::All,
            Wanted::Here => publish::Wanted::Here,
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
            held: u32::try_from(served.held.len()).unwrap_or(u32::MAX),
        }
    }
}

impl admin::Fleet for View {
    fn upstream_health(&self, upstream: Uuid) -> FleetHealth {
        // Asked directly, the data plane of this process says how things stand at this moment.
        if let Some(local) = &self.local {
            let told = local.upstream_health(upstream).as_ref().map(health);
            let reports: Vec<NodeHealth> = told
                .map(|health| NodeHealth { id: self.node, hostname: self.hostname.clone(), health })
                .into_iter()
                .collect();
            return FleetHealth { connected: reports.len(), incomplete: 0, reports };
        }
        let seen = self.fleet.upstream_health(upstream);
        let report = |report: publish::NodeHealth| NodeHealth {
            id: report.id,
            hostname: report.hostname,
            health: health(&report.health),
        };
        FleetHealth {
            connected: seen.connected,
            incomplete: seen.incomplete,
            reports: seen.reports.into_iter().map(report).collect(),
        }
    }

    fn forget(&self, id: Uuid) {
        self.fleet.expel(id);
    }

    fn rollout(&self) -> Option<Rollout> {
        self.fleet.rollout().map(|open| open.rollout.clone())
    }

    fn rejected_by(&self, kind: &str, id: Uuid) -> Vec<RejectedBy> {
        let rejected_by = |(node, rejection): (publish::Node, publish::Rejection)| RejectedBy {
            node: if node.hostname.is_empty() { node.id.to_string() } else { node.hostname },
            rejected: rejected(rejection),
        };
        self.fleet.rejected_by(kind, id).into_iter().map(rejected_by).collect()
    }

    fn data_planes(&self) -> Vec<DataPlane> {
        let target = |member: &Member| self.fleet.target(member).map(|at| at.revision);
        let members = self.fleet.members().into_iter();
        members.map(|member| DataPlane { target: target(&member), ..data_plane(member) }).collect()
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
        target: None,
        labels: member.node.labels,
        connected: member.connected,
        certificate: member.certificate.map(|shown| Certificate {
            fingerprint: shown.fingerprint.clone(),
            expires: shown.expires,
            individual: shown.individual,
        }),
        rejected: member.rejections.into_iter().map(rejected).collect(),
        rejected_total: member.rejections_total,
    }
}

fn rejected(one: publish::Rejection) -> Rejected {
    Rejected {
        kind: one.kind,
        id: one.id,
        revision: one.revision,
        reason: one.reason,
        in_part: one.in_part,
    }
}

/// The health of an upstream in the Admin API's words.
fn health(told: &wire::UpstreamHealth) -> UpstreamHealth {
    let address = |one: &wire::AddressHealth| AddressHealth {
        address: one.address,
        weight: one.weight,
        healthy: one.healthy,
        cause: one.cause.clone(),
        since_us: one.since_us,
        until_us: one.until_us,
    };
    let target = |one: &wire::TargetHealth| TargetHealth {
        target: one.target.clone(),
        dns: one.dns.clone(),
        addresses: one.addresses.iter().map(address).collect(),
    };
    UpstreamHealth {
        checked: told.checked,
        healthy: told.healthy,
        targets: told.targets.iter().map(target).collect(),
    }
}
