//! What can be seen of a data plane while it runs.

use std::sync::Arc;

use lifecycle::Clock;
use proxy::{Explainer, Traffic};
use uuid::Uuid;

use crate::health;
use crate::live::Live;

/// What can be seen of a data plane while it runs. Clones see the same.
#[derive(Clone, Debug)]
pub struct View {
    live: Live,
    traffic: Traffic,
    explainer: Explainer,
    clock: Arc<dyn Clock>,
}

impl View {
    pub(crate) fn new(live: Live, running: &proxy::Running, clock: Arc<dyn Clock>) -> View {
        View { live, traffic: running.traffic(), explainer: running.explainer(), clock }
    }

    /// The health of an upstream at this moment; `None` when none of that id is served.
    pub fn upstream_health(&self, id: Uuid) -> Option<wire::UpstreamHealth> {
        Some(health::upstream_health(&*self.live.get(id)?, &*self.clock))
    }

    /// Connections and requests so far.
    pub fn traffic(&self) -> proxy::Totals {
        self.traffic.totals()
    }

    /// Who tells what would become of a request.
    pub fn explainer(&self) -> &Explainer {
        &self.explainer
    }
}
