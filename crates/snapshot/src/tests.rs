use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Change, Cursor, Kind, Transaction};
use plugin::{BuildError, Definition, Instance, Listing, Phases, Plugin, Registry};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Applied, Builder, LiveChange};

/// One plugin, which cannot be built when its configuration says so.
#[derive(Debug)]
struct OnePlugin([Definition; 1]);

#[derive(Debug)]
struct Marker;

impl Plugin for Marker {}

impl Registry for OnePlugin {
    fn definitions(&self) -> &[Definition] {
        &self.0
    }

    fn position(&self, name: &str) -> Option<usize> {
        (name == "marker").then_some(0)
    }
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    match instance.config.get("broken") {
        Some(_) => Err(BuildError("it is broken".to_owned())),
        None => Ok(Arc::new(Marker)),
    }
}

fn builder() -> Builder {
    let schema = schema::Subschema::new();
    let listing = Listing { name: "marker", version: "1.0.0", priority: 1, schema };
    let phases = Phases { access: true, ..Phases::default() };
    let registry = Box::leak(Box::new(OnePlugin([Definition { listing, phases, build }])));
    Builder::new(router::Rules::default(), registry, 7)
}

fn id(kind: u128, number: u128) -> Uuid {
    Uuid::from_u128(kind << 64 | number)
}

const SERVICE: u128 = 1;
const ROUTE: u128 = 2;
const UPSTREAM: u128 = 3;
const TARGET: u128 = 4;
const PLUGIN: u128 = 5;

fn put(kind: &'static str, id: Uuid, mut body: Value) -> Change {
    body["id"] = json!(id);
    Change { kind: Kind::known(kind), id, body: Some(body.to_string().into()) }
}

fn gone(kind: &'static str, id: Uuid) -> Change {
    Change { kind: Kind::known(kind), id, body: None }
}

fn service(number: u128, host: &str, enabled: bool) -> Change {
    put("services", id(SERVICE, number), json!({"host": host, "enabled": enabled}))
}

fn route(number: u128, host: &str, of: u128) -> Change {
    let service = json!({"id": id(SERVICE, of)});
    put("routes", id(ROUTE, number), json!({"hosts": [host], "service": service}))
}

fn upstream(number: u128, name: &str) -> Change {
    put("upstreams", id(UPSTREAM, number), json!({"name": name}))
}

fn target(number: u128, of: u128, address: &str) -> Change {
    let upstream = json!({"id": id(UPSTREAM, of)});
    put("targets", id(TARGET, number), json!({"target": address, "upstream": upstream}))
}

fn marker(number: u128, scope: Value, config: Value) -> Change {
    let mut body = json!({"name": "marker", "config": config});
    for (field, value) in scope.as_object().into_iter().flatten() {
        body[field] = json!({"id": value});
    }
    put("plugins", id(PLUGIN, number), body)
}

fn transaction(prev: u64, changes: Vec<Change>) -> Transaction {
    Transaction { prev, revision: prev + 1, committed_us: 0, changes }
}

/// What a request for that host meets: its route, service, upstream with its peers, and plugins.
fn meets(applied: &Applied, host: &str) -> String {
    let request = router::Request {
        scheme: router::Scheme::Http,
        method: "GET",
        host,
        port: None,
        path: b"/",
        query: None,
        headers: &router::NoHeaders,
        sni: None,
        source: None,
        destination: None,
    };
    let Some(found) = applied.snapshot.routes.find(&request) else { return "no route".into() };
    let route = found.payload;
    let Some(service) = &route.service else { return "no service".into() };
    let mut peers: Vec<String> =
        service.upstream.peers().iter().map(|peer| peer.address().to_string()).collect();
    peers.sort();
    let chain = applied.snapshot.plugins.chain(route.route.id, Some(service.service.id));
    let plugins: Vec<Option<Uuid>> =
        chain.slots.iter().map(|slot| slot.for_consumer(None).map(|running| running.id)).collect();
    format!(
        "{} {} {} {peers:?} {plugins:?}",
        route.route.id,
        service.service.host,
        service.upstream.id()
    )
}

