//! Many homes: the lowest places are sent back until one of them is somebody's home.

use crate::algorithm::rendezvous::permutation::{PLACES, Permutation};
use crate::algorithm::rendezvous::{Best, Settled};
use crate::pool::Slot;

/// Places that are sent back at once, which the vector unit does in parallel.
const LANES: usize = 32;

/// Who lives where.
#[derive(Debug)]
pub(crate) struct Map {
    /// The places where available peers live, one bit each: fits the first-level cache.
    open: Box<[u64; PLACES / 64]>,
    /// From a place to the number of the home there.
    index: Box<[u16; PLACES]>,
    homes: Vec<Entry>,
    /// The lowest of the costs.
    least_cost: f32,
    /// Whether all costs are the same, and need not be looked at.
    is_even: bool,
}

#[derive(Debug)]
struct Entry {
    owner: Slot,
    /// 1 / weight: what a draw is multiplied by.
    cost: f32,
}

impl Map {
    pub(super) fn new(settled: Settled, is_even: bool) -> Map {
        let mut open = Box::new([0; PLACES / 64]);
        let mut least_cost = f32::INFINITY;
        let mut homes = Vec::with_capacity(settled.homes.len());
        for home in settled.homes {
            let cost = 1.0 / home.weight;
            homes.push(Entry { owner: home.slot, cost });
            if home.available
                && let Some(word) = open.get_mut(usize::from(home.place / 64))
            {
                *word |= 1 << (home.place % 64);
                least_cost = least_cost.min(cost);
            }
        }
        Map { open, index: settled.index, homes, least_cost, is_even }
    }

    pub(super) fn winner(
        &self,
        key: &Permutation,
        skip: Option<&dyn Fn(Slot) -> bool>,
    ) -> Option<Slot> {
        let back = key.inverted();
        let mut best = Best::NONE;
        for first in (0..=u16::MAX).step_by(LANES) {
            let places: [u16; LANES] = std::array::from_fn(|lane| first + lane as u16);
            let homes = places.map(|place| back.backward(place));
            for (place, home) in places.into_iter().zip(homes) {
                if !self.is_open(home) {
                    continue;
                }
                let index = usize::from(self.index[usize::from(home)]);
                let Some(entry) = self.homes.get(index) else { continue };
                if skip.is_some_and(|skip| skip(entry.owner)) {
                    continue;
                }
                if self.is_even {
                    return Some(entry.owner);
                }
                // Whoever comes at this place or later draws at least the place, for at least the
                // lowest cost. A little less, since the draws are rounded.
                let least = f32::from(place) / PLACES as f32 * self.least_cost * 0.9999;
                if best.draw <= least {
                    return best.slot();
                }
                best.improve(key.draw(place, home) * entry.cost, place, entry.owner);
            }
        }
        best.slot()
    }

    /// Whether an available peer lives there. Every place is within, which the compiler sees.
    fn is_open(&self, place: u16) -> bool {
        self.open[usize::from(place / 64)] >> (place % 64) & 1 == 1
    }
}
