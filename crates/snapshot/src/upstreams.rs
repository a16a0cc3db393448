//! Upstreams: the live ones of upstream entities, and those that consist of a service's own host.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use balancer::{Config, TargetChange, TargetSpec, Upstream};
use model::{Kind, Target};
use rustc_hash::FxBuildHasher;
use uuid::Uuid;

use crate::destination::{Destination, Follow, ImplicitUpstream};
use crate::live::LiveChange;
use crate::rejection::{Outcome, read};

/// All live upstreams. They keep their state (health, counters, position) through every change
/// that leaves them in place.
pub(crate) struct Upstreams {
    seed: u64,
    live: HashMap<Uuid, Arc<Upstream>>,
    by_name: HashMap<Box<str>, Uuid>,
    /// Those of the live ones that have no targets, since how to balance over them cannot be read.
    held: HashSet<Uuid>,
    targets: HashMap<Uuid, (Uuid, TargetSpec)>,
    of_upstream: HashMap<Uuid, BTreeSet<Uuid>>,
    implicit: HashMap<(Arc<str>, u16), Implicit>,
    /// Whoever looks after implicit upstreams.
    follow: Follow,
    /// Changes of targets since the last [`Upstreams::settle`], by upstream.
    pending: BTreeMap<Uuid, Vec<TargetChange>>,
    /// Names that came to mean something else since the last settling.
    renamed: BTreeSet<Box<str>>,
    changes: Vec<LiveChange>,
}

struct Implicit {
    upstream: Arc<ImplicitUpstream>,
    users: usize,
}

impl Upstreams {
    /// `seed` decides where turns begin: random per node.
    pub(crate) fn new(seed: u64) -> Upstreams {
        Upstreams {
            seed,
            live: HashMap::new(),
            by_name: HashMap::new(),
            held: HashSet::new(),
            targets: HashMap::new(),
            of_upstream: HashMap::new(),
            implicit: HashMap::new(),
            follow: Arc::new(|_| {}),
            pending: BTreeMap::new(),
            renamed: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// From now on `follow` hears of implicit upstreams.
    pub(crate) fn follow(&mut self, follow: Follow) {
        self.follow = follow;
    }

    /// Takes an upstream or target over, or away. `None` when the entity is of another kind.
    ///
    /// # Errors
    /// When the body is not what its kind declares; what was known before stays.
    pub(crate) fn apply(&mut self, kind: &Kind, id: Uuid, body: Option<&str>) -> Option<Outcome> {
        if *kind == model::Upstream::KIND {
            return Some(match read(body, model::Upstream::read) {
                Ok((None, unknown)) => {
                    self.remove(id);
                    Ok(unknown)
                }
                Ok((Some(upstream), unknown)) => {
                    let was_held = self.held.remove(&id);
                    self.put(&upstream);
                    if let Some(live) = self.live.get(&id).filter(|_| was_held) {
                        live.set_targets(&self.targets_of(id));
                        self.pending.remove(&id);
                    }
                    Ok(unknown)
                }
                Err(error) => {
                    self.hold_place(id, body.unwrap_or_default());
                    Err(error)
                }
            });
        }
        if *kind != Target::KIND {
            return None;
        }
        Some(read(body, Target::read).map(|(target, unknown)| {
            self.change_target(id, target.as_ref());
            unknown
        }))
    }

    /// An upstream that cannot be read and has no last good version still has its name: requests
    /// for it are answered with an error, and go to nobody else whose name that may be.
    fn hold_place(&mut self, id: Uuid, body: &str) {
        if self.live.contains_key(&id) {
            return;
        }
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let bare = serde_json::json!({ "id": id, "name": body.get("name") });
        if let Ok(upstream) = model::Upstream::from_body(&bare.to_string()) {
            self.held.insert(id);
            self.put(&upstream);
        }
    }

    fn put(&mut self, entity: &model::Upstream) {
        let config = Config::from(entity);
        let name: Box<str> = entity.name.as_str().into();
        match self.live.get(&entity.id).cloned() {
            Some(upstream) => {
                let former = Arc::clone(&upstream.config().name);
                upstream.configure(config);
                self.changes.push(LiveChange::Put(upstream));
                if *former == *name && self.by_name.get(&name) == Some(&entity.id) {
                    return;
                }
                self.forget_name(entity.id, &former);
            }
            None => {
                let upstream = Upstream::new(config, self.seed_of(entity.id));
                // Targets may have come before their upstream.
                upstream.set_targets(&self.targets_of(entity.id));
                self.pending.remove(&entity.id);
                self.changes.push(LiveChange::Put(Arc::clone(&upstream)));
                self.live.insert(entity.id, upstream);
            }
        }
        self.by_name.insert(name.clone(), entity.id);
        self.renamed.insert(name);
    }

    /// The targets that an upstream is to balance over.
    fn targets_of(&self, upstream: Uuid) -> Vec<TargetSpec> {
        let held = self.held.contains(&upstream);
        let known = self.of_upstream.get(&upstream).filter(|_| !held).into_iter().flatten();
        known.filter_map(|id| Some(self.targets.get(id)?.1.clone())).collect()
    }

    fn remove(&mut self, id: Uuid) {
        self.held.remove(&id);
        if let Some(upstream) = self.live.remove(&id) {
            self.forget_name(id, &upstream.config().name);
            self.changes.push(LiveChange::Removed(upstream));
        }
    }

    fn forget_name(&mut self, id: Uuid, name: &str) {
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
        self.renamed.insert(name.into());
    }

    fn change_target(&mut self, id: Uuid, target: Option<&Target>) {
        if let Some((upstream, _)) = self.targets.remove(&id) {
            if let Some(ids) = self.of_upstream.get_mut(&upstream) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.of_upstream.remove(&upstream);
                }
            }
            let stays = target.is_some_and(|target| target.upstream.id == upstream);
            if !stays {
                self.pending.entry(upstream).or_default().push(TargetChange::Remove(id));
            }
        }
        if let Some(target) = target {
            let spec = TargetSpec::from(target);
            let upstream = target.upstream.id;
            self.pending.entry(upstream).or_default().push(TargetChange::Put(spec.clone()));
            self.targets.insert(id, (upstream, spec));
            self.of_upstream.entry(upstream).or_default().insert(id);
        }
    }

