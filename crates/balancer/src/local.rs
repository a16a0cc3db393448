//! What a thread keeps of the upstreams that it uses, so that a request writes to no memory that other threads read.
//!
//! A count of references that all threads share is written twice for every request, and each write takes the cache
//! line, with all that is read beside it, away from the other processors. So each thread holds the newest plan of an
//! upstream by one reference for all of its requests, and likewise the peers that it picked, and counts the requests
//! by itself. To find the plan out of date costs one read.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use rustc_hash::FxHashMap;

use crate::config::Config;
use crate::error::NoPeer;
use crate::peer::{Lease, Peer};
use crate::plan::{Pick, Plan};

/// Where the threads find the newest plan of an upstream.
pub(crate) type Newest = Arc<ArcSwap<Plan>>;

/// Upstreams of which a thread may keep a plan; with more, all are let go and found anew.
const MOST: usize = 1024;

/// Peers in slots from this one on are held by each request itself: two threads seldom meet at one of so many, and a
/// place for each would have to be made with every plan.
const FEW: usize = 64;

thread_local! {
    /// None where nobody sees to it that what is out of date is let go.
    static UPSTREAMS: RefCell<Option<FxHashMap<*const ArcSwap<Plan>, Kept>>> = RefCell::default();
}

/// The plan of one upstream as a thread found it last. It keeps the upstream's [`Newest`], whose address is therefore
/// nobody else's.
struct Kept {
    newest: Cache<Newest, Arc<Plan>>,
    local: Rc<Local>,
}

/// One plan in the hands of one thread.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) plan: Arc<Plan>,
    /// The plan's; apart from it, since a lease may be held for hours, for which the plan is not to stay.
    config: Part<Config>,
    peers: RefCell<Vec<Option<Part<Peer>>>>,
}

/// One reference to what all threads share, in as many parts as this thread has use for.
#[expect(
    clippy::redundant_allocation,
    reason = "the outer count is the thread's, the inner is all threads'"
)]
#[derive(Debug)]
pub(crate) struct Part<T>(Rc<Arc<T>>);

/// A peer that is held for a request.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// By a count of this thread.
    OfThread(Part<Peer>),
    /// By the count that all threads share.
    Shared(Arc<Peer>),
}

impl Local {
    /// The newest plan.
    pub(crate) fn of(newest: &Newest) -> Rc<Local> {
        let kept = UPSTREAMS.try_with(|upstreams| {
            upstreams.borrow_mut().as_mut().map(|upstreams| find(upstreams, newest))
        });
        // A thread that is about to end keeps nothing either.
        kept.ok().flatten().unwrap_or_else(|| Local::new(newest.load_full()))
    }

    pub(crate) fn new(plan: Arc<Plan>) -> Rc<Local> {
        let config = Part::of(&plan.config);
        Rc::new(Local { plan, config, peers: RefCell::default() })
    }

    /// The peer for a request, as [`Plan::pick`] finds it.
    pub(crate) fn pick(&self, pick: &Pick<'_>) -> Result<Lease, NoPeer> {
        let (peer, turn) = self.plan.pick(pick)?;
        let counted = self.plan.algorithm.counts();
        Ok(Lease::new(self.config.clone(), self.hold(peer), counted, turn))
    }

    /// Holds a peer of this plan.
    fn hold(&self, peer: &Arc<Peer>) -> Hold {
        let mut peers = self.peers.borrow_mut();
        let place = peer.slot() as usize;
        if place < FEW && place >= peers.len() {
            peers.resize(place + 1, None);
        }
        match peers.get_mut(place) {
            Some(held) => Hold::OfThread(held.get_or_insert_with(|| Part::of(peer)).clone()),
            None => Hold::Shared(Arc::clone(peer)),
        }
    }
}

