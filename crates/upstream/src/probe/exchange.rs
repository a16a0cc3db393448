//! One probe: connect, ask, judge the answer.

use std::io;
use std::time::Duration;

use balancer::{Config, Outcome, Peer, ProbeHeader, ProbeProtocol};
use tokio::time::timeout;

use crate::connect::{ConnectError, connect};
use crate::probe::{ClientCertificate, FindCertificate, grpc, http};
use crate::tls::{Profile, Secured, Settings, Trust};

/// Intermediate certificates between a target's and a trusted one, when probes verify.
const VERIFY_DEPTH: usize = 4;

/// How the peers of one upstream are probed.
#[derive(Debug)]
pub(super) struct Exchange {
    protocol: ProbeProtocol,
    limit: Duration,
    path: String,
    /// The `Host`, when it is not the peer's own.
    host: Option<String>,
    /// The TLS server name, when it is not the `Host`.
    server_name: Option<String>,
    headers: Vec<ProbeHeader>,
    /// Present for the protocols over TLS. An upstream whose TLS settings are of no use is not
    /// probed: that is no fault of its targets.
    profile: Result<Option<Profile>, Useless>,
}

/// TLS settings that cannot be used.
#[derive(Debug)]
struct Useless;

impl Exchange {
    /// Unpacks the configuration. Says in the log when its TLS settings cannot be used.
    pub(super) fn new(config: &Config, certificates: &FindCertificate) -> Exchange {
        let checks = &config.active;
        let is_tls = matches!(checks.protocol, ProbeProtocol::Https | ProbeProtocol::Grpcs);
        let profile = if is_tls { profile(config, certificates).map(Some) } else { Ok(None) };
        Exchange {
            protocol: checks.protocol,
            limit: checks.timeout,
            path: checks.http_path.to_string(),
            host: config.host_header.as_deref().map(str::to_owned),
            server_name: checks.https_sni.as_deref().map(str::to_owned),
            headers: checks.headers.clone(),
            profile,
        }
    }

    /// Probes a peer. `None` when nothing can be said about it.
    pub(super) async fn with(&self, peer: &Peer) -> Option<Outcome> {
        let host = self.host.as_deref().unwrap_or(peer.host());
        let secured = match &self.profile {
            Err(Useless) => return None,
            Ok(None) => None,
            Ok(Some(profile)) => {
                let name = self.server_name.as_deref().unwrap_or_else(|| without_port(host));
                match profile.towards(name) {
                    Some(secured) => Some(secured),
                    None => return Some(Outcome::TlsFailed),
                }
            }
        };
        self.over(peer, host, secured.as_ref()).await
    }

    async fn over(&self, peer: &Peer, host: &str, secured: Option<&Secured>) -> Option<Outcome> {
        let stream = match connect(peer.address(), secured, self.limit).await {
            Ok(stream) => stream,
            Err(ConnectError::Tcp { error, .. }) if is_ours(&error) => {
                tracing::warn!(%error, "a probe could not be made; the limits of this host are reached");
                return None;
            }
            Err(ConnectError::Tcp { .. }) => return Some(Outcome::ConnectFailed),
            Err(ConnectError::Timeout { .. }) => return Some(Outcome::Timeout),
            Err(ConnectError::Tls { .. }) => return Some(Outcome::TlsFailed),
        };
        let answer = async {
            match self.protocol {
                ProbeProtocol::Tcp => Outcome::Connected,
                ProbeProtocol::Http | ProbeProtocol::Https => {
                    http::ask(stream, host, &self.path, &self.headers).await
                }
                ProbeProtocol::Grpc | ProbeProtocol::Grpcs => {
                    grpc::ask(stream, host, secured.is_some(), &self.headers).await
                }
            }
        };
        Some(timeout(self.limit, answer).await.unwrap_or(Outcome::Timeout))
    }
}

fn profile(config: &Config, certificates: &FindCertificate) -> Result<Profile, Useless> {
    let upstream = &*config.name;
    let client = match config.client_certificate.map(|id| (id, certificates(id))) {
        None => None,
        Some((_, Some(found))) => Some(found),
        Some((id, None)) => {
            tracing::warn!(upstream, certificate = %id, "no probes: the client certificate is not there");
            return Err(Useless);
        }
    };
    let protocols: &[&[u8]] = match config.active.protocol {
        ProbeProtocol::Grpcs => &[b"h2"],
        _ => &[],
    };
    let settings = Settings {
        trust: if config.active.https_verify_certificate { Trust::System } else { Trust::Anyone },
        depth: VERIFY_DEPTH,
        client_certificate: client
            .as_ref()
            .map(|ClientCertificate { chain, key }| (chain.as_str(), key.as_str())),
        protocols,
    };
    Profile::new(&settings).map_err(|error| {
        tracing::warn!(upstream, %error, "no probes: their TLS settings cannot be used");
        Useless
    })
}

/// Whether connecting failed for want of something on this host, files or ports, which is no fault
/// of the target.
fn is_ours(error: &io::Error) -> bool {
    // ENFILE and EMFILE on every Unix; the standard library has no names for them.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code))
}

/// The host of a `Host` header: `a:80` → `a`, `[::1]:80` → `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_or_files_is_ours() {
        assert!(is_ours(&io::Error::from(io::ErrorKind::AddrNotAvailable)));
        assert!(is_ours(&io::Error::from_raw_os_error(24)));
        assert!(!is_ours(&io::Error::from(io::ErrorKind::ConnectionRefused)));
    }

    #[test]
    fn a_server_name_has_no_port() {
        for (host, name) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
