//! From changes to the next snapshot.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use balancer::Upstream;
use model::{
    CaCertificate, Certificate, Change, Cursor, Key, KeySet, Kind, OAuth2Token, Plugin, Sni,
    Transaction, Vault,
};
use plugin::{Instance, Registry, Scope};
use uuid::Uuid;

use crate::chain::{Instances, Running};
use crate::live::LiveChange;
use crate::rejection::{Rejection, Rejections};
use crate::routing::Routing;
use crate::snapshot::Snapshot;
use crate::upstreams::Upstreams;

/// Makes snapshots out of changes. One owner, off the traffic threads; a change costs what it
/// touches, and what it leaves alone is shared with the snapshot before.
pub struct Builder {
    registry: &'static dyn Registry,
    /// The next snapshot in the making.
    next: Snapshot,
    known: HashSet<(Kind, Uuid)>,
    upstreams: Upstreams,
    routing: Routing,
    instances: Instances,
    plugins_changed: bool,
    rejections: Rejections,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The snapshot to serve from now on.
    pub snapshot: Arc<Snapshot>,
    /// All that is rejected as things stand.
    pub rejections: Vec<Rejection>,
    /// What has happened to live upstreams.
    pub upstreams: Vec<LiveChange>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("at", &self.next.at).finish_non_exhaustive()
    }
}

impl Builder {
    /// A builder of snapshots by the router's `rules`, with the plugins of `registry`. `seed` is
    /// random per node: see [`Upstream::new`].
    pub fn new(rules: router::Rules, registry: &'static dyn Registry, seed: u64) -> Builder {
        Builder {
            registry,
            next: Snapshot::empty(rules),
            known: HashSet::new(),
            upstreams: Upstreams::new(seed),
            routing: Routing::default(),
            instances: Instances::default(),
            plugins_changed: false,
            rejections: Rejections::default(),
        }
    }

    /// The snapshot as it stands.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.next.clone())
    }

    /// The live upstream of an upstream entity.
    pub fn upstream(&self, id: Uuid) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id)
    }

    /// Replaces everything. What is there before and after keeps its state.
    pub fn replace(&mut self, at: Cursor, entities: &[Change]) -> Applied {
        let stays: HashSet<(&Kind, Uuid)> = entities.iter().map(|e| (&e.kind, e.id)).collect();
        let gone: Vec<(Kind, Uuid)> =
            self.known.iter().filter(|(kind, id)| !stays.contains(&(kind, *id))).cloned().collect();
        for (kind, id) in gone {
            self.take(&Change { kind, id, body: None });
        }
        for entity in entities {
            self.take(entity);
        }
        self.settle(at)
    }

    /// Applies what follows, in order. What belongs to one call becomes visible at once.
    pub fn apply(&mut self, transactions: &[Transaction]) -> Applied {
        for change in transactions.iter().flat_map(|transaction| &transaction.changes) {
            self.take(change);
        }
        let epoch = self.next.at.epoch;
        let revision = transactions.last().map_or(self.next.at.revision, |last| last.revision);
        self.settle(Cursor { epoch, revision })
    }

    fn take(&mut self, change: &Change) {
        let key = (change.kind.clone(), change.id);
        let body = change.body.as_deref();
        if body.is_some() {
            self.known.insert(key);
        } else {
            self.known.remove(&key);
        }
        let outcome = self.dispatch(&change.kind, change.id, body);
        self.rejections.set(&change.kind, change.id, outcome);
    }

    fn dispatch(&mut self, kind: &Kind, id: Uuid, body: Option<&str>) -> Result<(), String> {
        if let Some(outcome) = self.routing.apply(kind, id, body) {
            return outcome;
        }
        if let Some(outcome) = self.upstreams.apply(kind, id, body) {
            return outcome;
        }
        if let Some(outcome) = self.next.directory.apply(kind, id, body) {
            return outcome;
        }
        if *kind == Plugin::KIND {
            return self.apply_plugin(id, body);
        }
        if *kind == Certificate::KIND {
            return self.apply_certificate(id, body);
        }
        if *kind == Sni::KIND {
            return self.apply_sni(id, body);
        }
        if *kind == CaCertificate::KIND {
            return self.apply_authority(id, body);
        }
        if UNUSED.contains(kind) || body.is_none() {
            return Ok(());
        }
        Err(format!("this version does not know {kind}"))
    }

    fn apply_plugin(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        self.plugins_changed = true;
        let Some(body) = body else {
            self.instances.remove(id);
            return Ok(());
        };
        let entity = match Plugin::from_body(body) {
            Ok(entity) => entity,
            Err(error) => {
                return Err(error.to_string());
            }
        };
        if !entity.enabled {
            self.instances.remove(id);
            return Ok(());
        }
        let scope = Scope {
            route: entity.route.as_ref().map(|reference| reference.id),
            service: entity.service.as_ref().map(|reference| reference.id),
            consumer: entity.consumer.as_ref().map(|reference| reference.id),
        };
        let previous = self.instances.get(id).and_then(|running| running.plugin.clone());
        let name: Arc<str> = entity.name.as_str().into();
        let built = match self.registry.position(&entity.name) {
            None => Err((0, format!("there is no plugin '{}' in this version", entity.name))),
            Some(place) => {
                let definition = &self.registry.definitions()[place];
                let config = &entity.config;
                let instance = Instance { id, scope, config, previous: previous.as_ref() };
                match (definition.build)(&instance) {
                    Ok(plugin) => Ok((place, definition.phases, plugin)),
                    Err(error) => Err((place, error.to_string())),
                }
            }
        };
        match built {
            Ok((place, phases, plugin)) => {
                let plugin = Some(plugin);
                self.instances.put(place, Running { id, name, scope, phases, plugin });
                Ok(())
            }
            Err((place, reason)) => {
                if previous.is_none() {
                    let phases = plugin::Phases { access: true, ..plugin::Phases::default() };
                    self.instances.put(place, Running { id, name, scope, phases, plugin: None });
                }
                Err(reason)
            }
        }
    }

    fn apply_certificate(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        match body.map(Certificate::from_body).transpose().map_err(|error| error.to_string())? {
            Some(certificate) => self.next.certificates.put(certificate),
            None => self.next.certificates.remove(id),
        }
        Ok(())
    }

    fn apply_sni(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        match body.map(Sni::from_body).transpose().map_err(|error| error.to_string())? {
            Some(sni) => self.next.certificates.put_name(&sni),
            None => self.next.certificates.remove_name(id),
        }
        Ok(())
    }

    fn apply_authority(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        match body.map(CaCertificate::from_body).transpose().map_err(|error| error.to_string())? {
            Some(authority) => self.next.authorities.insert(id, Arc::new(authority)),
            None => self.next.authorities.remove(&id),
        };
        Ok(())
    }

    /// Carries out what the changes taken in entail, in the order of who depends on whom.
    fn settle(&mut self, at: Cursor) -> Applied {
        let renamed = self.upstreams.settle();
        self.routing.settle(
            &mut self.next.routes,
            &mut self.upstreams,
            renamed,
            &mut self.rejections,
        );
        if std::mem::take(&mut self.plugins_changed) {
            self.next.plugins = self.instances.chains(|route| self.routing.service_of(route));
        }
        self.next.at = at;
        Applied {
            snapshot: Arc::new(self.next.clone()),
            rejections: self.rejections.list(),
            upstreams: self.upstreams.take_changes(),
        }
    }
}

/// Kinds that this version knows and that no request looks at.
const UNUSED: [Kind; 4] = [Key::KIND, KeySet::KIND, Vault::KIND, OAuth2Token::KIND];
