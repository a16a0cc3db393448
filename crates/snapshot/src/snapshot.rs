//! The value that requests are served from.

use std::sync::Arc;

use model::{CaCertificate, Certificate, Cursor};
use router::Table;
use uuid::Uuid;

use crate::certificates::Certificates;
use crate::chain::Chains;
use crate::directory::Directory;
use crate::entry::RouteEntry;
use crate::map::ById;

/// Everything that a data plane serves, at one revision. Never changes: a request loads one and
/// keeps it to its end. Cloning shares all of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The revision that it is.
    pub at: Cursor,
    /// The routes of services that are switched on, and routes without a service.
    pub routes: Table<Arc<RouteEntry>>,
    /// Which plugins run for which requests.
    pub plugins: Chains,
    /// Which plugins run for which stream sessions.
    pub stream_plugins: Chains,
    /// Consumers, their credentials and groups.
    pub directory: Directory,
    pub(crate) certificates: Certificates,
    pub(crate) authorities: ById<Uuid, Arc<CaCertificate>>,
}

impl Snapshot {
    /// What is served before anything is known: nothing.
    pub(crate) fn empty(rules: router::Rules) -> Snapshot {
        Snapshot {
            at: Cursor { epoch: Uuid::nil(), revision: 0 },
            routes: Table::new(rules),
            plugins: Chains::default(),
            stream_plugins: Chains::default(),
            directory: Directory::default(),
            certificates: Certificates::default(),
            authorities: ById::default(),
        }
    }

    /// A certificate by id.
    pub fn certificate(&self, id: Uuid) -> Option<&Arc<Certificate>> {
        self.certificates.get(id)
    }

    /// The certificate to present for a server name: the exact name, then `*.rest`, then
    /// `first.*`, then the name `*` (Kong, `kong/runloop/certificate.lua`).
    pub fn certificate_for(&self, server_name: &str) -> Option<&Arc<Certificate>> {
        self.certificates.find(server_name)
    }

    /// Changes whenever a certificate or server name does, so that what was made from them can be
    /// kept until then.
    pub fn certificates_version(&self) -> u64 {
        self.certificates.version
    }

    /// A CA certificate by id.
    pub fn ca_certificate(&self, id: Uuid) -> Option<&Arc<CaCertificate>> {
        self.authorities.get(&id)
    }
}
