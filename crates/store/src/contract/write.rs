//! Checks of what one writer does.

use std::sync::Arc;

use uuid::Uuid;

use super::rows::{
    Cascade, PLUGINS, ROUTES, Restrict, SERVICES, With, all, changes, delete, exists, get, id,
    insert, named, page, row, update, upsert, write,
};
use crate::{Error, Key, Store};

/// A set without operations.
pub async fn an_empty_set_changes_nothing(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    let before = store.head().await.unwrap().at;
    let committed = write(&store, []).await.unwrap();
    assert_eq!(committed.at, before);
    assert!(committed.changes.is_empty());
    assert_eq!(store.head().await.unwrap().at, before);
}

/// Insert, then read by id and by key.
pub async fn what_is_inserted_is_read_back(store: Arc<dyn Store>) {
    let service = row(SERVICES, 1).named("one").body(r#"{"id":"…","name":"one"}"#);
    let committed = write(&store, [insert(service.clone())]).await.unwrap();
    assert_eq!(committed.at.revision, 1);
    assert_eq!(committed.at, store.head().await.unwrap().at);
    assert_eq!(changes(&committed), [(SERVICES, 1, true)]);
    assert_eq!(committed.changes[0].body.as_ref(), Some(&service.body));

    let entity = get(&store, SERVICES, 1).await;
    assert_eq!(entity.body, service.body);
    assert_eq!(entity.kind.as_str(), SERVICES);
    let key = Key { field: "name", value: "one".to_owned() };
    assert_eq!(store.find(SERVICES, &key).await.unwrap(), Some(entity));
    assert_eq!(store.find(ROUTES, &key).await.unwrap(), None);
    assert_eq!(store.get(ROUTES, id(1)).await.unwrap(), None, "ids belong to a collection");
    assert_eq!(store.get(SERVICES, id(2)).await.unwrap(), None);
}

/// Inserting twice, in two sets and in one.
pub async fn inserting_what_is_there_is_refused(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    let again = write(&store, [insert(row(SERVICES, 1).body("{}"))]).await;
    assert!(matches!(again, Err(Error::Exists { kind, id: n }) if kind == SERVICES && n == id(1)));
    assert_ne!(&*get(&store, SERVICES, 1).await.body, "{}");
    let twice = write(&store, [insert(row(SERVICES, 2)), insert(row(SERVICES, 2))]).await;
    assert!(matches!(twice, Err(Error::Exists { .. })));
    assert!(!exists(&store, SERVICES, 2).await);
    // The same id in another collection is another entity.
    write(&store, [insert(row(ROUTES, 1))]).await.unwrap();
    assert_eq!(store.head().await.unwrap().at.revision, 2);
}

/// Optimistic concurrency.
pub async fn updating_needs_the_version_that_was_read(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    let first = get(&store, SERVICES, 1).await.version;
    let conflict = |result| {
        matches!(result, Err(Error::Conflict { kind, id: n })
        if kind == SERVICES && n == id(1))
    };

    write(&store, [update(row(SERVICES, 1).body("2"), first)]).await.unwrap();
    let second = get(&store, SERVICES, 1).await;
    assert_eq!(&*second.body, "2");
    assert_ne!(second.version, first);
    assert!(conflict(write(&store, [update(row(SERVICES, 1).body("3"), first)]).await));
    assert_eq!(get(&store, SERVICES, 1).await, second);

    // The version that was read counts, also when the set has touched the entity before.
    let twice = [
        update(row(SERVICES, 1).body("4"), second.version),
        update(row(SERVICES, 1).body("5"), second.version),
    ];
    let committed = write(&store, twice).await.unwrap();
    assert_eq!(changes(&committed), [(SERVICES, 1, true)]);
    let third = get(&store, SERVICES, 1).await;
    assert_eq!(&*third.body, "5");

    let gone = [delete(SERVICES, 1), update(row(SERVICES, 1), third.version)];
    assert!(conflict(write(&store, gone).await));
    write(&store, [delete(SERVICES, 1)]).await.unwrap();
    assert!(conflict(write(&store, [update(row(SERVICES, 1), third.version)]).await));
    // Versions are never used again.
    write(&store, [insert(row(SERVICES, 1))]).await.unwrap();
    let fourth = get(&store, SERVICES, 1).await.version;
    assert!(![first, second.version, third.version].contains(&fourth));
    assert!(conflict(write(&store, [update(row(SERVICES, 1), third.version)]).await));
}

/// Upserting.
pub async fn an_upsert_inserts_or_replaces(store: Arc<dyn Store>) {
    write(&store, [upsert(row(SERVICES, 1).named("a").tag("t"))]).await.unwrap();
    let replaced = write(&store, [upsert(row(SERVICES, 1).named("b").body("2"))]).await.unwrap();
    assert_eq!(replaced.at.revision, 2);
    assert_eq!(&*get(&store, SERVICES, 1).await.body, "2");
    assert_eq!(named(&store, SERVICES, "a").await, None);
    assert_eq!(named(&store, SERVICES, "b").await, Some(id(1)));
    assert_eq!(store.tags(None, None, 10).await.unwrap(), []);
}

/// Deleting.
pub async fn deleting_what_is_not_there_spends_no_revision(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1).named("a").tag("t"))]).await.unwrap();
    let nothing = write(&store, [delete(SERVICES, 2), delete(ROUTES, 1)]).await.unwrap();
    assert!(nothing.changes.is_empty());
    assert_eq!(nothing.at.revision, 1);
    assert_eq!(store.head().await.unwrap().at.revision, 1);
    let gone = write(&store, [delete(SERVICES, 1)]).await.unwrap();
    assert_eq!(changes(&gone), [(SERVICES, 1, false)]);
    assert_eq!(gone.at.revision, 2);
    assert!(!exists(&store, SERVICES, 1).await);
    assert_eq!(named(&store, SERVICES, "a").await, None);
    assert_eq!(store.tags(None, None, 10).await.unwrap(), []);
    assert_eq!(write(&store, [delete(SERVICES, 1)]).await.unwrap().at.revision, 2);
}

