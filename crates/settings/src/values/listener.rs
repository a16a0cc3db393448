//! Addresses to listen on and to connect to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::syntax::{Shown, Syntax, items, list, shown_list};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address (IPv6 without brackets).
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One item of a `*_listen` setting.
///
/// Kong's flags `deferred`, `bind` and `so_keepalive` are accepted and mean nothing here: every
/// listener binds its own address, and dead peers are found by time-outs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where to listen; port 0 lets the operating system choose.
    pub at: HostPort,
    /// Whether connections begin with a TLS handshake.
    pub ssl: bool,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// Whether connections begin with the PROXY protocol.
    pub proxy_protocol: bool,
    /// Whether datagrams are received, instead of connections.
    pub udp: bool,
    /// The operating system's queue of connections that wait to be accepted.
    pub backlog: Option<u32>,
    /// Whether an IPv6 listener refuses IPv4 clients.
    pub ipv6only: Option<bool>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        for (flag, set) in [
            ("ssl", self.ssl),
            ("http2", self.http2),
            ("proxy_protocol", self.proxy_protocol),
            ("udp", self.udp),
        ] {
            if set {
                write!(f, " {flag}")?;
            }
        }
        if let Some(backlog) = self.backlog {
            write!(f, " backlog={backlog}")?;
        }
        if let Some(ipv6only) = self.ipv6only {
            write!(f, " ipv6only={}", if ipv6only { "on" } else { "off" })?;
        }
        Ok(())
    }
}

pub(crate) const LISTENERS: Syntax<Vec<Listener>> = Syntax {
    what: "off, or a list of ADDRESS:PORT, each followed by any of ssl, http2, proxy_protocol, reuseport, \
           backlog=NUMBER, ipv6only=on|off",
    parse: |text| listeners(text, |item| listener(item, For::Http)),
    show: |value| shown_listeners(value),
};

/// What may listen for TCP, TLS and UDP.
pub(crate) const STREAM_LISTENERS: Syntax<Vec<Listener>> = Syntax {
    what: "off, or a list of ADDRESS:PORT, each followed by any of ssl, udp, proxy_protocol, reuseport, \
           backlog=NUMBER, ipv6only=on|off",
    parse: |text| listeners(text, |item| listener(item, For::Streams)),
    show: |value| shown_listeners(value),
};

pub(crate) const HOST_PORTS: Syntax<Vec<HostPort>> = Syntax {
    what: "a list of HOST:PORT",
    parse: |text| {
        list(text, |item| {
            host_port(item, None).ok_or_else(|| format!("'{item}' is not of the form HOST:PORT"))
        })
    },
    show: |value| shown_list(value),
};

pub(crate) const PORT_MAPS: Syntax<Vec<(u16, u16)>> = Syntax {
    what: "a list of OUTSIDE:LISTENER, both ports",
    parse: |text| {
        list(text, |item| {
            let ports = item.split_once(':').and_then(|(outside, listener)| {
                Some((outside.parse().ok()?, listener.parse().ok()?))
            });
            let ports =
                ports.filter(|(outside, listener): &(u16, u16)| *outside > 0 && *listener > 0);
            ports.ok_or_else(|| format!("'{item}' is not of the form PORT:PORT"))
        })
    },
    show: |value| {
        Shown::List(
            value.iter().map(|(outside, listener)| format!("{outside}:{listener}")).collect(),
        )
    },
};

pub(crate) const RESOLVERS: Syntax<Vec<SocketAddr>> = Syntax {
    what: "a list of name servers, each ADDRESS or ADDRESS:PORT",
    parse: |text| {
        list(text, |item| {
            let address = host_port(item, Some(53))
                .and_then(|at| Some(SocketAddr::new(at.host.parse().ok()?, at.port)));
            address.ok_or_else(|| format!("'{item}' is not of the form ADDRESS or ADDRESS:PORT"))
        })
    },
    show: |value| shown_list(value),
};

pub(crate) const LABELS: Syntax<Vec<(String, String)>> = Syntax {
    what: "a list of at most 10 KEY:VALUE",
    parse: |text| {
        let labels = list(text, |item| {
            label(item).ok_or_else(|| {
                format!(
                    "'{item}' is not of the form KEY:VALUE (letters, digits, '-', '_' and '.', at \
                     most 63)"
                )
            })
        })?;
        if labels.len() > 10 {
            Err(format!("{} labels are too many (at most 10)", labels.len()))
        } else {
            Ok(labels)
        }
    },
    show: |value| Shown::List(value.iter().map(|(key, value)| format!("{key}:{value}")).collect()),
};

/// A label as `cluster_dp_labels` has them, `KEY:VALUE`: both of 1 to 63 letters, digits, dashes,
/// underscores and dots.
pub fn label(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once(':')?;
    (is_label(key) && is_label(value)).then(|| (key.to_owned(), value.to_owned()))
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What is spoken on a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Http,
    Streams,
}

fn listeners(
    text: &str,
    one: impl Fn(&str) -> Result<Listener, String>,
) -> Result<Vec<Listener>, String> {
    if text == "off" { Ok(Vec::new()) } else { list(text, one) }
}

fn shown_listeners(value: &[Listener]) -> Shown {
    if value.is_empty() { Shown::Text("off".to_owned()) } else { shown_list(value) }
}

fn listener(text: &str, purpose: For) -> Result<Listener, String> {
    let what = if purpose == For::Http { LISTENERS.what } else { STREAM_LISTENERS.what };
    let wrong = || format!("'{text}' is not {what}");
    let mut words = text.split_whitespace();
    let at = words.next().and_then(|word| host_port(word, None)).ok_or_else(wrong)?;
    let mut listener = Listener {
        at,
        ssl: false,
        http2: false,
        proxy_protocol: false,
        udp: false,
        backlog: None,
        ipv6only: None,
    };
    for word in words {
        match word.split_once('=') {
            None => match word {
                "ssl" => listener.ssl = true,
                "http2" if purpose == For::Http => listener.http2 = true,
                "udp" if purpose == For::Streams => listener.udp = true,
                "proxy_protocol" => listener.proxy_protocol = true,
                "deferred" if purpose == For::Http => {}
                "bind" | "reuseport" => {}
                _ => return Err(wrong()),
            },
            Some(("backlog", number)) => {
                listener.backlog = Some(number.parse().map_err(|_| wrong())?)
            }
            Some(("ipv6only", "on")) => listener.ipv6only = Some(true),
            Some(("ipv6only", "off")) => listener.ipv6only = Some(false),
            Some(("so_keepalive", _)) => {}
            Some(_) => return Err(wrong()),
        }
    }
    if listener.udp && (listener.ssl || listener.proxy_protocol) {
        return Err(format!("'{text}': udp goes with neither ssl nor proxy_protocol"));
    }
    Ok(listener)
}

/// `host:port`, `[ipv6]:port`; `host` alone when there is a default port.
fn host_port(text: &str, default_port: Option<u16>) -> Option<HostPort> {
    if let (Ok(address), Some(port)) = (text.parse::<IpAddr>(), default_port) {
        return Some(HostPort { host: address.to_string(), port });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, default_port?),
    };
    let host = match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .filter(|inner| inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()))?,
        None => host,
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_host = !host.is_empty() && (host.parse::<IpAddr>().is_ok() || host.bytes().all(is_name));
    (is_host && items(host).count() == 1).then(|| HostPort { host: host.to_owned(), port })
}