#[test]
fn a_service_follows_the_upstream_that_its_host_names() {
    let mut builder = builder();
    let first = builder.apply(&[transaction(
        0,
        vec![service(1, "127.0.0.9", true), service(2, "pool", true), route(1, "a.test", 2)],
    )]);
    assert!(meets(&first, "a.test").contains("pool"), "implicit: {}", meets(&first, "a.test"));
    let named =
        builder.apply(&[transaction(1, vec![target(1, 1, "127.0.0.1:81"), upstream(1, "pool")])]);
    assert!(meets(&named, "a.test").contains("127.0.0.1:81"), "{}", meets(&named, "a.test"));
    let renamed = builder.apply(&[transaction(2, vec![upstream(1, "other")])]);
    assert!(!meets(&renamed, "a.test").contains("127.0.0.1:81"), "{}", meets(&renamed, "a.test"));
    assert!(meets(&named, "a.test").contains("127.0.0.1:81"), "a snapshot never changes");
}

#[test]
fn what_nobody_uses_any_more_is_let_go() {
    let mut builder = builder();
    builder.apply(&[transaction(0, vec![service(1, "127.0.0.9", true)])]);
    let moved = builder.apply(&[transaction(1, vec![service(1, "127.0.0.8", true)])]);
    let removed: Vec<_> =
        moved.upstreams.iter().filter(|c| matches!(c, LiveChange::Removed(_))).collect();
    assert_eq!((moved.upstreams.len(), removed.len()), (2, 1), "{:?}", moved.upstreams);
    let same = builder.apply(&[transaction(2, vec![service(1, "127.0.0.8", true)])]);
    assert!(same.upstreams.is_empty(), "{:?}", same.upstreams);
}

#[test]
fn a_disabled_service_has_no_routes() {
    let mut builder = builder();
    let all = vec![service(1, "127.0.0.9", false), route(1, "a.test", 1)];
    assert_eq!(meets(&builder.apply(&[transaction(0, all)]), "a.test"), "no route");
    let on = builder.apply(&[transaction(1, vec![service(1, "127.0.0.9", true)])]);
    assert_ne!(meets(&on, "a.test"), "no route");
}

#[test]
fn a_bad_entity_keeps_its_last_good_version_and_blocks_nobody() {
    let mut builder = builder();
    builder.apply(&[transaction(0, vec![service(1, "127.0.0.9", true), route(1, "a.test", 1)])]);
    let bad = put("routes", id(ROUTE, 1), json!({"hosts": "not a list"}));
    let applied = builder.apply(&[transaction(1, vec![bad, route(2, "b.test", 1)])]);
    assert_eq!(applied.rejections.len(), 1, "{:?}", applied.rejections);
    assert_ne!(meets(&applied, "a.test"), "no route");
    assert_ne!(meets(&applied, "b.test"), "no route");
    let healed = builder.apply(&[transaction(2, vec![gone("routes", id(ROUTE, 1))])]);
    assert!(healed.rejections.is_empty());
    assert_eq!(meets(&healed, "a.test"), "no route");
}

#[test]
fn a_plugin_that_cannot_run_is_never_skipped() {
    let mut builder = builder();
    let broken = marker(1, json!({}), json!({"broken": true}));
    let applied = builder.apply(&[transaction(0, vec![broken.clone()])]);
    let running = applied.snapshot.plugins.unscoped().slots[0].for_consumer(None).cloned();
    assert!(running.is_some_and(|running| running.plugin.is_none()));
    builder.apply(&[transaction(1, vec![marker(1, json!({}), json!({}))])]);
    let again = builder.apply(&[transaction(2, vec![broken])]);
    let running = again.snapshot.plugins.unscoped().slots[0].for_consumer(None).cloned();
    assert!(running.is_some_and(|running| running.plugin.is_some()), "the last good one stays");
    assert_eq!(again.rejections.len(), 1);
}

