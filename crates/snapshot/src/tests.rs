use std::sync::{Arc, LazyLock, mpsc};

use model::{Change, Cursor, Kind, Transaction};
use plugin::{BuildError, Definition, Instance, Listing, Node, Phases, Plugin, Registry};
use schema::Field;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Applied, Builder, LiveChange, Running};

mod properties;
mod skew;

/// Two plugins, which cannot be built when their configuration says so.
#[derive(Debug)]
struct TwoPlugins([Definition; 2]);

const PLUGINS: [&str; 2] = ["first", "marker"];

#[derive(Debug)]
struct Marker;

impl Plugin for Marker {}

impl Registry for TwoPlugins {
    fn definitions(&self) -> &[Definition] {
        &self.0
    }

    fn position(&self, name: &str) -> Option<usize> {
        PLUGINS.iter().position(|known| *known == name)
    }
}

fn build(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    if instance.config.contains_key("broken") {
        return Err(BuildError("it is broken".to_owned()));
    }
    if !instance.config.contains_key("added") {
        return Err(BuildError("what an older version stored is not completed".to_owned()));
    }
    match instance.config.get("password").and_then(Value::as_str) {
        None | Some("open sesame") => Ok(Arc::new(Marker)),
        Some(other) => Err(BuildError(format!("'{other}' opens nothing"))),
    }
}

fn builder() -> Builder {
    let phases = Phases { access: true, ..Phases::default() };
    let definition = |name| {
        static CONFIG: LazyLock<schema::Record> = LazyLock::new(|| {
            schema::Record::new("")
                .field("password", Field::string().referenceable())
                .field("added", Field::string().default("later"))
        });
        let listing = Listing {
            name,
            version: "1.0.0",
            priority: 1,
            schema: schema::Subschema::new().field("config", Field::record(CONFIG.clone())),
            config: &CONFIG,
            example: "",
        };
        Definition { listing, phases, build }
    };
    let registry = Box::leak(Box::new(TwoPlugins(PLUGINS.map(definition))));
    Builder::new(router::Rules::default(), registry, Node::detached(), 7)
}

fn id(kind: u128, number: u128) -> Uuid {
    Uuid::from_u128(kind << 64 | number)
}

const SERVICE: u128 = 1;
const ROUTE: u128 = 2;
const UPSTREAM: u128 = 3;
const TARGET: u128 = 4;
const PLUGIN: u128 = 5;
const CONSUMER: u128 = 6;
const CREDENTIAL: u128 = 7;
const SNI: u128 = 8;
const CERTIFICATE: u128 = 9;

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
    plugin("marker", number, scope, config)
}

fn plugin(name: &str, number: u128, scope: Value, config: Value) -> Change {
    let mut body = json!({"name": name, "config": config});
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
        service.upstream().peers().iter().map(|peer| peer.address().to_string()).collect();
    peers.sort();
    let chains = &applied.snapshot.plugins;
    let chain = chains.chain(route.route.id, Some(service.service.id));
    let plugins: Vec<Vec<Uuid>> = [None, Some(id(CONSUMER, 1)), Some(id(CONSUMER, 2))]
        .into_iter()
        .map(|consumer| {
            let running = |slot| Some(chains.running(slot, consumer)?.id);
            chain.slots.iter().filter_map(running).collect()
        })
        .collect();
    format!(
        "{} {} {} {peers:?} {plugins:?}",
        route.route.id,
        service.service.host,
        service.upstream().id()
    )
}

