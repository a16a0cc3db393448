//! Few homes: each is sent through the permutation, several at once by the vector unit.

use crate::algorithm::rendezvous::permutation::Permutation;
use crate::algorithm::rendezvous::{Best, Home};
use crate::pool::Slot;

/// Homes whose lowest draw is found in one go, without looking who drew it.
const BLOCK: usize = 64;

/// The homes of the available peers.
#[derive(Debug)]
pub(crate) struct Roll {
    homes: Vec<u16>,
    owners: Vec<Slot>,
    /// 1 / weight, which a draw is multiplied by; empty when all are the same.
    costs: Vec<f32>,
}

impl Roll {
    pub(super) fn new(homes: &[Home], is_even: bool) -> Roll {
        let available = || homes.iter().filter(|home| home.available);
        Roll {
            homes: available().map(|home| home.place).collect(),
            owners: available().map(|home| home.slot).collect(),
            costs: if is_even {
                Vec::new()
            } else {
                available().map(|home| 1.0 / home.weight).collect()
            },
        }
    }

    pub(super) fn winner(
        &self,
        key: &Permutation,
        skip: Option<&dyn Fn(Slot) -> bool>,
    ) -> Option<Slot> {
        let found = match skip {
            Some(_) => None,
            None if self.costs.is_empty() => self.lowest_place(key),
            None => self.lowest_draw(key),
        };
        found.or_else(|| self.ask_each(key, skip))
    }

    /// The winner among homes of the same weight: the lowest place, of which there is one.
    fn lowest_place(&self, key: &Permutation) -> Option<Slot> {
        let mut best = (u16::MAX, 0);
        for (number, block) in self.homes.chunks(BLOCK).enumerate() {
            let lowest = block.iter().map(|home| key.forward(*home)).fold(u16::MAX, u16::min);
            if lowest < best.0 {
                best = (lowest, number);
            }
        }
        let block = self.homes.chunks(BLOCK).nth(best.1)?;
        let places = block.iter().zip(0u32..);
        let packed = places.map(|(home, lane)| u32::from(key.forward(*home)) << 16 | lane);
        let lane = packed.fold(u32::MAX, u32::min) & 0xffff;
        self.owners.get(best.1 * BLOCK + lane as usize).copied()
    }

    /// The winner among homes of different weights, unless two drew the same.
    fn lowest_draw(&self, key: &Permutation) -> Option<Slot> {
        let mut best = (u32::MAX, 0, [u32::MAX; BLOCK]);
        let mut is_tied = false;
        let blocks = self.homes.chunks(BLOCK).zip(self.costs.chunks(BLOCK));
        for (number, (homes, costs)) in blocks.enumerate() {
            // The bits of positive numbers compare as the numbers do, and integers need no rule
            // about NaN, so the compiler can look for several minima at once.
            let mut draws = [u32::MAX; BLOCK];
            for ((draw, home), cost) in draws.iter_mut().zip(homes).zip(costs) {
                *draw = (key.draw(key.forward(*home), *home) * cost).to_bits();
            }
            let lowest = draws.into_iter().fold(u32::MAX, u32::min);
            is_tied = lowest == best.0 || is_tied && lowest > best.0;
            if lowest < best.0 {
                best = (lowest, number, draws);
            }
        }
        let mut drew_it = best.2.iter().zip(0..).filter(|(draw, _)| **draw == best.0);
        let (_, lane) = drew_it.next()?;
        if is_tied || drew_it.next().is_some() {
            return None;
        }
        self.owners.get(best.1 * BLOCK + lane).copied()
    }

    /// The same one by one, for when some are not to win, or two drew the same.
    fn ask_each(&self, key: &Permutation, skip: Option<&dyn Fn(Slot) -> bool>) -> Option<Slot> {
        let mut best = Best::NONE;
        let costs = self.costs.iter().copied().chain(std::iter::repeat(1.0));
        for ((home, slot), cost) in self.homes.iter().zip(&self.owners).zip(costs) {
            if skip.is_none_or(|skip| !skip(*slot)) {
                let place = key.forward(*home);
                best.improve(key.draw(place, *home) * cost, place, *slot);
            }
        }
        best.slot()
    }
}