    /// Carries the changes of targets out, and tells which names have come to mean something else.
    pub(crate) fn settle(&mut self) -> BTreeSet<Box<str>> {
        for (id, changes) in std::mem::take(&mut self.pending) {
            if let Some(upstream) = self.live.get(&id).filter(|_| !self.held.contains(&id)) {
                upstream.change_targets(&changes);
                self.changes.push(LiveChange::Put(Arc::clone(upstream)));
            }
        }
        std::mem::take(&mut self.renamed)
    }

    /// Where a service with this host and port sends its requests. An implicit upstream counts
    /// its users: whoever takes one gives it back by [`Upstreams::release`].
    pub(crate) fn destination(&mut self, host: &str, port: u16) -> Destination {
        let named = self.by_name.get(host).and_then(|id| self.live.get(id));
        if let Some(upstream) = named {
            return Destination::Entity(Arc::clone(upstream));
        }
        let host: Arc<str> = host.into();
        let implicit = self.implicit.entry((Arc::clone(&host), port)).or_insert_with(|| {
            let follow = Arc::clone(&self.follow);
            let upstream = Arc::new(ImplicitUpstream::new(host, port, self.seed, follow));
            Implicit { upstream, users: 0 }
        });
        implicit.users += 1;
        Destination::Host(Arc::clone(&implicit.upstream))
    }

    /// Gives back what [`Upstreams::destination`] gave for this host and port.
    pub(crate) fn release(&mut self, host: &str, port: u16, destination: &Destination) {
        let Destination::Host(upstream) = destination else { return };
        let key = (Arc::from(host), port);
        let Some(implicit) = self.implicit.get_mut(&key) else { return };
        if !Arc::ptr_eq(&implicit.upstream, upstream) {
            return;
        }
        implicit.users -= 1;
        if implicit.users == 0 {
            self.implicit.remove(&key);
        }
    }

    /// What has happened to upstream entities since the last call, at most one change for each.
    pub(crate) fn take_changes(&mut self) -> Vec<LiveChange> {
        let mut last: BTreeMap<Uuid, LiveChange> = BTreeMap::new();
        for change in std::mem::take(&mut self.changes) {
            last.insert(change.upstream().id(), change);
        }
        last.into_values().collect()
    }

    fn seed_of(&self, id: Uuid) -> u64 {
        self.seed ^ hash(id)
    }
}

/// Spreads a seed over upstreams.
pub(crate) fn hash(id: Uuid) -> u64 {
    FxBuildHasher.hash_one(id)
}
