//! TLS of a process's own listeners: certificates and keys as settings name them, or made up.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use settings::{Secret, Settings};

use crate::directory::{self, DirectoryError};
use crate::reload::Reload;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is not what it should be.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// A setting names something that cannot be used.
    #[error("{setting}: {why}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with its value.
        why: String,
    },
    /// A made-up certificate cannot be kept.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The library refuses its own defaults, or the machine has no randomness.
    #[error("TLS is not available: {0}")]
    Unavailable(String),
}

/// What a listener asks of its clients.
#[derive(Debug)]
pub enum Clients {
    /// No certificate.
    Anyone,
    /// A certificate that one of these authorities issued.
    Certified {
        /// The authorities.
        authorities: Arc<RootCertStore>,
        /// Whether a client without any certificate is served, too. One with a wrong certificate
        /// never is.
        optional: bool,
    },
}

/// The configuration of a listener that presents one certificate to everybody, the one that is
/// there at each handshake. HTTP/2 is offered before HTTP/1.1 if wanted.
///
/// # Errors
/// When the library refuses the parts.
pub fn server(
    certificate: Arc<Presented>,
    clients: Clients,
    http2: bool,
) -> Result<ServerConfig, TlsError> {
    let unavailable = |error: &dyn fmt::Display| TlsError::Unavailable(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unavailable(&error))?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Certified { authorities, optional } => {
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider);
            let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
            let verifier = verifier.build().map_err(|error| unavailable(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.ticketer = ring::Ticketer::new().map_err(|error| unavailable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

/// The certificate with its chain, and the key, that a pair of settings names.
///
/// # Errors
/// When one of them cannot be read, or they do not belong together.
pub fn configured(
    settings: (&'static str, &'static str),
    certificate: &str,
    key: &Secret,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = pem(settings.0, certificate)?;
    let key = pem(settings.1, key.expose())?;
    certified(&chain, &key)
        .map_err(|error| TlsError::Setting { setting: settings.0, why: error.to_string() })
}

/// A certificate that is presented to everybody and can be replaced: who shakes hands gets the newest.
#[derive(Debug)]
pub struct Presented(ArcSwap<CertifiedKey>);

impl Presented {
    /// Begins with this one.
    pub fn new(certificate: Arc<CertifiedKey>) -> Arc<Presented> {
        Arc::new(Presented(ArcSwap::new(certificate)))
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The certificate with its chain, and the key, that a pair of settings names; and how to have it
/// replaced by what they name by then.
///
/// # Errors
/// As [`configured`].
pub fn presented(
    settings: (&'static str, &'static str),
    certificate: &str,
    key: &Secret,
) -> Result<(Arc<Presented>, Reload), TlsError> {
    let presented = Presented::new(configured(settings, certificate, key)?);
    let (certificate, key) = (certificate.to_owned(), key.clone());
    let replaced = presented.clone();
    let reload = Reload::new(move || {
        replaced.0.store(configured(settings, &certificate, &key)?);
        Ok(())
    });
    Ok((presented, reload))
}

/// The authorities that a setting names: PEM of one or more certificates.
///
/// # Errors
/// When they cannot be read, or there is none.
pub fn authorities(setting: &'static str, value: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let wrong = |why: String| TlsError::Setting { setting, why };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(pem(setting, value)?.as_bytes()) {
        let authority = authority.map_err(|error| wrong(error.to_string()))?;
        roots.add(authority).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    Ok(Arc::new(roots))
}

/// A certificate with its chain and its key, of their PEM texts.
///
/// # Errors
/// When one of them cannot be read, or they do not belong together.
pub fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let unreadable = |error: &dyn fmt::Display| TlsError::Certificate(error.to_string());
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| unreadable(&error))?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| unreadable(&error))?;
    Ok(Arc::new(key))
}

/// The PEM text that a setting means: it is the text itself, or that in base64, or a file with it
/// (as in Kong).
///
/// # Errors
/// When it is none of the three.
pub fn pem(setting: &'static str, value: &str) -> Result<String, TlsError> {
    const BEGIN: &str = "-----BEGIN";
    if value.contains(BEGIN) {
        return Ok(value.to_owned());
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(value).ok();
    if let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok())
        && text.contains(BEGIN)
    {
        return Ok(text);
    }
    // What is given in the place of a file's name may be a broken key: it is not repeated.
    fs::read_to_string(value).map_err(|error| TlsError::Setting {
        setting,
        why: format!("is no PEM text, and no file that can be read: {error}"),
    })
}

/// A certificate of our own making for this machine, which nobody trusts who is not told to: it is
/// kept in `ssl/` of the data directory, so that it stays the same over restarts (as in Kong).
///
/// # Errors
/// When it cannot be kept, or what is kept cannot be used.
pub fn made_up(settings: &Settings, name: &str) -> Result<Arc<CertifiedKey>, TlsError> {
    let folder = directory::prepare(settings)?.join("ssl");
    let (certificate, key) =
        (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    let fail = |path: &Path, why: String| DirectoryError::new(path, why);
    match (fs::read_to_string(&certificate), fs::read_to_string(&key)) {
        (Ok(chain), Ok(key_text)) => certified(&chain, &key_text).map_err(|error| {
            fail(&certificate, format!("{error}; delete it to get a new one")).into()
        }),
        (Err(error), _) | (_, Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            Err(fail(&certificate, error.to_string()).into())
        }
        _ => {
            let (chain, key_text) = self_signed()?;
            fs::create_dir_all(&folder).map_err(|error| fail(&folder, error.to_string()))?;
            // The certificate last: where it is, its key is, too.
            for (path, text) in [(&key, &key_text), (&certificate, &chain)] {
                directory::write_new(path, text).map_err(|error| fail(path, error.to_string()))?;
            }
            certified(&chain, &key_text)
        }
    }
}

/// A new certificate for `localhost` and its key, PEM.
///
/// # Errors
/// When the machine has no randomness.
pub fn self_signed() -> Result<(String, String), TlsError> {
    let unavailable = |error: rcgen::Error| TlsError::Unavailable(error.to_string());
    let key = KeyPair::generate().map_err(unavailable)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = CertificateParams::new(names).map_err(unavailable)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "localhost");
    params.distinguished_name = name;
    let certificate = params.self_signed(&key).map_err(unavailable)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use settings::{Program, Sources};

    use super::*;

    #[test]
    fn settings_are_text_base64_or_files() {
        let text = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(pem("ssl_cert", text).unwrap(), text);
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        assert_eq!(pem("ssl_cert", &encoded).unwrap(), text);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        fs::write(&path, text).unwrap();
        assert_eq!(pem("ssl_cert", path.to_str().unwrap()).unwrap(), text);
        let error = pem("ssl_cert_key", "/no/such/file.pem").unwrap_err().to_string();
        assert!(error.starts_with("ssl_cert_key: is no PEM text, and no file"), "{error}");
    }

    #[test]
    fn a_made_up_certificate_stays() {
        let root = tempfile::tempdir().unwrap();
        let flags = vec![("data_dir".to_owned(), root.path().display().to_string())];
        let sources = Sources { flags, ..Sources::default() };
        let settings = settings::resolve(Program::Weir, &sources).unwrap().settings;
        let first = made_up(&settings, "admin").unwrap();
        assert_eq!(made_up(&settings, "admin").unwrap().cert, first.cert);
        let key = root.path().join("ssl/admin.key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(root.path().join("ssl/admin.crt"), "nonsense").unwrap();
        let error = made_up(&settings, "admin").unwrap_err().to_string();
        assert!(error.contains("ssl/admin.crt: ") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_and_a_file_without_authorities_are_refused() {
        let (certificate, _) = self_signed().unwrap();
        let (_, key) = self_signed().unwrap();
        let names = ("admin_ssl_cert", "admin_ssl_cert_key");
        let error = configured(names, &certificate, &Secret::new(&key)).unwrap_err().to_string();
        assert!(error.starts_with("admin_ssl_cert: the certificate cannot be used"), "{error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
        let error = authorities("ca", &key).unwrap_err().to_string();
        assert_eq!(error, "ca: holds no certificate");
        assert_eq!(authorities("ca", &certificate.repeat(2)).unwrap().len(), 2);
    }
}
