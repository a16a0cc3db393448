//! The data plane of this process, in the words in which the control plane asks.

use control_plane::{Connections, LocalDataPlane};
use data_plane::View;
use uuid::Uuid;

/// The data plane of this process.
pub(crate) struct Local {
    view: View,
}

impl Local {
    pub(crate) fn new(view: View) -> Local {
        Local { view }
    }
}

impl LocalDataPlane for Local {
    fn connections(&self) -> Connections {
        let traffic = self.view.traffic();
        Connections {
            accepted: traffic.accepted,
            handled: traffic.accepted,
            active: traffic.active,
            reading: 0,
            writing: 0,
            waiting: 0,
            requests: traffic.requests,
        }
    }

    fn upstream_health(&self, upstream: Uuid) -> Option<wire::UpstreamHealth> {
        self.view.upstream_health(upstream)
    }
}
