//! The health of targets as one data plane tells it to a control plane.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::convert::{Malformed, uuid_from, uuid_to};
use crate::v1;

/// What a data plane has to tell of its upstreams.
///
/// An upstream is not in it when all of its targets are addresses that were never found unhealthy:
/// a control plane knows all about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// By the id of the upstream.
    pub upstreams: BTreeMap<Uuid, Arc<UpstreamHealth>>,
    /// How many more upstreams there would be to tell of.
    pub left_out: u64,
}

/// The health of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamHealth {
    /// Whether any active or passive check is configured.
    pub checked: bool,
    /// Whether enough weight is available for the upstream to take requests.
    pub healthy: bool,
    /// The targets that it balances over.
    pub targets: Vec<TargetHealth>,
}

/// The health of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetHealth {
    /// The target as stored, `host:port`.
    pub target: String,
    /// The kind of DNS record that the addresses came from: `A`, `AAAA`, `SRV`; `A` for an
    /// address literal, as Kong says. `ERROR` when the name resolves to nothing.
    pub dns: String,
    /// Its addresses; empty when the name resolves to nothing.
    pub addresses: Vec<AddressHealth>,
}

/// The health of one address of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressHealth {
    /// Where requests go.
    pub address: SocketAddr,
    /// Its share of the target's weight.
    pub weight: u32,
    /// Whether it is given requests.
    pub healthy: bool,
    /// What made it so, for the operator.
    pub cause: String,
    /// Since when, in microseconds since 1970; `None` since it is known.
    pub since_us: Option<i64>,
    /// When it will be tried again without anybody's doing, in microseconds since 1970; `None`
    /// when that depends on checks or on an operator.
    pub until_us: Option<i64>,
}

/// An upstream's health as it travels.
pub fn health_to(id: Uuid, health: &UpstreamHealth) -> v1::UpstreamHealth {
    let address = |address: &AddressHealth| v1::AddressHealth {
        address: address.address.to_string(),
        weight: address.weight,
        healthy: address.healthy,
        cause: address.cause.clone(),
        since_us: address.since_us,
        until_us: address.until_us,
    };
    let target = |target: &TargetHealth| v1::TargetHealth {
        target: target.target.clone(),
        dns: target.dns.clone(),
        addresses: target.addresses.iter().map(address).collect(),
    };
    v1::UpstreamHealth {
        id: uuid_to(id),
        checked: health.checked,
        healthy: health.healthy,
        targets: health.targets.iter().map(target).collect(),
    }
}

/// An upstream's health that arrived, with the upstream's id.
///
/// # Errors
/// When the id is not a UUID, or an address is none.
pub fn health_from(health: v1::UpstreamHealth) -> Result<(Uuid, UpstreamHealth), Malformed> {
    let address = |one: v1::AddressHealth| {
        let address = one.address.parse();
        Ok(AddressHealth {
            address: address.map_err(|_| Malformed(format!("{:?} is no address", one.address)))?,
            weight: one.weight,
            healthy: one.healthy,
            cause: one.cause,
            since_us: one.since_us,
            until_us: one.until_us,
        })
    };
    let target = |one: v1::TargetHealth| {
        let addresses = one.addresses.into_iter().map(address).collect::<Result<_, Malformed>>()?;
        Ok(TargetHealth { target: one.target, dns: one.dns, addresses })
    };
    let id = uuid_from("id", &health.id)?;
    let targets = health.targets.into_iter().map(target).collect::<Result<_, Malformed>>()?;
    let (checked, healthy) = (health.checked, health.healthy);
    Ok((id, UpstreamHealth { checked, healthy, targets }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_travels_whole_and_what_is_malformed_is_named() {
        let address = AddressHealth {
            address: ([127, 0, 0, 1], 80).into(),
            weight: 3,
            healthy: false,
            cause: "probe: time-out".to_owned(),
            since_us: Some(1),
            until_us: None,
        };
        let target = TargetHealth {
            target: "a.example:80".to_owned(),
            dns: "A".to_owned(),
            addresses: vec![address],
        };
        let health = UpstreamHealth { checked: true, healthy: false, targets: vec![target] };
        let id = Uuid::from_u128(5);
        let mut message = health_to(id, &health);
        assert_eq!(health_from(message.clone()).unwrap(), (id, health));
        message.targets[0].addresses[0].address = "nowhere".to_owned();
        let error = health_from(message).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    }
}
