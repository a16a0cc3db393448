//! TLS to upstreams: from what a service says to a profile that connections share.

use std::{fmt, sync::Arc};

use model::{CaCertificate, Certificate, Protocol, Service};
use process::tls::{TlsError, certified, pem};
use rustc_hash::FxHashMap;
use snapshot::Snapshot;
use upstream::{Profile, Secured, TlsSettings, Trust};
use uuid::Uuid;

use crate::failure::Failure;

/// The certificate that upstreams are shown where nothing else is set (`client_ssl_cert`), and its key; PEM.
pub(crate) struct ClientPem {
    chain: String,
    key: String,
}

impl ClientPem {
    /// Reads what the settings mean.
    pub(crate) fn read(settings: &(String, String)) -> Result<ClientPem, TlsError> {
        let (chain, key) = settings;
        let (chain, key) = (pem("client_ssl_cert", chain)?, pem("client_ssl_cert_key", key)?);
        // A pair that cannot be used is told at the start, not at the first request.
        certified(&chain, &key)?;
        Ok(ClientPem { chain, key })
    }
}

impl fmt::Debug for ClientPem {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPem").finish_non_exhaustive()
    }
}

/// The profiles that this thread made, by service. One is made again when what it was made from has changed.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    client: Option<Arc<ClientPem>>,
    made: FxHashMap<Uuid, Made>,
}

#[derive(Debug)]
struct Made {
    from: Ingredients,
    profile: Profile,
    /// By the name that the target must be.
    names: FxHashMap<Box<str>, Arc<Secured>>,
}

/// What a profile is made from.
#[derive(Debug)]
struct Ingredients {
    verify: bool,
    depth: u32,
    http2: bool,
    authorities: Vec<Arc<CaCertificate>>,
    certificate: Option<Arc<Certificate>>,
}

/// With `preserve_host` clients choose the names; more than this are not remembered.
const NAMES_KEPT: usize = 256;
/// Services beyond this number that were once asked for are forgotten.
const SERVICES_KEPT: usize = 4096;
/// Kong's `tls_verify_depth` where nothing is set.
const DEPTH: u32 = 1;

impl Profiles {
    /// None yet. `client` is shown where nothing else is set.
    pub(crate) fn new(client: Option<Arc<ClientPem>>) -> Profiles {
        Profiles { client, ..Profiles::default() }
    }

    /// How a connection to a target of `service` is secured, `host` being the Host field that it gets. `fallback` is
    /// the client certificate that the service's upstream names.
    ///
    /// # Errors
    /// [`Failure::Secure`]
    pub(crate) fn secure(
        &mut self,
        snapshot: &Snapshot,
        service: &Service,
        fallback: Option<Uuid>,
        host: &[u8],
        address: std::net::SocketAddr,
    ) -> Result<Arc<Secured>, Failure> {
        let from = Ingredients::of(snapshot, service, fallback)?;
        let current = self.made.get(&service.id).is_some_and(|made| made.from.is(&from));
        if !current {
            if self.made.len() >= SERVICES_KEPT {
                self.made.clear();
            }
            let profile = from.profile(self.client.as_deref())?;
            self.made.insert(service.id, Made { from, profile, names: FxHashMap::default() });
        }
        let made = self
            .made
            .get_mut(&service.id)
            .ok_or_else(|| Failure::Secure("not remembered".to_owned()))?;
        made.towards(host, address)
    }
}

impl Made {
    fn towards(
        &mut self,
        host: &[u8],
        address: std::net::SocketAddr,
    ) -> Result<Arc<Secured>, Failure> {
        let name = http1::Host::parse(host).map_or("", |host| host.name);
        if let Some(secured) = self.names.get(name) {
            return Ok(secured.clone());
        }
        let secured = match self.profile.towards(name) {
            Some(secured) => secured,
            // What cannot be a name in a certificate is not sent as one. Nobody checks, so nothing is lost.
            None if !self.from.verify => self
                .profile
                .towards(&address.ip().to_string())
                .ok_or_else(|| Failure::Secure(format!("'{name}' is no host name")))?,
            None => {
                return Err(Failure::Secure(format!(
                    "'{name}' is no host name that a certificate can be for"
                )));
            }
        };
        if self.names.len() >= NAMES_KEPT {
            self.names.clear();
        }
        let secured = Arc::new(secured);
        self.names.insert(name.into(), secured.clone());
        Ok(secured)
    }
}

impl Ingredients {
    fn of(
        snapshot: &Snapshot,
        service: &Service,
        fallback: Option<Uuid>,
    ) -> Result<Ingredients, Failure> {
        let verify = service.tls_verify.unwrap_or(false);
        let mut authorities = Vec::new();
        for id in service.ca_certificates.iter().flatten().filter(|_| verify) {
            let authority = snapshot.ca_certificate(*id);
            authorities.push(
                authority
                    .ok_or_else(|| Failure::Secure(format!("there is no CA certificate {id}")))?
                    .clone(),
            );
        }
        let certificate =
            service.client_certificate.as_ref().map(|reference| reference.id).or(fallback);
        let certificate = certificate
            .map(|id| {
                let certificate = snapshot.certificate(id);
                certificate
                    .cloned()
                    .ok_or_else(|| Failure::Secure(format!("there is no certificate {id}")))
            })
            .transpose()?;
        Ok(Ingredients {
            verify,
            depth: service.tls_verify_depth.unwrap_or(DEPTH),
            http2: service.protocol == Protocol::Grpcs,
            authorities,
            certificate,
        })
    }

    /// Whether these are the very same: entities that were not written are not copied from snapshot to snapshot.
    fn is(&self, other: &Ingredients) -> bool {
        let same_certificate = match (&self.certificate, &other.certificate) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same_certificate
            && (self.verify, self.depth, self.http2) == (other.verify, other.depth, other.http2)
            && self.authorities.len() == other.authorities.len()
            && self
                .authorities
                .iter()
                .zip(&other.authorities)
                .all(|(one, other)| Arc::ptr_eq(one, other))
    }

    fn profile(&self, client: Option<&ClientPem>) -> Result<Profile, Failure> {
        let authorities: Vec<&str> =
            self.authorities.iter().map(|authority| authority.cert.as_str()).collect();
        let trust = match (self.verify, authorities.is_empty()) {
            (false, _) => Trust::Anyone,
            (true, true) => Trust::System,
            (true, false) => Trust::Authorities(&authorities),
        };
        let own = self.certificate.as_deref();
        let own = own.map(|own| (own.cert.as_str(), own.key.expose()));
        let settings = TlsSettings {
            trust,
            depth: usize::try_from(self.depth).unwrap_or(usize::MAX),
            client_certificate: own
                .or_else(|| client.map(|client| (client.chain.as_str(), client.key.as_str()))),
            protocols: if self.http2 { &[b"h2"] } else { &[] },
        };
        Profile::new(&settings).map_err(|error| Failure::Secure(error.to_string()))
    }
}
