//! A data plane's connection, whatever it runs over.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use model::RevokedCertificate;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;
use wire::Entities;

/// What a connection runs over: TCP, TLS over it, or a pipe in this process.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to serve.
pub struct Connection {
    io: Box<dyn Io>,
    address: Option<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
}

/// The certificate that a data plane showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of it, 64 hexadecimal digits in lower case.
    pub fingerprint: String,
    /// When it runs out, in seconds since 1970.
    pub expires: i64,
    /// Whether no other data plane shows the same.
    pub individual: bool,
}

/// Who is at the other end, and the means to get rid of them.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Their address; `None` when they are in this process.
    pub(crate) address: Option<SocketAddr>,
    /// What they showed; `None` without TLS.
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// Closes the connection: HTTP/2 has no other way to end a stream whose peer does not read.
    pub(crate) close: CancellationToken,
}

/// A connection that is being served.
pub(crate) struct Accepted {
    io: Box<dyn Io>,
    peer: Peer,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    /// A connection with `address` at its other end; `None` in this process.
    pub fn new(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: Option<SocketAddr>,
    ) -> Connection {
        Connection { io: Box::new(io), address, certificate: None }
    }

    /// The same, whose other end showed this certificate.
    pub fn certified(self, certificate: Certificate) -> Connection {
        Connection { certificate: Some(Arc::new(certificate)), ..self }
    }
}

impl Certificate {
    /// Whether it is among those in the released set that do not belong to the cluster any more.
    pub(crate) fn is_revoked(&self, released: &Entities) -> bool {
        let id = RevokedCertificate::id_of(&self.fingerprint);
        released.get(&RevokedCertificate::KIND, id).is_some()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl From<Connection> for Accepted {
    fn from(Connection { io, address, certificate }: Connection) -> Accepted {
        let close = CancellationToken::new();
        let closed = Box::pin(close.clone().cancelled_owned());
        Accepted { io, peer: Peer { address, certificate, close }, closed }
    }
}

impl Accepted {
    /// Fails once the connection is to be closed.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "closed because the data plane does not read",
            )),
        }
    }
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_open(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_open(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_open(cx)?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_open(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
