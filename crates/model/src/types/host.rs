//! Host names and addresses.

use schema::Field;

use crate::address::{Address, AddressError, Host};
use crate::cidr::Cidr;

/// A host name or IP address without a port.
pub fn host() -> Field {
    Field::string().check(check_host)
}

/// A host name or IP address, with or without a port.
pub fn host_with_optional_port() -> Field {
    Field::string().check(check_host_with_optional_port)
}

/// A server name of TLS: a host name.
pub fn sni() -> Field {
    Field::string().check(check_sni)
}

/// A server name of which the first or last character may be a wildcard `*`.
pub fn wildcard_host() -> Field {
    Field::string().check(check_wildcard_host)
}

/// The host of a route: with an optional port, the first or last label may be a wildcard `*`.
pub fn route_host() -> Field {
    Field::string()
        .matches_all(&[
            (r"^[^*]*\*?[^*]*$", "invalid wildcard: must have at most one wildcard"),
            (
                r"^\*\.|\.\*$|^[^*]*$",
                "invalid wildcard: must be placed at leftmost or rightmost label",
            ),
        ])
        .check(|host| check_host_with_optional_port(&host.replace('*', "abc")))
}

/// An IP address, or a range of them.
pub fn ip_or_cidr() -> Field {
    Field::string().check(|text| match text.parse::<Cidr>() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
}

fn check_host(text: &str) -> Result<(), String> {
    match text.parse::<Address>() {
        Ok(Address { port: None, .. }) => Ok(()),
        Ok(_) | Err(AddressError::Port) => Err("must not have a port".to_owned()),
        Err(_) => Err(format!("invalid value: {text}")),
    }
}

fn check_host_with_optional_port(text: &str) -> Result<(), String> {
    text.parse::<Address>().map(|_| ()).map_err(|error| error.to_string())
}

fn check_sni(text: &str) -> Result<(), String> {
    match text.parse::<Address>() {
        Ok(Address { host: Host::Name(_), port: None }) => Ok(()),
        Ok(Address { host: Host::V4(_) | Host::V6(_), .. }) => Err("must not be an IP".to_owned()),
        Ok(_) | Err(AddressError::Port) => Err("must not have a port".to_owned()),
        Err(_) => Err(format!("invalid value: {text}")),
    }
}

fn check_wildcard_host(text: &str) -> Result<(), String> {
    if let Some(at) = text.find('*')
        && at != 0
        && at + 1 != text.len()
    {
        return Err("wildcard must be leftmost or rightmost character".to_owned());
    }
    if text.matches('*').count() > 1 {
        return Err("only one wildcard must be specified".to_owned());
    }
    check_sni(&text.replace('*', "wildcard"))
}
