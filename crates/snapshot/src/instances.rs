//! Plugin instances by what they are for, and the chains made of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use plugin::Scope;
use uuid::Uuid;

use crate::chain::{Chain, Chains, Place, Running, Slot};

/// The instances, from which the chains are made.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    by_id: HashMap<Uuid, (Place, Arc<Running>)>,
    /// Those that are not for a consumer alone: by route and service, then by the plugin's place
    /// in the list, so that a chain is made in running order.
    by_target: HashMap<Target, BTreeMap<Place, ByInstance>>,
    /// Those that are for a consumer alone: by the plugin's place and the consumer.
    of_consumer: BTreeMap<(Place, Uuid), ByInstance>,
    /// The targets that name a route, by it.
    of_route: HashMap<Uuid, BTreeSet<Target>>,
    stale: Stale,
}

/// Instances by their own id. Only while changes come in can several be for the same.
type ByInstance = BTreeMap<Uuid, Arc<Running>>;

/// The route and the service that an instance is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Target {
    route: Option<Uuid>,
    service: Option<Uuid>,
}

/// Which chains have to be made anew.
#[derive(Debug, Default)]
struct Stale {
    all: bool,
    routes: BTreeSet<Uuid>,
    services: BTreeSet<Uuid>,
    /// Instances for a consumer alone.
    consumers: BTreeSet<(Place, Uuid)>,
}

/// Who belongs to whom, as far as chains depend on it.
pub(crate) trait Relations {
    /// The service of a route.
    fn service_of(&self, route: Uuid) -> Option<Uuid>;

    /// The routes of a service.
    fn routes_of(&self, service: Uuid) -> impl Iterator<Item = Uuid>;
}

impl Instances {
    pub(crate) fn get(&self, id: Uuid) -> Option<&Arc<Running>> {
        self.by_id.get(&id).map(|(_, running)| running)
    }

    pub(crate) fn put(&mut self, place: Place, running: Running) {
        self.remove(running.id);
        let (id, scope, running) = (running.id, running.scope, Arc::new(running));
        self.by_id.insert(id, (place, Arc::clone(&running)));
        if let Some(consumer) = alone(&scope) {
            self.of_consumer.entry((place, consumer)).or_default().insert(id, running);
        } else {
            let target = Target::of(&scope);
            if let Some(route) = scope.route {
                self.of_route.entry(route).or_default().insert(target);
            }
            let places = self.by_target.entry(target).or_default();
            places.entry(place).or_default().insert(id, running);
        }
        self.outdate(place, &scope);
    }

    pub(crate) fn remove(&mut self, id: Uuid) {
        let Some((place, running)) = self.by_id.remove(&id) else { return };
        let scope = running.scope;
        if let Some(consumer) = alone(&scope) {
            take(&mut self.of_consumer, &(place, consumer), id);
        } else {
            let target = Target::of(&scope);
            if let Some(places) = self.by_target.get_mut(&target) {
                take(places, &place, id);
                if places.is_empty() {
                    self.by_target.remove(&target);
                    leave(&mut self.of_route, scope.route, &target);
                }
            }
        }
        self.outdate(place, &scope);
    }

    /// A route has come, gone, or changed its service.
    pub(crate) fn route_changed(&mut self, route: Uuid) {
        if self.of_route.contains_key(&route) {
            self.stale.routes.insert(route);
        }
    }

    /// Notes which chains an instance of this scope is or was in.
    fn outdate(&mut self, place: Place, scope: &Scope) {
        match (scope.route, scope.service, scope.consumer) {
            (None, None, None) => self.stale.all = true,
            (None, None, Some(consumer)) => {
                self.stale.consumers.insert((place, consumer));
                // The first and the last make and unmake the plugin's slot in every chain.
                let at_most_one = self.consumers_of(place).nth(1).is_none();
                self.stale.all |= at_most_one;
            }
            (None, Some(service), _) => {
                self.stale.services.insert(service);
            }
            (Some(route), _, _) => {
                self.stale.routes.insert(route);
            }
        }
    }

