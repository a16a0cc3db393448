//! What an operator sees of an upstream, from the side that changes it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::control::{Control, Target};
use crate::pool::Member;
use crate::target::Answer;
use crate::view::{AddressView, Label, TargetView, View, Weights};

impl Control {
    pub(crate) fn view(&self, config: &Config, now: Instant) -> View {
        let checks_on = config.checks_on();
        let mut targets: Vec<TargetView> =
            self.targets.values().map(|target| self.target_view(target, checks_on, now)).collect();
        targets.sort_by(|a, b| (&a.host, a.port).cmp(&(&b.host, b.port)));
        View {
            id: config.id,
            name: Arc::clone(&config.name),
            checks_on,
            healthy: self.is_healthy(config.threshold),
            weight: self.weight,
            targets,
        }
    }

    fn target_view(&self, target: &Target, checks_on: bool, now: Instant) -> TargetView {
        let members = || target.peers.iter().filter_map(|slot| self.pool.member(*slot));
        let mut weight = Weights::default();
        for member in members() {
            weight.total += u64::from(member.weight);
            weight.unavailable += if member.available { 0 } else { u64::from(member.weight) };
        }
        let label = |available: bool| if available { Label::Healthy } else { Label::Unhealthy };
        let checked = checks_on && target.spec.weight > 0;
        let health = if target.peers.is_empty() {
            Label::DnsError
        } else if checked {
            label(members().any(|member| member.available))
        } else {
            Label::ChecksOff
        };
        let address = |member: &Member| {
            let mark = member.peer.mark();
            AddressView {
                address: member.peer.address(),
                weight: member.weight,
                health: if checked { label(member.available) } else { Label::ChecksOff },
                state: member.peer.health(),
                since: mark.since,
                cause: mark.cause,
                until: self.comeback.until(member.peer.slot()),
                in_flight: member.peer.in_flight(),
                latency: member.peer.latency(now),
            }
        };
        TargetView {
            id: target.spec.id,
            host: Arc::clone(&target.spec.host),
            port: target.spec.port,
            node_weight: target.spec.weight,
            failover: target.spec.failover,
            dns: dns_label(target.answer.as_ref()),
            health,
            weight,
            addresses: members().map(address).collect(),
        }
    }
}

/// What the health view says under `dns`; an address counts as an A record, as in Kong.
fn dns_label(answer: Option<&Answer>) -> Arc<str> {
    match answer {
        None => "unknown".into(),
        Some(Answer::Failed(why)) => Arc::clone(why),
        Some(Answer::Services(_)) => "SRV".into(),
        Some(Answer::Addresses(addresses)) => {
            let only_v6 = !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6);
            if only_v6 { "AAAA".into() } else { "A".into() }
        }
    }
}
