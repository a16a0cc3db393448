//! How one of several peers is chosen.
//!
//! An algorithm is built for one version of the pool and is immutable but for its counters, so a
//! pick takes no lock. A change of the pool builds the next one, which takes over the position of
//! the last: building costs at most O(peers) with a small constant, at 10,000 peers below 0.2 ms.

mod divisor;
mod latency;
mod least_connections;
mod rendezvous;
mod round_robin;
mod scan;
mod sticky;
mod stride;
mod wheel;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::config;
use crate::key::Key;
use crate::pool::{Pool, Slot};

/// What a pick goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) key: Key,
    /// Addresses that are not to be picked while another is there.
    pub(crate) tried: &'a [SocketAddr],
    pub(crate) now: Instant,
}

impl Ask<'_> {
    /// Whether the peer at this slot was tried.
    pub(crate) fn has_tried(&self, pool: &Pool, slot: Slot) -> bool {
        !self.tried.is_empty()
            && pool.member(slot).is_some_and(|member| self.tried.contains(&member.peer.address()))
    }
}

/// One way to choose.
pub(crate) trait Algorithm: fmt::Debug + Send + Sync {
    /// The next peer, never one that was tried. The caller made sure that there is one; `None`
    /// is for a pool that is empty all the same.
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot>;

    /// The same algorithm for the next version of the pool.
    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm>;

    /// Whether it goes by requests in flight and latencies, which are then kept.
    fn counts(&self) -> bool {
        false
    }

    /// Whether `failover` targets are kept back, and targets on trial get one request at a time.
    /// Where a key names the target they are as good as all others.
    fn has_tiers(&self) -> bool {
        true
    }
}

/// The algorithm of this name. `seed` decides where it begins, so that the nodes of a fleet do not
/// all begin with the same peer.
pub(crate) fn build(name: config::Algorithm, pool: &Pool, seed: u64) -> Arc<dyn Algorithm> {
    match name {
        config::Algorithm::RoundRobin => Arc::new(round_robin::RoundRobin::new(pool, seed)),
        config::Algorithm::ConsistentHashing => Arc::new(rendezvous::Rendezvous::new(pool)),
        config::Algorithm::LeastConnections => {
            Arc::new(least_connections::LeastConnections::new(pool, seed))
        }
        config::Algorithm::Latency => Arc::new(latency::Latency::new(pool, seed)),
        config::Algorithm::StickySessions => Arc::new(sticky::Sticky::new(pool, seed)),
    }
}

/// Scrambles a number: every bit of the result depends on every bit of it (the finisher of
/// SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

/// The greatest common divisor; that of 0 and x is x.
pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
