//! Holding a peer for a request without a write to memory that other threads use.
//!
//! A count of references that all threads share is written twice for every request, and each write takes the cache
//! line, with all of the peer that is read beside it, away from the other processors. So each thread takes one
//! reference for all of its requests, and counts those by itself. Where there are many peers, two threads seldom meet
//! at one of them, and to find the thread's own reference would cost more than the meeting.

#![expect(
    clippy::redundant_allocation,
    reason = "the outer count is the thread's, the inner is shared"
)]

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::peer::Peer;

/// Peers that a thread may hold without having a request there. More are let go when another comes.
const MOST: usize = 1024;

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// With more peers than this, each request takes a reference of its own.
const FEW: usize = 64;

/// A peer that is held for a request. May end on any thread.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// By a count of the thread that picked it.
    OfThread(Arc<Arc<Peer>>),
    /// By the count that all threads share.
    Shared(Arc<Peer>),
}

/// The peers that a thread holds, by their address in memory: what is held is not freed, so nobody else gets it.
#[derive(Default)]
struct Held(FxHashMap<*const Peer, Arc<Arc<Peer>>>);

impl Hold {
    /// Holds one of so many peers that requests are shared among.
    pub(crate) fn of(peer: &Arc<Peer>, peers: usize) -> Hold {
        if peers > FEW {
            return Hold::Shared(Arc::clone(peer));
        }
        match HELD.try_with(|held| held.borrow_mut().hold(peer)) {
            Ok(held) => Hold::OfThread(held),
            // The thread is about to end.
            Err(_) => Hold::Shared(Arc::clone(peer)),
        }
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        match self {
            Hold::OfThread(held) => held,
            Hold::Shared(peer) => peer,
        }
    }
}

impl Held {
    fn hold(&mut self, peer: &Arc<Peer>) -> Arc<Arc<Peer>> {
        let key = Arc::as_ptr(peer);
        if let Some(hold) = self.0.get(&key) {
            return hold.clone();
        }
        if self.0.len() >= MOST {
            // Among them are the peers that are gone.
            self.0.retain(|_, held| Arc::strong_count(held) > 1);
        }
        let held = Arc::new(Arc::clone(peer));
        self.0.insert(key, held.clone());
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::testing::pool_of;

    #[test]
    fn requests_of_one_thread_share_its_reference() {
        let pool = pool_of(&[1]);
        let peer = &pool.member(0).unwrap().peer;
        let before = Arc::strong_count(peer);
        let first = Hold::of(peer, 1);
        assert_eq!(Arc::strong_count(peer), before + 1);
        let others: Vec<Hold> = (0..100).map(|_| Hold::of(peer, FEW)).collect();
        assert_eq!(Arc::strong_count(peer), before + 1);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let there = Hold::of(peer, 2);
                assert!(Arc::ptr_eq(there.peer(), peer));
                assert_eq!(Arc::strong_count(peer), before + 2);
            });
            other.join().unwrap();
        });
        assert_eq!(Arc::strong_count(peer), before + 1, "a thread that ended holds nothing");
        drop((first, others));
        assert_eq!(Arc::strong_count(peer), before + 1, "for the requests to come");
    }

    #[test]
    fn one_of_many_is_held_by_each_request() {
        let pool = pool_of(&[1]);
        let peer = &pool.member(0).unwrap().peer;
        let before = Arc::strong_count(peer);
        let requests: Vec<Hold> = (0..3).map(|_| Hold::of(peer, FEW + 1)).collect();
        assert_eq!(Arc::strong_count(peer), before + 3);
        drop(requests);
        assert_eq!(Arc::strong_count(peer), before);
    }

    #[test]
    fn peers_that_are_gone_are_let_go_when_many_others_come() {
        let mut held = Held::default();
        let peer = || Arc::clone(&pool_of(&[1]).member(0).unwrap().peer);
        let (gone, busy) = (peer(), peer());
        held.hold(&gone);
        let request = held.hold(&busy);
        let told = Arc::downgrade(&gone);
        drop(gone);
        for _ in 0..MOST {
            held.hold(&peer());
        }
        assert!(told.upgrade().is_none());
        assert!(held.0.contains_key(&Arc::as_ptr(&busy)));
        assert!(Arc::ptr_eq(&*request, &busy));
        assert!(held.0.len() <= MOST);
    }
}
