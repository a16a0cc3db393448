//! What must hold for all tables and requests.

use std::collections::BTreeMap;

use model::{Route, RouterFlavor};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use uuid::Uuid;

use super::arbitrary::{
    Owned, connection, endpoints, expression_route, http_request, http_route, stream_route,
};
use crate::oracle::{Found, Kong, Plain};
use crate::rules::{Calculation, Rules};
use crate::table::Table;

fn rules() -> impl Strategy<Value = Rules> {
    let flavor = select(vec![
        RouterFlavor::TraditionalCompatible,
        RouterFlavor::Traditional,
        RouterFlavor::Expressions,
    ]);
    (flavor, select(vec![Calculation::Original, Calculation::Strict]))
        .prop_map(|(flavor, calculation)| Rules { flavor, calculation })
}

fn any_route() -> impl Strategy<Value = Route> {
    prop_oneof![6 => http_route(), 2 => stream_route(), 2 => expression_route()]
}

/// Routes as the `expressions` flavor takes them: classic ones may have addresses for HTTP, too.
fn mixed_route() -> impl Strategy<Value = Route> {
    let addressed = (http_route(), option::of(endpoints()), option::of(endpoints()))
        .prop_map(|(route, sources, destinations)| Route { sources, destinations, ..route });
    prop_oneof![3 => addressed, 1 => stream_route(), 2 => expression_route()]
}

fn any_request() -> impl Strategy<Value = Owned> {
    prop_oneof![4 => http_request(), 1 => connection()]
}

/// The table with those routes that its flavor takes.
fn table(routes: &[Route], rules: Rules) -> Table<Uuid> {
    let mut table = Table::new(rules);
    for route in routes {
        let taken = table.insert(route, route.id).is_ok();
        assert_eq!(
            taken,
            route.expression.is_none() || rules.flavor != RouterFlavor::Traditional,
            "{route:?}"
        );
    }
    table
}

fn find(table: &Table<Uuid>, request: &Owned) -> Option<Found> {
    request.with(|request| {
        let found = table.find(request)?;
        Some(Found { route: *found.payload, prefix: found.prefix })
    })
}

/// What is compared: for an expression the route alone, since what was matched of the path
/// differs on purpose where a branch failed later.
fn compared(found: Option<Found>, routes: &[Route]) -> Option<Found> {
    let mut found = found?;
    if routes.iter().any(|route| route.id == found.route && route.expression.is_some()) {
        found.prefix = None;
    }
    Some(found)
}

/// The table answers as Kong's engine does.
fn assert_as_kong(routes: &[Route], requests: &[Owned], rules: Rules) {
    let (kong, table) = (Kong::new(routes, rules).unwrap(), table(routes, rules));
    for request in requests {
        let theirs = request.with(|request| kong.find(request));
        assert_eq!(
            compared(find(&table, request), routes),
            compared(theirs, routes),
            "{request:?} in {routes:?}"
        );
    }
}

/// One route per id, the last.
fn distinct(routes: Vec<Route>) -> Vec<Route> {
    let by_id: BTreeMap<_, _> = routes.into_iter().map(|route| (route.id, route)).collect();
    by_id.into_values().collect()
}

proptest! {
    #[test]
    fn the_index_finds_what_trying_in_order_finds(
        routes in vec(prop_oneof![any_route(), mixed_route()], 0..24),
        requests in vec(any_request(), 1..16),
        rules in rules(),
    ) {
        let routes = distinct(routes);
        let (plain, table) = (Plain::new(&routes, rules).unwrap(), table(&routes, rules));
        for request in &requests {
            let theirs = request.with(|request| plain.find(request));
            assert_eq!(
                compared(find(&table, request), &routes),
                compared(theirs, &routes),
                "{request:?} in {routes:?}"
            );
        }
    }

    #[test]
    fn classic_routes_are_matched_as_by_kongs_engine(
        routes in vec(http_route(), 0..12),
        requests in vec(http_request(), 1..12),
        calculation in select(vec![Calculation::Original, Calculation::Strict]),
    ) {
        let mut routes = distinct(routes);
        if calculation == Calculation::Strict {
            // Kong's number has no place for negative priorities; a route by nothing but SNIs
            // takes plain requests in the engine.
            routes.retain(|r| r.regex_priority >= Some(0) && r.snis.is_none());
        }
        assert_as_kong(&routes, &requests, Rules { calculation, ..Rules::default() });
    }

    #[test]
    fn connections_are_matched_as_by_kongs_engine(
        routes in vec(stream_route(), 0..12),
        requests in vec(connection(), 1..12),
    ) {
        assert_as_kong(&distinct(routes), &requests, Rules::default());
    }

    #[test]
    fn routes_of_all_kinds_are_matched_as_by_kongs_engine(
        routes in vec(mixed_route(), 0..10),
        requests in vec(any_request(), 1..12),
    ) {
        let rules = Rules { flavor: RouterFlavor::Expressions, ..Rules::default() };
        assert_as_kong(&distinct(routes), &requests, rules);
    }

    #[test]
    fn a_changed_table_is_a_new_one_and_its_clones_stay(
        changes in vec((any_route(), any::<bool>()), 0..32),
        requests in vec(any_request(), 1..8),
        rules in rules().prop_filter("takes all", |r| r.flavor != RouterFlavor::Traditional),
    ) {
        let mut routes: BTreeMap<Uuid, Route> = BTreeMap::new();
        let mut changed = Table::new(rules);
        for (route, remove) in changes {
            let before = changed.clone();
            let answers: Vec<_> = requests.iter().map(|request| find(&before, request)).collect();
            if remove {
                assert_eq!(changed.remove(route.id), routes.remove(&route.id).is_some());
            } else {
                changed.insert(&route, route.id).unwrap();
                assert!(changed.set_payload(route.id, &route.id));
                routes.insert(route.id, route);
            }
            for (request, answer) in requests.iter().zip(answers) {
                assert_eq!(find(&before, request), answer);
            }
        }
        let routes: Vec<_> = routes.into_values().collect();
        let fresh = table(&routes, rules);
        assert_eq!(changed.len(), fresh.len());
        for request in &requests {
            assert_eq!(find(&changed, request), find(&fresh, request));
        }
        for route in &routes {
            changed.remove(route.id);
        }
        assert!(changed.is_empty());
        assert!(changed.has_empty_index());
    }

    #[test]
    fn the_first_candidate_that_meets_all_is_the_one_found(
        routes in vec(any_route(), 0..16),
        request in any_request(),
        rules in Just(Rules::default()),
    ) {
        let table = table(&routes, rules);
        request.with(|request| {
            let first = table
                .candidates(request)
                .into_iter()
                .find(|candidate| candidate.outcome.is_ok())
                .map(|candidate| candidate.route);
            assert_eq!(first, table.find(request).map(|found| *found.payload));
        });
    }

    #[test]
    fn what_is_reported_hidden_is_never_found(
        routes in vec(http_route(), 1..10),
        requests in vec(http_request(), 1..24),
    ) {
        let routes = distinct(routes);
        let all = table(&routes, Rules::default());
        for route in &routes {
            let shadows = all.shadows(route.id);
            for shadow in shadows.iter().filter(|shadow| shadow.whole) {
                for request in &requests {
                    let found = find(&all, request).map(|found| found.route);
                    assert_ne!(found, Some(shadow.hidden), "{shadow:?} {request:?} {routes:?}");
                }
            }
        }
    }
}
