//! Many homes: the lowest places are sent back until one of them is somebody's home.

use crate::algorithm::rendezvous::permutation::{PLACES, Permutation};
use crate::algorithm::rendezvous::{Best, Settled};
use crate::pool::Slot;

/// Places that are sent back at once: one register of the vector unit.
const LANES: usize = 8;

/// Who lives where.
#[derive(Debug)]
pub(crate) struct Map {
    /// The places where available peers live, one bit each: fits the first-level cache.
    open: Box<[u64]>,
    /// From a place to the number of the home there.
    index: Box<[u16]>,
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
        let mut open = vec![0u64; PLACES / 64].into_boxed_slice();
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
                let Some(entry) = self.find(home) else { continue };
                if skip.is_some_and(|skip| skip(entry.owner)) {
                    continue;
                }
                if self.is_even {
                    return Some(entry.owner);
                }
                best.improve(key.draw(place, home) * entry.cost, place, entry.owner);
            }
            // Whoever comes later draws at least the next place, for at least the lowest cost. A
            // little less, since the draws are rounded.
            let next = (f32::from(first) + LANES as f32) / PLACES as f32;
            if best.draw <= next * self.least_cost * 0.9999 {
                break;
            }
        }
        best.slot()
    }

    /// The home of an available peer at a place.
    fn find(&self, place: u16) -> Option<&Entry> {
        let word = self.open.get(usize::from(place / 64))?;
        if word >> (place % 64) & 1 == 0 {
            return None;
        }
        self.homes.get(usize::from(*self.index.get(usize::from(place))?))
    }
}
