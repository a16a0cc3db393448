//! Everything that goes out to targets: resolve, connect, pool, probe.
//!
//! Owns: the sockets to upstreams, how they are secured, which of them may be used again, DNS and active health
//! checks. It must not know: requests and routes (the proxy speaks over the connections made here), where the
//! configuration comes from.
#![forbid(unsafe_code)]

mod connect;
mod connector;
mod follow;
mod http2;
mod keeper;
mod pipe;
mod pool;
mod probe;
mod resolve;
mod socket;
mod stream;
mod tls;

pub use connect::{ConnectError, connect};
pub use connector::{Connector, ConnectorError};
pub use http2::{Http2Place, Http2Pool};
pub use keeper::{Keeper, KeeperSettings};
pub use pipe::Pipe;
pub use pool::{Key, Pool, PoolLimits, Pooled};
pub use probe::{ClientCertificate, FindCertificate, log_transition};
pub use resolve::{RecordKind, ResolverSettings};
pub use stream::Stream;
pub use tls::{
    Profile, Secured, Settings as TlsSettings, SettingsError as TlsSettingsError, Trust,
};
