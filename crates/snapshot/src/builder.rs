//! From changes to the next snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use model::{
    CaCertificate, Certificate, Change, Cursor, Key, KeySet, Kind, OAuth2Token, Plugin, Protocol,
    RevokedCertificate, Route, Sni, TargetHealth, Transaction, Unknown, Vault,
};
use plugin::{Instance, Node, Phases, Registry, Scope};
use rustc_hash::FxBuildHasher;
use schema::Nothing;
use uuid::Uuid;

use crate::chain::{Place, Running};
use crate::destination::Follow;
use crate::instances::Instances;
use crate::live::LiveChange;
use crate::rejection::{Outcome, Rejection, Rejections, only_whole, read};
use crate::routing::Routing;
use crate::secrets::{self, Environment, Secrets};
use crate::snapshot::Snapshot;
use crate::upstreams::Upstreams;

/// Makes snapshots out of changes. One owner, off the traffic threads; a change costs what it
/// touches, and what it leaves alone is shared with the snapshot before.
pub struct Builder {
    registry: &'static dyn Registry,
    /// What plugins run on.
    node: Node,
    /// The next snapshot in the making.
    next: Snapshot,
    /// The bodies that were taken in, rejected ones included.
    known: HashMap<Kind, HashMap<Uuid, Arc<str>>>,
    upstreams: Upstreams,
    routing: Routing,
    instances: Instances,
    stream_instances: Instances,
    /// The names of plugins that entities have and this version has not, in the order of their
    /// coming.
    missing: Vec<Arc<str>>,
    rejections: Rejections,
    secrets: Secrets,
    /// Entities that refer to secrets, and the hash of what they are with them.
    referring: BTreeMap<(Kind, Uuid), Option<u64>>,
    /// Those of them that are to be resolved, once all vaults are known.
    unresolved: BTreeSet<(Kind, Uuid)>,
}

/// What came of a change.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The snapshot to serve from now on.
    pub snapshot: Arc<Snapshot>,
    /// All that is rejected as things stand.
    pub rejections: Vec<Rejection>,
    /// What has happened to the upstreams of upstream entities.
    pub upstreams: Vec<LiveChange>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("at", &self.next.at).finish_non_exhaustive()
    }
}

impl Builder {
    /// A builder of snapshots by the router's `rules`, with the plugins of `registry`, which run
    /// on `node`. `seed` is random per node: see [`Upstream::new`].
    pub fn new(
        rules: router::Rules,
        registry: &'static dyn Registry,
        node: Node,
        seed: u64,
    ) -> Builder {
        Builder {
            registry,
            node,
            next: Snapshot::empty(rules),
            known: HashMap::new(),
            upstreams: Upstreams::new(seed),
            routing: Routing::default(),
            instances: Instances::default(),
            stream_instances: Instances::default(),
            missing: Vec::new(),
            rejections: Rejections::default(),
            secrets: Secrets::new(Arc::new(|_| None)),
            referring: BTreeMap::new(),
            unresolved: BTreeSet::new(),
        }
    }

