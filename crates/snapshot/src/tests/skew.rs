//! Entities of another version: what is not known here.

use super::*;

/// The instances that run for a route's requests of this consumer, and whether they can.
fn runs(applied: &Applied, of: u128, consumer: Option<Uuid>) -> Vec<(Uuid, bool)> {
    let plugins = &applied.snapshot.plugins;
    let chain = plugins.chain(id(ROUTE, of), Some(id(SERVICE, of)));
    let running = |slot| plugins.running(slot, consumer);
    chain.slots.iter().filter_map(running).map(|one| (one.id, one.plugin.is_some())).collect()
}

fn rejected(applied: &Applied) -> Vec<(&str, Uuid, bool, &str)> {
    let all = applied.rejections.iter();
    all.map(|one| (one.kind.as_str(), one.id, one.in_part, one.reason.as_str())).collect()
}

fn two_routes() -> Vec<Change> {
    vec![
        service(1, "127.0.0.1", true),
        service(2, "127.0.0.2", true),
        route(1, "a.test", 1),
        route(2, "b.test", 2),
    ]
}

#[test]
fn a_kind_that_is_not_known_is_named_and_touches_nothing() {
    let mut builder = builder();
    let strange = Change {
        kind: Kind::named("warp_drives".to_owned()),
        id: id(77, 1),
        body: Some("{}".into()),
    };
    let all = [two_routes(), vec![strange.clone()]].concat();
    let applied = builder.apply(&[transaction(0, all)]);
    let reason = "this version does not know warp_drives";
    assert_eq!(rejected(&applied), [("warp_drives", id(77, 1), false, reason)]);
    assert!(meets(&applied, "a.test").contains("127.0.0.1"));
    let after = builder.apply(&[transaction(1, vec![Change { body: None, ..strange }])]);
    assert_eq!(after.rejections, []);
}

#[test]
fn a_plugin_that_is_not_known_guards_its_scope_and_nothing_else() {
    let mut builder = builder();
    // Another plugin of a narrower scope must not take the turn of the one that is missing.
    let own = plugin("first", 1, json!({"route": id(ROUTE, 1)}), json!({}));
    let missing = plugin("warp", 2, json!({"service": id(SERVICE, 1)}), json!({}));
    let applied = builder.apply(&[transaction(0, [two_routes(), vec![own, missing]].concat())]);
    assert_eq!(
        runs(&applied, 1, None),
        [(id(PLUGIN, 2), false), (id(PLUGIN, 1), true)],
        "the guard comes first: nobody answers in its place"
    );
    assert_eq!(runs(&applied, 2, None), []);
    let reason = "there is no plugin 'warp' in this version";
    assert_eq!(rejected(&applied), [("plugins", id(PLUGIN, 2), false, reason)]);

    // Two that are missing are two, whatever they are for.
    let other = plugin("woof", 3, json!({"route": id(ROUTE, 1)}), json!({}));
    let everywhere = plugin("warp", 4, json!({}), json!({}));
    let applied = builder.apply(&[transaction(1, vec![other, everywhere])]);
    assert_eq!(runs(&applied, 2, None), [(id(PLUGIN, 4), false)]);
    assert_eq!(runs(&applied, 1, None).iter().filter(|(_, can_run)| !can_run).count(), 2);
    let gone = (2..5).map(|number| gone("plugins", id(PLUGIN, number))).collect();
    let applied = builder.apply(&[transaction(2, gone)]);
    assert_eq!(runs(&applied, 1, None), [(id(PLUGIN, 1), true)]);
    assert_eq!(applied.rejections, []);
}

#[test]
fn a_missing_plugin_for_a_consumer_stands_behind_who_finds_out_who_asks() {
    let mut builder = builder();
    let consumer = id(CONSUMER, 1);
    let own = plugin("marker", 1, json!({}), json!({}));
    let missing = plugin("warp", 2, json!({ "consumer": consumer }), json!({}));
    let applied = builder.apply(&[transaction(0, [two_routes(), vec![own, missing]].concat())]);
    let both = [(id(PLUGIN, 1), true), (id(PLUGIN, 2), false)];
    assert_eq!(runs(&applied, 1, Some(consumer)), both);
    assert_eq!(runs(&applied, 1, None), [(id(PLUGIN, 1), true)]);
}

