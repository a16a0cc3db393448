//! Weighted round-robin: exact over every turn, from all threads together.
//!
//! The only shared write is one counter. A turn is the sum of the weights without their common
//! divisor; any window of that many consecutive picks gives every peer exactly its share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::algorithm::stride::Stride;
use crate::algorithm::wheel::Wheel;
use crate::algorithm::{Algorithm, Ask, mix};
use crate::pool::{Pool, Slot};

/// After so many picks of peers that were tried, the rest is looked through in order.
const PATIENCE: usize = 16;

/// The counter on a cache line of its own: threads write it at every pick.
#[derive(Debug)]
#[repr(align(128))]
struct Cursor(AtomicU64);

/// See the module.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    cursor: Cursor,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// A short turn, laid out.
    Wheel(Wheel),
    /// A long turn; the offset is the place where it began.
    Stride(Stride, u64),
}

impl RoundRobin {
    pub(crate) fn new(pool: &Pool, seed: u64) -> RoundRobin {
        // Far below the overflow of the counter, which would cost one turn its exactness.
        let begin = mix(seed) >> 16;
        match Wheel::new(pool) {
            Some(wheel) => RoundRobin::starting(Order::Wheel(wheel), begin),
            None => RoundRobin::starting(Order::Stride(Stride::new(pool), 0), begin),
        }
    }

    fn starting(order: Order, at: u64) -> RoundRobin {
        RoundRobin { cursor: Cursor(AtomicU64::new(at)), order }
    }

    fn at(&self, pick: u64) -> Option<Slot> {
        match &self.order {
            Order::Wheel(wheel) => wheel.at(pick),
            Order::Stride(stride, begin) => stride.owner(stride.place(pick) + begin),
        }
    }

    /// The next pick, and how much of the turn is behind it.
    fn position(&self) -> (u64, f64) {
        let pick = self.cursor.0.load(Ordering::Relaxed);
        let (done, turn) = match &self.order {
            Order::Wheel(wheel) => (pick, wheel.len() as u64),
            Order::Stride(stride, begin) => (stride.place(pick) + begin, stride.total()),
        };
        (pick, done.checked_rem(turn).map_or(0.0, |done| done as f64 / turn as f64))
    }

    /// The next pick without looking at what was tried.
    pub(super) fn next(&self) -> Option<Slot> {
        self.at(self.cursor.0.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn successor(&self, pool: &Pool) -> RoundRobin {
        let (pick, fraction) = self.position();
        let Some(wheel) = Wheel::new(pool) else {
            let stride = Stride::new(pool);
            // Rounded, so that a copy for the same peers stands where the original does.
            let begin = (fraction * stride.total() as f64).round() as u64;
            return RoundRobin::starting(Order::Stride(stride, begin), 0);
        };
        // The peer whose turn it is stays the next; if it is gone, the one after it.
        let coming = match &self.order {
            Order::Wheel(old) => old.from(pick).find_map(|slot| wheel.nearest(slot, fraction)),
            Order::Stride(..) => self.at(pick).and_then(|slot| wheel.nearest(slot, fraction)),
        };
        let at = coming.unwrap_or((fraction * wheel.len() as f64) as u64);
        RoundRobin::starting(Order::Wheel(wheel), at)
    }
}

impl Algorithm for RoundRobin {
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot> {
        if ask.tried.is_empty() {
            return self.next();
        }
        for _ in 0..PATIENCE {
            let slot = self.next()?;
            if !ask.has_tried(pool, slot) {
                return Some(slot);
            }
        }
        let eligible = pool.eligible();
        let from = self.cursor.0.fetch_add(1, Ordering::Relaxed) % eligible.len().max(1) as u64;
        let (before, after) = eligible.split_at_checked(from as usize)?;
        after.iter().chain(before).copied().find(|slot| !ask.has_tried(pool, *slot))
    }

    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm> {
        Arc::new(self.successor(pool))
    }
}
