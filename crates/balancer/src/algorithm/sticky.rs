//! Sticky sessions: a cookie names the peer, round-robin chooses for those that have none.

use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::algorithm::round_robin::RoundRobin;
use crate::algorithm::{Algorithm, Ask};
use crate::key::Key;
use crate::pool::{Pool, Slot};

/// Goes where the cookie says as long as that peer is there and healthy. A target that is drained
/// (weight 0) keeps its clients and gets no new ones.
#[derive(Debug)]
pub(crate) struct Sticky {
    fresh: RoundRobin,
    slots: FxHashMap<u64, Slot>,
}

impl Sticky {
    pub(crate) fn new(pool: &Pool, seed: u64) -> Sticky {
        Sticky { fresh: RoundRobin::new(pool, seed), slots: identities(pool, 0) }
    }
}

impl Algorithm for Sticky {
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot> {
        if let Key::Sticky(Some(identity)) = ask.key
            && let Some(slot) = self.slots.get(&identity)
            && pool.member(*slot).is_some_and(|member| pool.is_usable(member))
            && !ask.has_tried(pool, *slot)
        {
            return Some(*slot);
        }
        self.fresh.pick(pool, ask)
    }

    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm> {
        Arc::new(Sticky {
            fresh: self.fresh.successor(pool),
            slots: identities(pool, self.slots.len()),
        })
    }

    fn has_tiers(&self) -> bool {
        false
    }
}

fn identities(pool: &Pool, expected: usize) -> FxHashMap<u64, Slot> {
    let mut slots = FxHashMap::with_capacity_and_hasher(expected + 1, FxBuildHasher);
    slots.extend(pool.members().map(|(slot, member)| (member.identity, slot)));
    slots
}
