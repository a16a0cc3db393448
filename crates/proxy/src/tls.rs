//! TLS with clients: which certificate is presented for which name, swapped with the snapshot.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::Engine;
use model::Certificate;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustc_hash::FxHashMap;
use rustls::{
    ServerConfig, SignatureScheme,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use uuid::Uuid;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is not what it should be.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The library refuses its own defaults, or the machine has no randomness.
    #[error("TLS is not available: {0}")]
    Unavailable(String),
}

/// The TLS configuration of all listeners.
pub(crate) struct Tls {
    /// For listeners that speak HTTP/1.1 only.
    pub(crate) http1: Arc<ServerConfig>,
    /// For listeners that speak HTTP/2, too.
    pub(crate) http2: Arc<ServerConfig>,
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
            keys.push(certified(&provider, &pem(certificate)?, &pem(key)?)?);
        }
        if keys.is_empty() {
            keys.push(own(&provider)?);
        }
        let resolver = Arc::new(Resolver {
            snapshots,
            provider: provider.clone(),
            defaults: keys,
            made: Mutex::default(),
        });
        let unavailable = |error: rustls::Error| TlsError::Unavailable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unavailable)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ticketer = ring::Ticketer::new().map_err(unavailable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Tls { http1: Arc::new(config), http2: Arc::new(http2) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Finds the certificate for a handshake. Shared by all threads; handshakes are rare beside requests.
struct Resolver {
    snapshots: Arc<snapshot::Cell>,
    provider: Arc<CryptoProvider>,
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
        match read(&self.provider, certificate) {
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

fn read(
    provider: &CryptoProvider,
    certificate: &Certificate,
) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
    let mut keys = vec![certified(provider, &certificate.cert, certificate.key.expose())?];
    if let (Some(cert), Some(key)) = (&certificate.cert_alt, &certificate.key_alt) {
        keys.push(certified(provider, cert, key.expose())?);
    }
    Ok(keys)
}

fn certified(
    provider: &CryptoProvider,
    chain: &str,
    key: &str,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let unreadable = |error: &dyn fmt::Display| TlsError::Certificate(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unreadable(&error))?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| unreadable(&error))?;
    Ok(Arc::new(key))
}

/// The PEM text that a setting means: it is the text itself, or that in base64, or a file with it.
fn pem(setting: &str) -> Result<String, TlsError> {
    if setting.contains("-----BEGIN") {
        return Ok(setting.to_owned());
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(setting).ok();
    if let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok())
        && text.contains("-----BEGIN")
    {
        return Ok(text);
    }
    std::fs::read_to_string(setting).map_err(|error| {
        TlsError::Certificate(format!("ssl_cert, ssl_cert_key: '{setting}' is no PEM text and no file that can be read: {error}"))
    })
}

/// A certificate of our own making for `localhost`, which nobody trusts: enough to try TLS out.
fn own(provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let unavailable = |error: rcgen::Error| TlsError::Unavailable(error.to_string());
    let key = KeyPair::generate().map_err(unavailable)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(unavailable)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "localhost");
    params.distinguished_name = name;
    let certificate = params.self_signed(&key).map_err(unavailable)?;
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| TlsError::Unavailable(error.to_owned()))?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| TlsError::Unavailable(error.to_string()))?;
    Ok(Arc::new(key))
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::pem;

    #[test]
    fn settings_are_text_base64_or_files() {
        let text = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(pem(text).unwrap(), text);
        assert_eq!(pem(&base64::engine::general_purpose::STANDARD.encode(text)).unwrap(), text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        std::fs::write(&path, text).unwrap();
        assert_eq!(pem(path.to_str().unwrap()).unwrap(), text);
        let error = pem("/no/such/file.pem").unwrap_err();
        assert!(
            error.to_string().contains("'/no/such/file.pem' is no PEM text and no file"),
            "{error}"
        );
    }
}
