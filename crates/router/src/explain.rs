//! Why a request goes where it goes.

use uuid::Uuid;

use crate::entry::Entry;
use crate::list::{Enough, List};
use crate::request::Request;
use crate::rule::{Condition, Known, Prepared};
use crate::table::Table;

/// A route (or the part of one that ranks by itself) that was considered for a request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'t, T> {
    /// What was given with the route.
    pub payload: &'t T,
    /// The route's id.
    pub route: Uuid,
    /// Whether the request meets all conditions; else the first that it does not.
    pub outcome: Result<(), Condition<'t>>,
}

impl<T> Table<T> {
    /// The routes that were considered, in the order in which they are tried: those that the
    /// index finds by host and path. The first that meets all is the one that [`Table::find`]
    /// answers with; those behind it are what it goes before.
    pub fn candidates<'t>(&'t self, request: &Request<'_>) -> Vec<Candidate<'t, T>> {
        let prepared = Prepared::new(request);
        let mut entries: Vec<&Entry<T>> = Vec::new();
        let mut collect = |list: &'t List<T>| {
            list.walk(|entry| {
                entries.push(entry);
                Enough::No
            });
        };
        self.index(!request.scheme.is_http())
            .visit(&prepared.host, request.path, |bucket| bucket.visit_all(&mut collect));
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.rank));
        entries.dedup_by_key(|entry| entry.rank);
        entries.into_iter().map(|entry| tried(entry, &prepared)).collect()
    }

    /// What became of one route, for those that [`Table::candidates`] does not show: one answer
    /// for each part of it. Empty if there is no such route.
    pub fn check<'t>(&'t self, route: Uuid, request: &Request<'_>) -> Vec<Candidate<'t, T>> {
        let prepared = Prepared::new(request);
        self.entries(route).iter().map(|entry| tried(entry, &prepared)).collect()
    }

    /// Whether the index holds nothing, not even an empty place.
    #[cfg(test)]
    pub(crate) fn has_empty_index(&self) -> bool {
        self.index(true).is_vacant() && self.index(false).is_vacant()
    }
}

fn tried<'t, T>(entry: &'t Entry<T>, request: &Prepared<'_>) -> Candidate<'t, T> {
    // Nothing is taken as known: the reason shall be the first condition, not the first left.
    let outcome = entry.rule.evaluate(request, Known::default()).map(|_| ());
    Candidate { payload: &entry.payload, route: entry.route, outcome }
}
