//! The table of all routes.

use std::sync::Arc;

use model::Route;
use uuid::Uuid;

use crate::entry::{self, Entry};
use crate::error::Rejected;
use crate::index::Index;
use crate::list::{Enough, List};
use crate::map::Map;
use crate::matched::{Match, Matched};
use crate::request::Request;
use crate::rule::Prepared;
use crate::rules::Rules;

/// Routes, each with a payload, found by request.
///
/// A clone costs nothing to speak of and shares what neither it nor the original changes later;
/// a change costs what the route touches, however many others there are. So a table can be
/// changed beside the traffic and then take the place of the one before.
///
/// Whatever the index does, the answer is that of trying every route in order of priority.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rules: Rules,
    http: Index<T>,
    stream: Index<T>,
    /// The entries of each route.
    routes: Map<Uuid, Entries<T>>,
}

/// The entries of one route.
type Entries<T> = Arc<[Arc<Entry<T>>]>;

impl<T> Table<T> {
    /// An empty table.
    pub fn new(rules: Rules) -> Table<T> {
        Table { rules, http: Index::default(), stream: Index::default(), routes: Map::default() }
    }

    /// The rules that it follows.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// How many routes it has.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether it has no route.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// What was given with a route.
    pub fn get(&self, route: Uuid) -> Option<&T> {
        self.routes.get(&route).and_then(|entries| entries.first()).map(|entry| &entry.payload)
    }

    /// The route that a request belongs to.
    pub fn find<'t, 'r>(&'t self, request: &Request<'r>) -> Option<Match<'t, 'r, T>> {
        let prepared = Prepared::new(request);
        let mut best: Option<(&Entry<T>, Matched<'t>)> = None;
        let mut try_list = |list: &'t List<T>| {
            list.walk(|entry| {
                if best.is_some_and(|(best, _)| best.rank >= entry.rank) {
                    return Enough::Yes;
                }
                match entry.meets(&prepared) {
                    Some(matched) => {
                        best = Some((entry, matched));
                        Enough::Yes
                    }
                    None => Enough::No,
                }
            });
        };
        self.index(!request.scheme.is_http())
            .visit(&prepared.host, request.path, |bucket| bucket.visit(&prepared, &mut try_list));
        best.map(|(entry, matched)| Match {
            payload: &entry.payload,
            prefix: matched.prefix,
            pattern: matched.pattern,
            path: request.path,
        })
    }

    pub(crate) fn index(&self, stream: bool) -> &Index<T> {
        if stream { &self.stream } else { &self.http }
    }

    /// The entries of a route.
    pub(crate) fn entries(&self, route: Uuid) -> &[Arc<Entry<T>>] {
        self.routes.get(&route).map(|entries| &**entries).unwrap_or_default()
    }

    /// The entries of all routes, in no order.
    #[cfg(test)]
    pub(crate) fn all_entries(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        self.routes.values().flat_map(|entries| entries.iter())
    }
}

impl<T: Clone> Table<T> {
    /// Puts a route in, in place of the one with the same id.
    ///
    /// # Errors
    /// If it cannot be compiled; the table, and with it the former version of the route, stays as
    /// it is.
    pub fn insert(&mut self, route: &Route, payload: T) -> Result<(), Rejected> {
        let entries = entry::entries(route, &payload, self.rules)?;
        self.remove(route.id);
        self.put(route.id, entries);
        Ok(())
    }

    /// Takes a route out; false if it was not there.
    pub fn remove(&mut self, route: Uuid) -> bool {
        let Some(entries) = self.routes.remove(&route) else { return false };
        for entry in &*entries {
            self.index_mut(entry.stream).remove(entry);
        }
        true
    }

    /// Gives a route another payload; false if there is no such route. Spares compiling it.
    pub fn set_payload(&mut self, route: Uuid, payload: &T) -> bool {
        let Some(former) = self.routes.get(&route).cloned() else { return false };
        let entries = former
            .iter()
            .map(|entry| Arc::new(Entry { payload: payload.clone(), ..Entry::clone(entry) }))
            .collect();
        self.remove(route);
        self.put(route, entries);
        true
    }

    fn index_mut(&mut self, stream: bool) -> &mut Index<T> {
        if stream { &mut self.stream } else { &mut self.http }
    }

    fn put(&mut self, route: Uuid, entries: Vec<Arc<Entry<T>>>) {
        for entry in &entries {
            self.index_mut(entry.stream).insert(entry);
        }
        self.routes.insert(route, entries.into());
    }
}
