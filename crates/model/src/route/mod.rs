//! Routes: which requests go to which service.

mod expression;
mod rules;

use std::collections::BTreeMap;

use schema::Field;
use uuid::Uuid;

use crate::cidr::Cidr;
use crate::reference::Reference;
use crate::{Protocol, types};

pub(crate) use rules::record_of;

schema::choice! {
    /// How the service's path, the route's path and the request's path are joined.
    pub enum PathHandling {
        /// The service's path is a prefix that is joined with one slash.
        V0 = "v0",
        /// The service's path is a prefix that is joined as it is.
        V1 = "v1",
    }
}

schema::choice! {
    /// Which routes can be written, and how they are matched (Kong's `router_flavor`).
    pub enum RouterFlavor {
        /// Routes by their fields, with Kong's rules from before 3.0.
        Traditional = "traditional",
        /// Routes by their fields; the default.
        TraditionalCompatible = "traditional_compatible",
        /// Routes by their fields or by an expression.
        Expressions = "expressions",
    }
}

schema::record! {
    /// One side of a connection: an address, a port, or both.
    pub struct Endpoint {
        /// An address or a range of addresses.
        pub ip: Option<Cidr> = types::ip_or_cidr(),
        /// A port.
        pub port: Option<u16> = types::port(),
    }
    rules |record| record.at_least_one_of(&["ip", "port"])
}

schema::record! {
    /// A rule that says which requests go to a service.
    pub struct Route in "routes" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// A unique name.
        pub name: Option<String> = types::utf8_name(),
        /// The protocols that it allows; all of one group.
        pub protocols: Vec<Protocol> = Field::set(types::protocol())
            .required()
            .length_at_least(1)
            .mutually_exclusive_subsets(&[
                &["http", "https"],
                &["tcp", "tls", "udp"],
                &["tls_passthrough"],
                &["grpc", "grpcs"],
            ])
            .default(vec!["http", "https"]),
        /// The status of the answer to a request that matches but for its protocol.
        pub https_redirect_status_code: u16 = Field::integer()
            .required()
            .one_of([426, 301, 302, 307, 308])
            .default(426),
        /// Whether the matched prefix of the path is taken away before the request is sent on.
        pub strip_path: bool = Field::boolean().required().default(true),
        /// Whether the request's Host header is sent on.
        pub preserve_host: bool = Field::boolean().required().default(false),
        /// Whether a request's body is read whole before it is sent on.
        pub request_buffering: bool = Field::boolean().required().default(true),
        /// Whether an answer's body is read whole before it is sent on.
        pub response_buffering: bool = Field::boolean().required().default(true),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// Where its requests go; null: nowhere, plugins answer.
        pub service: Option<Reference> = Field::foreign("services"),
        /// The server names of TLS that it matches.
        pub snis: Option<Vec<String>> = Field::set(types::wildcard_host()),
        /// Where a connection may come from.
        pub sources: Option<Vec<Endpoint>> = Field::set(Field::record(Endpoint::record().clone())),
        /// Where a connection may go to.
        pub destinations: Option<Vec<Endpoint>> =
            Field::set(Field::record(Endpoint::record().clone())),
        /// The methods that it matches.
        pub methods: Option<Vec<String>> = Field::set(types::http_method()),
        /// The hosts that it matches; the first or last label may be `*`.
        pub hosts: Option<Vec<String>> = Field::array(types::route_host()),
        /// The prefixes (`/…`) and regular expressions (`~/…`) of paths that it matches.
        pub paths: Option<Vec<String>> = Field::array(types::router_path()),
        /// The header fields that it matches, each with the values that it may have.
        pub headers: Option<BTreeMap<String, Vec<String>>> = types::headers().keys(|key| {
            key.matches_none(&[(
                "(?i)^host$",
                "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
            )])
        }),
        /// Which of several routes that match by regular expression wins; the greatest.
        pub regex_priority: Option<i64> = Field::integer().default(0),
        /// How the paths of service, route and request are joined.
        pub path_handling: Option<PathHandling> =
            Field::string().one_of(PathHandling::WORDS).default("v0"),
        /// What it matches, as an expression. Only in the flavor `expressions`.
        pub expression: Option<String> = Field::string(),
        /// Which of several expressions that match wins; the greatest. Only in the flavor
        /// `expressions`.
        pub priority: Option<u64> = Field::integer().required().between(0, (1_i64 << 46) - 1).default(0),
    }
}

#[cfg(test)]
mod tests;