    /// The snapshot as it stands.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.next.clone())
    }

    /// From now on references to secrets are looked up in this environment. Without it there is
    /// none.
    pub fn look_up_in(&mut self, environment: Environment) {
        self.secrets = Secrets::new(environment);
    }

    /// From now on `follow` hears of upstreams that consist of a service's host; those of upstream
    /// entities are in [`Applied::upstreams`].
    pub fn follow(&mut self, follow: Follow) {
        self.upstreams.follow(follow);
    }

    /// Replaces everything. What is there before and after keeps its state, and costs nothing if
    /// it is the same.
    pub fn replace(&mut self, at: Cursor, entities: &[Change]) -> Applied {
        let stays: HashSet<(&Kind, Uuid)> = entities.iter().map(|e| (&e.kind, e.id)).collect();
        let known = self.known.iter().flat_map(|(kind, ids)| ids.keys().map(move |id| (kind, *id)));
        let gone: Vec<Change> = known
            .filter(|entity| !stays.contains(entity))
            .map(|(kind, id)| Change { kind: kind.clone(), id, body: None })
            .collect();
        for change in gone.iter().chain(entities) {
            self.take(change);
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
        let (kind, id) = (&change.kind, change.id);
        if !self.known.contains_key(kind) {
            self.known.insert(kind.clone(), HashMap::new());
        }
        let Some(known) = self.known.get_mut(kind) else { return };
        let former = match &change.body {
            Some(body) => known.insert(id, Arc::clone(body)),
            None => known.remove(&id),
        };
        // What was rejected is tried again: something else may have changed.
        if former == change.body && !self.rejections.contains(kind, id) {
            return;
        }
        if change.body.as_deref().is_some_and(|body| body.contains(secrets::MARK)) {
            let entity = (kind.clone(), id);
            self.referring.entry(entity.clone()).or_default();
            self.unresolved.insert(entity);
            return;
        }
        if !self.referring.is_empty() {
            self.referring.remove(&(kind.clone(), id));
            self.unresolved.remove(&(kind.clone(), id));
        }
        let outcome = self.dispatch(kind, id, change.body.as_deref());
        self.rejections.set(kind, id, outcome);
    }

    /// Takes in what refers to secrets, with the secrets.
    fn resolve(&mut self) {
        for (kind, id) in std::mem::take(&mut self.unresolved) {
            let known = self.known.get(&kind).and_then(|ids| ids.get(&id)).cloned();
            let Some(body) = known else { continue };
            let resolved = self.secrets.resolve(self.registry, &kind, id, &body);
            let taken = resolved.as_ref().map_or(&*body, |resolved| &resolved.body);
            let hash = FxBuildHasher.hash_one(taken);
            let Some(former) = self.referring.get_mut(&(kind.clone(), id)) else { continue };
            if former.replace(hash) == Some(hash) && !self.rejections.contains(&kind, id) {
                continue;
            }
            let outcome = self.dispatch(&kind, id, Some(taken)).map_err(|reason| match &resolved {
                Some(resolved) => resolved.redact(reason),
                None => reason,
            });
            self.rejections.set(&kind, id, outcome);
        }
    }

    fn dispatch(&mut self, kind: &Kind, id: Uuid, body: Option<&str>) -> Outcome {
        if let Some(outcome) = self.routing.apply(kind, id, body) {
            if *kind == Route::KIND {
                self.instances.route_changed(id);
                self.stream_instances.route_changed(id);
            }
            return outcome;
        }
        if let Some(outcome) = self.upstreams.apply(kind, id, body) {
            return outcome;
        }
        if let Some(outcome) = self.next.directory.apply(kind, id, body) {
            return outcome;
        }
        if *kind == Plugin::KIND {
            return self.apply_plugin(id, body).map(|()| Unknown::default());
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
        if *kind == Vault::KIND {
            self.unresolved.extend(self.referring.keys().cloned());
            return self.secrets.apply(id, body);
        }
        if UNUSED.contains(kind) || body.is_none() {
            return Ok(Unknown::default());
        }
        Err(format!("this version does not know {kind}"))
    }

    fn apply_plugin(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        let Some(body) = body else {
            self.remove_plugin(id);
            return Ok(());
        };
        let (entity, unknown) = match Plugin::read(body) {
            Ok(read) => read,
            Err(error) => {
                self.guard(id, guarded_by(body));
                return Err(error.to_string());
            }
        };
        if !entity.enabled {
            self.remove_plugin(id);
            return Ok(());
        }
        let traffic = Traffic::of(entity.protocols.iter().copied());
        let scope = Scope {
            route: entity.route.map(|reference| reference.id),
            service: entity.service.map(|reference| reference.id),
            consumer: entity.consumer.map(|reference| reference.id),
        };
        let found = self
            .registry
            .position(&entity.name)
            .and_then(|place| Some((place, self.registry.definitions().get(place)?)));
        let Some((position, definition)) = found else {
            let reason = format!("there is no plugin '{}' in this version", entity.name);
            self.guard(id, Some((entity.name.into(), scope, traffic)));
            return Err(reason);
        };
        let previous = self.running_plugin(id).and_then(|running| running.plugin.clone());
        let (previous, node) = (previous.as_ref(), &self.node);
        // An older version stored it without the fields that were added since.
        let mut config = entity.config;
        definition.listing.config.complete(&mut config, &Nothing);
        let config = &config;
        // A scope, a condition or a limit that is left out would let through what it should not.
        let built = only_whole(unknown)
            .and_then(|()| match definition.listing.schema.get_path("config") {
                Some(declared) => only_whole(Unknown::of_config(declared, config)),
                None => Ok(()),
            })
            .and_then(|()| {
                let instance = Instance { id, scope, config, previous, node };
                (definition.build)(&instance).map_err(|error| error.to_string())
            });
        match built {
            Ok(plugin) => {
                let (name, phases) = (entity.name.into(), definition.phases);
                let running = Running { id, name, scope, phases, plugin: Some(plugin) };
                self.put_plugin(Place::known(position), running, traffic);
                Ok(())
            }
            Err(reason) => {
                self.guard(id, Some((entity.name.into(), scope, traffic)));
                Err(reason)
            }
        }
    }

    /// An instance that cannot run is never passed over: without a last good version, what it is
    /// for is answered with an error.
    fn guard(&mut self, id: Uuid, guarded: Option<(Arc<str>, Scope, Traffic)>) {
        let last_good = self.running_plugin(id).is_some_and(|running| running.plugin.is_some());
        let Some((name, scope, traffic)) = guarded.filter(|_| !last_good) else { return };
        let place = match self.registry.position(&name) {
            Some(position) => Place::known(position),
            None => Place::missing(self.nth_missing(&name), &scope),
        };
        let phases = Phases { preread: true, access: true, ..Phases::default() };
        self.put_plugin(place, Running { id, name, scope, phases, plugin: None }, traffic);
    }

    /// Which of the plugins that this version does not have this one is.
    fn nth_missing(&mut self, name: &Arc<str>) -> usize {
        self.missing.iter().position(|known| known == name).unwrap_or_else(|| {
            self.missing.push(Arc::clone(name));
            self.missing.len() - 1
        })
    }

    fn running_plugin(&self, id: Uuid) -> Option<&Arc<Running>> {
        self.instances.get(id).or_else(|| self.stream_instances.get(id))
    }

    fn put_plugin(&mut self, place: Place, running: Running, traffic: Traffic) {
        self.remove_plugin(running.id);
        if traffic.streams {
            self.stream_instances.put(place, running.clone());
        }
        if traffic.requests {
            self.instances.put(place, running);
        }
    }

    fn remove_plugin(&mut self, id: Uuid) {
        self.instances.remove(id);
        self.stream_instances.remove(id);
    }

    fn apply_certificate(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (next, unknown) = read(body, Certificate::read)?;
        match next {
            Some(certificate) => self.next.certificates.put(certificate),
            None => self.next.certificates.remove(id),
        }
        Ok(unknown)
    }

    fn apply_sni(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (next, unknown) = read(body, Sni::read)?;
        match next {
            Some(sni) => self.next.certificates.put_name(&sni),
            None => self.next.certificates.remove_name(id),
        }
        Ok(unknown)
    }

    fn apply_authority(&mut self, id: Uuid, body: Option<&str>) -> Outcome {
        let (next, unknown) = read(body, CaCertificate::read)?;
        match next {
            Some(authority) => self.next.authorities.insert(id, Arc::new(authority)),
            None => self.next.authorities.remove(&id),
        };
        Ok(unknown)
    }

    /// Carries out what the changes taken in entail, in the order of who depends on whom.
    fn settle(&mut self, at: Cursor) -> Applied {
        self.resolve();
        let renamed = self.upstreams.settle();
        self.routing.settle(
            &mut self.next.routes,
            &mut self.upstreams,
            renamed,
            &mut self.rejections,
        );
        self.instances.refresh(&mut self.next.plugins, &self.routing);
        self.stream_instances.refresh(&mut self.next.stream_plugins, &self.routing);
        self.next.at = at;
        Applied {
            snapshot: Arc::new(self.next.clone()),
            rejections: self.rejections.list(),
            upstreams: self.upstreams.take_changes(),
        }
    }
}

/// What a plugin is for, by its `protocols`.
#[derive(Clone, Copy)]
struct Traffic {
    requests: bool,
    streams: bool,
}

impl Traffic {
    fn of(protocols: impl IntoIterator<Item = Protocol>) -> Traffic {
        use Protocol::{Tcp, Tls, TlsPassthrough, Udp};
        let (streams, requests): (Vec<_>, Vec<_>) =
            protocols.into_iter().partition(|one| matches!(one, Tcp | Tls | TlsPassthrough | Udp));
        // Without any it is for requests, which is every plugin's default.
        let streams = !streams.is_empty();
        Traffic { requests: !streams || !requests.is_empty(), streams }
    }
}

/// What a plugin is for whose body cannot be read as a whole: its name and scope, unless it is
/// switched off or not even those can be read.
fn guarded_by(body: &str) -> Option<(Arc<str>, Scope, Traffic)> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    if body.get("enabled") == Some(&serde_json::Value::Bool(false)) {
        return None;
    }
    let reference = |field: &str| {
        let id = body.get(field)?.get("id")?.as_str()?;
        Uuid::try_parse(id).ok()
    };
    let scope = Scope {
        route: reference("route"),
        service: reference("service"),
        consumer: reference("consumer"),
    };
    let protocols = body.get("protocols").and_then(|list| list.as_array());
    let protocols = protocols.into_iter().flatten();
    let protocols = protocols.filter_map(|name| serde_json::from_value(name.clone()).ok());
    Some((body.get("name")?.as_str()?.into(), scope, Traffic::of(protocols)))
}

/// Kinds that this version knows and that no snapshot is made of. The health that was set by hand
/// is the live upstreams' business, revoked certificates are the control planes'.
const UNUSED: [Kind; 5] =
    [Key::KIND, KeySet::KIND, RevokedCertificate::KIND, TargetHealth::KIND, OAuth2Token::KIND];