/// The first of the instances that run for requests without a route.
fn unscoped(applied: &Applied) -> Option<Arc<Running>> {
    let plugins = &applied.snapshot.plugins;
    plugins.unscoped().slots.iter().find_map(|slot| plugins.running(slot, None)).cloned()
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

/// A builder, and what it tells of implicit upstreams.
fn followed() -> (Builder, mpsc::Receiver<LiveChange>) {
    let (tell, told) = mpsc::channel();
    let mut builder = builder();
    // What is dropped behind the receiver is told to nobody.
    builder.follow(Arc::new(move |change| drop(tell.send(change))));
    (builder, told)
}

#[test]
fn an_implicit_upstream_lives_from_its_first_request_to_its_last_snapshot() {
    let (mut builder, told) = followed();
    let changes = vec![service(1, "127.0.0.9", true), route(1, "a.test", 1)];
    let first = builder.apply(&[transaction(0, changes)]);
    assert!(told.try_recv().is_err(), "nobody has asked for it");
    assert!(meets(&first, "a.test").contains("127.0.0.9"));
    let Ok(LiveChange::Put(made)) = told.try_recv() else { panic!("it was not told") };
    meets(&first, "a.test");

    let moved = builder.apply(&[transaction(1, vec![service(1, "127.0.0.8", true)])]);
    assert!(told.try_recv().is_err(), "requests of the snapshot before may still use it");
    drop(first);
    let Ok(LiveChange::Removed(gone)) = told.try_recv() else { panic!("it was not let go") };
    assert!(Arc::ptr_eq(&made, &gone));
    drop(moved);
    builder.apply(&[transaction(2, vec![service(1, "127.0.0.7", true)])]);
    assert!(told.try_recv().is_err(), "what was never made is let go in silence");
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
    let running = unscoped(&applied);
    assert!(running.is_some_and(|running| running.plugin.is_none()));
    builder.apply(&[transaction(1, vec![marker(1, json!({}), json!({}))])]);
    let again = builder.apply(&[transaction(2, vec![broken])]);
    let running = unscoped(&again);
    assert!(running.is_some_and(|running| running.plugin.is_some()), "the last good one stays");
    assert_eq!(again.rejections.len(), 1);
}

#[test]
fn the_most_specific_plugin_runs() {
    let (route_1, service_1, consumer) = (id(ROUTE, 1), id(SERVICE, 1), id(CONSUMER, 1));
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
        let plugins = &applied.snapshot.plugins;
        let chain = plugins.chain(route_1, Some(service_1));
        let runs = plugins.running(&chain.slots[0], Some(consumer)).map(|running| running.id);
        assert_eq!(runs, Some(id(PLUGIN, number as u128)));
    }
}

#[test]
fn a_plugin_whose_body_cannot_be_read_is_never_skipped() {
    let mut builder = builder();
    let unreadable = |enabled: bool| {
        let service = json!({"id": id(SERVICE, 1)});
        let body = json!({"name": "marker", "service": service, "config": 7, "enabled": enabled});
        put("plugins", id(PLUGIN, 1), body)
    };
    let applied = builder.apply(&[transaction(0, vec![unreadable(true)])]);
    assert_eq!(applied.rejections.len(), 1);
    let plugins = &applied.snapshot.plugins;
    let chain = plugins.chain(id(ROUTE, 1), Some(id(SERVICE, 1)));
    assert!(plugins.running(&chain.slots[0], None).is_some_and(|guard| guard.plugin.is_none()));
    assert!(unscoped(&applied).is_none());
    let off = builder.apply(&[transaction(1, vec![gone("plugins", id(PLUGIN, 1))])]);
    assert!(off.snapshot.plugins.chain(id(ROUTE, 1), Some(id(SERVICE, 1))).slots.is_empty());
    let off = builder.apply(&[transaction(2, vec![unreadable(false)])]);
    assert!(off.snapshot.plugins.chain(id(ROUTE, 1), Some(id(SERVICE, 1))).slots.is_empty());
}

#[test]
fn a_route_that_changes_its_service_gets_the_plugins_of_that() {
    let mut builder = builder();
    let before = builder.apply(&[transaction(
        0,
        vec![
            service(1, "127.0.0.1", true),
            service(2, "127.0.0.2", true),
            route(1, "a.test", 1),
            plugin("first", 1, json!({"service": id(SERVICE, 2)}), json!({})),
            plugin("marker", 2, json!({"route": id(ROUTE, 1)}), json!({})),
        ],
    )]);
    assert!(!meets(&before, "a.test").contains(&id(PLUGIN, 1).to_string()));
    let after = builder.apply(&[transaction(1, vec![route(1, "a.test", 2)])]);
    let met = meets(&after, "a.test");
    assert!([1, 2].iter().all(|n| met.contains(&id(PLUGIN, *n).to_string())), "{met}");
}

