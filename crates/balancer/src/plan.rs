//! What a pick reads: one version of the pool with the algorithm over it.

use std::sync::Arc;
use std::time::Instant;

use crate::algorithm::{Algorithm, Ask};
use crate::error::NoPeer;
use crate::key::Key;
use crate::peer::{Lease, PeerId};
use crate::pool::Pool;

/// One pick.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// What ties the request to a peer.
    pub key: Key,
    /// The peers that were tried for this request: not picked while another is there.
    pub tried: &'a [PeerId],
    /// The monotonic clock.
    pub now: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) pool: Pool,
    pub(crate) algorithm: Arc<dyn Algorithm>,
    /// Why nothing can be picked.
    pub(crate) refusal: Option<NoPeer>,
}

impl Plan {
    pub(crate) fn pick(&self, pick: &Pick<'_>) -> Result<Lease, NoPeer> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        // When every peer was tried, one of them is tried again.
        let all_tried = !pick.tried.is_empty() && self.pool.all_tried(pick.tried);
        let tried = if all_tried { &[] } else { pick.tried };
        let ask = Ask { key: pick.key, tried, now: pick.now };
        let slot = self.algorithm.pick(&self.pool, &ask).ok_or(NoPeer::Unavailable)?;
        let member = self.pool.member(slot).ok_or(NoPeer::Unavailable)?;
        Ok(Lease::new(Arc::clone(&member.peer), self.algorithm.counts()))
    }
}
