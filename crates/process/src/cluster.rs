//! TLS between the planes: both sides show a certificate (Kong's `cluster_mtls`).
//!
//! With `shared`, all show the same one and trust nothing else, bit by bit: whoever has its key
//! belongs to the cluster. With `pki`, each has its own, which an authority vouches for.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use settings::{ClusterMtls, HostPort, Settings};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::reload::Reload;
use crate::tls::{self, TlsError};

/// The name under which members of a cluster with one certificate address each other; Kong's.
const SHARED_NAME: &str = "kong_clustering";
/// What HTTP/2 is called in the handshake.
const HTTP2: &[u8] = b"h2";

/// A control plane's side.
#[derive(Clone, Debug)]
pub struct Server {
    /// How its listener shakes hands: each time by the newest.
    pub config: Arc<ArcSwap<ServerConfig>>,
    /// Whether each data plane shows a certificate of its own, so that one can be locked out.
    pub individual: bool,
    /// Replaces `config` by what the settings name by then.
    pub reload: Reload,
}

/// A data plane's side.
#[derive(Clone, Debug)]
pub struct Client {
    /// How it shakes hands: each time by the newest.
    pub config: Arc<ArcSwap<ClientConfig>>,
    /// The name that the control plane's certificate must have; the host of its address, when
    /// absent.
    pub name: Option<ServerName<'static>>,
    /// Replaces `config` by what the settings name by then.
    pub reload: Reload,
}

/// The other side would be in another machine, and nothing protects what is sent to it.
#[derive(Debug, thiserror::Error)]
#[error(
    "{setting}: {address} is not on this machine, and the configuration (with its secrets) would \
     go there unencrypted; set cluster_cert and cluster_cert_key (`weir hybrid gen-cert` makes \
     them), or cluster_plaintext = on where the network itself is private and encrypted"
)]
pub struct Unprotected {
    setting: &'static str,
    address: String,
}

/// What a control plane does with connections; `None`: they are not encrypted.
///
/// # Errors
/// When a setting names something that cannot be used.
pub fn server(settings: &Settings) -> Result<Option<Server>, TlsError> {
    let Some((config, reload)) = followed(settings, server_config)? else { return Ok(None) };
    let individual = settings.cluster_mtls == ClusterMtls::Pki;
    Ok(Some(Server { config, individual, reload }))
}

fn server_config(settings: &Settings) -> Result<Option<ServerConfig>, TlsError> {
    let Some(identity) = identity(settings)? else { return Ok(None) };
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match settings.cluster_mtls {
        ClusterMtls::Shared => Arc::new(Pinned::to(&identity, &provider)?),
        ClusterMtls::Pki => {
            WebPkiClientVerifier::builder_with_provider(authorities(settings)?, provider.clone())
                .build()
                .map_err(|error| TlsError::Unavailable(error.to_string()))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::Unavailable(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![HTTP2.to_vec()];
    // A resumed session would not look at the certificate again, which may have run out since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Some(config))
}

/// What a data plane does with connections; `None`: they are not encrypted.
///
/// # Errors
/// When a setting names something that cannot be used.
pub fn client(settings: &Settings) -> Result<Option<Client>, TlsError> {
    let Some((config, reload)) = followed(settings, client_config)? else { return Ok(None) };
    let wrong = |why: String| TlsError::Setting { setting: "cluster_server_name", why };
    let name = match settings.cluster_mtls {
        ClusterMtls::Shared => Some(SHARED_NAME),
        ClusterMtls::Pki => settings.cluster_server_name.as_deref(),
    };
    let name = name.map(|name| ServerName::try_from(name.to_owned())).transpose();
    Ok(Some(Client { config, name: name.map_err(|error| wrong(error.to_string()))?, reload }))
}

fn client_config(settings: &Settings) -> Result<Option<ClientConfig>, TlsError> {
    let Some(identity) = identity(settings)? else { return Ok(None) };
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match settings.cluster_mtls {
        ClusterMtls::Shared => Arc::new(Pinned::to(&identity, &provider)?),
        ClusterMtls::Pki => {
            WebPkiServerVerifier::builder_with_provider(authorities(settings)?, provider.clone())
                .build()
                .map_err(|error| TlsError::Unavailable(error.to_string()))?
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| TlsError::Unavailable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Some(config))
}

/// What is in use, and how to have it replaced.
type Followed<T> = (Arc<ArcSwap<T>>, Reload);

/// What `read` makes of the settings, and how to have it replaced by what it makes of them then.
fn followed<T: Send + Sync + 'static>(
    settings: &Settings,
    read: fn(&Settings) -> Result<Option<T>, TlsError>,
) -> Result<Option<Followed<T>>, TlsError> {
    let Some(config) = read(settings)? else { return Ok(None) };
    let config = Arc::new(ArcSwap::from_pointee(config));
    let (replaced, settings) = (config.clone(), settings.clone());
    let reload = Reload::new(move || {
        if let Some(new) = read(&settings)? {
            replaced.store(Arc::new(new));
        }
        Ok(())
    });
    Ok(Some((config, reload)))
}

/// Whether it is fine to speak with this address in clear text.
///
/// # Errors
/// When it is on another machine, and the settings do not say that this is meant.
pub fn may_be_plain(
    settings: &Settings,
    setting: &'static str,
    address: &HostPort,
) -> Result<(), Unprotected> {
    let is_local = match address.host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => address.host.eq_ignore_ascii_case("localhost"),
    };
    if is_local || settings.cluster_plaintext {
        return Ok(());
    }
    Err(Unprotected { setting, address: address.to_string() })
}

/// The certificate that this process shows.
///
/// It is not looked into, since `kong hybrid gen_cert` writes certificates of version 1, which
/// the library does not read.
fn identity(settings: &Settings) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let (Some(certificate), Some(key)) = (&settings.cluster_cert, &settings.cluster_cert_key)
    else {
        return Ok(None);
    };
    let wrong = |setting: &'static str, why: String| TlsError::Setting { setting, why };
    let text = tls::pem("cluster_cert", certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| wrong("cluster_cert", error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| wrong("cluster_cert", "holds no certificate".into()))?;
    let spki = public_key(leaf).map_err(|why| wrong("cluster_cert", why))?;
    let text = tls::pem("cluster_cert_key", key.expose())?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| wrong("cluster_cert_key", error.to_string()))?;
    let key = ring::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| wrong("cluster_cert_key", error.to_string()))?;
    if key.public_key().is_some_and(|public| public != spki) {
        return Err(wrong("cluster_cert_key", "is not the key of cluster_cert".to_owned()));
    }
    Ok(Some(Arc::new(CertifiedKey::new(chain, key))))
}

