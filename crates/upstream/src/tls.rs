//! TLS towards targets: whom to trust, what to show, and what makes two connections alike.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime, pem::PemObject},
};

/// How connections to a target are secured, as the configuration has it.
#[derive(Clone)]
pub struct Settings<'a> {
    /// Whose certificates are taken.
    pub trust: Trust<'a>,
    /// The most intermediate certificates between a target's certificate and a trusted one (`tls_verify_depth`).
    pub depth: usize,
    /// Certificate chain and private key, both PEM, for targets that ask for one.
    pub client_certificate: Option<(&'a str, &'a str)>,
    /// Protocols to offer (ALPN), the preferred one first; may be empty.
    pub protocols: &'a [&'a [u8]],
}

/// Whose certificates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Anybody's: the connection is encrypted, but may end at the wrong place (`tls_verify: false`).
    Anyone,
    /// Those of the operating system's authorities.
    System,
    /// Those of these authorities, PEM each.
    Authorities(&'a [&'a str]),
}

/// Why connections cannot be secured as configured.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An authority, certificate or key is not what it should be.
    #[error("{what} cannot be read: {reason}; check its PEM text")]
    Unreadable {
        /// Which of them.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The operating system has no authorities.
    #[error(
        "the system's certificate authorities cannot be read: {0}; install them (ca-certificates) or set ca_certificates"
    )]
    NoSystemAuthorities(String),
    /// Key and certificate do not belong together, or are of a kind that is not supported.
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(rustls::Error),
    /// The library refuses its own defaults.
    #[error("TLS is not available: {0}")]
    Unavailable(rustls::Error),
}

/// A way of securing connections, made once from [`Settings`] and shared by all connections that are alike.
///
/// Two profiles are equal when their settings are, however often they were made, so that a change of the
/// configuration that does not touch them keeps the pooled connections.
#[derive(Clone)]
pub struct Profile {
    digest: [u8; 32],
    config: Arc<ClientConfig>,
}

/// A profile and the name that the target must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secured {
    profile: Profile,
    name: ServerName<'static>,
}

impl Profile {
    /// Reads the settings.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(settings: &Settings<'_>) -> Result<Profile, SettingsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut digest = blake3::Hasher::new();
        let mut note = |kind: u8, bytes: &[u8]| {
            digest.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        let anchors = match settings.trust {
            Trust::Anyone => {
                note(b'n', &[]);
                None
            }
            Trust::System => {
                note(b's', &(settings.depth as u64).to_le_bytes());
                Some(system_anchors()?)
            }
            Trust::Authorities(texts) => {
                note(b'a', &(settings.depth as u64).to_le_bytes());
                let mut anchors = Vec::with_capacity(texts.len());
                for text in texts {
                    for certificate in certificates("a CA certificate", text)? {
                        note(b'c', &certificate);
                        anchors.push(anchor(&certificate)?);
                    }
                }
                Some(anchors)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(SettingsError::Unavailable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier {
                provider,
                anchors,
                depth: settings.depth,
            }));
        let mut config = match settings.client_certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates("the client certificate", chain)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| {
                    SettingsError::Unreadable {
                        what: "the client certificate's key",
                        reason: error.to_string(),
                    }
                })?;
                for certificate in &chain {
                    note(b'i', certificate);
                }
                note(b'k', key.secret_der());
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(SettingsError::ClientCertificate)?
            }
        };
        for protocol in settings.protocols {
            note(b'p', protocol);
        }
        config.alpn_protocols =
            settings.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Profile { digest: *digest.finalize().as_bytes(), config: Arc::new(config) })
    }

    /// This profile towards a target of this name: a host name, or an address, with which no name is sent.
    /// None if `name` is neither.
    #[must_use]
    pub fn towards(&self, name: &str) -> Option<Secured> {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = ServerName::try_from(name.to_owned()).ok()?;
        Some(Secured { profile: self.clone(), name })
    }
}

impl Secured {
    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.profile.config
    }

    pub(crate) fn name(&self) -> &ServerName<'static> {
        &self.name
    }
}

impl PartialEq for Profile {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Profile {}

impl std::hash::Hash for Profile {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("trust", &self.trust)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

fn certificates(
    what: &'static str,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let unreadable = |reason: String| SettingsError::Unreadable { what, reason };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

fn anchor(certificate: &CertificateDer<'_>) -> Result<TrustAnchor<'static>, SettingsError> {
    let anchor = webpki::anchor_from_trusted_cert(certificate).map_err(|error| {
        SettingsError::Unreadable { what: "a CA certificate", reason: error.to_string() }
    })?;
    Ok(anchor.to_owned())
}

fn system_anchors() -> Result<Vec<TrustAnchor<'static>>, SettingsError> {
    let found = rustls_native_certs::load_native_certs();
    // Stores have the odd certificate that cannot be read; only having none at all is a fault.
    let anchors: Vec<_> =
        found.certs.iter().filter_map(|certificate| anchor(certificate).ok()).collect();
    if anchors.is_empty() {
        let reason =
            found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(SettingsError::NoSystemAuthorities(reason));
    }
    Ok(anchors)
}

/// Checks a target's certificate against the trusted ones, or not at all. Handshake signatures are always checked.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    anchors: Option<Vec<TrustAnchor<'static>>>,
    depth: usize,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(anchors) = &self.anchors else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = webpki::EndEntityCert::try_from(end_entity).map_err(refusal)?;
        let within_depth = |path: &webpki::VerifiedPath<'_>| {
            if path.intermediate_certificates().count() <= self.depth {
                Ok(())
            } else {
                Err(webpki::Error::MaximumPathDepthExceeded)
            }
        };
        certificate
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                anchors,
                intermediates,
                now,
                webpki::KeyUsage::server_auth(),
                None,
                Some(&within_depth),
            )
            .map_err(refusal)?;
        certificate.verify_is_valid_for_subject_name(name).map_err(refusal)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn refusal(error: webpki::Error) -> rustls::Error {
    use webpki::Error as E;
    rustls::Error::InvalidCertificate(match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { .. } => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::CertNotValidForName(_) => CertificateError::NotValidForName,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    })
}