#[test]
fn a_plugin_with_a_part_that_is_not_known_is_refused() {
    let mut builder = builder();
    let scope = || json!({"route": id(ROUTE, 1)});
    builder.apply(&[transaction(0, two_routes())]);
    let silent = marker(1, scope(), json!({"password": "open sesame", "warp": null}));
    let applied = builder.apply(&[transaction(1, vec![silent])]);
    assert_eq!((applied.rejections.len(), runs(&applied, 1, None)[0].1), (0, true));
    let stricter = marker(1, scope(), json!({"warp": 9}));
    let applied = builder.apply(&[transaction(2, vec![stricter])]);
    assert!(applied.rejections[0].reason.contains("'config.warp'"), "{:?}", applied.rejections);
    assert!(runs(&applied, 1, None)[0].1, "the last good version stays");

    // A scope that is not known is a part of the scope that is.
    let mut scoped = plugin("first", 2, scope(), json!({}));
    let mut body: Value = serde_json::from_str(scoped.body.as_deref().unwrap()).unwrap();
    body["consumer_group"] = json!({"id": id(88, 1)});
    scoped.body = Some(body.to_string().into());
    let applied = builder.apply(&[transaction(3, vec![scoped])]);
    assert_eq!(runs(&applied, 1, None)[0], (id(PLUGIN, 2), false));
    assert_eq!(runs(&applied, 2, None), []);
}

#[test]
fn a_field_that_is_not_known_is_left_out_and_told_where_nothing_depends_on_it() {
    let mut builder = builder();
    builder.apply(&[transaction(0, two_routes())]);
    let newer = put("services", id(SERVICE, 1), json!({"host": "127.0.0.9", "warp": {"on": true}}));
    let applied = builder.apply(&[transaction(1, vec![newer.clone()])]);
    let reason = "in force without 'warp', which this version does not know";
    assert_eq!(rejected(&applied), [("services", id(SERVICE, 1), true, reason)]);
    assert!(meets(&applied, "a.test").contains("127.0.0.9"), "{}", meets(&applied, "a.test"));
    let again = builder.replace(Cursor { revision: 9, ..applied.snapshot.at }, &[newer]);
    assert_eq!(again.rejections.len(), 1, "told as long as it is there");
    let older = builder.apply(&[transaction(9, vec![service(1, "127.0.0.1", true)])]);
    assert_eq!(older.rejections, []);
}

#[test]
fn a_condition_that_is_not_known_is_never_left_out() {
    let mut builder = builder();
    builder.apply(&[transaction(0, two_routes())]);
    // Without its condition it would be for all requests.
    let newer = put(
        "routes",
        id(ROUTE, 3),
        json!({"paths": ["/"], "moon_phase": ["full"], "service": {"id": id(SERVICE, 2)}}),
    );
    let applied = builder.apply(&[transaction(1, vec![newer])]);
    assert!(applied.rejections[0].reason.contains("'moon_phase'"), "{:?}", applied.rejections);
    assert_eq!(meets(&applied, "c.test"), "no route");
    // Switching a service off and on does not make it forgotten.
    builder.apply(&[transaction(2, vec![service(2, "127.0.0.2", false)])]);
    let applied = builder.apply(&[transaction(3, vec![service(2, "127.0.0.2", true)])]);
    assert_eq!(applied.rejections.len(), 1);
}

#[test]
fn a_rejected_version_of_a_route_is_told_until_it_is_gone() {
    let mut builder = builder();
    builder.apply(&[transaction(0, two_routes())]);
    let newer = put(
        "routes",
        id(ROUTE, 1),
        json!({"hosts": ["a.test"], "protocols": ["http9"], "service": {"id": id(SERVICE, 1)}}),
    );
    assert_eq!(builder.apply(&[transaction(1, vec![newer])]).rejections.len(), 1);
    builder.apply(&[transaction(2, vec![service(1, "127.0.0.1", false)])]);
    let applied = builder.apply(&[transaction(3, vec![service(1, "127.0.0.3", true)])]);
    assert_eq!(applied.rejections.len(), 1, "its service's changes do not mend it");
    assert!(meets(&applied, "a.test").contains("127.0.0.3"));
    let healed = builder.apply(&[transaction(4, vec![route(1, "a.test", 1)])]);
    assert_eq!(healed.rejections, []);
}

