//! Opening a connection to a target.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{stream::Stream, tls::Secured};

/// Why no connection was made. The request has not been sent, so trying another target is always safe.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The target refused, or there is no way to it.
    #[error("cannot connect to {address}: {error}")]
    Tcp {
        /// The target.
        address: SocketAddr,
        /// What the operating system says.
        error: io::Error,
    },
    /// Neither accepted nor refused within the time-out.
    #[error("no connection to {address} within {} ms (connect_timeout)", limit.as_millis())]
    Timeout {
        /// The target.
        address: SocketAddr,
        /// The time-out.
        limit: Duration,
    },
    /// The handshake failed: no TLS there, or a certificate that is not trusted.
    #[error("no TLS with {address}: {error}")]
    Tls {
        /// The target.
        address: SocketAddr,
        /// What the library says.
        error: io::Error,
    },
}

/// Opens a connection to `address`, by TLS if `secured` says how. `limit` is for connecting and handshake together.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    address: SocketAddr,
    secured: Option<&Secured>,
    limit: Duration,
) -> Result<Stream, ConnectError> {
    match timeout(limit, open(address, secured)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout { address, limit }),
    }
}

async fn open(address: SocketAddr, secured: Option<&Secured>) -> Result<Stream, ConnectError> {
    let refused = |error| ConnectError::Tcp { address, error };
    let tcp = TcpStream::connect(address).await.map_err(refused)?;
    // A head and the end of a body are each one write; waiting for more would only delay them.
    tcp.set_nodelay(true).map_err(refused)?;
    let Some(secured) = secured else {
        return Ok(Stream::Plain(tcp));
    };
    let connector = TlsConnector::from(secured.config().clone());
    match connector.connect(secured.name().clone(), tcp).await {
        Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
        Err(error) => Err(ConnectError::Tls { address, error }),
    }
}
