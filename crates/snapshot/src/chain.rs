//! Which plugin instances run for a request, in order, decided when the configuration changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use imbl::HashMap;
use plugin::{Phases, Plugin, Scope};
use uuid::Uuid;

/// A configured plugin, ready to run.
#[derive(Clone)]
pub struct Running {
    /// The entity.
    pub id: Uuid,
    /// Its plugin's name.
    pub name: Arc<str>,
    /// What it is scoped to.
    pub scope: Scope,
    /// The phases that it takes part in.
    pub phases: Phases,
    /// The instance; `None` when it could not be built and has no last good version: then what it
    /// guards answers an error.
    pub plugin: Option<Arc<dyn Plugin>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("id", &self.id).field("name", &self.name).finish()
    }
}

/// One plugin's place in a chain: at most one of its instances runs for a request.
#[derive(Clone, Debug)]
pub struct Slot {
    /// For requests of these consumers.
    pub by_consumer: BTreeMap<Uuid, Arc<Running>>,
    /// For all others.
    pub otherwise: Option<Arc<Running>>,
}

impl Slot {
    /// The instance that runs, given who asks.
    pub fn for_consumer(&self, consumer: Option<Uuid>) -> Option<&Arc<Running>> {
        consumer.and_then(|id| self.by_consumer.get(&id)).or(self.otherwise.as_ref())
    }
}

/// The plugins that may run for the requests of a route, highest priority first.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// One slot per plugin.
    pub slots: Vec<Slot>,
}

/// All chains. Most routes have no plugin of their own and share a chain, so a chain is looked up
/// by what has plugins of its own, and costs nothing where nothing has.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    by_route: HashMap<Uuid, Arc<Chain>>,
    by_service: HashMap<Uuid, Arc<Chain>>,
    /// For routes and services without plugins of their own.
    global: Arc<Chain>,
    /// Only unscoped instances: what runs before routing, and when no route matched.
    unscoped: Arc<Chain>,
}

impl Chains {
    /// The chain of a route with its service.
    pub fn chain(&self, route: Uuid, service: Option<Uuid>) -> &Arc<Chain> {
        if !self.by_route.is_empty()
            && let Some(chain) = self.by_route.get(&route)
        {
            return chain;
        }
        if !self.by_service.is_empty()
            && let Some(chain) = service.and_then(|id| self.by_service.get(&id))
        {
            return chain;
        }
        &self.global
    }

    /// What runs before routing, and in the last phases of requests that no route matched.
    pub fn unscoped(&self) -> &Arc<Chain> {
        &self.unscoped
    }
}

/// The instances, from which the chains are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instances {
    /// Ordered by the plugin's place in the list, so that a chain is made in running order.
    by_plugin: BTreeMap<usize, BTreeMap<Uuid, Arc<Running>>>,
    places: BTreeMap<Uuid, usize>,
}

impl Instances {
    pub(crate) fn get(&self, id: Uuid) -> Option<&Arc<Running>> {
        self.by_plugin.get(self.places.get(&id)?)?.get(&id)
    }

    pub(crate) fn put(&mut self, place: usize, running: Running) {
        self.remove(running.id);
        self.places.insert(running.id, place);
        self.by_plugin.entry(place).or_default().insert(running.id, Arc::new(running));
    }

    pub(crate) fn remove(&mut self, id: Uuid) {
        if let Some(place) = self.places.remove(&id)
            && let Some(instances) = self.by_plugin.get_mut(&place)
        {
            instances.remove(&id);
            if instances.is_empty() {
                self.by_plugin.remove(&place);
            }
        }
    }

    /// Makes all chains anew: costs what is configured of plugins, not of routes.
    pub(crate) fn chains(&self, service_of: impl Fn(Uuid) -> Option<Uuid>) -> Chains {
        let scopes = || self.by_plugin.values().flat_map(BTreeMap::values).map(|each| each.scope);
        let routes: BTreeSet<Uuid> = scopes().filter_map(|scope| scope.route).collect();
        let services: BTreeSet<Uuid> = scopes().filter_map(|scope| scope.service).collect();
        let of_route = |id: Uuid| (id, Arc::new(self.chain(Some(id), service_of(id))));
        let of_service = |id: Uuid| (id, Arc::new(self.chain(None, Some(id))));
        Chains {
            by_route: routes.into_iter().map(of_route).collect(),
            by_service: services.into_iter().map(of_service).collect(),
            global: Arc::new(self.chain(None, None)),
            unscoped: Arc::new(self.unscoped()),
        }
    }

    fn chain(&self, route: Option<Uuid>, service: Option<Uuid>) -> Chain {
        let slots = self.by_plugin.values().filter_map(|instances| slot(instances, route, service));
        Chain { slots: slots.collect() }
    }

    fn unscoped(&self) -> Chain {
        let global = |instances: &BTreeMap<Uuid, Arc<Running>>| {
            let running = instances.values().find(|each| each.scope == Scope::default())?;
            Some(Slot { by_consumer: BTreeMap::new(), otherwise: Some(Arc::clone(running)) })
        };
        Chain { slots: self.by_plugin.values().filter_map(global).collect() }
    }
}

/// Which instance of one plugin runs for whom. The most specific scope wins, by Kong's order:
/// route+service+consumer, route+consumer, service+consumer, route+service, consumer, route,
/// service, global (`kong/runloop/plugins_iterator.lua`).
fn slot(
    instances: &BTreeMap<Uuid, Arc<Running>>,
    route: Option<Uuid>,
    service: Option<Uuid>,
) -> Option<Slot> {
    let fits = |scope: &Scope| {
        scope.route.is_none_or(|id| Some(id) == route)
            && scope.service.is_none_or(|id| Some(id) == service)
    };
    let applying: Vec<&Arc<Running>> =
        instances.values().filter(|each| fits(&each.scope)).collect();
    let consumers: BTreeSet<Uuid> = applying.iter().filter_map(|e| e.scope.consumer).collect();
    let best = |consumer: Option<Uuid>| {
        applying
            .iter()
            .filter(|each| each.scope.consumer.is_none_or(|id| Some(id) == consumer))
            .max_by_key(|each| specificity(&each.scope))
            .map(|each| Arc::clone(each))
    };
    let by_consumer: BTreeMap<Uuid, Arc<Running>> =
        consumers.into_iter().filter_map(|id| Some((id, best(Some(id))?))).collect();
    let otherwise = best(None);
    (otherwise.is_some() || !by_consumer.is_empty()).then_some(Slot { by_consumer, otherwise })
}

/// Higher wins.
fn specificity(scope: &Scope) -> u8 {
    match (scope.route.is_some(), scope.service.is_some(), scope.consumer.is_some()) {
        (true, true, true) => 7,
        (true, false, true) => 6,
        (false, true, true) => 5,
        (true, true, false) => 4,
        (false, false, true) => 3,
        (true, false, false) => 2,
        (false, true, false) => 1,
        (false, false, false) => 0,
    }
}
