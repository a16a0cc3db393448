//! Data planes that come by TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt, stream};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::connection::{Certificate, Connection};
use crate::serve::accept;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// No more than this many at once; further connections wait to be accepted.
const HANDSHAKES: usize = 256;

/// How hands are shaken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate that is shown, and whose are taken: the newest at each handshake.
    pub config: Arc<ArcSwap<ServerConfig>>,
    /// Whether each data plane shows a certificate of its own.
    pub individual: bool,
}

/// Connections that this socket accepts, once hands are shaken. Who is slow holds nobody up.
pub(crate) fn tls(listener: TcpListener, tls: Tls) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, tls, FuturesUnordered::new()), |(listener, tls, mut shaking)| async {
        loop {
            tokio::select! {
                Some((address, shaken)) = shaking.next(), if !shaking.is_empty() => match shaken {
                    Ok(connection) => return Some((Ok(connection), (listener, tls, shaking))),
                    Err(error) => {
                        let error: io::Error = error;
                        tracing::warn!(%address, %error, "a data plane's TLS handshake failed");
                    }
                },
                (socket, address) = accept(&listener), if shaking.len() < HANDSHAKES => {
                    shaking.push(shake(tls.clone(), socket, address));
                }
            }
        }
    })
}

async fn shake(
    tls: Tls,
    socket: TcpStream,
    address: SocketAddr,
) -> (SocketAddr, io::Result<Connection>) {
    let shaken =
        match timeout(HANDSHAKE, TlsAcceptor::from(tls.config.load_full()).accept(socket)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
                let connection = Connection::new(stream, Some(address));
                match shown {
                    Some(shown) => Ok(connection.certified(look_at(&shown, tls.individual))),
                    // The handshake demands one.
                    None => Err(io::Error::other("no certificate was shown")),
                }
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it took longer than {} s", HANDSHAKE.as_secs()),
            )),
        };
    (address, shaken)
}

fn look_at(shown: &CertificateDer<'_>, individual: bool) -> Certificate {
    let hash = digest(&SHA256, shown);
    let expires = X509Certificate::from_der(shown)
        .map(|(_, parsed)| parsed.validity().not_after.timestamp())
        .unwrap_or_default();
    Certificate {
        fingerprint: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        expires,
        individual,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use rustls::crypto::ring;
    use rustls::server::ResolvesServerCertUsingSni;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_shake_hands_is_let_go_and_holds_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let accepted = tls(
            listener,
            Tls { config: Arc::new(ArcSwap::from_pointee(config)), individual: true },
        );
        let accepting = tokio::spawn(async move { pin!(accepted).next().await.is_some() });
        let mut silent = Vec::new();
        for _ in 0..3 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        for mut socket in silent {
            // Ends when the time is over, which it is at once where nothing else happens.
            assert_eq!(socket.read(&mut [0; 64]).await.unwrap_or(0), 0);
        }
        assert!(!accepting.is_finished(), "and goes on accepting");
    }
}
