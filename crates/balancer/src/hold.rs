//! Holding a peer for a request without a write to memory that other threads use.
//!
//! A count of references that all threads share is written twice for every request, and each write takes the cache
//! line, with all of the peer that is read beside it, away from the other processors. So each thread takes one
//! reference for all of its requests, and counts those by itself.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::peer::Peer;

/// Peers that a thread may hold without having a request there. More are let go when another comes.
const MOST: usize = 1024;

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

/// A peer, held by a count of the thread that picked it. May end on any thread.
#[derive(Clone, Debug)]
#[expect(
    clippy::redundant_allocation,
    reason = "the outer count is the thread's, the inner is shared"
)]
pub(crate) struct Hold(Arc<Arc<Peer>>);

/// The peers that a thread holds, by their address in memory: what is held is not freed, so nobody else gets it.
#[derive(Default)]
struct Held(FxHashMap<*const Peer, Hold>);

impl Hold {
    pub(crate) fn of(peer: &Arc<Peer>) -> Hold {
        let held = HELD.try_with(|held| held.borrow_mut().hold(peer));
        // The thread is about to end.
        held.unwrap_or_else(|_| Hold(Arc::new(Arc::clone(peer))))
    }

    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Held {
    fn hold(&mut self, peer: &Arc<Peer>) -> Hold {
        let key = Arc::as_ptr(peer);
        if let Some(hold) = self.0.get(&key) {
            return hold.clone();
        }
        if self.0.len() >= MOST {
            // Among them are the peers that are gone.
            self.0.retain(|_, hold| Arc::strong_count(&hold.0) > 1);
        }
        let hold = Hold(Arc::new(Arc::clone(peer)));
        self.0.insert(key, hold.clone());
        hold
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
        let first = Hold::of(peer);
        assert_eq!(Arc::strong_count(peer), before + 1);
        let others: Vec<Hold> = (0..100).map(|_| Hold::of(peer)).collect();
        assert_eq!(Arc::strong_count(peer), before + 1);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let there = Hold::of(peer);
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
        assert!(Arc::ptr_eq(request.peer(), &busy));
        assert!(held.0.len() <= MOST);
    }
}
