//! What a control plane tells of its data planes, under Kong's names.

use publish::{Fleet, Member, State};
use telemetry::metrics::{Kind, Registry, Text};

/// Registers the metrics; they are read off the fleet when they are asked for.
pub(crate) fn register(metrics: &Registry, fleet: Fleet) {
    metrics.collect(move |text| render(&fleet.members(), text));
}

fn render(members: &[Member], text: &mut Text) {
    if members.is_empty() {
        return;
    }
    let mut family = |name: &str, help: &str, value: fn(&Member) -> u64, version: bool| {
        text.family(name, Kind::Gauge, help);
        for member in members {
            let (id, ip) = (member.node.id.to_string(), address(member));
            let mut labels =
                vec![("node_id", &*id), ("hostname", &*member.node.hostname), ("ip", &*ip)];
            if version {
                labels.push(("kong_version", &member.node.version));
            }
            text.whole(name, &labels, value(member));
        }
    };
    family(
        "kong_data_plane_last_seen",
        "Last time data plane contacted control plane",
        |member| u64::try_from(member.last_seen_us / 1_000_000).unwrap_or_default(),
        false,
    );
    family("kong_data_plane_config_hash", "Config hash value of the data plane", hash, false);
    family(
        "kong_data_plane_version_compatible",
        "Version compatible status of the data plane, 0 is incompatible",
        |member| u64::from(member.state != State::Unknown),
        true,
    );
}

/// As Kong does: as many digits of the hash as a sample holds exactly.
fn hash(member: &Member) -> u64 {
    let text = member.digest.unwrap_or_default().to_string();
    text.get(..13).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

fn address(member: &Member) -> String {
    member.address.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn data_planes_have_kongs_labels() {
        let member = Member {
            node: publish::Node {
                id: uuid::Uuid::nil(),
                hostname: "edge-1".to_owned(),
                version: "0.1.0".to_owned(),
                labels: BTreeMap::new(),
                plugins: BTreeMap::new(),
            },
            address: "10.0.0.7".parse().ok(),
            certificate: None,
            connected: true,
            state: State::Streaming,
            received: None,
            serving: None,
            digest: None,
            rejections: Vec::new(),
            rejections_total: 0,
            last_seen_us: 1_700_000_000_900_000,
        };
        let metrics = Registry::new();
        metrics.collect(move |text| render(std::slice::from_ref(&member), text));
        let labels =
            "node_id=\"00000000-0000-0000-0000-000000000000\",hostname=\"edge-1\",ip=\"10.0.0.7\"";
        let text = metrics.render();
        for line in [
            format!("kong_data_plane_last_seen{{{labels}}} 1700000000"),
            format!("kong_data_plane_config_hash{{{labels}}} 0"),
            format!("kong_data_plane_version_compatible{{{labels},kong_version=\"0.1.0\"}} 1"),
        ] {
            assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
        }
    }
}