fn not_unique<T>(result: Result<T, Error>, of: &str, name: &str, text: &str) -> bool {
    matches!(result, Err(Error::NotUnique { kind, field, value })
        if kind == of && field == name && value == text)
}

/// Uniqueness is per collection and field.
pub async fn a_unique_value_is_taken_once(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1).named("a").key("host,path", "x\u{1}y"))]).await.unwrap();
    let taken = write(&store, [insert(row(SERVICES, 2).named("a"))]).await;
    assert!(not_unique(taken, SERVICES, "name", "a"));
    let taken = write(&store, [insert(row(SERVICES, 2).key("host,path", "x\u{1}y"))]).await;
    assert!(not_unique(taken, SERVICES, "host,path", "x\u{1}y"));
    let twice = [insert(row(SERVICES, 2).named("b")), insert(row(SERVICES, 3).named("b"))];
    assert!(not_unique(write(&store, twice).await, SERVICES, "name", "b"));
    assert_eq!(store.head().await.unwrap().at.revision, 1);
    let apart = [insert(row(ROUTES, 1).named("a")), insert(row(SERVICES, 2).key("alias", "a"))];
    write(&store, apart).await.unwrap();
    // Case and form matter: uniqueness is of the text.
    write(&store, [insert(row(SERVICES, 3).named("A")), insert(row(SERVICES, 4).named("a "))])
        .await
        .unwrap();
    // Rewriting an entity with the value that it has is no violation.
    write(&store, [upsert(row(SERVICES, 1).named("a"))]).await.unwrap();
}

