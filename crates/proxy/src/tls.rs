//! TLS with clients: which certificate is presented for which name, swapped with the snapshot.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use model::Certificate;
use plugin::TlsSession;
use process::{
    Reload,
    tls::{TlsError, certified, pem, self_signed},
};
use rustc_hash::FxHashMap;
use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, ServerConnection, SignatureScheme,
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::CertifiedKey,
};
use settings::{Settings, TlsVersion};
use uuid::Uuid;

/// How strict TLS with clients is (`ssl_cipher_suite`, `ssl_protocols`, `ssl_ciphers`, …).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRules {
    /// The versions that are spoken.
    pub versions: Vec<TlsVersion>,
    /// The ciphers of TLS 1.2 by OpenSSL's names, separated by colons; all where none are given.
    pub ciphers: Option<String>,
    /// Whether our order of ciphers counts, instead of the client's.
    pub own_order: bool,
    /// Whether clients keep their sessions themselves.
    pub tickets: bool,
}

/// Sessions that are kept where clients do not keep them: as many as Kong's cache of 10 MB holds.
const SESSIONS: usize = 40_000;

/// The ciphers of TLS 1.2, each with OpenSSL's name.
const CIPHERS: [(&str, CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

impl TlsRules {
    /// From the settings of these names.
    #[must_use]
    pub fn new(settings: &Settings) -> TlsRules {
        let custom = settings.ssl_cipher_suite == settings::CipherSuite::Custom;
        TlsRules {
            versions: match settings.ssl_cipher_suite {
                settings::CipherSuite::Modern => vec![TlsVersion::Tls13],
                settings::CipherSuite::Intermediate => vec![TlsVersion::Tls12, TlsVersion::Tls13],
                settings::CipherSuite::Custom => settings.ssl_protocols.clone(),
            },
            ciphers: settings.ssl_ciphers.clone().filter(|_| custom),
            own_order: settings.ssl_prefer_server_ciphers,
            tickets: settings.ssl_session_tickets,
        }
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let version = |version: &TlsVersion| match version {
            TlsVersion::Tls12 => &rustls::version::TLS12,
            TlsVersion::Tls13 => &rustls::version::TLS13,
        };
        self.versions.iter().map(version).collect()
    }

    /// The cryptography that is offered, in the order of the setting.
    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        let Some(names) = &self.ciphers else { return Ok(provider) };
        let (mut suites, mut old): (Vec<_>, Vec<_>) =
            provider.cipher_suites.into_iter().partition(|suite| suite.tls13().is_some());
        let wanted: Vec<CipherSuite> = names
            .split(':')
            .filter_map(|name| CIPHERS.iter().find(|(known, _)| *known == name.trim()))
            .map(|(_, suite)| *suite)
            .collect();
        if wanted.is_empty() {
            let known = CIPHERS.map(|(name, _)| name).join(":");
            let why = format!("none of '{names}' is known here; the ciphers are {known}");
            return Err(TlsError::Setting { setting: "ssl_ciphers", why });
        }
        old.retain(|suite| wanted.contains(&suite.suite()));
        old.sort_by_key(|suite| wanted.iter().position(|wanted| *wanted == suite.suite()));
        suites.extend(old);
        provider.cipher_suites = suites;
        Ok(provider)
    }
}

/// The TLS configuration of all listeners.
pub(crate) struct Tls {
    /// For listeners that speak HTTP/1.1 only.
    pub(crate) http1: Arc<ServerConfig>,
    /// For listeners that speak HTTP/2, too.
    pub(crate) http2: Arc<ServerConfig>,
    /// For listeners for streams: what is spoken within is none of ours.
    pub(crate) stream: Arc<ServerConfig>,
    /// What is presented where the snapshot has no certificate.
    defaults: Arc<ArcSwap<Keys>>,
}

/// Keys for the same names, of which a client gets the first that it can verify.
type Keys = Vec<Arc<CertifiedKey>>;

/// The certificates and keys that settings name.
fn read_defaults(named: &[(String, String)]) -> Result<Keys, TlsError> {
    let read = |(certificate, key): &(String, String)| {
        certified(&pem("ssl_cert", certificate)?, &pem("ssl_cert_key", key)?)
            .map_err(|error| TlsError::Setting { setting: "ssl_cert", why: error.to_string() })
    };
    named.iter().map(read).collect()
}

impl Tls {
    /// Presents the certificates of the newest snapshot by server name, and `defaults` (certificate and key) where
    /// there is none for it; a certificate of our own making where there are no defaults.
    pub(crate) fn new(
        snapshots: Arc<snapshot::Cell>,
        defaults: &[(String, String)],
        rules: &TlsRules,
    ) -> Result<Tls, TlsError> {
        let provider = Arc::new(rules.provider()?);
        let mut keys = read_defaults(defaults)?;
        if keys.is_empty() {
            let (certificate, key) = self_signed()?;
            keys.push(certified(&certificate, &key)?);
        }
        let defaults = Arc::new(ArcSwap::from_pointee(keys));
        let resolver =
            Arc::new(Resolver { snapshots, defaults: defaults.clone(), made: Mutex::default() });
        let unavailable = |error: rustls::Error| TlsError::Unavailable(error.to_string());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&rules.versions())
            .map_err(unavailable)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ignore_client_order = rules.own_order;
        if rules.tickets {
            config.ticketer = ring::Ticketer::new().map_err(unavailable)?;
        } else {
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        }
        let stream = Arc::new(config.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Tls { http1: Arc::new(config), http2: Arc::new(http2), stream, defaults })
    }

    /// Has the defaults read anew. `None` where there are none: what was made up stays.
    pub(crate) fn reload(&self, defaults: &[(String, String)]) -> Option<Reload> {
        let (named, presented) = (defaults.to_vec(), self.defaults.clone());
        (!named.is_empty()).then(|| {
            Reload::new(move || {
                presented.store(Arc::new(read_defaults(&named)?));
                Ok(())
            })
        })
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
    defaults: Arc<ArcSwap<Keys>>,
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
            return choose(&self.defaults.load(), schemes);
        };
        let snapshot = self.snapshots.load();
        match snapshot.certificate_for(name) {
            Some(certificate) => choose(&self.keys(certificate)?, schemes),
            None => choose(&self.defaults.load(), schemes),
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
