//! The peer with the lowest score: exactly among few, among a sample of many.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::algorithm::stride::Stride;
use crate::algorithm::{Ask, mix};
use crate::pool::{Member, Pool, Slot};

/// Up to so many peers are all looked at.
const FEW: usize = 64;

/// Of more, so many are drawn by weight. Two already keep the load of the fullest within a small
/// constant of the mean ("the power of two choices"); more bring it nearer to the exact answer.
const SAMPLE: u64 = 8;

/// Looks for the lowest score.
#[derive(Debug)]
pub(super) struct Scan {
    /// Where the next search begins, so that equal scores take turns, and what the sample is
    /// drawn by.
    turn: AtomicU64,
    /// Draws by weight; absent where all are looked at.
    sampler: Option<Stride>,
}

impl Scan {
    pub(super) fn new(pool: &Pool, seed: u64) -> Scan {
        let sampler = (pool.eligible().len() > FEW).then(|| Stride::new(pool));
        Scan { turn: AtomicU64::new(mix(seed) >> 16), sampler }
    }

    pub(super) fn successor(&self, pool: &Pool) -> Scan {
        let next = Scan::new(pool, 0);
        next.turn.store(self.turn.load(Ordering::Relaxed), Ordering::Relaxed);
        next
    }

    /// The untried peer with the lowest score.
    pub(super) fn least(
        &self,
        pool: &Pool,
        ask: &Ask<'_>,
        score: impl Fn(&Member) -> f32,
    ) -> Option<Slot> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let sample = self.sampler.as_ref().and_then(|sampler| {
            let drawn = (0..SAMPLE).filter_map(|n| sampler.owner(mix(turn * SAMPLE + n) >> 16));
            least_of(drawn, pool, ask, &score)
        });
        sample.or_else(|| {
            let eligible = pool.eligible();
            let from = turn % eligible.len().max(1) as u64;
            let (before, after) = eligible.split_at_checked(from as usize)?;
            least_of(after.iter().chain(before).copied(), pool, ask, &score)
        })
    }
}

fn least_of(
    slots: impl Iterator<Item = Slot>,
    pool: &Pool,
    ask: &Ask<'_>,
    score: impl Fn(&Member) -> f32,
) -> Option<Slot> {
    let mut best: Option<(f32, Slot)> = None;
    for slot in slots {
        let Some(member) = pool.member(slot) else { continue };
        let score = score(member);
        if best.is_none_or(|(least, _)| score < least) && !ask.has_tried(pool, slot) {
            best = Some((score, slot));
        }
    }
    best.map(|(_, slot)| slot)
}