/// A value that is let go in the same set, or before, can be taken.
pub async fn a_unique_value_is_free_again_when_its_owner_lets_go(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1).named("a"))]).await.unwrap();
    write(&store, [upsert(row(SERVICES, 1).named("b"))]).await.unwrap();
    write(&store, [insert(row(SERVICES, 2).named("a"))]).await.unwrap();
    write(&store, [delete(SERVICES, 2)]).await.unwrap();
    write(&store, [insert(row(SERVICES, 3).named("a"))]).await.unwrap();
    // In one set, whichever comes first.
    write(&store, [delete(SERVICES, 3), insert(row(SERVICES, 4).named("a"))]).await.unwrap();
    write(&store, [insert(row(SERVICES, 5).named("a")), delete(SERVICES, 4)]).await.unwrap();
    assert_eq!(named(&store, SERVICES, "a").await, Some(id(5)));
    // By losing the field.
    write(&store, [insert(row(SERVICES, 6).named("a")), upsert(row(SERVICES, 5))]).await.unwrap();
    assert_eq!(named(&store, SERVICES, "a").await, Some(id(6)));
}

/// Uniqueness is judged at the end of a set.
pub async fn a_set_may_swap_and_rotate_unique_values(store: Arc<dyn Store>) {
    let services = |names: [&str; 3]| {
        (1..).zip(names).map(|(n, name)| upsert(row(SERVICES, n).named(name))).collect::<Vec<_>>()
    };
    write(&store, services(["a", "b", "c"])).await.unwrap();
    write(&store, services(["b", "a", "c"])).await.unwrap();
    write(&store, services(["a", "c", "b"])).await.unwrap();
    assert_eq!(named(&store, SERVICES, "a").await, Some(id(1)));
    assert_eq!(named(&store, SERVICES, "b").await, Some(id(3)));
    assert_eq!(named(&store, SERVICES, "c").await, Some(id(2)));
    let half = write(&store, [upsert(row(SERVICES, 1).named("b"))]).await;
    assert!(not_unique(half, SERVICES, "name", "b"));
}

fn dangling<T>(result: Result<T, Error>, of: &str, name: &str, to: (&str, Uuid)) -> bool {
    matches!(result, Err(Error::Dangling { kind, field, to_kind, to_id })
        if kind == of && field == name && (to_kind.as_str(), to_id) == to)
}

/// Referential integrity.
pub async fn a_reference_must_lead_somewhere(store: Arc<dyn Store>) {
    let route = row(ROUTES, 1).refers("service", (SERVICES, 1), Restrict);
    let result = write(&store, [insert(route.clone())]).await;
    assert!(dangling(result, ROUTES, "service", (SERVICES, id(1))));
    // An entity of another collection with that id is none.
    write(&store, [insert(row(PLUGINS, 1))]).await.unwrap();
    let result = write(&store, [insert(route.clone())]).await;
    assert!(dangling(result, ROUTES, "service", (SERVICES, id(1))));

    write(&store, [insert(row(SERVICES, 1)), insert(route)]).await.unwrap();
    let away = row(ROUTES, 1).refers("service", (SERVICES, 9), Restrict);
    let result = write(&store, [upsert(away)]).await;
    assert!(dangling(result, ROUTES, "service", (SERVICES, id(9))));

    let second = row(ROUTES, 2).refers("service", (SERVICES, 2), Restrict);
    let result =
        write(&store, [insert(row(SERVICES, 2)), delete(SERVICES, 2), insert(second)]).await;
    assert!(dangling(result, ROUTES, "service", (SERVICES, id(2))));
    assert_eq!(store.head().await.unwrap().at.revision, 2);
}

/// References are judged at the end of a set.
pub async fn a_set_may_insert_a_child_before_its_parent(store: Arc<dyn Store>) {
    let set = [
        insert(row(PLUGINS, 1).refers("route", (ROUTES, 1), Cascade)),
        insert(row(ROUTES, 1).refers("service", (SERVICES, 1), Restrict)),
        insert(row(SERVICES, 1)),
    ];
    let committed = write(&store, set).await.unwrap();
    let expected = [(PLUGINS, 1, true), (ROUTES, 1, true), (SERVICES, 1, true)];
    assert_eq!(changes(&committed), expected);
    // Two that refer to each other.
    let circle = [
        insert(row(PLUGINS, 2).refers("other", (PLUGINS, 3), Restrict)),
        insert(row(PLUGINS, 3).refers("other", (PLUGINS, 2), Restrict)),
    ];
    write(&store, circle).await.unwrap();
}

