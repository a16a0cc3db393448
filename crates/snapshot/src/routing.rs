//! Services and routes: from entities to the route table.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::{Kind, PathHandling, Route, RouterFlavor, Service, Unknown};
use router::Table;
use uuid::Uuid;

use crate::entry::{RouteEntry, ServiceEntry};
use crate::instances::Relations;
use crate::rejection::{Outcome, Rejections, only_whole, read};
use crate::upstreams::Upstreams;

/// What is known of services and routes, and who belongs to whom.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    services: HashMap<Uuid, Arc<Service>>,
    entries: HashMap<Uuid, Arc<ServiceEntry>>,
    /// The services of each host. Pairs in one set, as below: a set for each would cost more than what is in it.
    by_host: BTreeSet<(Box<str>, Uuid)>,
    routes: HashMap<Uuid, Arc<Route>>,
    /// The routes of each service.
    of_service: BTreeSet<(Uuid, Uuid)>,
    dirty_services: BTreeSet<Uuid>,
    dirty_routes: BTreeSet<Uuid>,
    /// Routes whose newest version is not in force.
    refused: HashMap<Uuid, Refused>,
}

/// A version of a route that is not in force.
#[derive(Debug)]
struct Refused {
    reason: String,
    /// What it was to be, where it could be read.
    wanted: Option<Arc<Route>>,
}

impl Routing {
    /// Takes a service or route over, or away. `None` when the entity is of another kind.
    ///
    /// # Errors
    /// When the body is not what its kind declares; what was known before stays.
    pub(crate) fn apply(&mut self, kind: &Kind, id: Uuid, body: Option<&str>) -> Option<Outcome> {
        if *kind == Service::KIND {
            return Some(read(body, Service::read).map(|(next, unknown)| {
                self.set_service(id, next);
                unknown
            }));
        }
        if *kind == Route::KIND {
            return Some(self.apply_route(id, body).map(|()| Unknown::default()));
        }
        None
    }

    fn apply_route(&mut self, id: Uuid, body: Option<&str>) -> Result<(), String> {
        let next = read(body, Route::read).and_then(|(next, unknown)| {
            // A condition that is left out would make the route take what is not its own.
            only_whole(unknown)?;
            Ok(next.map(Arc::new))
        });
        match next {
            Ok(next) => {
                self.refused.remove(&id);
                self.set_route(id, next);
                Ok(())
            }
            Err(reason) => {
                self.refused.insert(id, Refused { reason: reason.clone(), wanted: None });
                Err(reason)
            }
        }
    }

    fn set_service(&mut self, id: Uuid, next: Option<Service>) {
        self.dirty_services.insert(id);
        if let Some(former) = self.services.remove(&id) {
            self.by_host.remove(&(former.host.as_str().into(), id));
        }
        if let Some(service) = next {
            self.by_host.insert((service.host.as_str().into(), id));
            self.services.insert(id, Arc::new(service));
        }
    }

    fn set_route(&mut self, id: Uuid, next: Option<Arc<Route>>) {
        self.dirty_routes.insert(id);
        if let Some(service) = self.routes.remove(&id).and_then(|route| service_of(&route)) {
            self.of_service.remove(&(service, id));
        }
        if let Some(route) = next {
            if let Some(service) = service_of(&route) {
                self.of_service.insert((service, id));
            }
            self.routes.insert(id, route);
        }
    }

    /// Brings the table up to date. `renamed` are host names that have come to mean something
    /// else. Costs what the changes touch.
    pub(crate) fn settle(
        &mut self,
        table: &mut Table<Arc<RouteEntry>>,
        upstreams: &mut Upstreams,
        renamed: BTreeSet<Box<str>>,
        rejections: &mut Rejections,
    ) {
        for name in renamed {
            let services = self.by_host.range((name.clone(), Uuid::nil())..=(name, Uuid::max()));
            self.dirty_services.extend(services.map(|(_, service)| *service));
        }
        let dirty = std::mem::take(&mut self.dirty_services);
        let former: Vec<_> =
            dirty.into_iter().filter_map(|id| self.settle_service(id, table, upstreams)).collect();
        // Behind all that was taken, so that an implicit upstream that stays in use is not let go.
        for former in former {
            upstreams.release(&former.service.host, former.service.port, &former.destination);
        }
        for id in std::mem::take(&mut self.dirty_routes) {
            let wanted = self.routes.get(&id).cloned();
            let outcome = self.settle_route(id, table);
            let in_force = table.get(id).map(|entry| Arc::clone(&entry.route));
            if let (Err(reason), Some(good)) = (&outcome, in_force)
                && wanted.as_ref().is_none_or(|wanted| !Arc::ptr_eq(wanted, &good))
            {
                // The last good version is what later changes of its service build upon.
                self.set_route(id, Some(good));
                self.dirty_routes.remove(&id);
                self.refused.insert(id, Refused { reason: reason.clone(), wanted });
            }
            let outcome = match self.refused.get(&id) {
                Some(refused) => Err(refused.reason.clone()),
                None => outcome,
            };
            rejections.set(&Route::KIND, id, outcome.map(|()| Unknown::default()));
        }
    }

