//! What can be seen and set of a data plane while it runs.

use std::sync::Arc;

use balancer::Upstream;
use lifecycle::Clock;
use proxy::Traffic;
use uuid::Uuid;

use crate::live::Live;

/// What can be seen and set of a data plane while it runs. Clones see the same.
#[derive(Clone, Debug)]
pub struct View {
    live: Live,
    traffic: Traffic,
    clock: Arc<dyn Clock>,
}

impl View {
    pub(crate) fn new(live: Live, traffic: Traffic, clock: Arc<dyn Clock>) -> View {
        View { live, traffic, clock }
    }

    /// The live state of an upstream entity; `None` when nothing of that id is served.
    pub fn upstream(&self, id: Uuid) -> Option<Arc<Upstream>> {
        self.live.get(id)
    }

    /// Connections and requests so far.
    pub fn traffic(&self) -> proxy::Totals {
        self.traffic.totals()
    }

    /// The time, as the balancers take it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}
