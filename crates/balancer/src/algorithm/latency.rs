//! The peer that is expected to answer soonest.

use std::sync::Arc;

use crate::algorithm::scan::Scan;
use crate::algorithm::{Algorithm, Ask};
use crate::pool::{Pool, Slot};

/// A peer of which nothing is known is taken to be this fast, so that its requests in flight
/// still count against it.
const UNKNOWN_US: f32 = 1.0;

/// Lowest average latency × (requests in flight + 1) / weight.
///
/// The average peaks at once with a slow answer and decays with time, so that a peer that was
/// slow is tried again. Kong's algorithm leaves requests in flight out, and so sends a burst to
/// the one peer that was fastest last.
#[derive(Debug)]
pub(crate) struct Latency(Scan);

impl Latency {
    pub(crate) fn new(pool: &Pool, seed: u64) -> Latency {
        Latency(Scan::new(pool, seed))
    }
}

impl Algorithm for Latency {
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot> {
        self.0.least(pool, ask, |member| {
            let waiting = member.peer.in_flight() as f32 + 1.0;
            let share = member.share().max(1) as f32;
            member.peer.latency_us(ask.now).max(UNKNOWN_US) * waiting / share
        })
    }

    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm> {
        Arc::new(Latency(self.0.successor(pool)))
    }

    fn counts(&self) -> bool {
        true
    }
}
