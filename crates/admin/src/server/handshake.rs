//! What happens to a connection before HTTP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// What a client that speaks HTTP/2 without having agreed on it says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the rest of a preface is waited for, until it is looked at again.
const REST: Duration = Duration::from_millis(10);

/// The version of HTTP that is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.0 or 1.1.
    Http1,
    /// 2.
    Http2,
}

/// What happens to a connection before HTTP: nothing, or TLS.
pub trait Handshake: Clone + Send + Sync + 'static {
    /// The stream that HTTP is spoken on.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The scheme of the URLs that lead here.
    const SCHEME: &'static str;

    /// Makes the stream of an accepted connection, and finds out what the client speaks. The
    /// server limits the time that this takes.
    fn shake(
        &self,
        stream: TcpStream,
    ) -> impl Future<Output = io::Result<(Self::Stream, Version)>> + Send;
}

/// No handshake: HTTP in clear text.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// Whether clients may begin with HTTP/2 straight away.
    pub http2: bool,
}

impl Handshake for Plain {
    type Stream = TcpStream;

    const SCHEME: &'static str = "http";

    async fn shake(&self, stream: TcpStream) -> io::Result<(TcpStream, Version)> {
        let version = if self.http2 { spoken(&stream).await? } else { Version::Http1 };
        Ok((stream, version))
    }
}

/// HTTP over TLS; ALPN says which version (RFC 7301).
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// With the certificate, the demands on clients and the versions of HTTP of this
    /// configuration.
    pub fn new(config: Arc<ServerConfig>) -> Tls {
        Tls(TlsAcceptor::from(config))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Handshake for Tls {
    type Stream = TlsStream<TcpStream>;

    const SCHEME: &'static str = "https";

    async fn shake(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Version)> {
        let stream = self.0.accept(stream).await?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        Ok((stream, version))
    }
}

/// Looks at what the client sends first, and leaves it there.
async fn spoken(stream: &TcpStream) -> io::Result<Version> {
    let mut first = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        let seen = first.get(..length).unwrap_or_default();
        if length == 0 || !PREFACE.starts_with(seen) {
            return Ok(Version::Http1);
        }
        if length == PREFACE.len() {
            return Ok(Version::Http2);
        }
        // What is there stays there, so the socket cannot tell when more comes.
        tokio::time::sleep(REST).await;
    }
}
