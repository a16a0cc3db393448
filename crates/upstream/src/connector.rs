//! Connections to others than targets: to what plugins call.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use balancer::Answer;
use rustc_hash::FxHashMap;
use tokio::time::{Instant, timeout};

use crate::connect::{ConnectError, connect};
use crate::resolve::dns::{Dns, Failure};
use crate::resolve::{LONGEST, ResolverSettings, SHORTEST};
use crate::stream::Stream;
use crate::tls::{Profile, Secured, Settings, SettingsError, Trust};

/// The addresses of names with ports, and when they expire.
type Known = FxHashMap<Box<str>, (Arc<[SocketAddr]>, Instant)>;

/// Opens connections by name, with the name resolution of the gateway. Connections are few and
/// kept by who opened them: there is no pool here.
pub struct Connector {
    dns: Dns,
    /// What was found, until it expires.
    known: Mutex<Known>,
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// The name has no addresses.
    #[error("cannot resolve {name}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What the servers say.
        why: Arc<str>,
    },
    /// No address of the name could be connected to; the last one's error.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Name, connection and handshake took longer than they may, together.
    #[error("no connection to {host}:{port} within {} ms", limit.as_millis())]
    Timeout {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// The time-out.
        limit: Duration,
    },
    /// TLS cannot be spoken from this machine.
    #[error(transparent)]
    Tls(#[from] SettingsError),
    /// The name for TLS is neither a host name nor an address.
    #[error("'{0}' is no name that a certificate can be for")]
    ServerName(String),
}

impl Connector {
    /// A connector that resolves names by these settings.
    pub fn new(resolver: &ResolverSettings) -> Connector {
        Connector { dns: Dns::new(resolver), known: Mutex::default() }
    }

    /// How connections are secured: checked against the operating system's authorities if
    /// `verify`, for the server of this name.
    ///
    /// # Errors
    /// When the machine has no authorities, or the name is none.
    pub fn secured(server_name: &str, verify: bool) -> Result<Secured, ConnectorError> {
        /// What OpenSSL, and so nginx, takes for the longest chain.
        const DEPTH: usize = 100;
        let trust = if verify { Trust::System } else { Trust::Anyone };
        let profile = Profile::new(&Settings {
            trust,
            depth: DEPTH,
            client_certificate: None,
            protocols: &[],
        })?;
        profile
            .towards(server_name)
            .ok_or_else(|| ConnectorError::ServerName(server_name.to_owned()))
    }

    /// Opens a connection to a name or an address; the addresses of a name are tried in their
    /// order. `limit` is for everything together.
    ///
    /// # Errors
    /// See [`ConnectorError`].
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        secured: Option<&Secured>,
        limit: Duration,
    ) -> Result<Stream, ConnectorError> {
        match timeout(limit, self.open(host, port, secured, limit)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectorError::Timeout { host: host.to_owned(), port, limit }),
        }
    }

    async fn open(
        &self,
        host: &str,
        port: u16,
        secured: Option<&Secured>,
        limit: Duration,
    ) -> Result<Stream, ConnectorError> {
        let mut last = None;
        for address in self.addresses(host, port).await?.iter() {
            match connect(*address, secured, limit).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => error.into(),
            None => ConnectorError::Name { name: host.to_owned(), why: "it has none".into() },
        })
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Arc<[SocketAddr]>, ConnectorError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, port)]));
        }
        let asked = format!("{host}:{port}");
        let now = Instant::now();
        if let Some((addresses, until)) = self.lock().get(asked.as_str())
            && *until > now
        {
            return Ok(addresses.clone());
        }
        let found = self.dns.resolve(host, None).await.map_err(|failure| {
            let (Failure::NotFound(why) | Failure::Broken(why)) = failure;
            ConnectorError::Name { name: host.to_owned(), why }
        })?;
        let addresses: Arc<[SocketAddr]> = match &found.answer {
            Answer::Addresses(addresses) => {
                addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
            }
            Answer::Services(services) => {
                let own = |service: &balancer::ServiceAddress| match service.port {
                    0 => port,
                    own => own,
                };
                services
                    .iter()
                    .map(|service| SocketAddr::new(service.address, own(service)))
                    .collect()
            }
            Answer::Failed(why) => {
                return Err(ConnectorError::Name { name: host.to_owned(), why: why.clone() });
            }
        };
        let mut known = self.lock();
        known.retain(|_, (_, until)| *until > now);
        let until = now + found.ttl.clamp(SHORTEST, LONGEST);
        known.insert(asked.into(), (addresses.clone(), until));
        Ok(addresses)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn connector(hosts: &str) -> (tempfile::NamedTempFile, Connector) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), hosts).unwrap();
        let settings = ResolverSettings {
            servers: vec![([127, 0, 0, 1], 1).into()],
            hosts_file: Some(file.path().to_owned()),
            ..ResolverSettings::default()
        };
        (file, Connector::new(&settings))
    }

    #[tokio::test]
    async fn a_name_of_the_hosts_file_is_connected_to_past_an_address_that_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_file, connector) = connector("127.0.0.2 logs.test\n127.0.0.1 logs.test\n");
        let (stream, accepted) =
            tokio::join!(connector.connect("logs.test", port, None, LIMIT), listener.accept());
        stream.unwrap().write_all(b"here").await.unwrap();
        let mut received = String::new();
        accepted.unwrap().0.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "here");
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_named() {
        let (_file, connector) = connector("");
        let error = connector.connect("127.0.0.1", 1, None, LIMIT).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
        let error = Connector::secured("no name", true).unwrap_err();
        assert_eq!(error.to_string(), "'no name' is no name that a certificate can be for");
    }
}