    /// Makes the chains anew that are out of date. Costs what they hold.
    pub(crate) fn refresh(&mut self, chains: &mut Chains, relations: &impl Relations) {
        let stale = std::mem::take(&mut self.stale);
        for (place, consumer) in stale.consumers {
            match self.for_consumer(place, consumer) {
                Some(running) => chains.of_consumers.insert((place, consumer), running),
                None => chains.of_consumers.remove(&(place, consumer)),
            };
        }
        let mut routes = stale.routes;
        let mut services = stale.services;
        if stale.all {
            chains.global = Arc::new(self.chain(None, None));
            chains.unscoped = Arc::new(self.unscoped());
            routes.extend(chains.by_route.keys());
            services.extend(chains.by_service.keys());
        }
        for service in services {
            let own = self.by_target.contains_key(&Target { route: None, service: Some(service) });
            let chain = own.then(|| Arc::new(self.chain(None, Some(service))));
            match chain {
                Some(chain) => chains.by_service.insert(service, chain),
                None => chains.by_service.remove(&service),
            };
            routes.extend(relations.routes_of(service).filter(|r| self.of_route.contains_key(r)));
        }
        for route in routes {
            let own = self.of_route.contains_key(&route);
            let chain = own.then(|| Arc::new(self.chain(Some(route), relations.service_of(route))));
            match chain {
                Some(chain) => chains.by_route.insert(route, chain),
                None => chains.by_route.remove(&route),
            };
        }
    }

    fn for_consumer(&self, place: Place, consumer: Uuid) -> Option<Arc<Running>> {
        self.of_consumer.get(&(place, consumer))?.values().next().cloned()
    }

    /// The consumers that have an instance of a plugin to themselves.
    fn consumers_of(&self, place: Place) -> impl Iterator<Item = Uuid> {
        let of_place = (place, Uuid::nil())..=(place, Uuid::max());
        self.of_consumer.range(of_place).map(|((_, consumer), _)| *consumer)
    }

    /// The plugins of which consumers have instances to themselves.
    fn places_of_consumers(&self) -> impl Iterator<Item = Place> {
        let mut next = self.of_consumer.keys().next().map(|(place, _)| *place);
        std::iter::from_fn(move || {
            let place = next?;
            let behind = (Bound::Excluded((place, Uuid::max())), Bound::Unbounded);
            next = self.of_consumer.range(behind).next().map(|((place, _), _)| *place);
            Some(place)
        })
    }

    fn chain(&self, route: Option<Uuid>, service: Option<Uuid>) -> Chain {
        let targets = BTreeSet::from([
            Target::default(),
            Target { route, service: None },
            Target { route: None, service },
            Target { route, service },
        ]);
        let groups: Vec<_> = targets.iter().filter_map(|t| self.by_target.get(t)).collect();
        let own = groups.iter().flat_map(|g| g.keys().copied());
        let places: BTreeSet<Place> = own.chain(self.places_of_consumers()).collect();
        let slot = |place| {
            let instances =
                groups.iter().filter_map(|g| g.get(&place)).flat_map(ByInstance::values);
            Slot::new(place, instances)
        };
        Chain { slots: places.into_iter().map(slot).collect() }
    }

    fn unscoped(&self) -> Chain {
        let places = self.by_target.get(&Target::default()).into_iter().flatten();
        let slots = places.filter_map(|(place, instances)| {
            let global = instances.values().next()?;
            Some(Slot::new(*place, std::iter::once(global)))
        });
        Chain { slots: slots.collect() }
    }
}

impl Target {
    fn of(scope: &Scope) -> Target {
        Target { route: scope.route, service: scope.service }
    }
}

/// The consumer that an instance is for and nothing else.
fn alone(scope: &Scope) -> Option<Uuid> {
    scope.consumer.filter(|_| scope.route.is_none() && scope.service.is_none())
}

/// Takes an instance out of those under a key, and the key away with the last.
fn take<K: Ord>(groups: &mut BTreeMap<K, ByInstance>, key: &K, id: Uuid) {
    if let Some(instances) = groups.get_mut(key) {
        instances.remove(&id);
        if instances.is_empty() {
            groups.remove(key);
        }
    }
}

/// Takes a target out of the set of what it names, and the set away with the last.
fn leave(sets: &mut HashMap<Uuid, BTreeSet<Target>>, id: Option<Uuid>, target: &Target) {
    let Some(id) = id else { return };
    if let Some(set) = sets.get_mut(&id) {
        set.remove(target);
        if set.is_empty() {
            sets.remove(&id);
        }
    }
}
