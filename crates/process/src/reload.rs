//! What is read anew while the process runs: certificates and keys, at SIGHUP, as `kong reload`
//! has it. What cannot be read leaves in place what is there.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tokio::signal::unix::{SignalKind, signal};

use crate::Process;
use crate::tls::TlsError;

/// Reads something anew, and puts it in the place of what is in use; clones do the same.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Result<(), TlsError> + Send + Sync>);

/// What is read anew, by the settings that name it. Clones share the list.
#[derive(Clone, Default)]
pub(crate) struct Reloads(Arc<Mutex<Vec<(&'static str, Reload)>>>);

/// A value that can be replaced while it is in use. As a certificate or a verifier it is what
/// rustls asks at every handshake, so that a configuration made once follows what is replaced.
#[derive(Debug)]
pub struct Swap<T: ?Sized>(RwLock<Arc<T>>);

impl Reload {
    /// What `reload` does. It must leave what is in use as it is when it fails.
    pub fn new(reload: impl Fn() -> Result<(), TlsError> + Send + Sync + 'static) -> Reload {
        Reload(Arc::new(reload))
    }

    /// Does it.
    ///
    /// # Errors
    /// When what is to be read cannot be used; what was in use stays.
    pub fn run(&self) -> Result<(), TlsError> {
        (self.0)()
    }
}

impl<T: ?Sized> Swap<T> {
    /// Begins with this value.
    pub fn new(value: Arc<T>) -> Arc<Swap<T>> {
        Arc::new(Swap(RwLock::new(value)))
    }

    /// The value as it is now.
    pub fn load(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it; who has loaded it keeps what they have.
    pub fn store(&self, value: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

impl Process {
    /// From now on this is read anew at every reload; `settings` says what, for the log.
    pub fn on_reload(&self, settings: &'static str, reload: Reload) {
        let mut list = self.reloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push((settings, reload));
    }

    /// Reads everything anew that can be: what [`Process::on_reload`] was told of. Reads files.
    pub fn reload(&self) {
        let list = self.reloads.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (settings, reload) in list {
            match reload.run() {
                Ok(()) => tracing::info!(settings, "read anew; new connections use it"),
                Err(error) => tracing::error!(
                    settings,
                    %error,
                    "cannot be read anew; what is in use stays"
                ),
            }
        }
    }

    /// Reloads at every SIGHUP, which ends nothing from now on.
    ///
    /// # Errors
    /// When the operating system refuses to deliver the signal.
    pub(crate) fn listen_for_reload(&self) -> io::Result<()> {
        let mut asked = signal(SignalKind::hangup())?;
        let process = self.clone();
        self.tasks.background("reload", async move {
            while asked.recv().await.is_some() {
                tracing::info!("certificates and keys are read anew");
                let process = process.clone();
                // Files may lie on a disk that does not answer.
                if let Err(error) = tokio::task::spawn_blocking(move || process.reload()).await {
                    tracing::error!(%error, "the reload crashed");
                }
            }
        });
        Ok(())
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(list.iter().map(|(settings, _)| settings)).finish()
    }
}

impl ResolvesServerCert for Swap<CertifiedKey> {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.load())
    }
}

impl ResolvesClientCert for Swap<CertifiedKey> {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.load())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Swap<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.load().offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.load().client_auth_mandatory()
    }

    /// None: those of today may not be those of tomorrow, and a client has one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.load().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.load().supported_verify_schemes()
    }
}

impl ServerCertVerifier for Swap<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = self.load();
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.load().supported_verify_schemes()
    }
}
