//! Who the client is: the address behind trusted proxies, and whose forwarding headers are believed.

use std::net::{IpAddr, SocketAddr};

use http1::{Fields, Name, list};
use ipnet::IpNet;
use settings::{RealIpHeader, Trusted};

/// Whose word is believed, and where it stands (`trusted_ips`, `real_ip_header`, `real_ip_recursive`).
#[derive(Debug, Clone)]
pub struct Trust {
    networks: Vec<IpNet>,
    header: RealIpHeader,
    recursive: bool,
}

impl Trust {
    /// From the settings of these names.
    #[must_use]
    pub fn new(trusted: &[Trusted], header: RealIpHeader, recursive: bool) -> Trust {
        let networks = trusted
            .iter()
            .filter_map(|trusted| match trusted {
                Trusted::Network(network) => Some(*network),
                Trusted::UnixSocket => None,
            })
            .collect();
        Trust { networks, header, recursive }
    }

    /// Whether what this peer says about the client is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// The client's address where the peer is trusted: what the header says, or the PROXY protocol (`proxied`),
    /// otherwise the peer itself. The port is 0 where only an address is known.
    #[must_use]
    pub fn client(
        &self,
        peer: SocketAddr,
        proxied: Option<SocketAddr>,
        fields: &Fields,
    ) -> SocketAddr {
        let found = match self.header {
            RealIpHeader::XRealIp => fields.get(Name::XRealIp).and_then(address),
            RealIpHeader::XForwardedFor => self.last_untrusted(fields.all(Name::XForwardedFor)),
            RealIpHeader::ProxyProtocol => proxied,
        };
        found.unwrap_or(peer)
    }

    /// The last address of a list, or with `recursive` the last one that is not trusted; the first if all are.
    fn last_untrusted<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Option<SocketAddr> {
        let values: Vec<&[u8]> = values.collect();
        let mut found = None;
        for value in values.iter().rev() {
            let elements: Vec<&[u8]> = list(value).collect();
            for element in elements.into_iter().rev() {
                let Some(address) = address(element) else {
                    return found;
                };
                found = Some(address);
                if !self.recursive || !self.trusts(address.ip()) {
                    return found;
                }
            }
        }
        found
    }
}

/// An address as proxies write it: with or without a port, an IPv6 one with or without brackets.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http1::Fields;
    use settings::{RealIpHeader, Trusted};

    use super::Trust;

    const PEER: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5)), 4000);

    fn client(header: RealIpHeader, recursive: bool, fields: &[(&str, &str)]) -> String {
        let trusted = [Trusted::Network("10.0.0.0/8".parse().unwrap())];
        let mut received = Fields::default();
        for (name, value) in fields {
            received.push(name.as_bytes(), value.as_bytes());
        }
        let proxied = Some("7.7.7.7:70".parse().unwrap());
        Trust::new(&trusted, header, recursive).client(PEER, proxied, &received).to_string()
    }

    #[test]
    fn only_networks_that_are_listed_are_trusted() {
        let trust = Trust::new(
            &[Trusted::Network("10.0.0.0/8".parse().unwrap())],
            RealIpHeader::XRealIp,
            false,
        );
        assert!(trust.trusts("10.9.8.7".parse().unwrap()));
        assert!(trust.trusts("::ffff:10.9.8.7".parse().unwrap()));
        assert!(!trust.trusts("11.0.0.1".parse().unwrap()));
        assert!(!trust.trusts("::1".parse().unwrap()));
        assert!(
            !Trust::new(&[], RealIpHeader::XRealIp, false).trusts("127.0.0.1".parse().unwrap())
        );
    }

    #[test]
    fn the_header_says_who_the_client_is() {
        use RealIpHeader::{ProxyProtocol, XForwardedFor, XRealIp};
        let both = [("X-Forwarded-For", "1.2.3.4"), ("X-Real-IP", "9.9.9.9")];
        assert_eq!(client(XRealIp, false, &both), "9.9.9.9:0");
        assert_eq!(client(XForwardedFor, false, &both), "1.2.3.4:0");
        assert_eq!(client(ProxyProtocol, false, &both), "7.7.7.7:70");
        assert_eq!(client(XRealIp, false, &[]), "10.0.0.5:4000");
        assert_eq!(client(XRealIp, false, &[("X-Real-IP", "nonsense")]), "10.0.0.5:4000");
        assert_eq!(client(XRealIp, false, &[("X-Real-IP", "[::1]:99")]), "[::1]:99");
        assert_eq!(client(XRealIp, false, &[("x-real-ip", "2001:db8::1")]), "[2001:db8::1]:0");
    }

    #[test]
    fn a_list_is_walked_from_its_end() {
        let list =
            [("X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.1.1.1"), ("X-Forwarded-For", "10.2.2.2")];
        assert_eq!(client(RealIpHeader::XForwardedFor, false, &list), "10.2.2.2:0");
        assert_eq!(client(RealIpHeader::XForwardedFor, true, &list), "1.2.3.4:0");
        assert_eq!(
            client(RealIpHeader::XForwardedFor, true, &[("X-Forwarded-For", "10.3.3.3, 10.2.2.2")]),
            "10.3.3.3:0"
        );
        assert_eq!(
            client(RealIpHeader::XForwardedFor, true, &[("X-Forwarded-For", "junk, 10.2.2.2")]),
            "10.2.2.2:0"
        );
    }
}