fn referenced<T>(result: Result<T, Error>, of: (&str, u128), by: (&str, u128), name: &str) -> bool {
    matches!(result, Err(Error::Referenced { kind, id: n, by_kind, by_id, by_field })
        if (kind.as_str(), n) == (of.0, id(of.1))
            && (by_kind.as_str(), by_id) == (by.0, id(by.1))
            && by_field == name)
}

/// `DeleteRule::Restrict`.
pub async fn what_is_referred_to_stays_when_the_rule_restricts(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 1)),
        insert(row(ROUTES, 1).refers("service", (SERVICES, 1), Restrict)),
        insert(row(PLUGINS, 1).refers("service", (SERVICES, 1), Cascade)),
    ];
    write(&store, set).await.unwrap();
    let refused = write(&store, [delete(SERVICES, 1)]).await;
    assert!(referenced(refused, (SERVICES, 1), (ROUTES, 1), "service"));
    assert!(exists(&store, SERVICES, 1).await && exists(&store, PLUGINS, 1).await);
    assert_eq!(store.head().await.unwrap().at.revision, 1);
    // A row of the same set that still refers.
    let still =
        [upsert(row(ROUTES, 1).refers("backup", (SERVICES, 1), Restrict)), delete(SERVICES, 1)];
    let refused = write(&store, still).await;
    assert!(referenced(refused, (SERVICES, 1), (ROUTES, 1), "backup"));
    write(&store, [delete(ROUTES, 1)]).await.unwrap();
    let gone = write(&store, [delete(SERVICES, 1)]).await.unwrap();
    assert_eq!(changes(&gone), [(SERVICES, 1, false), (PLUGINS, 1, false)]);
}

/// Restrictions are judged at the end of a set.
pub async fn a_set_may_delete_what_its_end_does_not_refer_to(store: Arc<dyn Store>) {
    let route = |to| row(ROUTES, 1).refers("service", (SERVICES, to), Restrict);
    let services = (1..=4).map(|n| insert(row(SERVICES, n)));
    write(&store, services.chain([insert(route(1))])).await.unwrap();
    write(&store, [upsert(route(2)), delete(SERVICES, 1)]).await.unwrap();
    write(&store, [delete(SERVICES, 2), upsert(route(3))]).await.unwrap();
    // Deleted and made again.
    let again = write(&store, [delete(SERVICES, 3), insert(row(SERVICES, 3).body("new"))]).await;
    assert_eq!(changes(&again.unwrap()), [(SERVICES, 3, true)]);
    write(&store, [delete(SERVICES, 3), delete(ROUTES, 1)]).await.unwrap();
    assert_eq!(page(&store, &all(SERVICES)).await.0, [4]);
}

/// `DeleteRule::Cascade`.
pub async fn deleting_cascades_under_one_revision(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 1)),
        insert(row(SERVICES, 2)),
        insert(row(ROUTES, 1).named("r").refers("service", (SERVICES, 1), Cascade)),
        insert(row(ROUTES, 2).refers("service", (SERVICES, 2), Cascade)),
        insert(row(PLUGINS, 1).tag("t").refers("route", (ROUTES, 1), Cascade)),
        // Two ways lead to this one.
        insert(row(PLUGINS, 2).refers("route", (ROUTES, 1), Cascade).refers(
            "service",
            (SERVICES, 1),
            Cascade,
        )),
    ];
    write(&store, set).await.unwrap();
    let gone = write(&store, [delete(SERVICES, 1)]).await.unwrap();
    assert_eq!(gone.at.revision, 2);
    let mut changed = changes(&gone);
    assert_eq!(changed[0], (SERVICES, 1, false), "the cause comes first");
    changed.sort_unstable();
    let expected =
        [(PLUGINS, 1, false), (PLUGINS, 2, false), (ROUTES, 1, false), (SERVICES, 1, false)];
    assert_eq!(changed, expected);
    assert_eq!(page(&store, &all(ROUTES)).await.0, [2]);
    assert_eq!(page(&store, &all(PLUGINS)).await.0, [0; 0]);
    assert_eq!(named(&store, ROUTES, "r").await, None);
    assert_eq!(store.tags(None, None, 10).await.unwrap(), []);
    let log = store.log_after(1, 100).await.unwrap();
    assert_eq!(log.transactions.len(), 1);
    assert_eq!(log.transactions[0].changes, gone.changes);
}

