//! Weighted shares over a line that is never laid out.
//!
//! Every peer owns as many neighbouring places of `0..total` as its weight says. Visiting the
//! places with a step that has no divisor in common with `total` visits each exactly once per
//! turn, and a well chosen step spreads the visits of every peer evenly. Memory and building are O(peers), whatever the weights.

use crate::algorithm::divisor::Divisor;
use crate::algorithm::gcd;
use crate::pool::{Pool, Slot};

/// The shares of a pool's eligible peers.
#[derive(Debug)]
pub(super) struct Stride {
    owners: Vec<Slot>,
    /// Where each owner's places end; empty when each owner has exactly one place.
    ends: Vec<u32>,
    /// For each run of `1 << guide_bits` places, the first owner with a place in it.
    guide: Vec<u32>,
    guide_bits: u32,
    total: Divisor,
    step: u64,
}

impl Stride {
    pub(super) fn new(pool: &Pool) -> Stride {
        let weights = reduced_weights(pool);
        let owners = pool.eligible().to_vec();
        let total = weights.iter().map(|weight| u64::from(*weight)).sum();
        let heaviest = weights.iter().copied().max().unwrap_or(1).into();
        let mut stride = Stride {
            owners,
            ends: Vec::new(),
            guide: Vec::new(),
            guide_bits: 0,
            total: Divisor::new(total),
            step: even_step(heaviest, total),
        };
        if total > weights.len() as u64 {
            stride.index(&weights);
        }
        stride
    }

    fn index(&mut self, weights: &[u32]) {
        let mut end = 0u32;
        self.ends = weights
            .iter()
            .map(|weight| {
                end = end.saturating_add(*weight);
                end
            })
            .collect();
        // As many runs as owners, so that a look-up passes one or two owners on average.
        let per_owner = self.total() / weights.len().max(1) as u64;
        self.guide_bits = per_owner.max(1).ilog2();
        let runs = (self.total() >> self.guide_bits) + 1;
        let mut owner = 0u32;
        self.guide = (0..runs)
            .map(|run| {
                let place = run << self.guide_bits;
                while self.ends.get(owner as usize).is_some_and(|end| u64::from(*end) <= place) {
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
        self.total.remainder(self.total.remainder(visit) * self.step)
    }

    /// Who owns a place; places count modulo the total.
    pub(super) fn owner(&self, place: u64) -> Option<Slot> {
        let place = if place < self.total() { place } else { self.total.remainder(place) };
        if self.ends.is_empty() {
            return self.owners.get(place as usize).copied();
        }
        let mut owner = *self.guide.get((place >> self.guide_bits) as usize)? as usize;
        while u64::from(*self.ends.get(owner)?) <= place {
            owner += 1;
        }
        self.owners.get(owner).copied()
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
