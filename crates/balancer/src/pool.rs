//! The peers of an upstream as one immutable version of them: what an algorithm picks from.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::pages::Pages;
use crate::peer::Peer;
use crate::slow_start::STEPS;

/// Where a peer sits in its pool. Stays the same while the peer is there; used again afterwards.
pub(crate) type Slot = u32;

/// One peer with what decides its share.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) peer: Arc<Peer>,
    /// Same as the peer's, kept here so that building over all members stays in few cache lines.
    pub(crate) identity: u64,
    /// 0 gets nothing (but keeps its sticky sessions).
    pub(crate) weight: u32,
    /// The tenths of its weight that it has at present (slow start).
    pub(crate) steps: u32,
    /// Only used when no other peer is available.
    pub(crate) failover: bool,
    /// Whether its health lets it have traffic.
    pub(crate) available: bool,
    /// Whether it was ejected and may now show that it is well.
    pub(crate) trial: bool,
}

impl Member {
    /// What its share is in proportion to, where no key decides.
    pub(crate) fn share(&self) -> u32 {
        self.weight.saturating_mul(self.steps)
    }
}

/// A member that has all of its share.
pub(crate) const WHOLE: u32 = STEPS;

/// One version of the peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    members: Pages<Option<Member>>,
    /// The slots to pick from: available, with a weight, of the tier in use; ascending.
    eligible: Vec<Slot>,
    /// Whether health is not looked at (panic).
    panic: bool,
}

impl Pool {
    pub(crate) fn member(&self, slot: Slot) -> Option<&Member> {
        self.members.get(slot as usize)?.as_ref()
    }

    /// All members with their slots.
    pub(crate) fn members(&self) -> impl Iterator<Item = (Slot, &Member)> {
        (0..).zip(self.members.iter()).filter_map(|(slot, member)| Some((slot, member.as_ref()?)))
    }

    pub(crate) fn eligible(&self) -> &[Slot] {
        &self.eligible
    }

    /// The eligible members, in the order of [`eligible`](Pool::eligible).
    pub(crate) fn eligible_members(&self) -> impl Iterator<Item = (Slot, &Member)> {
        self.eligible.iter().filter_map(|&slot| Some((slot, self.member(slot)?)))
    }

    /// Whether a member may have traffic by its health, its weight and tier aside.
    pub(crate) fn is_usable(&self, member: &Member) -> bool {
        self.panic || member.available || member.trial
    }

    /// Whether there is nothing to pick whose address is not among those tried.
    pub(crate) fn all_tried(&self, tried: &[SocketAddr]) -> bool {
        self.eligible_members().all(|(_, member)| tried.contains(&member.peer.address()))
    }

    /// A healthy member that was not tried, whether or not it is kept back.
    pub(crate) fn untried(&self, tried: &[SocketAddr]) -> Option<&Member> {
        let mut members = self.members().map(|(_, member)| member);
        members.find(|member| {
            member.weight > 0 && member.available && !tried.contains(&member.peer.address())
        })
    }

    pub(crate) fn put(&mut self, slot: Slot, member: Option<Member>) {
        self.members.set(slot as usize, member);
    }

    /// Notes whether a slot may be picked.
    pub(crate) fn set_eligible(&mut self, slot: Slot, eligible: bool) {
        match (self.eligible.binary_search(&slot), eligible) {
            (Err(place), true) => self.eligible.insert(place, slot),
            (Ok(place), false) => {
                self.eligible.remove(place);
            }
            _ => {}
        }
    }

    /// Decides anew which slots may be picked.
    pub(crate) fn choose_eligible(&mut self, panic: bool, rule: impl Fn(&Member) -> bool) {
        self.panic = panic;
        let chosen =
            self.members().filter(|(_, member)| rule(member)).map(|(slot, _)| slot).collect();
        self.eligible = chosen;
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A pool of available peers with these weights, `10.0.0.n` in slot n.
    pub(crate) fn pool_of(weights: &[u32]) -> Pool {
        let mut pool = Pool::default();
        for (slot, weight) in (0..).zip(weights) {
            put(&mut pool, slot, *weight, true);
        }
        pool
    }

    /// Puts a peer of this weight there.
    pub(crate) fn put(pool: &mut Pool, slot: Slot, weight: u32, available: bool) {
        let [_, a, b, c] = slot.to_be_bytes();
        let address = ([10, a, b, c], 80).into();
        let host = format!("10.{a}.{b}.{c}").into();
        let id = crate::peer::PeerId(slot.into());
        let peer = Peer::new(id, slot, address, host, 80, None, 0.0);
        let identity = peer.identity();
        let peer = Arc::new(peer);
        let member = Member {
            peer,
            identity,
            weight,
            steps: WHOLE,
            failover: false,
            available,
            trial: false,
        };
        pool.put(slot, Some(member));
        pool.set_eligible(slot, available && weight > 0);
    }

    /// Takes a peer away.
    pub(crate) fn remove(pool: &mut Pool, slot: Slot) {
        pool.put(slot, None);
        pool.set_eligible(slot, false);
    }
}