/// A restriction below a cascade.
pub async fn a_restriction_further_down_stops_a_cascade(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 1)),
        insert(row(ROUTES, 1).refers("service", (SERVICES, 1), Cascade)),
        insert(row(PLUGINS, 1).refers("route", (ROUTES, 1), Restrict)),
    ];
    write(&store, set).await.unwrap();
    let refused = write(&store, [delete(SERVICES, 1)]).await;
    assert!(referenced(refused, (ROUTES, 1), (PLUGINS, 1), "route"));
    assert!(exists(&store, ROUTES, 1).await);
    // What restricts is deleted on another way.
    let other = row(PLUGINS, 1).refers("route", (ROUTES, 1), Restrict).refers(
        "service",
        (SERVICES, 1),
        Cascade,
    );
    write(&store, [upsert(other)]).await.unwrap();
    assert_eq!(write(&store, [delete(SERVICES, 1)]).await.unwrap().changes.len(), 3);
}

/// What cascades depends on what a set has done before.
pub async fn cascades_follow_the_order_of_operations(store: Arc<dyn Store>) {
    let plugin = |n, to| row(PLUGINS, n).refers("service", (SERVICES, to), Cascade);
    let services = (1..=3).map(|n| insert(row(SERVICES, n)));
    write(&store, services.chain([insert(plugin(1, 1))])).await.unwrap();
    // Moved away before.
    write(&store, [upsert(plugin(1, 2)), delete(SERVICES, 1)]).await.unwrap();
    assert!(exists(&store, PLUGINS, 1).await);
    // Moved there before; inserted before.
    let gone = [upsert(plugin(1, 3)), insert(plugin(2, 3)), delete(SERVICES, 3)];
    let gone = write(&store, gone).await.unwrap();
    let mut changed = changes(&gone);
    changed.sort_unstable();
    assert_eq!(changed, [(PLUGINS, 1, false), (SERVICES, 3, false)], "2 has never been");
    // Made again after.
    write(&store, [insert(plugin(1, 2)), insert(row(SERVICES, 4))]).await.unwrap();
    let version = get(&store, PLUGINS, 1).await.version;
    let late = write(&store, [delete(SERVICES, 2), update(plugin(1, 4), version)]).await;
    assert!(matches!(late, Err(Error::Conflict { .. })), "the cascade has deleted it");
    write(&store, [delete(SERVICES, 2), upsert(plugin(1, 4))]).await.unwrap();
    assert!(exists(&store, PLUGINS, 1).await);
    // Through a row of the set to one that is stored.
    write(&store, [insert(row(ROUTES, 1).refers("plugin", (PLUGINS, 1), Cascade))]).await.unwrap();
    write(&store, [insert(row(SERVICES, 5))]).await.unwrap();
    write(&store, [upsert(plugin(1, 5)), delete(SERVICES, 5)]).await.unwrap();
    assert!(!exists(&store, ROUTES, 1).await);
}

/// Entities that refer to themselves and to each other.
pub async fn cascades_end_in_circles(store: Arc<dyn Store>) {
    let next = |n, to| row(PLUGINS, n).refers("next", (PLUGINS, to), Cascade);
    write(&store, [insert(next(1, 2)), insert(next(2, 3)), insert(next(3, 1))]).await.unwrap();
    assert_eq!(write(&store, [delete(PLUGINS, 2)]).await.unwrap().changes.len(), 3);
    write(&store, [insert(next(1, 1))]).await.unwrap();
    assert_eq!(write(&store, [delete(PLUGINS, 1)]).await.unwrap().changes.len(), 1);
    let own = row(ROUTES, 1).refers("self", (ROUTES, 1), Restrict);
    write(&store, [insert(own)]).await.unwrap();
    // Nothing that stays refers to it.
    assert_eq!(write(&store, [delete(ROUTES, 1)]).await.unwrap().changes.len(), 1);
}

