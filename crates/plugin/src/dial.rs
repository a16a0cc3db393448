//! Connections that plugins speak over.
//!
//! The planes keep sockets, names and TLS; a plugin says whom it wants and speaks its protocol over
//! what it gets.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection in the making.
pub type Dialing<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn Connection>, DialError>> + Send + 'a>>;

/// Opens connections for plugins.
pub trait Dialer: fmt::Debug + Send + Sync {
    /// Opens a connection, within `limit` for name, connection and TLS together. It belongs to the
    /// runtime on which this is awaited.
    fn dial<'a>(&'a self, to: &'a Destination, limit: Duration) -> Dialing<'a>;
}

/// A connection, with or without TLS.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// Whom a plugin connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// A name, or an IP address (IPv6 without brackets).
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is secured; `None` for plain TCP.
    pub tls: Option<Tls>,
}

/// TLS towards a destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name that is asked for (SNI) and that the certificate must be for.
    pub server_name: String,
    /// Whether the certificate is checked, against the operating system's authorities.
    pub verify: bool,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DialError(pub String);

/// Connects to nobody: for plugins that are made only to see whether they can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDialer;

impl Dialer for NoDialer {
    fn dial<'a>(&'a self, to: &'a Destination, _: Duration) -> Dialing<'a> {
        let refusal = format!("{}:{}: nobody is connected to from here", to.host, to.port);
        Box::pin(std::future::ready(Err(DialError(refusal))))
    }
}
