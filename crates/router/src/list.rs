//! Entries in the order in which they are tried.

use std::cmp::Reverse;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::entry::Entry;
use crate::rank::Rank;

/// Entries, greatest rank first. Cloning shares them.
#[derive(Clone, Debug)]
pub(crate) enum List<T> {
    Few(SmallVec<[Arc<Entry<T>>; 1]>),
    /// A tree, so that a change does not copy them all.
    Many(imbl::OrdMap<Reverse<Rank>, Arc<Entry<T>>>),
}

/// From here on a list is a tree.
const MANY: usize = 64;

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List::Few(SmallVec::new())
    }
}

impl<T> List<T> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            List::Few(entries) => entries.is_empty(),
            List::Many(entries) => entries.is_empty(),
        }
    }

    /// Calls `see` with each in order until it says that it has seen enough.
    pub(crate) fn walk<'t>(&'t self, mut see: impl FnMut(&'t Entry<T>) -> Enough) {
        let _: bool = match self {
            List::Few(entries) => entries.iter().any(|entry| see(entry) == Enough::Yes),
            List::Many(entries) => entries.values().any(|entry| see(entry) == Enough::Yes),
        };
    }
}

impl<T: Clone> List<T> {
    /// Adds an entry; once if it is there.
    pub(crate) fn insert(&mut self, entry: &Arc<Entry<T>>) {
        match self {
            List::Few(entries) => {
                let place = entries.binary_search_by(|e| entry.rank.cmp(&e.rank));
                if let Err(place) = place {
                    entries.insert(place, Arc::clone(entry));
                }
                if entries.len() >= MANY {
                    *self = List::Many(
                        entries.drain(..).map(|entry| (Reverse(entry.rank), entry)).collect(),
                    );
                }
            }
            List::Many(entries) => {
                entries.insert(Reverse(entry.rank), Arc::clone(entry));
            }
        }
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        match self {
            List::Few(entries) => {
                if let Ok(place) = entries.binary_search_by(|e| rank.cmp(&e.rank)) {
                    entries.remove(place);
                }
            }
            List::Many(entries) => {
                entries.remove(&Reverse(rank));
                // Half, so that a list at the border does not go to and fro.
                if entries.len() <= MANY / 2 {
                    *self = List::Few(entries.values().cloned().collect());
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
