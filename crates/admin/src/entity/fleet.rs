//! What many data planes see, made into the one answer that Kong's clients expect.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::HostPort;
use serde_json::{Value, json};

use crate::entity::upstreams::weight;
use crate::state::{AddressHealth, FleetHealth, NodeHealth, Object};

/// Data planes that are named at an address; the rest is counted.
const NAMED: usize = 100;

/// An upstream as the data planes see it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether any check is configured.
    pub(crate) checked: bool,
    /// Whether it takes requests on most data planes.
    pub(crate) healthy: bool,
    by_target: BTreeMap<String, Target>,
    connected: usize,
    incomplete: usize,
}

/// A target as the data planes see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) target: String,
    /// What its addresses come from.
    pub(crate) dns: String,
    /// All addresses that any data plane has for it.
    pub(crate) addresses: Vec<Address>,
}

/// An address as the data planes see it.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) address: SocketAddr,
    pub(crate) weight: u32,
    /// Whether most data planes that have it give it requests. As many for as against is not.
    pub(crate) healthy: bool,
    available: usize,
    unavailable: usize,
    /// Who had something to say about it.
    said: Vec<Value>,
}

impl Seen {
    /// What is seen of an upstream with this configuration and these targets.
    pub(crate) fn of(config: &balancer::Config, stored: &[Object], fleet: &FleetHealth) -> Seen {
        let silent = fleet.connected.saturating_sub(fleet.reports.len());
        let mut by_target = BTreeMap::new();
        // Who reports nothing sees what follows from the configuration: an address literal is its
        // own address, and healthy. So does everybody when nobody is connected.
        let assumed = if fleet.connected == 0 { 1 } else { silent };
        for target in stored {
            let Some(text) = target.get("target").and_then(Value::as_str) else { continue };
            let Ok(parsed) = text.parse::<HostPort>() else { continue };
            let mut seen =
                Target { target: text.to_owned(), dns: "A".to_owned(), addresses: Vec::new() };
            if let Some(ip) = parsed.host.ip().filter(|_| assumed > 0) {
                seen.addresses.push(Address {
                    address: (ip, parsed.port).into(),
                    weight: weight(target),
                    healthy: true,
                    available: assumed,
                    unavailable: 0,
                    said: Vec::new(),
                });
            }
            let is_name = parsed.host.ip().is_none();
            if is_name && !fleet.reports.iter().any(|report| report.has(text)) {
                // Nobody has resolved it, or nobody tells of it yet.
                continue;
            }
            by_target.insert(text.to_owned(), seen);
        }
        for report in &fleet.reports {
            for target in &report.health.targets {
                if let Some(seen) = by_target.get_mut(&target.target) {
                    seen.take(report, &target.dns, &target.addresses);
                }
            }
        }
        let weighs = by_target.values().flat_map(|target| &target.addresses).any(|a| a.weight > 0);
        let well = fleet.reports.iter().filter(|report| report.health.healthy).count();
        let assumed_well = if weighs { assumed } else { 0 };
        let planes = assumed + fleet.reports.len();
        Seen {
            checked: config.checks_on(),
            healthy: 2 * (well + assumed_well) > planes,
            by_target,
            connected: fleet.connected,
            incomplete: fleet.incomplete,
        }
    }

    /// What is seen of a stored target; `None` when nobody knows it yet.
    pub(crate) fn target(&self, target: &Object) -> Option<&Target> {
        self.by_target.get(target.get("target")?.as_str()?)
    }

    /// All targets.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.by_target.values()
    }

    /// How many data planes it is made of.
    pub(crate) fn planes(&self) -> Value {
        json!({ "connected": self.connected, "incomplete": self.incomplete })
    }
}

impl NodeHealth {
    fn has(&self, target: &str) -> bool {
        self.health.targets.iter().any(|seen| seen.target == target)
    }
}

impl Target {
    fn take(&mut self, node: &NodeHealth, dns: &str, addresses: &[AddressHealth]) {
        if !addresses.is_empty() || self.addresses.is_empty() {
            self.dns = dns.to_owned();
        }
        for one in addresses {
            let known = self.addresses.iter_mut().find(|known| known.address == one.address);
            match known {
                Some(known) => known.take(node, one),
                None => {
                    let mut new = Address {
                        address: one.address,
                        weight: one.weight,
                        healthy: true,
                        available: 0,
                        unavailable: 0,
                        said: Vec::new(),
                    };
                    new.take(node, one);
                    self.addresses.push(new);
                }
            }
        }
    }
}

impl Address {
    fn take(&mut self, node: &NodeHealth, seen: &AddressHealth) {
        *(if seen.healthy { &mut self.available } else { &mut self.unavailable }) += 1;
        self.healthy = self.available > self.unavailable;
        // Since it is known nothing has happened to it: nothing to say.
        let Some(since) = seen.since_us else { return };
        self.said.push(json!({
            "id": node.id,
            "hostname": node.hostname,
            "healthy": seen.healthy,
            "cause": seen.cause,
            "since": seconds(since),
            "until": seen.until_us.map(seconds),
        }));
    }

