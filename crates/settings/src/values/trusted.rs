//! Whose word on the client's address is believed.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::syntax::{Syntax, list, shown_list};

/// A proxy in front whose forwarding headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// Addresses of this network.
    Network(IpNet),
    /// Whoever connects by a Unix socket.
    UnixSocket,
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trusted::Network(network) => network.fmt(f),
            Trusted::UnixSocket => f.write_str("unix:"),
        }
    }
}

pub(crate) const TRUSTED: Syntax<Vec<Trusted>> = Syntax {
    what: "a list of IP addresses, networks as 10.0.0.0/8, and unix:",
    parse: |text| {
        list(text, |item| {
            if item == "unix:" {
                return Ok(Trusted::UnixSocket);
            }
            item.parse::<IpNet>()
                .ok()
                .or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from))
                .map(Trusted::Network)
                .ok_or_else(|| {
                    format!("'{item}' is not an IP address or a network such as 10.0.0.0/8")
                })
        })
    },
    show: |value| shown_list(value),
};