    /// A service has come: routes that were refused for the want of it are tried again.
    fn retry_routes_of(&mut self, service: Uuid) {
        let is_of = |route: &Arc<Route>| service_of(route) == Some(service);
        let retried: Vec<(Uuid, Arc<Route>)> = self
            .refused
            .iter()
            .filter_map(|(id, refused)| Some((*id, refused.wanted.clone().filter(is_of)?)))
            .collect();
        for (id, wanted) in retried {
            self.refused.remove(&id);
            self.set_route(id, Some(wanted));
        }
    }

    /// Makes the entry of a service anew, and those of its routes. The former entry is what no
    /// longer is.
    fn settle_service(
        &mut self,
        id: Uuid,
        table: &mut Table<Arc<RouteEntry>>,
        upstreams: &mut Upstreams,
    ) -> Option<Arc<ServiceEntry>> {
        let former = self.entries.remove(&id);
        if former.is_none() && !self.refused.is_empty() {
            self.retry_routes_of(id);
        }
        if let Some(service) = self.services.get(&id) {
            let destination = upstreams.destination(&service.host, service.port);
            let entry = Arc::new(ServiceEntry { service: Arc::clone(service), destination });
            self.entries.insert(id, entry);
        }
        let was_enabled = former.as_ref().is_some_and(|former| former.service.enabled);
        let entry = self.entries.get(&id);
        let enabled = entry.is_some_and(|entry| entry.service.enabled);
        let flavor = table.rules().flavor;
        for route in belonging(&self.of_service, id) {
            let known = self.routes.get(&route).filter(|_| enabled && was_enabled);
            match known {
                // The route itself is what it was: spare compiling it.
                Some(known) if !self.dirty_routes.contains(&route) => {
                    let payload = Arc::new(route_entry(known, entry.cloned(), flavor));
                    if !table.set_payload(route, &payload) {
                        self.dirty_routes.insert(route);
                    }
                }
                _ => {
                    self.dirty_routes.insert(route);
                }
            }
        }
        former
    }

    fn settle_route(&self, id: Uuid, table: &mut Table<Arc<RouteEntry>>) -> Result<(), String> {
        let Some(route) = self.routes.get(&id) else {
            table.remove(id);
            return Ok(());
        };
        let service = match service_of(route) {
            None => None,
            Some(service) => match self.entries.get(&service) {
                Some(entry) if entry.service.enabled => Some(Arc::clone(entry)),
                Some(_) => {
                    table.remove(id);
                    return Ok(());
                }
                None => {
                    let reason = format!("its service {service} could not be applied here");
                    let last_good = table.get(id).map(|entry| &entry.route);
                    if last_good.is_none_or(|good| Arc::ptr_eq(good, route)) {
                        // Its requests are answered as those of a route without a service (503):
                        // they must not fall through to a route that takes less care of them.
                        let payload = Arc::new(route_entry(route, None, table.rules().flavor));
                        table.insert(route, payload).map_err(|rejected| rejected.to_string())?;
                    }
                    return Err(reason);
                }
            },
        };
        let payload = Arc::new(route_entry(route, service, table.rules().flavor));
        table.insert(route, payload).map_err(|rejected| rejected.to_string())
    }
}

impl Relations for Routing {
    fn service_of(&self, route: Uuid) -> Option<Uuid> {
        self.routes.get(&route).and_then(|route| service_of(route))
    }

    fn routes_of(&self, service: Uuid) -> impl Iterator<Item = Uuid> {
        belonging(&self.of_service, service)
    }
}

fn route_entry(
    route: &Arc<Route>,
    service: Option<Arc<ServiceEntry>>,
    flavor: RouterFlavor,
) -> RouteEntry {
    let honoured = flavor == RouterFlavor::Traditional;
    let handling = route.path_handling.filter(|_| honoured).unwrap_or(PathHandling::V0);
    RouteEntry::new(Arc::clone(route), service, handling)
}

fn service_of(route: &Route) -> Option<Uuid> {
    route.service.as_ref().map(|reference| reference.id)
}

/// What belongs to this one.
fn belonging(pairs: &BTreeSet<(Uuid, Uuid)>, to: Uuid) -> impl Iterator<Item = Uuid> {
    pairs.range((to, Uuid::nil())..=(to, Uuid::max())).map(|(_, belonging)| *belonging)
}
