//! Routes that no request can reach, because another takes all of theirs.

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use crate::entry::{Entry, Places};
use crate::list::Enough;
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

/// At most so many other entries are looked at for one route.
const MOST: usize = 1000;

impl<T> Table<T> {
    /// Which routes hide a route of the table, and which it hides. Looks only where the index has
    /// such routes, and at no more than a fixed number of them, so the cost does not grow with the
    /// table. A route without exact hosts that hides one with exact hosts, which takes a negative
    /// `regex_priority` in Kong's original order, is found when the hidden one is asked about.
    ///
    /// What is reported is so; where conditions cannot be compared (two different regular
    /// expressions, expressions) or where routes are too many nothing is reported.
    pub fn shadows(&self, route: Uuid) -> Vec<Shadow> {
        // Hidden parts by (hidden, hider).
        let mut pairs: FxHashMap<(Uuid, Uuid), FxHashSet<Rank>> = FxHashMap::default();
        let mut hidden: FxHashMap<Uuid, FxHashSet<Rank>> = FxHashMap::default();
        let mut left = MOST;
        for own in self.entries(route).iter().filter(|own| own.rule.expression.is_none()) {
            let mut look = |other: &Entry<T>| {
                if left == 0 {
                    return Enough::Yes;
                }
                left -= 1;
                let found = if other.route == route {
                    None
                } else if hides(other, own) {
                    Some((own.rank, (own.route, other.route)))
                } else if hides(own, other) {
                    Some((other.rank, (other.route, own.route)))
                } else {
                    None
                };
                if let Some((part, pair)) = found {
                    pairs.entry(pair).or_default().insert(part);
                    hidden.entry(pair.0).or_default().insert(part);
                }
                Enough::No
            };
            let (places, index) = (Places::of(&own.rule), self.index(own.stream));
            index.above(&places, |bucket| {
                bucket.visit_all(&mut |list| {
                    list.walk(|other| {
                        // Those behind it hide nothing of it.
                        if other.rank <= own.rank { Enough::Yes } else { look(other) }
                    });
                });
            });
            index.below(&places, |bucket| {
                let mut enough = Enough::No;
                bucket.visit_all(&mut |list| {
                    list.walk(|other| {
                        enough = look(other);
                        enough
                    });
                });
                enough
            });
        }
        let mut shadows: Vec<_> = pairs
            .into_keys()
            .map(|(of, by)| Shadow {
                hidden: of,
                by,
                whole: hidden.get(&of).is_some_and(|parts| parts.len() == self.entries(of).len()),
            })
            .collect();
        shadows.sort_unstable();
        shadows
    }
}

fn hides<T>(upper: &Entry<T>, lower: &Entry<T>) -> bool {
    upper.stream == lower.stream && upper.rank > lower.rank && upper.rule.covers(&lower.rule)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Route;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};
    use proptest::sample::select;
    use uuid::Uuid;

    use super::{Shadow, hides};
    use crate::entry::Entry;
    use crate::name::Name;
    use crate::rules::{Calculation, Rules};
    use crate::table::Table;
    use crate::testing::{hosts, paths, texts, with_header, with_id};
    use crate::tests::http_route;

    fn shadows(present: &[Route], new: &Route) -> Vec<(u128, u128, bool)> {
        let mut table = Table::new(Rules::default());
        for route in present {
            table.insert(route, ()).unwrap();
        }
        table.insert(new, ()).unwrap();
        let shadows = table.shadows(new.id);
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

    proptest! {
        #[test]
        fn the_index_has_all_that_hide_each_other(
            routes in vec(http_route(), 1..12),
            calculation in select(vec![Calculation::Original, Calculation::Strict]),
        ) {
            let mut table = Table::new(Rules { calculation, ..Rules::default() });
            for route in &routes {
                table.insert(route, ()).unwrap();
            }
            for route in &routes {
                let shadows = table.shadows(route.id).into_iter();
                let found: BTreeSet<_> = shadows.map(|s| (s.hidden, s.by)).collect();
                prop_assert_eq!(&found, &plainly(&table, route.id), "{:?}", route);
            }
        }
    }

    /// The pairs of hidden and hider, by a look at all entries.
    fn plainly(table: &Table<()>, route: Uuid) -> BTreeSet<(Uuid, Uuid)> {
        let exact = |entry: &Entry<()>| {
            let mut hosts = entry.rule.hosts.iter();
            hosts.len() > 0 && hosts.all(|host| matches!(host.name, Name::Exact(_)))
        };
        let mut pairs = BTreeSet::new();
        for own in table.entries(route) {
            for other in table.all_entries().filter(|other| other.route != route) {
                if hides(other, own) {
                    pairs.insert((route, other.route));
                } else if hides(own, other) && (exact(own) || !exact(other)) {
                    pairs.insert((other.route, route));
                }
            }
        }
        pairs
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        let mut table = Table::new(Rules::default());
        for id in 1..3000 {
            let value = format!("{id}");
            table.insert(&with_id(id, with_header(paths(&["/a"]), "x", &[&value])), ()).unwrap();
        }
        table.insert(&with_id(0, paths(&["/a"])), ()).unwrap();
        assert_eq!(table.shadows(Uuid::from_u128(0)), []);
    }
}
