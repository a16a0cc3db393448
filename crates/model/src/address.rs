//! Hosts, with or without a port, as Kong reads and normalises them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A host name or IP address, with or without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The name or address.
    pub host: Host,
    /// The port, if one is given.
    pub port: Option<u16>,
}

/// A host name or IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name, as written.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

/// Why a text is no address; the texts are Kong's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It looks like a name, and is none.
    #[error("invalid hostname: {0}")]
    Name(String),
    /// It has only digits and dots, and is no IPv4 address.
    #[error("invalid ipv4 address: {0}")]
    V4(String),
    /// It has several colons, and is no IPv6 address.
    #[error("invalid ipv6 address: {0}")]
    V6(String),
    /// The port is above 65535.
    #[error("invalid port number")]
    Port,
}

impl FromStr for Address {
    type Err = AddressError;

    /// Kong's reading: two colons or more make it IPv6 (bracketed or bare), only digits and dots
    /// IPv4, anything else is a name of letters, digits, `.`, `_` and `-`.
    fn from_str(text: &str) -> Result<Address, AddressError> {
        let colons = text.bytes().filter(|b| *b == b':').count();
        if colons > 1 {
            return six(text);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, digits)) if is_digits(digits) => {
                (host, Some(digits.parse().map_err(|_| AddressError::Port)?))
            }
            _ => (text, None),
        };
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':') && !text.is_empty() {
            let four = four(host).ok_or_else(|| AddressError::V4(text.to_owned()))?;
            return Ok(Address { host: Host::V4(four), port });
        }
        if is_name(host) {
            Ok(Address { host: Host::Name(host.to_owned()), port })
        } else {
            Err(AddressError::Name(text.to_owned()))
        }
    }
}

impl fmt::Display for Host {
    /// IPv6 addresses in full, in lower case, in brackets: Kong's normal form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(four) => four.fmt(f),
            Host::V6(six) => {
                let [a, b, c, d, e, g, h, i] = six.segments();
                write!(f, "[{a:04x}:{b:04x}:{c:04x}:{d:04x}:{e:04x}:{g:04x}:{h:04x}:{i:04x}]")
            }
        }
    }
}

impl Host {
    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(four) => Some(IpAddr::V4(*four)),
            Host::V6(six) => Some(IpAddr::V6(*six)),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Four numbers of at most three digits; leading zeros are decimal, not octal.
fn four(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| is_digits(part) && part.len() <= 3)?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn six(text: &str) -> Result<Address, AddressError> {
    let invalid = || AddressError::V6(text.to_owned());
    let (inner, port) = match text.strip_prefix('[') {
        None => (text, None),
        Some(rest) => {
            let (inner, after) = rest.split_once(']').ok_or_else(invalid)?;
            let port = match after.strip_prefix(':') {
                Some(digits) if is_digits(digits) => {
                    Some(digits.parse().map_err(|_| AddressError::Port)?)
                }
                None if after.is_empty() => None,
                _ => return Err(invalid()),
            };
            (inner, port)
        }
    };
    let six = inner.parse().map_err(|_| invalid())?;
    Ok(Address { host: Host::V6(six), port })
}

/// Labels of letters, digits, `_` and `-`, none empty but one after the last dot, none ending
/// in `-`.
fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || !text.bytes().all(allowed) {
        return false;
    }
    let without_root = text.strip_suffix('.').unwrap_or(text);
    without_root.split('.').all(|label| !label.is_empty() && !label.ends_with('-'))
}

/// Where a target listens: a host and a port. Its text is the normal form under which the target
/// is stored (`example.com:8000`, `[0000:…:0001]:8000`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The name or address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// The port of a target that names none.
    pub const DEFAULT_PORT: u16 = 8000;
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<HostPort, AddressError> {
        let address: Address = text.parse()?;
        let port = address.port.unwrap_or(HostPort::DEFAULT_PORT);
        Ok(HostPort { host: address.host, port })
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostPort, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
