//! What an upstream's peers come from: targets, and the answers to their names.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

/// One target as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// The target entity's id.
    pub id: Uuid,
    /// A name, an IPv4 address, or an IPv6 address with or without brackets.
    pub host: Arc<str>,
    /// Where it listens, unless an SRV record says otherwise.
    pub port: u16,
    /// Its share, 0 to 65535; 0 gets no new traffic and no probes.
    pub weight: u32,
    /// Only used when no other target is available.
    pub failover: bool,
}

impl TargetSpec {
    /// The address, when the host is one and needs no resolver.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        let bare = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        bare.unwrap_or(&self.host).parse().ok()
    }
}

/// One change of an upstream's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetChange {
    /// Adds a target, or changes the one with this id.
    Put(TargetSpec),
    /// Removes the target with this id.
    Remove(Uuid),
}

/// What the resolver found for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A and AAAA records: each address gets the target's port and its full weight.
    Addresses(Vec<IpAddr>),
    /// SRV records, their names resolved.
    Services(Vec<ServiceAddress>),
    /// No usable answer, and why. Takes the name's addresses away.
    Failed(Arc<str>),
}

impl Answer {
    /// The same with its records in an order of their own.
    pub(crate) fn sorted(&self) -> Answer {
        match self {
            Answer::Addresses(addresses) => {
                let mut addresses = addresses.clone();
                addresses.sort_unstable();
                Answer::Addresses(addresses)
            }
            Answer::Services(services) => {
                let mut services = services.clone();
                services.sort_unstable();
                Answer::Services(services)
            }
            Answer::Failed(why) => Answer::Failed(Arc::clone(why)),
        }
    }
}

/// One address behind an SRV record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceAddress {
    /// The address of the record's name.
    pub address: IpAddr,
    /// The record's port; 0 means the target's.
    pub port: u16,
    /// The record's weight, which replaces the target's; 0 counts as 1.
    pub weight: u16,
    /// The record's name.
    pub name: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver() {
        let literal = |host: &str| {
            let host = host.into();
            TargetSpec { id: Uuid::nil(), host, port: 80, weight: 100, failover: false }.literal()
        };
        assert_eq!(literal("10.0.0.1"), Some([10, 0, 0, 1].into()));
        let v6: IpAddr = "::1".parse().unwrap();
        assert_eq!(literal("::1"), Some(v6));
        assert_eq!(literal("[0000:0000:0000:0000:0000:0000:0000:0001]"), Some(v6));
        assert_eq!(literal("a.example"), None);
        assert_eq!(literal("[a.example]"), None);
    }
}
