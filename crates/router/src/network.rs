//! Addresses of connections.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use model::Endpoint;

/// One element of `sources` or `destinations`: what it names must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    net: Option<IpNet>,
    port: Option<u16>,
}

impl Place {
    /// Bits of a network's address behind its prefix do not count.
    pub(crate) fn new(endpoint: &Endpoint) -> Place {
        Place { net: endpoint.ip.map(|ip| ip.net().trunc()), port: endpoint.port }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }

    pub(crate) fn matches(&self, ip: Option<IpAddr>, port: Option<u16>) -> bool {
        self.net.is_none_or(|net| ip.is_some_and(|ip| net.contains(&ip)))
            && self.port.is_none_or(|wanted| port == Some(wanted))
    }

    /// Whether it covers every address that `other` covers.
    pub(crate) fn covers(&self, other: &Place) -> bool {
        self.net.is_none_or(|own| other.net.is_some_and(|other| own.contains(&other)))
            && self.port.is_none_or(|own| other.port == Some(own))
    }
}

/// An IPv4 address that came in over an IPv6 socket is an IPv4 address.
pub(crate) fn ip(address: Option<SocketAddr>) -> Option<IpAddr> {
    address.map(|a| a.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use model::Endpoint;

    use super::Place;

    fn place(ip: &str, port: Option<u16>) -> Place {
        let ip = Some(ip).filter(|ip| !ip.is_empty()).map(|ip| ip.parse().unwrap());
        Place::new(&Endpoint { ip, port })
    }

    #[test]
    fn address_and_port_must_both_match() {
        let ip = |text: &str| Some(text.parse().unwrap());
        let masked = place("127.168.0.1/8", Some(80));
        assert!(masked.matches(ip("127.0.0.9"), Some(80)));
        assert!(!masked.matches(ip("127.0.0.9"), Some(81)));
        assert!(!masked.matches(ip("128.0.0.1"), Some(80)));
        assert!(!masked.matches(None, Some(80)));
        assert!(place("", Some(80)).matches(None, Some(80)));
        assert!(!place("10.0.0.0/8", None).matches(ip("::1"), None));
    }

    #[test]
    fn covering() {
        assert!(place("10.0.0.0/8", None).covers(&place("10.1.0.0/16", Some(80))));
        assert!(!place("10.0.0.0/8", Some(80)).covers(&place("10.1.0.0/16", None)));
        assert!(!place("10.1.0.0/16", None).covers(&place("10.0.0.0/8", None)));
    }
}
