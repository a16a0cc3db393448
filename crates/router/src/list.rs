//! Entries in the order in which they are tried.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::entry::Entry;
use crate::rank::Rank;

/// Entries, greatest rank first. Small, since there is one for every path of every host.
#[derive(Clone, Debug, Default)]
pub(crate) enum List<T> {
    #[default]
    Empty,
    One(Arc<Entry<T>>),
    #[expect(clippy::box_collection, reason = "most lists have one entry; this keeps them small")]
    Few(Box<Vec<Arc<Entry<T>>>>),
    /// A tree, so that a change does not copy them all.
    Many(Box<imbl::OrdMap<Reverse<Rank>, Arc<Entry<T>>>>),
}

/// From here on a list is a tree.
const MANY: usize = 64;

impl<T> List<T> {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, List::Empty)
    }

    /// Calls `see` with each in order until it says that it has seen enough.
    pub(crate) fn walk<'t>(&'t self, mut see: impl FnMut(&'t Entry<T>) -> Enough) {
        let _: bool = match self {
            List::Empty => false,
            List::One(entry) => see(entry) == Enough::Yes,
            List::Few(entries) => entries.iter().any(|entry| see(entry) == Enough::Yes),
            List::Many(entries) => entries.values().any(|entry| see(entry) == Enough::Yes),
        };
    }
}

impl<T: Clone> List<T> {
    /// Adds an entry; once if it is there.
    pub(crate) fn insert(&mut self, entry: &Arc<Entry<T>>) {
        match self {
            List::Empty => *self = List::One(Arc::clone(entry)),
            List::One(one) if one.rank == entry.rank => {}
            List::One(one) => {
                let mut both = vec![Arc::clone(one), Arc::clone(entry)];
                both.sort_unstable_by_key(|entry| Reverse(entry.rank));
                *self = List::Few(Box::new(both));
            }
            List::Few(entries) => {
                let place = entries.binary_search_by(|e| entry.rank.cmp(&e.rank));
                if let Err(place) = place {
                    entries.insert(place, Arc::clone(entry));
                }
                if entries.len() >= MANY {
                    let entries = entries.drain(..).map(|entry| (Reverse(entry.rank), entry));
                    *self = List::Many(Box::new(entries.collect()));
                }
            }
            List::Many(entries) => {
                entries.insert(Reverse(entry.rank), Arc::clone(entry));
            }
        }
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        match self {
            List::Empty => {}
            List::One(one) => {
                if one.rank == rank {
                    *self = List::Empty;
                }
            }
            List::Few(entries) => {
                entries.retain(|entry| entry.rank != rank);
                if let [one] = &entries[..] {
                    *self = List::One(Arc::clone(one));
                }
            }
            List::Many(entries) => {
                entries.remove(&Reverse(rank));
                // Half, so that a list at the border does not go to and fro.
                if entries.len() <= MANY / 2 {
                    *self = List::Few(Box::new(entries.values().cloned().collect()));
                }
            }
        }
    }
}

/// Whether a walk shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    Yes,
    No,
}

impl From<bool> for Enough {
    fn from(enough: bool) -> Enough {
        if enough { Enough::Yes } else { Enough::No }
    }
}