#[test]
fn the_most_specific_plugin_runs() {
    let (route_1, service_1, consumer) = (id(ROUTE, 1), id(SERVICE, 1), id(9, 1));
    // From the least specific to the most (Kong's order).
    let scopes = [
        json!({}),
        json!({"service": service_1}),
        json!({"route": route_1}),
        json!({"consumer": consumer}),
        json!({"route": route_1, "service": service_1}),
        json!({"service": service_1, "consumer": consumer}),
        json!({"route": route_1, "consumer": consumer}),
        json!({"route": route_1, "service": service_1, "consumer": consumer}),
    ];
    let mut builder = builder();
    builder.apply(&[transaction(0, vec![service(1, "127.0.0.9", true), route(1, "a.test", 1)])]);
    for (number, scope) in scopes.into_iter().enumerate() {
        let plugin = marker(number as u128, scope, json!({}));
        let applied = builder.apply(&[transaction(number as u64 + 1, vec![plugin])]);
        let chain = applied.snapshot.plugins.chain(route_1, Some(service_1));
        let runs = chain.slots[0].for_consumer(Some(consumer)).map(|running| running.id);
        assert_eq!(runs, Some(id(PLUGIN, number as u128)));
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let number = 0..3u128;
    let host = prop::sample::select(vec!["one", "two", "127.0.0.9"]);
    let domain = prop::sample::select(vec!["a.test", "b.test", "c.test"]);
    let address = prop::sample::select(vec!["127.0.0.1:1", "127.0.0.2:2", "127.0.0.3:3"]);
    let deleted = prop::sample::select(vec![
        ("routes", ROUTE),
        ("upstreams", UPSTREAM),
        ("targets", TARGET),
        ("plugins", PLUGIN),
    ]);
    prop_oneof![
        (number.clone(), host.clone(), any::<bool>()).prop_map(|(n, h, on)| service(n, h, on)),
        (number.clone(), domain, number.clone()).prop_map(|(n, d, of)| route(n, d, of)),
        (number.clone(), host).prop_map(|(n, name)| upstream(n, name)),
        (number.clone(), number.clone(), address).prop_map(|(n, of, a)| target(n, of, a)),
        (number.clone(), number.clone(), 0..3u8).prop_map(|(n, of, scope)| match scope {
            0 => marker(n, json!({}), json!({})),
            1 => marker(n, json!({"route": id(ROUTE, of)}), json!({})),
            _ => marker(n, json!({"service": id(SERVICE, of)}), json!({})),
        }),
        (number, deleted).prop_map(|(n, (kind, space))| gone(kind, id(space, n))),
    ]
}

proptest! {
    /// However a set came about, requests meet the same.
    #[test]
    fn many_small_steps_lead_where_one_large_one_does(
        steps in prop::collection::vec(prop::collection::vec(any_change(), 1..4), 1..25)
    ) {
        let mut incremental = builder();
        let mut all: BTreeMap<(Kind, Uuid), Change> = BTreeMap::new();
        // Services are there from the start and stay, as the store's references make sure of.
        let services: Vec<Change> = (0..3).map(|n| service(n, "one", true)).collect();
        let mut applied = incremental.apply(&[transaction(0, services.clone())]);
        let mut revision = 1;
        let first = services.into_iter();
        all.extend(first.map(|change| ((change.kind.clone(), change.id), change)));
        for step in steps {
            for change in &step {
                let key = (change.kind.clone(), change.id);
                if change.body.is_some() {
                    all.insert(key, change.clone());
                } else {
                    all.remove(&key);
                }
            }
            // An upstream's name is unique in a store.
            let mut names = BTreeMap::new();
            for change in all.values().filter(|change| change.kind.as_str() == "upstreams") {
                let body: Value = serde_json::from_str(change.body.as_deref().unwrap()).unwrap();
                *names.entry(body["name"].to_string()).or_insert(0) += 1;
            }
            prop_assume!(names.values().all(|count| *count == 1));
            applied = incremental.apply(&[transaction(revision, step)]);
            revision += 1;
        }
        let at = Cursor { epoch: Uuid::nil(), revision };
        let entities: Vec<Change> = all.into_values().collect();
        let fresh = builder().replace(at, &entities);
        let again = incremental.replace(at, &entities);
        for host in ["a.test", "b.test", "c.test", "d.test"] {
            prop_assert_eq!(meets(&applied, host), meets(&fresh, host));
            prop_assert_eq!(meets(&again, host), meets(&fresh, host));
        }
    }
}
