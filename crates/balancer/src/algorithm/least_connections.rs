//! The peer with the fewest requests in flight for its weight.

use std::sync::Arc;

use crate::algorithm::scan::Scan;
use crate::algorithm::{Algorithm, Ask};
use crate::pool::{Pool, Slot};

/// Lowest (requests in flight + 1) / weight, Kong's score. Requests in flight are counted for all
/// threads together and outlive every change of the pool.
#[derive(Debug)]
pub(crate) struct LeastConnections(Scan);

impl LeastConnections {
    pub(crate) fn new(pool: &Pool, seed: u64) -> LeastConnections {
        LeastConnections(Scan::new(pool, seed))
    }
}

impl Algorithm for LeastConnections {
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot> {
        self.0.least(pool, ask, |member| {
            (member.peer.in_flight() as f32 + 1.0) / member.share().max(1) as f32
        })
    }

    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm> {
        Arc::new(LeastConnections(self.0.successor(pool)))
    }

    fn counts(&self) -> bool {
        true
    }
}
