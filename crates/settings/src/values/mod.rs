//! The types of values.

mod choice;
mod headers;
mod listener;
mod secret;
mod trusted;

pub use choice::{
    AccessLogFormat, CipherSuite, ClusterMtls, Database, DnsOrder, LogFormat, LogLevel,
    RealIpHeader, RouteMatchCalculation, RouterFlavor, TlsVersion, VerifyClient,
};
pub use headers::ResponseHeaders;
pub use listener::{HostPort, Listener, label};
pub use secret::Secret;
pub use trusted::Trusted;

pub(crate) use choice::{
    ACCESS_LOG_FORMAT, CIPHER_SUITE, CLUSTER_MTLS, DATABASE, DNS_ORDER, LOG_FORMAT, LOG_LEVEL,
    REAL_IP_HEADER, ROUTE_MATCH_CALCULATION, ROUTER_FLAVOR, TLS_VERSIONS, VERIFY_CLIENT,
};
pub(crate) use headers::{RESPONSE_HEADERS, UPSTREAM_HEADERS};
pub(crate) use listener::{HOST_PORTS, LABELS, LISTENERS, PORT_MAPS, RESOLVERS, STREAM_LISTENERS};
pub(crate) use trusted::TRUSTED;