    /// How many data planes give it requests and how many do not, and those on which its health
    /// ever changed, the ones where it is unhealthy first.
    pub(crate) fn shown_planes(&self) -> Value {
        let is_well = |said: &&Value| said.get("healthy") == Some(&Value::Bool(true));
        let ill = self.said.iter().filter(|said| !is_well(said));
        let named: Vec<&Value> = ill.chain(self.said.iter().filter(is_well)).take(NAMED).collect();
        json!({ "healthy": self.available, "unhealthy": self.unavailable, "changed": named })
    }
}

/// Seconds since 1970, to the millisecond, as Kong's `created_at` of targets.
fn seconds(us: i64) -> f64 {
    us.div_euclid(1_000) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::state::{TargetHealth, UpstreamHealth};

    fn config() -> balancer::Config {
        let body = r#"{"id":"00000000-0000-0000-0000-000000000001","name":"u.test",
            "healthchecks":{"active":{"healthy":{},"unhealthy":{}},
            "passive":{"healthy":{},"unhealthy":{"tcp_failures":1}}}}"#;
        balancer::Config::from(&model::Upstream::from_body(body).unwrap())
    }

    fn stored(targets: &[&str]) -> Vec<Object> {
        let target = |target: &&str| match json!({ "target": target, "weight": 10 }) {
            Value::Object(target) => target,
            _ => Object::new(),
        };
        targets.iter().map(target).collect()
    }

    fn report(number: u128, target: &str, addresses: &[(&str, bool, Option<i64>)]) -> NodeHealth {
        let address = |(address, healthy, since_us): &(&str, bool, Option<i64>)| AddressHealth {
            address: address.parse().unwrap(),
            weight: 10,
            healthy: *healthy,
            cause: "probe: time-out".to_owned(),
            since_us: *since_us,
            until_us: None,
        };
        let addresses: Vec<AddressHealth> = addresses.iter().map(address).collect();
        let healthy = addresses.iter().any(|address| address.healthy);
        let target = TargetHealth { target: target.to_owned(), dns: "A".to_owned(), addresses };
        NodeHealth {
            id: Uuid::from_u128(number),
            hostname: format!("dp-{number}"),
            health: UpstreamHealth { checked: true, healthy, targets: vec![target] },
        }
    }

    #[test]
    fn most_data_planes_decide_and_those_that_differ_are_named() {
        let targets = stored(&["10.0.0.1:80"]);
        let ill =
            |number| report(number, "10.0.0.1:80", &[("10.0.0.1:80", false, Some(5_000_000))]);
        let fleet = FleetHealth { connected: 3, incomplete: 0, reports: vec![ill(1)] };
        let seen = Seen::of(&config(), &targets, &fleet);
        let address = &seen.target(&targets[0]).unwrap().addresses[0];
        assert!(seen.healthy && address.healthy, "two say nothing and see nothing wrong");
        assert_eq!(
            address.shown_planes(),
            json!({"healthy": 2, "unhealthy": 1, "changed": [{
                "id": Uuid::from_u128(1), "hostname": "dp-1", "healthy": false,
                "cause": "probe: time-out", "since": 5.0, "until": null,
            }]})
        );
        let reports = vec![ill(1), ill(2)];
        let seen = Seen::of(&config(), &targets, &FleetHealth { reports, ..fleet });
        let address = &seen.target(&targets[0]).unwrap().addresses[0];
        assert!(!seen.healthy && !address.healthy);
    }

    #[test]
    fn names_have_the_addresses_of_all_data_planes() {
        let targets = stored(&["a.example:80", "b.example:80"]);
        let reports = vec![
            report(1, "a.example:80", &[("10.0.0.1:80", true, None), ("10.0.0.2:80", true, None)]),
            report(
                2,
                "a.example:80",
                &[("10.0.0.2:80", false, Some(1)), ("10.0.0.3:80", true, None)],
            ),
        ];
        let fleet = FleetHealth { connected: 2, incomplete: 1, reports };
        let seen = Seen::of(&config(), &targets, &fleet);
        let first = seen.target(&targets[0]).unwrap();
        let all: Vec<(String, bool)> =
            first.addresses.iter().map(|a| (a.address.to_string(), a.healthy)).collect();
        let expected = [("10.0.0.1:80", true), ("10.0.0.2:80", false), ("10.0.0.3:80", true)];
        assert_eq!(all, expected.map(|(address, healthy)| (address.to_owned(), healthy)));
        assert!(seen.target(&targets[1]).is_none(), "nobody knows it yet");
        assert_eq!(seen.planes(), json!({"connected": 2, "incomplete": 1}));
    }

    #[test]
    fn without_data_planes_the_configuration_speaks() {
        let targets = stored(&["10.0.0.1:80", "a.example:80"]);
        let seen = Seen::of(&config(), &targets, &FleetHealth::default());
        assert!(seen.checked && seen.healthy);
        assert!(seen.target(&targets[0]).unwrap().addresses[0].healthy);
        assert!(seen.target(&targets[1]).is_none());
        let none = Seen::of(&config(), &[], &FleetHealth::default());
        assert!(!none.healthy, "without a target nothing takes requests");
    }
}
