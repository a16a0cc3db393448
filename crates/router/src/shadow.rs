//! Routes that no request can reach, because another takes all of theirs.

use std::sync::Arc;

use model::Route;
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use crate::entry::{self, Entry};
use crate::error::Rejected;
use crate::rank::Rank;
use crate::table::Table;

/// One route hides another, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shadow {
    /// The route that is not reached.
    pub hidden: Uuid,
    /// The one that goes before it and matches all that it matches.
    pub by: Uuid,
    /// Whether nothing of the hidden route is reached any more; else only some of its paths are
    /// not.
    pub whole: bool,
}

impl<T> Table<T> {
    /// Which routes hide `route` and which it would hide, if it were in the table (in place of
    /// the one with its id). Costs a comparison with every route.
    ///
    /// What is reported is so; where conditions cannot be compared (two different regular
    /// expressions, expressions) nothing is reported.
    ///
    /// # Errors
    /// If the route cannot be compiled.
    pub fn shadows(&self, route: &Route) -> Result<Vec<Shadow>, Rejected> {
        let new = entry::entries(route, &(), self.rules())?;
        // Hidden parts by (hidden, hider).
        let mut pairs: FxHashMap<(Uuid, Uuid), FxHashSet<Rank>> = FxHashMap::default();
        let mut hidden: FxHashMap<Uuid, FxHashSet<Rank>> = FxHashMap::default();
        let mut hide = |part: Rank, of: Uuid, by: Uuid| {
            pairs.entry((of, by)).or_default().insert(part);
            hidden.entry(of).or_default().insert(part);
        };
        for old in self.all_entries().filter(|old| old.route != route.id) {
            for new in &new {
                if hides(old, new) {
                    hide(new.rank, new.route, old.route);
                } else if hides(new, old) {
                    hide(old.rank, old.route, new.route);
                }
            }
        }
        let parts = |id: Uuid| if id == route.id { new.len() } else { self.entries(id).len() };
        let mut shadows: Vec<_> = pairs
            .into_keys()
            .map(|(of, by)| Shadow {
                hidden: of,
                by,
                whole: hidden.get(&of).is_some_and(|hidden| hidden.len() == parts(of)),
            })
            .collect();
        shadows.sort_unstable();
        Ok(shadows)
    }
}

fn hides<A, B>(upper: &Arc<Entry<A>>, lower: &Arc<Entry<B>>) -> bool {
    upper.stream == lower.stream && upper.rank > lower.rank && upper.rule.covers(&lower.rule)
}

#[cfg(test)]
mod tests {
    use model::Route;

    use super::Shadow;
    use crate::rules::Rules;
    use crate::table::Table;
    use crate::testing::{hosts, paths, texts, with_header, with_id};

    fn shadows(present: &[Route], new: &Route) -> Vec<(u128, u128, bool)> {
        let mut table = Table::new(Rules::default());
        for route in present {
            table.insert(route, ()).unwrap();
        }
        let shadows = table.shadows(new).unwrap();
        shadows
            .into_iter()
            .map(|Shadow { hidden, by, whole }| (hidden.as_u128(), by.as_u128(), whole))
            .collect()
    }

    #[test]
    fn an_equal_route_hides_the_one_with_the_lower_id() {
        let present = [with_id(1, paths(&["/a"]))];
        assert_eq!(shadows(&present, &with_id(2, paths(&["/a"]))), [(1, 2, true)]);
        assert_eq!(shadows(&present, &with_id(0, paths(&["/a"]))), [(0, 1, true)]);
        assert_eq!(shadows(&present, &with_id(1, paths(&["/a"]))), []);
        assert_eq!(shadows(&present, &with_id(2, paths(&["/ab"]))), []);
    }

    #[test]
    fn exact_hosts_hide_more_conditions() {
        let present = [with_id(1, hosts(&["a.test", "b.test"]))];
        let new = Route {
            paths: texts(&["/x"]),
            methods: texts(&["GET"]),
            hosts: texts(&["*.test"]),
            ..hosts(&[])
        };
        assert_eq!(shadows(&present, &with_id(2, new)), []);
        let deeper = Route { paths: texts(&["/x"]), ..hosts(&["a.test"]) };
        assert_eq!(shadows(&present, &with_id(2, deeper)), []);
    }

    #[test]
    fn parts_are_hidden_by_themselves() {
        let regex = with_id(1, paths(&["~/a"]));
        let new = with_id(2, paths(&["/a", "/bbb", "/abcd"]));
        // The literal prefix of a regular expression says nothing about what it covers.
        assert_eq!(shadows(&[regex], &new), []);
        // Parts have ids of their own, so only the greatest id is sure to go before one.
        let same = with_id(2, paths(&["~/a", "/bbb"]));
        let first = with_id(u128::MAX, paths(&["~/a"]));
        assert_eq!(shadows(&[first], &same), [(2, u128::MAX, false)]);
    }

    #[test]
    fn headers_compare_by_value() {
        let some = with_id(1, with_header(paths(&["/a"]), "x", &["~*^v"]));
        let one = with_id(0, with_header(paths(&["/a"]), "X", &["v1"]));
        assert_eq!(shadows(std::slice::from_ref(&some), &one), [(0, 1, true)]);
        let other = with_id(0, with_header(paths(&["/a"]), "x", &["w1"]));
        assert_eq!(shadows(&[some], &other), []);
    }
}