#[test]
fn a_rejected_version_of_a_route_leaves_no_trace() {
    let mut builder = builder();
    builder.apply(&[transaction(0, vec![service(1, "127.0.0.1", true), route(1, "a.test", 1)])]);
    let bad = put(
        "routes",
        id(ROUTE, 1),
        json!({
            "paths": ["~/(?=x)"], "preserve_host": true, "service": {"id": id(SERVICE, 1)}
        }),
    );
    builder.apply(&[transaction(1, vec![bad])]);
    // The service changes: its routes get the new one, the rejected version still does not count.
    let applied = builder.apply(&[transaction(2, vec![service(1, "127.0.0.2", true)])]);
    assert_eq!(applied.rejections.len(), 1);
    assert!(meets(&applied, "a.test").contains("127.0.0.2"), "{}", meets(&applied, "a.test"));
    let entry = applied.snapshot.routes.get(id(ROUTE, 1)).unwrap();
    assert!(!entry.route.preserve_host);
}

#[test]
fn what_is_the_same_is_left_as_it_is() {
    let mut builder = builder();
    let all = [service(1, "127.0.0.1", true), route(1, "a.test", 1), upstream(1, "pool")];
    let at = |revision| Cursor { epoch: Uuid::from_u128(1), revision };
    let first = builder.replace(at(1), &all);
    let again = builder.replace(at(2), &all);
    assert_eq!(again.snapshot.at, at(2));
    assert!(again.upstreams.is_empty());
    let entry = |applied: &Applied| Arc::clone(applied.snapshot.routes.get(id(ROUTE, 1)).unwrap());
    assert!(Arc::ptr_eq(&entry(&first), &entry(&again)));
    let emptied = builder.replace(at(3), &[]);
    assert!(emptied.snapshot.routes.is_empty());
    assert!(matches!(emptied.upstreams[..], [LiveChange::Removed(_)]), "{:?}", emptied.upstreams);
}

#[test]
fn two_that_swap_an_implicit_upstream_keep_it() {
    let (mut builder, told) = followed();
    let one = |host, number| service(number, host, true);
    let routes = vec![route(1, "a.test", 1), route(2, "b.test", 2)];
    let services = vec![one("127.0.0.1", 1), one("127.0.0.2", 2)];
    let first = builder.apply(&[transaction(0, [services, routes].concat())]);
    let (a, b) = (meets(&first, "a.test"), meets(&first, "b.test"));
    assert_eq!(told.try_iter().count(), 2);
    drop(first);
    let swap = vec![one("127.0.0.2", 1), one("127.0.0.1", 2)];
    let swapped = builder.apply(&[transaction(1, swap)]);
    let upstream = |met: &str| met.split(' ').nth(2).unwrap().to_owned();
    assert_eq!(upstream(&meets(&swapped, "a.test")), upstream(&b));
    assert_eq!(upstream(&meets(&swapped, "b.test")), upstream(&a));
    assert_eq!(told.try_iter().count(), 0, "none is made anew or let go");
}

#[test]
fn secrets_are_looked_up_anew_when_their_vault_changes_and_not_told() {
    let mut builder = builder();
    builder.look_up_in(Arc::new(|name| match name {
        "RIGHT_DOOR" => Some("open sesame".to_owned()),
        "WRONG_DOOR" => Some("open barley".to_owned()),
        _ => None,
    }));
    let config = json!({"password": "{vault://cave/door}"});
    let plugin =
        put("plugins", id(PLUGIN, 1), json!({"name": "first", "enabled": true, "config": config}));
    let vault = |prefix: &str| {
        let config = json!({ "prefix": prefix });
        put("vaults", id(10, 1), json!({"name": "env", "prefix": "cave", "config": config}))
    };
    // The vault may come behind what refers to it.
    let right = builder.apply(&[transaction(0, vec![plugin, vault("right_")])]);
    assert_eq!(right.rejections, []);
    let first = unscoped(&right).unwrap().plugin.clone().unwrap();

    let wrong = builder.apply(&[transaction(1, vec![vault("wrong_")])]);
    assert_eq!(wrong.rejections.len(), 1);
    assert_eq!(wrong.rejections[0].reason, "'******' opens nothing");
    let kept = unscoped(&wrong).unwrap().plugin.clone().unwrap();
    assert!(Arc::ptr_eq(&first, &kept), "the last good version stays");

    let gone = builder.apply(&[transaction(2, vec![gone("vaults", id(10, 1))])]);
    assert_eq!(gone.rejections[0].reason, "'' opens nothing", "as in Kong, it is empty then");
    let again = builder.apply(&[transaction(3, vec![vault("right-")])]);
    assert_eq!(again.rejections, []);
}
