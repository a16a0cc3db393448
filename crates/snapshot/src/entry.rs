//! Routes and services as requests use them.

use std::sync::Arc;

use balancer::Upstream;
use model::{PathHandling, Protocol, Route, Service};

use crate::destination::Destination;

/// A route and what follows from matching it.
#[derive(Debug)]
pub struct RouteEntry {
    /// The entity.
    pub route: Arc<Route>,
    /// Its service, unless it has none.
    pub service: Option<Arc<ServiceEntry>>,
    path_handling: PathHandling,
}

impl RouteEntry {
    pub(crate) fn new(
        route: Arc<Route>,
        service: Option<Arc<ServiceEntry>>,
        path_handling: PathHandling,
    ) -> RouteEntry {
        RouteEntry { route, service, path_handling }
    }

    /// How the upstream's path is joined; not always what the route says (Kong honours `v1` only
    /// in the router flavor `traditional`).
    pub fn path_handling(&self) -> PathHandling {
        self.path_handling
    }
}

/// A service and where its requests go.
#[derive(Debug)]
pub struct ServiceEntry {
    /// The entity.
    pub service: Arc<Service>,
    pub(crate) destination: Destination,
}

impl ServiceEntry {
    /// The upstream that its host names, or one that consists of its host, which is made when it is
    /// asked for first.
    pub fn upstream(&self) -> &Arc<Upstream> {
        self.destination.upstream()
    }

    /// Whether its protocol is spoken over TLS.
    pub fn is_secured(&self) -> bool {
        matches!(self.service.protocol, Protocol::Https | Protocol::Grpcs | Protocol::Tls)
    }
}
