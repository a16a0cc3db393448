//! Which plugin instances run for a request, in order, decided when the configuration changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plugin::{Phases, Plugin, Scope};
use uuid::Uuid;

use crate::map::ById;

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

/// A plugin's turn among all: lower runs first. At most one instance of each place runs for a
/// request, so plugins never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(i64);

impl Place {
    /// The place of a plugin that the registry has there.
    pub(crate) fn known(position: usize) -> Place {
        // No list is that long.
        Place(i64::try_from(position).unwrap_or(Place::LAST))
    }

    /// The place of a plugin that this version does not have, the nth of those: before all others,
    /// so that none of them answers instead. Who asks is not known there, so instances that are
    /// for a consumer stand behind all others.
    pub(crate) fn missing(nth: usize, scope: &Scope) -> Place {
        let nth = i64::try_from(nth).unwrap_or(Place::LAST);
        Place(if scope.consumer.is_some() { Place::LAST + nth } else { -1 - nth })
    }

    /// Behind all plugins of any registry.
    const LAST: i64 = 1 << 32;
}

/// The plugins that may run for the requests of a route, highest priority first.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// One slot per plugin: at most one instance of each runs for a request
    /// ([`Chains::running`]).
    pub slots: Vec<Slot>,
}

/// One plugin's place in a chain.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Which plugin.
    place: Place,
    /// For requests of these consumers on this route, of this service, or both.
    by_consumer: BTreeMap<Uuid, Arc<Running>>,
    /// For this route and this service.
    of_both: Option<Arc<Running>>,
    /// For this route, else for this service, else for all.
    otherwise: Option<Arc<Running>>,
}

/// All chains. Most routes have no plugin of their own and share a chain, so a chain is looked up
/// by what has plugins of its own, and costs nothing where nothing has.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    pub(crate) by_route: ById<Uuid, Arc<Chain>>,
    pub(crate) by_service: ById<Uuid, Arc<Chain>>,
    /// For routes and services without plugins of their own.
    pub(crate) global: Arc<Chain>,
    /// Only unscoped instances: what runs before routing, and when no route matched.
    pub(crate) unscoped: Arc<Chain>,
    /// Instances that are for a consumer on whatever route, by the plugin's place. Apart from the
    /// slots, so that a change of one does not touch every chain.
    pub(crate) of_consumers: ById<(Place, Uuid), Arc<Running>>,
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

    /// The instance of a slot that runs, given who asks. The most specific scope wins, by Kong's
    /// order: route+service+consumer, route+consumer, service+consumer, route+service, consumer,
    /// route, service, global (`kong/runloop/plugins_iterator.lua`).
    pub fn running<'a>(
        &'a self,
        slot: &'a Slot,
        consumer: Option<Uuid>,
    ) -> Option<&'a Arc<Running>> {
        consumer
            .and_then(|id| slot.by_consumer.get(&id))
            .or(slot.of_both.as_ref())
            .or_else(|| consumer.and_then(|id| self.of_consumers.get(&(slot.place, id))))
            .or(slot.otherwise.as_ref())
    }
}

impl Slot {
    /// A slot of the plugin at this place, of the instances that are for a route, its service,
    /// both, or all; those for a consumer alone are not in slots.
    pub(crate) fn new<'a>(place: Place, instances: impl Iterator<Item = &'a Arc<Running>>) -> Slot {
        let mut slot = Slot { place, by_consumer: BTreeMap::new(), of_both: None, otherwise: None };
        for instance in instances {
            let Scope { route, service, consumer } = instance.scope;
            match (route, service, consumer) {
                (_, _, Some(consumer)) => {
                    let present = slot.by_consumer.get(&consumer);
                    if present.is_none_or(|p| specificity(&p.scope) < specificity(&instance.scope))
                    {
                        slot.by_consumer.insert(consumer, Arc::clone(instance));
                    }
                }
                (Some(_), Some(_), None) => slot.of_both = Some(Arc::clone(instance)),
                (_, _, None) => {
                    let present = slot.otherwise.as_ref();
                    if present.is_none_or(|p| specificity(&p.scope) < specificity(&instance.scope))
                    {
                        slot.otherwise = Some(Arc::clone(instance));
                    }
                }
            }
        }
        slot
    }
}

/// Among instances with a consumer, and among those without: higher wins.
fn specificity(scope: &Scope) -> u8 {
    u8::from(scope.route.is_some()) * 2 + u8::from(scope.service.is_some())
}