/// The log holds the net effect.
pub async fn a_set_leaves_one_change_per_entity(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 1).body("1")),
        upsert(row(SERVICES, 1).body("2")),
        insert(row(SERVICES, 2)),
        delete(SERVICES, 2),
    ];
    let committed = write(&store, set).await.unwrap();
    assert_eq!(changes(&committed), [(SERVICES, 1, true)]);
    assert_eq!(committed.changes[0].body.as_deref(), Some("2"));
    let log = store.log_after(0, 10).await.unwrap();
    assert_eq!(log.transactions[0].changes, committed.changes);
    let nothing = write(&store, [insert(row(SERVICES, 3)), delete(SERVICES, 3)]).await.unwrap();
    assert!(nothing.changes.is_empty());
    assert_eq!(store.head().await.unwrap().at.revision, 1);
}

/// All or none.
pub async fn a_refused_set_leaves_nothing(store: Arc<dyn Store>) {
    write(&store, [insert(row(SERVICES, 1).named("a").tag("t"))]).await.unwrap();
    let before = (store.snapshot().await.unwrap(), store.head().await.unwrap().at);
    let beginning = || {
        [
            insert(row(SERVICES, 2).named("b").tag("u")),
            upsert(row(SERVICES, 1).named("c")),
            insert(row(ROUTES, 1).refers("service", (SERVICES, 2), Restrict)),
        ]
    };
    let bad = [
        insert(row(SERVICES, 1)),
        insert(row(SERVICES, 3).named("b")),
        insert(row(ROUTES, 2).refers("service", (SERVICES, 9), Restrict)),
        delete(SERVICES, 2),
        update(row(SERVICES, 4), 1),
    ];
    for end in bad {
        write(&store, beginning().into_iter().chain([end])).await.unwrap_err();
        assert_eq!((store.snapshot().await.unwrap(), store.head().await.unwrap().at), before);
        assert_eq!(named(&store, SERVICES, "a").await, Some(id(1)));
        assert_eq!(store.tags(None, None, 10).await.unwrap().len(), 1);
        assert_eq!(store.referrers(SERVICES, id(2)).await.unwrap(), []);
    }
}

/// Updates of references.
pub async fn references_and_their_rules_can_change(store: Arc<dyn Store>) {
    let plugin = |rule| row(PLUGINS, 1).refers("service", (SERVICES, 1), rule);
    write(&store, [insert(row(SERVICES, 1)), insert(plugin(Restrict))]).await.unwrap();
    write(&store, [delete(SERVICES, 1)]).await.unwrap_err();
    write(&store, [upsert(plugin(Cascade))]).await.unwrap();
    assert_eq!(write(&store, [delete(SERVICES, 1)]).await.unwrap().changes.len(), 2);
    // One field may refer to many.
    let many = row(PLUGINS, 2).refers("services", (SERVICES, 2), Restrict).refers(
        "services",
        (SERVICES, 3),
        Restrict,
    );
    write(&store, [insert(row(SERVICES, 2)), insert(row(SERVICES, 3)), insert(many)])
        .await
        .unwrap();
    write(&store, [delete(SERVICES, 3)]).await.unwrap_err();
    let one = row(PLUGINS, 2).refers("services", (SERVICES, 2), Restrict);
    write(&store, [upsert(one)]).await.unwrap();
    write(&store, [delete(SERVICES, 3)]).await.unwrap();
}

