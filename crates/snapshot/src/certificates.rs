//! Certificates by the server names that they are presented for.

use std::sync::Arc;

use imbl::HashMap;
use model::{Certificate, Sni};
use uuid::Uuid;

use crate::map::ById;

/// Certificates and server names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    by_id: ById<Uuid, Arc<Certificate>>,
    /// Lower-case server name → the entity of that name.
    by_name: HashMap<Box<str>, Uuid>,
    /// Each entity's name and certificate.
    names: ById<Uuid, (Box<str>, Uuid)>,
    /// Grows with every change.
    pub(crate) version: u64,
}

impl Certificates {
    pub(crate) fn get(&self, id: Uuid) -> Option<&Arc<Certificate>> {
        self.by_id.get(&id)
    }

    /// Server names are compared without regard to case (RFC 6066 §3); Kong compares bytes.
    pub(crate) fn find(&self, server_name: &str) -> Option<&Arc<Certificate>> {
        let name = server_name.trim_end_matches('.').to_ascii_lowercase();
        let labels = name.split('.').count();
        let first_wild = name.split_once('.').filter(|_| labels >= 3);
        let last_wild = name.rsplit_once('.');
        self.named(&name)
            .or_else(|| first_wild.and_then(|(_, rest)| self.named(&format!("*.{rest}"))))
            .or_else(|| last_wild.and_then(|(rest, _)| self.named(&format!("{rest}.*"))))
            .or_else(|| self.named("*"))
    }

    fn named(&self, name: &str) -> Option<&Arc<Certificate>> {
        let (_, certificate) = self.names.get(self.by_name.get(name)?)?;
        self.by_id.get(certificate)
    }

    pub(crate) fn put(&mut self, certificate: Certificate) {
        self.version += 1;
        self.by_id.insert(certificate.id, Arc::new(certificate));
    }

    pub(crate) fn remove(&mut self, id: Uuid) {
        self.version += 1;
        self.by_id.remove(&id);
    }

    pub(crate) fn put_name(&mut self, sni: &Sni) {
        self.remove_name(sni.id);
        let name: Box<str> = sni.name.to_ascii_lowercase().into();
        self.names.insert(sni.id, (name.clone(), sni.certificate.id));
        self.by_name.insert(name, sni.id);
    }

    pub(crate) fn remove_name(&mut self, id: Uuid) {
        self.version += 1;
        // Another may have taken the name over before.
        if let Some((name, _)) = self.names.remove(&id)
            && self.by_name.get(&name) == Some(&id)
        {
            self.by_name.remove(&name);
        }
    }
}
