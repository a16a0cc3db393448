//! What a pick reads: one version of the pool with the algorithm over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::algorithm::{Algorithm, Ask};
use crate::config::Config;
use crate::error::NoPeer;
use crate::key::Key;
use crate::peer::{Peer, Turn};
use crate::pool::{Pool, Slot};

/// One pick.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// What ties the request to a peer.
    pub key: Key,
    /// The addresses that were tried for this request: not picked while another is there.
    pub tried: &'a [SocketAddr],
    /// The monotonic clock.
    pub now: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Arc<Config>,
    pub(crate) pool: Pool,
    pub(crate) algorithm: Arc<dyn Algorithm>,
    /// Why nothing can be picked.
    pub(crate) refusal: Option<NoPeer>,
    /// Peers that get one request at a time, to show that they are well.
    pub(crate) trials: Vec<Slot>,
    /// When the passing of time alone asks for another plan.
    pub(crate) revision: Revision,
}

/// When a plan is out of date though nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// Never.
    Never,
    /// From this time on.
    At(Instant),
    /// Whatever time it is: something waits to learn it.
    AtOnce,
}

impl Revision {
    /// The earlier of both.
    pub(crate) fn or(self, other: Revision) -> Revision {
        match (self, other) {
            (Revision::Never, other) => other,
            (this, Revision::Never) => this,
            (Revision::At(this), Revision::At(other)) => Revision::At(this.min(other)),
            _ => Revision::AtOnce,
        }
    }

    pub(crate) fn is_due(self, now: Instant) -> bool {
        match self {
            Revision::Never => false,
            Revision::At(time) => time <= now,
            Revision::AtOnce => true,
        }
    }
}

impl Plan {
    /// The peer for a request, and whether it is a trial, which is begun then.
    pub(crate) fn pick(&self, pick: &Pick<'_>) -> Result<(&Arc<Peer>, Turn), NoPeer> {
        if let Some(peer) = self.trial(pick) {
            return Ok((peer, Turn::Trial));
        }
        Ok((self.pick_by(&*self.algorithm, pick)?, Turn::Usual))
    }

    /// What [`Plan::pick`] would find, by a copy of the algorithm, whose turn it takes; trials of
    /// ejected peers apart.
    pub(crate) fn preview(&self, pick: &Pick<'_>) -> Result<&Arc<Peer>, NoPeer> {
        self.pick_by(&*self.algorithm.rebuilt(&self.pool), pick)
    }

    fn pick_by(&self, algorithm: &dyn Algorithm, pick: &Pick<'_>) -> Result<&Arc<Peer>, NoPeer> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let mut tried = pick.tried;
        if !tried.is_empty() && self.pool.all_tried(tried) {
            // One that is kept back is better than one that failed; only then one is tried again.
            if let Some(member) = self.pool.untried(tried) {
                return Ok(&member.peer);
            }
            tried = &[];
        }
        let ask = Ask { key: pick.key, tried, now: pick.now };
        let slot = algorithm.pick(&self.pool, &ask).ok_or(NoPeer::Unavailable)?;
        Ok(&self.pool.member(slot).ok_or(NoPeer::Unavailable)?.peer)
    }

    /// Whether a pick would find an address that was not tried.
    pub(crate) fn has_other(&self, tried: &[SocketAddr]) -> bool {
        self.refusal.is_none()
            && (!self.pool.all_tried(tried) || self.pool.untried(tried).is_some())
    }

    fn trial(&self, pick: &Pick<'_>) -> Option<&Arc<Peer>> {
        self.trials.iter().find_map(|slot| {
            let peer = &self.pool.member(*slot)?.peer;
            (!pick.tried.contains(&peer.address()) && peer.begin_trial()).then_some(peer)
        })
    }
}