/// Nothing is normalised, escaped or cut.
pub async fn texts_are_kept_to_the_letter(store: Arc<dyn Store>) {
    let texts = [
        "",
        " ",
        "'; DROP TABLE entities; --",
        r#"\"quoted\" \\ \u0000"#,
        "Zażółć gęślą jaźń 中文 🦀 \u{202e}",
        "a\u{300} is not \u{e0}",
        "line\nbreak\ttab\r",
        "{\"b\":1,\"a\":[null,true,1.10]}",
    ];
    let set = (1..).zip(texts).map(|(n, text)| {
        let tag = format!("tag {text}");
        insert(row(SERVICES, n).body(text).key("name", text).tag(&tag))
    });
    write(&store, set).await.unwrap();
    for (n, text) in (1..).zip(texts) {
        assert_eq!(&*get(&store, SERVICES, n).await.body, text);
        assert_eq!(named(&store, SERVICES, text).await, Some(id(n)), "{text:?}");
        let tagged = store.tags(Some(&format!("tag {text}")), None, 10).await.unwrap();
        assert_eq!(tagged.len(), 1, "{text:?}");
    }
    let big = "x".repeat(3_000_000);
    write(&store, [insert(row(SERVICES, 100).body(&big))]).await.unwrap();
    assert_eq!(get(&store, SERVICES, 100).await.body.len(), big.len());
    let log = store.log_after(1, 10).await.unwrap();
    assert_eq!(log.transactions[0].changes[0].body.as_deref(), Some(big.as_str()));
}

/// A value longer than what an index of a database can hold.
pub async fn long_values_are_unique_too(store: Arc<dyn Store>) {
    // Random-looking, so that no compression makes it short.
    let long: String = (0..20_000u64)
        .map(|n| char::from(b'a' + (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 7) as u8 % 26))
        .collect();
    let other = format!("{long}!");
    write(&store, [insert(row(SERVICES, 1).named(&long)), insert(row(SERVICES, 2).named(&other))])
        .await
        .unwrap();
    assert_eq!(named(&store, SERVICES, &long).await, Some(id(1)));
    assert_eq!(named(&store, SERVICES, &other).await, Some(id(2)));
    let taken = write(&store, [insert(row(SERVICES, 3).named(&long))]).await;
    assert!(not_unique(taken, SERVICES, "name", &long));
    write(&store, [delete(SERVICES, 1), upsert(row(SERVICES, 2).named(&long))]).await.unwrap();
    assert_eq!(named(&store, SERVICES, &long).await, Some(id(2)));
}

/// More than fits into one statement.
pub async fn a_large_set_is_one_revision(store: Arc<dyn Store>) {
    const MANY: u128 = 6_000;
    let set = (1..=MANY).flat_map(|n| {
        let route = row(ROUTES, n).named(&format!("r{n}")).tag("bulk");
        let route = route.tag(if n % 2 == 0 { "even" } else { "odd" });
        [
            insert(route.refers("service", (SERVICES, n), Restrict)),
            insert(row(SERVICES, n).named(&format!("s{n}"))),
        ]
    });
    let committed = write(&store, set).await.unwrap();
    assert_eq!(committed.at.revision, 1);
    assert_eq!(store.snapshot().await.unwrap().1.len() as u128, 2 * MANY);
    let log = store.log_after(0, 1).await.unwrap();
    assert_eq!(log.transactions.len(), 1);
    assert_eq!(log.transactions[0].changes, committed.changes);

    // Every name to its neighbour, every route to another service, half of the tags gone.
    let turned = (1..=MANY).flat_map(|n| {
        let next = n % MANY + 1;
        let route = row(ROUTES, n).named(&format!("r{next}")).tag("bulk");
        [
            upsert(route.refers("service", (SERVICES, next), Restrict)),
            upsert(row(SERVICES, n).named(&format!("s{next}"))),
        ]
    });
    write(&store, turned).await.unwrap();
    assert_eq!(named(&store, ROUTES, "r1").await, Some(id(MANY)));
    assert_eq!(store.referrers(SERVICES, id(1)).await.unwrap()[0].id, id(MANY));
    assert_eq!(store.tags(Some("even"), None, 10).await.unwrap(), []);

    let gone = (1..=MANY).flat_map(|n| [delete(SERVICES, n), delete(ROUTES, n)]);
    assert_eq!(write(&store, gone).await.unwrap().at.revision, 3);
    assert_eq!(store.snapshot().await.unwrap().1, []);
    assert_eq!(store.tags(None, None, 10).await.unwrap(), []);
}
