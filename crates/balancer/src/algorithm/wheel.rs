//! A small turn laid out slot by slot, in the smoothest order.

use std::collections::BTreeMap;

use crate::algorithm::divisor::Divisor;
use crate::algorithm::stride::reduced_weights;
use crate::pool::{Pool, Slot};

/// Turns up to this many picks are laid out. Longer ones are smooth enough by
/// [`Stride`](super::stride::Stride), which costs nothing to lay out.
pub(super) const LONGEST: usize = 4_096;

/// One turn.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Slot>,
    len: Divisor,
}

impl Wheel {
    /// The turn of the eligible peers, if it is short.
    ///
    /// Peers of the same weight form a class; a class is dealt evenly over the turn, its members
    /// in rotation, and the classes are merged. So a heavy peer's picks are as far apart as they
    /// can be, and so are the many light ones between them.
    pub(super) fn new(pool: &Pool) -> Option<Wheel> {
        if pool.eligible().len() > LONGEST {
            return None;
        }
        let weights = reduced_weights(pool);
        let total: usize = weights.iter().map(|weight| *weight as usize).sum();
        if total > LONGEST {
            return None;
        }
        let mut classes: BTreeMap<u32, Vec<Slot>> = BTreeMap::new();
        for (slot, weight) in pool.eligible().iter().zip(weights) {
            classes.entry(weight).or_default().push(*slot);
        }
        if let (1, Some(only)) = (classes.len(), classes.values().next()) {
            return Some(Wheel::of(only.clone()));
        }
        // Heaviest class first, so that it wins the ties.
        let mut picks: Vec<(u64, Slot)> = Vec::with_capacity(total);
        for (weight, members) in classes.iter().rev() {
            let count = u64::from(*weight) * members.len() as u64;
            let turns = members.iter().cycle().zip(0..count);
            picks.extend(turns.map(|(slot, n)| (((2 * n + 1) << 32) / (2 * count), *slot)));
        }
        picks.sort_by_key(|(time, _)| *time);
        Some(Wheel::of(picks.into_iter().map(|(_, slot)| slot).collect()))
    }

    fn of(slots: Vec<Slot>) -> Wheel {
        Wheel { len: Divisor::new(slots.len() as u64), slots }
    }

    /// Picks of one turn.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The n-th pick; picks count modulo the turn.
    pub(super) fn at(&self, pick: u64) -> Option<Slot> {
        self.slots.get(self.len.remainder(pick) as usize).copied()
    }

    /// The picks from the n-th to the end of a turn's length.
    pub(super) fn from(&self, pick: u64) -> impl Iterator<Item = Slot> + '_ {
        (0..self.slots.len() as u64).filter_map(move |ahead| self.at(pick.wrapping_add(ahead)))
    }

    /// Where in the turn this slot comes that is nearest to a fraction of it.
    pub(super) fn nearest(&self, slot: Slot, fraction: f64) -> Option<u64> {
        let wanted = fraction * self.slots.len() as f64;
        (0u64..)
            .zip(&self.slots)
            .filter(|(_, other)| **other == slot)
            .map(|(pick, _)| pick)
            .min_by(|a, b| (*a as f64 - wanted).abs().total_cmp(&(*b as f64 - wanted).abs()))
    }
}
