//! The kinds of fields that entities and plugin configurations share (Kong's typedefs).

mod host;
mod http;
mod path;
mod text;

use schema::Field;

use crate::Protocol;
use crate::pki;

pub use host::{host, host_with_optional_port, ip_or_cidr, route_host, sni, wildcard_host};
pub use http::{cookie_name, header_name, headers, http_method};
pub use path::{normalise as normalise_path, path, router_path};
pub use text::{tags, utf8_name};

/// The primary key: a UUID, generated when absent.
pub fn id() -> Field {
    Field::string().uuid().auto()
}

/// When the entity was made, in seconds since 1970.
pub fn created_at() -> Field {
    Field::integer().timestamp().auto()
}

/// When the entity was last written, in seconds since 1970; what is given is overwritten.
pub fn updated_at() -> Field {
    Field::integer().timestamp().auto().unvalidated()
}

/// A protocol of Kong.
pub fn protocol() -> Field {
    Field::string().one_of(Protocol::WORDS)
}

/// A port.
pub fn port() -> Field {
    Field::integer().between(0, 65535)
}

/// A time-out in milliseconds that is not 0.
pub fn nonzero_timeout() -> Field {
    Field::integer().between(1, 2_147_483_646)
}

/// A time-out in milliseconds.
pub fn timeout() -> Field {
    Field::integer().between(0, 2_147_483_646)
}

/// The id of an entity where it is no foreign key.
pub fn uuid() -> Field {
    Field::string().uuid()
}

/// A certificate in PEM, with or without its chain.
pub fn certificate() -> Field {
    Field::string().check(pki::certificate::check)
}

/// A private key in PEM.
pub fn key() -> Field {
    Field::string().check(pki::key::check_private)
}

#[cfg(test)]
mod tests;
