//! The listeners of the Admin API: in clear text, or with TLS and client certificates.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use admin::{Api, Counters, Handshake, Limits, Plain, Tls};
use process::tls::{self, Clients, Presented, TlsError};
use process::{BindError, Process, Reload};
use settings::{Listener, Settings, VerifyClient};

/// The file name of a certificate that is made up, in Kong's manner.
const MADE_UP: &str = "admin-default";

/// An Admin API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address is taken, or is none of this machine.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Bound sockets, and what their TLS needs; nothing is accepted yet.
pub(crate) struct AdminListeners {
    bound: Vec<(TcpListener, Speech)>,
    reload: Option<Reload>,
}

/// What is spoken on a listener.
enum Speech {
    Plain(Plain),
    Tls(Tls),
}

impl AdminListeners {
    /// Takes all addresses of `admin_listen`, and reads the certificates if one of them has TLS.
    pub(crate) fn bind(settings: &Settings) -> Result<AdminListeners, ListenError> {
        let sockets = process::bind_all("admin_listen", &settings.admin_listen)?;
        let (mut bound, mut presented) = (Vec::new(), None);
        for (listener, socket) in settings.admin_listen.iter().zip(sockets) {
            let speech = if listener.ssl {
                let (certificate, _) = match &presented {
                    Some(known) => known,
                    None => presented.insert(present(settings)?),
                };
                Speech::Tls(tls(settings, listener, certificate.clone())?)
            } else {
                Speech::Plain(Plain { http2: listener.http2 })
            };
            warn_if_open(settings, listener, &socket);
            bound.push((socket, speech));
        }
        Ok(AdminListeners { bound, reload: presented.and_then(|(_, reload)| reload) })
    }

    /// Serves the Admin API on all of them until the process drains, and answers where they are.
    pub(crate) fn serve(
        self,
        process: &Process,
        api: &Api,
        counters: &Arc<Counters>,
    ) -> io::Result<Vec<SocketAddr>> {
        let mut addresses = Vec::new();
        if let Some(reload) = self.reload {
            process.on_reload("admin_ssl_cert", reload);
        }
        for (socket, speech) in self.bound {
            addresses.push(socket.local_addr()?);
            let socket = tokio::net::TcpListener::from_std(socket)?;
            match speech {
                Speech::Plain(plain) => serve(process, socket, plain, api, counters),
                Speech::Tls(tls) => serve(process, socket, tls, api, counters),
            }
        }
        Ok(addresses)
    }
}

/// Whoever reaches the Admin API controls the gateway, and reads its secrets on the way.
fn warn_if_open(settings: &Settings, listener: &Listener, socket: &TcpListener) {
    let local = socket.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let certified = settings.nginx_admin_ssl_verify_client == VerifyClient::On;
    if local || (listener.ssl && certified) {
        return;
    }
    tracing::warn!(
        %listener,
        "admin_listen is open to other machines, and asks clients for no certificate: let only \
         operators reach it, or set ssl there and nginx_admin_ssl_verify_client"
    );
}

fn serve<H: Handshake>(
    process: &Process,
    socket: tokio::net::TcpListener,
    handshake: H,
    api: &Api,
    counters: &Arc<Counters>,
) {
    let (api, counters, shutdown) =
        (api.clone(), counters.clone(), process.tasks.shutdown().clone());
    process.tasks.spawn("Admin API", async move {
        admin::serve(socket, handshake, api, Limits::default(), counters, shutdown).await;
        Ok::<(), Infallible>(())
    });
}

/// What all TLS listeners of the Admin API present, and how it is read anew; what was made up
/// stays.
fn present(settings: &Settings) -> Result<(Arc<Presented>, Option<Reload>), TlsError> {
    match (&settings.admin_ssl_cert, &settings.admin_ssl_cert_key) {
        (Some(certificate), Some(key)) => {
            let names = ("admin_ssl_cert", "admin_ssl_cert_key");
            let (presented, reload) = tls::presented(names, certificate, key)?;
            Ok((presented, Some(reload)))
        }
        _ => Ok((Presented::new(tls::made_up(settings, MADE_UP)?), None)),
    }
}

fn tls(
    settings: &Settings,
    listener: &Listener,
    certificate: Arc<Presented>,
) -> Result<Tls, TlsError> {
    let authorities = settings.nginx_admin_ssl_client_certificate.as_deref();
    let clients = match (settings.nginx_admin_ssl_verify_client, authorities) {
        (VerifyClient::Off, _) | (_, None) => Clients::Anyone,
        (verify, Some(authorities)) => Clients::Certified {
            authorities: tls::authorities("nginx_admin_ssl_client_certificate", authorities)?,
            optional: verify == VerifyClient::Optional,
        },
    };
    Ok(Tls::new(Arc::new(tls::server(certificate, clients, listener.http2)?)))
}

#[cfg(test)]
mod tests {
    use settings::{Program, Sources};

    use super::*;

    fn bind(flags: &[(&str, &str)]) -> Result<AdminListeners, ListenError> {
        let data_dir = tempfile::tempdir().unwrap();
        let mut all = vec![("data_dir".to_owned(), data_dir.path().display().to_string())];
        all.extend(flags.iter().map(|(name, value)| (String::from(*name), String::from(*value))));
        let sources = Sources { flags: all, ..Sources::default() };
        AdminListeners::bind(&settings::resolve(Program::Weir, &sources).unwrap().settings)
    }

    #[test]
    fn every_listener_speaks_what_it_says() {
        let listen = "127.0.0.1:0 http2, 127.0.0.1:0 ssl";
        let listeners = bind(&[("admin_listen", listen)]).unwrap();
        let spoken: Vec<&Speech> = listeners.bound.iter().map(|(_, speech)| speech).collect();
        assert!(matches!(
            spoken.as_slice(),
            [Speech::Plain(Plain { http2: true }), Speech::Tls(_)]
        ));
    }

    #[test]
    fn what_is_wrong_with_certificates_names_the_setting() {
        let listen = ("admin_listen", "127.0.0.1:0 ssl");
        let (certificate, key) = tls::self_signed().unwrap();
        let pair = [("admin_ssl_cert", certificate.as_str()), ("admin_ssl_cert_key", &key)];
        assert!(bind(&[listen, pair[0], pair[1]]).is_ok());
        let error = bind(&[listen, pair[0], ("admin_ssl_cert_key", "/no/such.key")]).err().unwrap();
        assert!(error.to_string().starts_with("admin_ssl_cert_key: is no PEM text"), "{error}");
        let clients = [
            ("nginx_admin_ssl_verify_client", "on"),
            ("nginx_admin_ssl_client_certificate", "/no/such.pem"),
        ];
        let error = bind(&[listen, clients[0], clients[1]]).err().unwrap();
        let said = error.to_string();
        assert!(said.starts_with("nginx_admin_ssl_client_certificate: is no PEM text"), "{said}");
    }
}