#[test]
fn the_routes_of_a_service_that_cannot_be_read_answer_an_error() {
    let mut builder = builder();
    let strange = |number| {
        put("services", id(SERVICE, number), json!({"host": "127.0.0.7", "protocol": "http9"}))
    };
    let everything =
        put("routes", id(ROUTE, 9), json!({"paths": ["/"], "service": {"id": id(SERVICE, 2)}}));
    let changes =
        vec![strange(1), route(1, "a.test", 1), service(2, "127.0.0.2", true), everything];
    let applied = builder.apply(&[transaction(0, changes)]);
    assert_eq!(applied.rejections.len(), 2, "{:?}", applied.rejections);
    assert_eq!(meets(&applied, "a.test"), "no service", "it does not fall to another route");
    assert!(meets(&applied, "b.test").contains("127.0.0.2"));
    let healed = builder.apply(&[transaction(1, vec![service(1, "127.0.0.7", true)])]);
    assert!(meets(&healed, "a.test").contains("127.0.0.7"), "{}", meets(&healed, "a.test"));
    assert_eq!(healed.rejections, []);

    // With a last good version, the route stays where it was until its new service is readable.
    let moved = builder.apply(&[transaction(2, vec![strange(3), route(1, "a.test", 3)])]);
    assert!(meets(&moved, "a.test").contains("127.0.0.7"), "{}", meets(&moved, "a.test"));
    assert_eq!(moved.rejections.len(), 2);
    let healed = builder.apply(&[transaction(3, vec![service(3, "127.0.0.3", true)])]);
    assert!(meets(&healed, "a.test").contains("127.0.0.3"), "{}", meets(&healed, "a.test"));
    assert_eq!(healed.rejections, []);
}

#[test]
fn an_upstream_that_cannot_be_read_takes_no_request_and_leaves_none_to_others() {
    let mut builder = builder();
    let newer = |algorithm: &str| {
        put("upstreams", id(UPSTREAM, 1), json!({"name": "pool", "algorithm": algorithm}))
    };
    let all = vec![
        service(1, "pool", true),
        route(1, "a.test", 1),
        newer("oracle"),
        target(1, 1, "127.0.0.1:81"),
    ];
    let held = builder.apply(&[transaction(0, all)]);
    assert_eq!(held.rejections.len(), 1, "{:?}", held.rejections);
    let met = meets(&held, "a.test");
    assert!(met.contains(&id(UPSTREAM, 1).to_string()) && met.contains(" [] "), "{met}");
    let held = builder.apply(&[transaction(1, vec![target(2, 1, "127.0.0.1:82")])]);
    assert!(meets(&held, "a.test").contains(" [] "), "{}", meets(&held, "a.test"));

    let known = builder.apply(&[transaction(2, vec![newer("latency")])]);
    let met = meets(&known, "a.test");
    assert!(met.contains("127.0.0.1:81") && met.contains("127.0.0.1:82"), "{met}");
    assert_eq!(known.rejections, []);
    let kept =
        builder.apply(&[transaction(3, vec![newer("oracle"), target(3, 1, "127.0.0.1:83")])]);
    assert!(meets(&kept, "a.test").contains("127.0.0.1:83"), "the last good version balances on");
    assert_eq!(kept.rejections.len(), 1);
}

#[test]
fn a_credential_with_a_part_that_is_not_known_lets_nobody_in() {
    let mut builder = builder();
    let credential = |more: Value| {
        let mut body = json!({"key": "k", "consumer": {"id": id(CONSUMER, 1)}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        put("keyauth_credentials", id(CREDENTIAL, 1), body)
    };
    let known = |applied: &Applied| {
        let directory: &dyn plugin::Directory = &applied.snapshot.directory;
        directory.credential(plugin::CredentialKind::KeyAuth, "k").is_some()
    };
    let applied = builder.apply(&[transaction(0, vec![credential(json!({"only_from": ["::1"]}))])]);
    assert!(!known(&applied) && applied.rejections[0].reason.contains("'only_from'"));
    let applied = builder.apply(&[transaction(1, vec![credential(json!({"expires_at": 5}))])]);
    assert!(known(&applied) && applied.rejections.is_empty());
}
