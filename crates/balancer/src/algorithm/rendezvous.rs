//! Consistent hashing by weighted rendezvous: exact shares, and a change moves only the keys that
//! it has to.
//!
//! The rule is the one of rendezvous hashing: every peer draws a number for the key, exponentially
//! distributed with its weight as the rate, and the lowest wins. So a peer's share is its weight's
//! share, a peer that leaves gives up its own keys and no others, and the walk to the next best is
//! complete. (A ketama ring needs 100,000 points for each peer to come within 0.3 % of the
//! weights; Kong's ring overflows above 61 equal targets.)
//!
//! Asking every peer costs O(peers). To find the winner among thousands as fast, the draws are
//! made so that they can be read from both sides. A peer has a home among 65,536 places, from
//! its identity alone; a key is a permutation of the places (three rounds of multiply and
//! shift-xor on 16 bits). The draw of a peer is where the permutation takes its home. With few
//! peers each home is sent through the permutation; with many, the first few results are sent
//! back through its inverse until one of them is somebody's home. Both give the same answer, so
//! nothing happens to the keys when the number of peers passes from one side to the other.

mod map;
mod permutation;
mod roll;

use std::sync::Arc;

use crate::algorithm::rendezvous::map::Map;
use crate::algorithm::rendezvous::permutation::{PLACES, Permutation};
use crate::algorithm::rendezvous::roll::Roll;
use crate::algorithm::{Algorithm, Ask, mix};
use crate::key::Key;
use crate::pool::{Pool, Slot};

/// Homes that can be given, seven eighths of the places. A peer beyond (57,344 addresses in one
/// upstream) gets no keys.
const MOST: usize = PLACES / 8 * 7;

/// Up to so many homes, asking each is faster than looking for one: of one weight, and of several.
const FEW: (usize, usize) = (384, 192);

/// A peer whose weight is above this many times the mean gets several homes, so that no single
/// home is much likelier than the others: that bounds how long the search for the winner takes.
const HEAVY: u64 = 8;

/// Nobody's home.
const NOBODY: u16 = u16::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) enum Rendezvous {
    /// Every home is asked.
    Few(Roll),
    /// The winner's home is searched.
    Many(Map),
}

impl Rendezvous {
    pub(crate) fn new(pool: &Pool) -> Rendezvous {
        let settled = settle(pool);
        let mut available = settled.homes.iter().filter(|home| home.available);
        let first = available.next().map(|home| home.weight);
        let is_even = available.clone().all(|home| Some(home.weight) == first);
        let few = if is_even { FEW.0 } else { FEW.1 };
        if available.count() < few {
            Rendezvous::Few(Roll::new(&settled.homes, is_even))
        } else {
            Rendezvous::Many(Map::new(settled, is_even))
        }
    }

    fn winner(&self, hash: u32, skip: Option<&dyn Fn(Slot) -> bool>) -> Option<Slot> {
        let key = Permutation::of(hash);
        match self {
            Rendezvous::Few(roll) => roll.winner(&key, skip),
            Rendezvous::Many(map) => map.winner(&key, skip),
        }
    }
}

impl Algorithm for Rendezvous {
    fn pick(&self, pool: &Pool, ask: &Ask<'_>) -> Option<Slot> {
        let hash = match ask.key {
            Key::Hash(hash) => hash,
            // Asked without a key: as when there is nothing to hash.
            Key::None | Key::Sticky(_) => xxhash_rust::xxh32::xxh32(b"", 0),
        };
        if ask.tried.is_empty() {
            return self.winner(hash, None);
        }
        self.winner(hash, Some(&|slot| ask.has_tried(pool, slot)))
    }

    fn rebuilt(&self, pool: &Pool) -> Arc<dyn Algorithm> {
        Arc::new(Rendezvous::new(pool))
    }

    fn has_tiers(&self) -> bool {
        false
    }
}

/// The best draw so far. Of equal draws the lower place wins, so that both sides agree.
#[derive(Clone, Copy, Debug)]
struct Best {
    draw: f32,
    place: u16,
    slot: Slot,
}

impl Best {
    const NONE: Best = Best { draw: f32::INFINITY, place: u16::MAX, slot: Slot::MAX };

    fn improve(&mut self, draw: f32, place: u16, slot: Slot) {
        if (draw, place) < (self.draw, self.place) {
            *self = Best { draw, place, slot };
        }
    }

    fn slot(self) -> Option<Slot> {
        (self.slot != Slot::MAX).then_some(self.slot)
    }
}

/// A home of a peer, with the part of its weight that it stands for.
#[derive(Debug)]
struct Home {
    rank: u64,
    slot: Slot,
    weight: f32,
    place: u16,
    available: bool,
}

struct Settled {
    homes: Vec<Home>,
    /// By place, [`NOBODY`] where it is free.
    index: Box<[u16; PLACES]>,
}

/// Gives every peer with a weight its homes, available or not: an outage moves nobody else.
///
/// Where two want the same place, the one with the higher rank has it and the other moves on to
/// the next, which makes the outcome independent of the order in which they came (an ordered
/// hash table, Amble and Knuth 1974).
fn settle(pool: &Pool) -> Settled {
    let weights = || pool.members().filter(|(_, member)| member.weight > 0);
    let (sum, count) = weights().fold((0u64, 0u64), |(sum, count), (_, member)| {
        (sum + u64::from(member.weight), count + 1)
    });
    // A power of two, so that it stays the same while the mean moves a little.
    let heavy = (HEAVY * sum / count.max(1)).max(1).next_power_of_two();
    let mut homes: Vec<Home> = Vec::with_capacity(count as usize);
    let mut index = Box::new([NOBODY; PLACES]);
    for (slot, member) in weights() {
        let parts = u64::from(member.weight).div_ceil(heavy);
        let weight = member.weight as f32 / parts as f32;
        for part in 0..parts {
            if homes.len() == MOST {
                return Settled { homes, index };
            }
            let rank = mix(member.identity.wrapping_add(part));
            let available = pool.is_usable(member);
            homes.push(Home { rank, slot, weight, place: rank as u16, available });
            move_in(&mut homes, &mut index);
        }
    }
    Settled { homes, index }
}

/// Finds the last home its place, and a new one for whom it drives out.
fn move_in(homes: &mut [Home], index: &mut [u16; PLACES]) {
    let mut moving = homes.len().saturating_sub(1);
    // At least an eighth of the places is free, so this ends.
    while let Some(home) = homes.get(moving) {
        let (place, rank) = (home.place, home.rank);
        let entry = &mut index[usize::from(place)];
        let there = usize::from(*entry);
        match homes.get(there) {
            None => {
                *entry = moving as u16;
                return;
            }
            Some(other) if other.rank < rank => {
                *entry = moving as u16;
                moving = there;
            }
            Some(_) => {}
        }
        if let Some(home) = homes.get_mut(moving) {
            home.place = place.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