impl<T> Part<T> {
    pub(crate) fn of(shared: &Arc<T>) -> Part<T> {
        Part(Rc::new(Arc::clone(shared)))
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Part<T> {
        Part(Rc::clone(&self.0))
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Hold {
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        match self {
            Hold::OfThread(Part(held)) => held,
            Hold::Shared(peer) => peer,
        }
    }
}

fn find(upstreams: &mut FxHashMap<*const ArcSwap<Plan>, Kept>, newest: &Newest) -> Rc<Local> {
    let key = Arc::as_ptr(newest);
    if let Some(kept) = upstreams.get_mut(&key) {
        let plan = kept.newest.load();
        if !Arc::ptr_eq(plan, &kept.local.plan) {
            kept.local = Local::new(Arc::clone(plan));
        }
        return Rc::clone(&kept.local);
    }
    if upstreams.len() >= MOST {
        upstreams.clear();
    }
    let mut newest = Cache::new(Arc::clone(newest));
    let local = Local::new(Arc::clone(newest.load()));
    upstreams.insert(key, Kept { newest, local: Rc::clone(&local) });
    local
}

/// Lets this thread keep what it uses of upstreams from now on, and lets go of what it kept so far, which may be gone or
/// out of date. What is still used is found anew. For threads that pick again and again, every few seconds.
pub fn refresh_thread() {
    // A thread that is about to end keeps nothing.
    let _ = UPSTREAMS.try_with(|upstreams| upstreams.replace(Some(FxHashMap::default())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Pick;
    use crate::upstream::testing::upstream_of;
    use crate::{Key, Lease, Upstream};

    fn pick(upstream: &Upstream) -> Lease {
        let now = std::time::Instant::now();
        upstream.pick(&Pick { key: Key::None, tried: &[], now }).unwrap()
    }

    fn count(upstream: &Upstream) -> usize {
        Arc::strong_count(pick(upstream).peer())
    }

    #[test]
    fn requests_of_one_thread_share_its_references() {
        refresh_thread();
        let upstream = upstream_of(1);
        let before = count(&upstream);
        let leases: Vec<Lease> = (0..100).map(|_| pick(&upstream)).collect();
        assert_eq!(count(&upstream), before);
        let peer = Arc::clone(leases[0].peer());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                refresh_thread();
                let there = pick(&upstream);
                assert!(Arc::ptr_eq(there.peer(), &peer));
                assert_eq!(count(&upstream), before + 2);
            });
            other.join().unwrap();
        });
        drop(peer);
        assert_eq!(count(&upstream), before, "a thread that ended holds nothing");
    }

    #[test]
    fn a_thread_that_is_not_refreshed_keeps_nothing() {
        let upstream = upstream_of(1);
        let peer = Arc::clone(pick(&upstream).peer());
        let before = Arc::strong_count(&peer);
        let leases = [pick(&upstream), pick(&upstream)];
        assert_eq!(Arc::strong_count(&peer), before + 2);
        drop(leases);
        assert_eq!(Arc::strong_count(&peer), before);
    }

    #[test]
    fn one_of_many_is_held_by_each_request() {
        refresh_thread();
        let upstream = upstream_of(FEW + 1);
        let leases: Vec<Lease> = (0..3 * (FEW + 1)).map(|_| pick(&upstream)).collect();
        let of_slot =
            |slot| leases.iter().find(|lease| lease.slot() as usize == slot).unwrap().peer();
        let (few, many) = (of_slot(0), of_slot(FEW));
        assert_eq!(Arc::strong_count(many), Arc::strong_count(few) - 1 + 3);
    }

    #[test]
    fn what_is_gone_is_let_go() {
        refresh_thread();
        let upstream = upstream_of(2);
        let (first, told) = {
            let lease = pick(&upstream);
            (lease.address(), Arc::downgrade(lease.peer()))
        };
        upstream.set_targets(&[]);
        assert!(told.upgrade().is_some(), "{first} is in the plan that this thread has seen");
        refresh_thread();
        assert!(told.upgrade().is_none());
        let told = Arc::downgrade(&upstream);
        drop(upstream);
        assert!(told.upgrade().is_none());
    }

    #[test]
    fn a_thread_that_uses_very_many_upstreams_keeps_a_part() {
        refresh_thread();
        let upstreams: Vec<_> = (0..MOST + 5).map(|_| upstream_of(1)).collect();
        for upstream in &upstreams {
            pick(upstream);
        }
        assert_eq!(UPSTREAMS.with_borrow(|upstreams| upstreams.as_ref().unwrap().len()), 5);
        assert!(upstreams.iter().all(|upstream| count(upstream) > 0));
    }
}
