//! TLS with clients: which certificate is presented for which name, swapped with the snapshot.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use model::Certificate;
use plugin::TlsSession;
use process::tls::{TlsError, certified, pem, self_signed};
use rustc_hash::FxHashMap;
use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, ServerConnection, SignatureScheme,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use uuid::Uuid;

/// The TLS configuration of all listeners.
pub(crate) struct Tls {
    /// For listeners that speak HTTP/1.1 only.
    pub(crate) http1: Arc<ServerConfig>,
    /// For listeners that speak HTTP/2, too.
    pub(crate) http2: Arc<ServerConfig>,
    /// For listeners for streams: what is spoken within is none of ours.
    pub(crate) stream: Arc<ServerConfig>,
}

impl Tls {
    /// Presents the certificates of the newest snapshot by server name, and `defaults` (certificate and key) where
    /// there is none for it; a certificate of our own making where there are no defaults.
    pub(crate) fn new(
        snapshots: Arc<snapshot::Cell>,
        defaults: &[(String, String)],
    ) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut keys = Vec::new();
        for (certificate, key) in defaults {
            keys.push(certified(&pem("ssl_cert", certificate)?, &pem("ssl_cert_key", key)?)?);
        }
        if keys.is_empty() {
            let (certificate, key) = self_signed()?;
            keys.push(certified(&certificate, &key)?);
        }
        let resolver = Arc::new(Resolver { snapshots, defaults: keys, made: Mutex::default() });
        let unavailable = |error: rustls::Error| TlsError::Unavailable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unavailable)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ticketer = ring::Ticketer::new().map_err(unavailable)?;
        let stream = Arc::new(config.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Tls { http1: Arc::new(config), http2: Arc::new(http2), stream })
    }
}

/// What was agreed on in a handshake, in OpenSSL's words.
pub(crate) fn session(connection: &ServerConnection) -> Option<TlsSession> {
    use CipherSuite as C;
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => return None,
    };
    let cipher = match connection.negotiated_cipher_suite()?.suite() {
        C::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        C::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        C::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        C::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        C::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        C::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        C::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        C::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        C::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other.as_str().unwrap_or("unknown"),
    };
    Some(TlsSession { version, cipher })
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Finds the certificate for a handshake. Shared by all threads; handshakes are rare beside requests.
struct Resolver {
    snapshots: Arc<snapshot::Cell>,
    defaults: Vec<Arc<CertifiedKey>>,
    made: Mutex<FxHashMap<Uuid, Made>>,
}

/// The keys of a certificate entity, read once.
struct Made {
    from: Arc<Certificate>,
    keys: Vec<Arc<CertifiedKey>>,
}

/// Certificates that are not in use any more are forgotten when there are more than these.
const MADE_KEPT: usize = 10_000;

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        // Without a name Kong presents its default, even if there is a certificate for the name `*`.
        let Some(name) = hello.server_name() else {
            return choose(&self.defaults, schemes);
        };
        let snapshot = self.snapshots.load();
        match snapshot.certificate_for(name) {
            Some(certificate) => choose(&self.keys(certificate)?, schemes),
            None => choose(&self.defaults, schemes),
        }
    }
}

impl Resolver {
    fn keys(&self, certificate: &Arc<Certificate>) -> Option<Vec<Arc<CertifiedKey>>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) =
            made.get(&certificate.id).filter(|known| Arc::ptr_eq(&known.from, certificate))
        {
            return Some(known.keys.clone());
        }
        match read(certificate) {
            Ok(keys) => {
                if made.len() >= MADE_KEPT {
                    made.clear();
                }
                made.insert(certificate.id, Made { from: certificate.clone(), keys: keys.clone() });
                Some(keys)
            }
            // To present another one would only make the client say that the name is wrong.
            Err(error) => {
                tracing::error!(certificate = %certificate.id, %error, "a TLS handshake is refused; correct the certificate");
                None
            }
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// The first key that the client can verify.
fn choose(keys: &[Arc<CertifiedKey>], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
    keys.iter().find(|key| key.key.choose_scheme(schemes).is_some()).cloned()
}

fn read(certificate: &Certificate) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    let mut keys = vec![certified(&certificate.cert, certificate.key.expose())?];
    if let (Some(cert), Some(key)) = (&certificate.cert_alt, &certificate.key_alt) {
        keys.push(certified(cert, key.expose())?);
    }
    Ok(keys)
}
