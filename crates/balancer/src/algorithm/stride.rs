//! Weighted shares over a line that is never laid out.
//!
//! Every peer owns as many neighbouring places of `0..total` as its weight says. Visiting the
//! places with a step that has no divisor in common with `total` visits each exactly once per
//! turn, and a well chosen step spreads the visits of every peer evenly. Memory and building are O(peers), whatever the weights.

use crate::algorithm::divisor::{Divisor, Step};
use crate::algorithm::gcd;
use crate::pool::{Pool, Slot};

/// The shares of a pool's eligible peers.
#[derive(Debug)]
pub(super) struct Stride {
    owners: Vec<Owner>,
    /// For each run of `1 << guide_bits` places, the first owner with a place in it; empty when each owner has exactly
    /// one place.
    guide: Vec<u32>,
    guide_bits: u32,
    /// Whether no run has places of more than two owners, so that one look tells whose a place is.
    is_fine: bool,
    total: Divisor,
    step: Step,
}

/// Who owns places, and where they end: side by side, as they are read.
#[derive(Clone, Copy, Debug)]
struct Owner {
    end: u32,
    slot: Slot,
}

/// A guide is made fine if it has no more than so many runs for each owner.
const FINE: u64 = 8;

impl Stride {
    pub(super) fn new(pool: &Pool) -> Stride {
        let weights = reduced_weights(pool);
        let mut end = 0u32;
        let owners = pool.eligible().iter().zip(&weights).map(|(slot, weight)| {
            end = end.saturating_add(*weight);
            Owner { end, slot: *slot }
        });
        let owners = owners.collect();
        let total = weights.iter().map(|weight| u64::from(*weight)).sum();
        let heaviest = weights.iter().copied().max().unwrap_or(1).into();
        let mut stride = Stride {
            owners,
            guide: Vec::new(),
            guide_bits: 0,
            is_fine: false,
            total: Divisor::new(total),
            step: Step::new(even_step(heaviest, total), total),
        };
        if total > weights.len() as u64 {
            stride.index(&weights);
        }
        stride
    }

    fn index(&mut self, weights: &[u32]) {
        // As many runs as owners, so that a look-up passes one or two owners on average; if the weights are not far
        // apart, as many more as it takes for a look-up without a loop.
        let owners = weights.len().max(1) as u64;
        let lightest = weights.iter().copied().min().unwrap_or(1).max(1);
        self.guide_bits = lightest.ilog2();
        self.is_fine = self.total() >> self.guide_bits <= FINE * owners;
        if !self.is_fine {
            self.guide_bits = (self.total() / owners).max(1).ilog2();
        }
        let runs = (self.total() >> self.guide_bits) + 1;
        let mut owner = 0u32;
        self.guide = (0..runs)
            .map(|run| {
                let place = run << self.guide_bits;
                while self.owners.get(owner as usize).is_some_and(|one| u64::from(one.end) <= place)
                {
                    owner += 1;
                }
                owner
            })
            .collect();
    }

    /// Places of one turn.
    pub(super) fn total(&self) -> u64 {
        self.total.get()
    }

    /// The place that the n-th visit of a turn goes to; visits count modulo the turn.
    pub(super) fn place(&self, visit: u64) -> u64 {
        self.step.times(visit)
    }

    /// Who owns a place; places count modulo the total.
    pub(super) fn owner(&self, place: u64) -> Option<Slot> {
        let place = if place < self.total() { place } else { self.total.remainder(place) };
        if self.guide.is_empty() {
            return self.owners.get(place as usize).map(|owner| owner.slot);
        }
        let first = *self.guide.get((place >> self.guide_bits) as usize)? as usize;
        if self.is_fine {
            let owner = self.owners.get(first)?;
            // The next one is there whenever it is meant: the last owner's places end with the total.
            let next = self.owners.get(first + 1).unwrap_or(owner);
            let slot = if u64::from(owner.end) <= place { next.slot } else { owner.slot };
            return Some(slot);
        }
        let mut owners = self.owners.get(first..)?.iter();
        owners.find(|owner| u64::from(owner.end) > place).map(|owner| owner.slot)
    }
}

/// The weights of the eligible peers without their common divisor. Their sum fits 32 bits: beyond
/// (65,536 peers of the highest weight) they lose their low bits, but never become 0.
pub(super) fn reduced_weights(pool: &Pool) -> Vec<u32> {
    let weights = || pool.eligible_members().map(|(_, member)| member.share().max(1));
    let mut divisor = 0;
    for weight in weights() {
        if divisor == 0 || !weight.is_multiple_of(divisor) {
            divisor = gcd(u64::from(divisor), u64::from(weight)) as u32;
        }
        if divisor == 1 {
            break;
        }
    }
    let divisor = divisor.max(1);
    let total: u64 = weights().map(|weight| u64::from(weight / divisor)).sum();
    let excess = (total >> 31).checked_ilog2().map_or(0, |bits| bits + 1);
    weights().map(|weight| ((weight / divisor) >> excess).max(1)).collect()
}

/// With so many picks in a sweep over all places, sweeps are long enough.
const SWEEP: u64 = 64;

/// A step that visits the places of a turn as evenly as can be.
///
/// It has no divisor in common with `total`, and `step / total` a continued fraction of small
/// quotients: those bound how far the visits of any stretch are off its share. Two kinds of step
/// do. One near the golden section of `total`, which has the smallest quotients. And one just
/// above the heaviest weight, if that is small: a turn is then many sweeps over the peers in
/// their order, of which none visits a peer twice, and memory is read in its order as well. There
/// the first quotient, the length of a sweep, does not matter.
fn even_step(heaviest: u64, total: u64) -> u64 {
    const GOOD: u64 = 4;
    const CANDIDATES: usize = 64;
    let sweeps = heaviest.saturating_mul(SWEEP) <= total;
    let golden = (total as f64 * 0.618_033_988_749_894_9).round() as u64;
    let (ideal, skipped) = if sweeps { (heaviest, 1) } else { (golden, 0) };
    let candidates = (0..=total)
        .flat_map(|distance| [ideal + distance, ideal.saturating_sub(distance)])
        .filter(|step| !sweeps || *step >= heaviest)
        .filter_map(|step| Some((largest_quotient(step, total, skipped)?, step)));
    let mut best = (u64::MAX, 1);
    for candidate in candidates.take(CANDIDATES) {
        best = best.min(candidate);
        if best.0 <= GOOD {
            break;
        }
    }
    best.1
}

/// The largest quotient in the continued fraction of `step / total`, the first ones left out;
/// `None` when the two have a divisor in common.
fn largest_quotient(step: u64, total: u64, skipped: usize) -> Option<u64> {
    let (mut above, mut below) = (total, step);
    let mut largest = 0;
    let mut count = 0;
    while below > 0 {
        if count >= skipped {
            largest = largest.max(above / below);
        }
        count += 1;
        (above, below) = (below, above % below);
    }
    (above == 1).then_some(largest)
}