fn authorities(settings: &Settings) -> Result<Arc<rustls::RootCertStore>, TlsError> {
    // That there is one was checked with the other settings.
    tls::authorities("cluster_ca_cert", settings.cluster_ca_cert.as_deref().unwrap_or_default())
}

fn public_key(
    certificate: &CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'static>, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.public_key().raw.to_vec()))
}

/// Trusts one certificate, bit by bit, while it is valid.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    public_key: SubjectPublicKeyInfoDer<'static>,
    /// Seconds since 1970.
    valid: (i64, i64),
    provider: Arc<CryptoProvider>,
}

/// The other side shows another certificate.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is not the certificate that this cluster shares; cluster_cert must be the same on both \
     sides (cluster_mtls = shared)"
)]
struct NotShared;

impl Pinned {
    fn to(identity: &CertifiedKey, provider: &Arc<CryptoProvider>) -> Result<Pinned, TlsError> {
        let wrong = |why: String| TlsError::Setting { setting: "cluster_cert", why };
        let certificate = identity.end_entity_cert().map_err(|error| wrong(error.to_string()))?;
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| wrong(error.to_string()))?;
        let validity = parsed.validity();
        Ok(Pinned {
            public_key: public_key(certificate).map_err(wrong)?,
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            certificate: certificate.clone().into_owned(),
            provider: provider.clone(),
        })
    }

    fn check(&self, shown: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        if shown.as_ref() != self.certificate.as_ref() {
            return Err(CertificateError::Other(OtherError(Arc::new(NotShared))).into());
        }
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match self.valid {
            (from, _) if now < from => Err(CertificateError::NotValidYet.into()),
            (_, to) if now > to => Err(CertificateError::Expired.into()),
            _ => Ok(()),
        }
    }

    fn signature(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &self.public_key, signed, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken between the planes".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken between the planes".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

/// A certificate for all members of a cluster (`cluster_mtls = shared`), and its key, PEM: as
/// `kong hybrid gen_cert` makes it, but of version 3 and with its name where today's clients look.
///
/// # Errors
/// When the machine has no randomness.
pub fn shared_certificate(
    from: std::time::SystemTime,
    valid: std::time::Duration,
) -> Result<(String, String), TlsError> {
    let unavailable = |error: rcgen::Error| TlsError::Unavailable(error.to_string());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).map_err(unavailable)?;
    let mut params =
        rcgen::CertificateParams::new([SHARED_NAME.to_owned()]).map_err(unavailable)?;
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, SHARED_NAME);
    params.distinguished_name = name;
    params.not_before = from.into();
    params.not_after = (from + valid).into();
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.self_signed(&key).map_err(unavailable)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests;
