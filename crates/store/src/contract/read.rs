//! Checks of lists.

use std::sync::Arc;

use model::Kind;

use super::rows::{
    Cascade, PLUGINS, ROUTES, Restrict, SERVICES, With, all, delete, id, insert, page, row,
    tagged_all, tagged_any, upsert, write,
};
use crate::{ListQuery, Store, TagFilter, TaggedEntity};

/// Paging by the primary key.
pub async fn pages_follow_each_other(store: Arc<dyn Store>) {
    assert_eq!(page(&store, &all(SERVICES)).await, (vec![], false));
    // Ids whose order as numbers, bytes and text is the same, and that need all of their bits.
    let high = 1 << 127;
    let ids = [0, 1, 0xff, 0x100, high, high + 1, u128::MAX];
    let set = ids.iter().rev().map(|n| insert(row(SERVICES, *n)));
    write(&store, set.chain([insert(row(ROUTES, 2))])).await.unwrap();
    assert_eq!(page(&store, &all(SERVICES)).await, (ids.to_vec(), false));

    let part = |after, size| ListQuery { after, size, ..all(SERVICES) };
    assert_eq!(page(&store, &part(None, 3)).await, (ids[..3].to_vec(), true));
    assert_eq!(page(&store, &part(Some(id(0xff)), 3)).await, (ids[3..6].to_vec(), true));
    assert_eq!(page(&store, &part(Some(id(0xff)), 4)).await, (ids[3..].to_vec(), false));
    assert_eq!(page(&store, &part(Some(id(2)), 1)).await, (vec![0xff], true), "2 is not there");
    assert_eq!(page(&store, &part(Some(id(u128::MAX)), 3)).await, (vec![], false));
    assert_eq!(page(&store, &part(None, 7)).await, (ids.to_vec(), false));

    // Pages stay in step while rows come and go around them.
    write(&store, [delete(SERVICES, 0xff), insert(row(SERVICES, 0x80))]).await.unwrap();
    assert_eq!(page(&store, &part(Some(id(0xff)), 1)).await, (vec![0x100], true));
}

/// Lists of what refers to an entity by a field.
pub async fn referring_entities_are_listed(store: Arc<dyn Store>) {
    let route = |n, to| row(ROUTES, n).refers("service", (SERVICES, to), Restrict);
    let set = [
        insert(row(SERVICES, 1)),
        insert(row(SERVICES, 2)),
        insert(route(1, 1).tag("x")),
        insert(route(2, 2)),
        insert(route(3, 1)),
        insert(route(4, 1).tag("x").refers("backup", (SERVICES, 2), Restrict)),
        insert(row(PLUGINS, 5).refers("service", (SERVICES, 1), Cascade)),
    ];
    write(&store, set).await.unwrap();
    let of = |field, n| ListQuery { referring: Some((field, id(n))), ..all(ROUTES) };
    assert_eq!(page(&store, &of("service", 1)).await.0, [1, 3, 4]);
    assert_eq!(page(&store, &of("service", 2)).await.0, [2]);
    assert_eq!(page(&store, &of("backup", 2)).await.0, [4]);
    assert_eq!(page(&store, &of("service", 9)).await.0, [0; 0]);
    let part = ListQuery { after: Some(id(1)), size: 1, ..of("service", 1) };
    assert_eq!(page(&store, &part).await, (vec![3], true));
    let tagged = ListQuery { tags: tagged_all(&["x"]), ..of("service", 1) };
    assert_eq!(page(&store, &tagged).await.0, [1, 4]);
    let tagged = ListQuery { tags: tagged_any(&["x", "y"]), after: Some(id(1)), ..tagged };
    assert_eq!(page(&store, &tagged).await.0, [4]);
    write(&store, [upsert(route(3, 2)), delete(ROUTES, 4)]).await.unwrap();
    assert_eq!(page(&store, &of("service", 1)).await.0, [1]);
    assert_eq!(page(&store, &of("service", 2)).await.0, [2, 3]);
}

/// Keys in the order of their bytes.
pub async fn keys_are_found_in_their_order(store: Arc<dyn Store>) {
    let until = |n, value: &str| row(SERVICES, n).key("until", value);
    let set = [
        insert(until(1, "b/1")),
        insert(until(2, "a/9").named("a/0")),
        insert(until(3, "B/5")),
        insert(until(4, "b")),
        insert(row(ROUTES, 5).key("until", "a")),
        insert(row(SERVICES, 6)),
    ];
    write(&store, set).await.unwrap();
    let found = async |before: &str, limit| -> Vec<u128> {
        let found = store.keyed_before(SERVICES, "until", before, limit).await.unwrap();
        found.iter().map(|entity| entity.id.as_u128()).collect()
    };
    assert_eq!(found("c", 10).await, [3, 2, 4, 1]);
    assert_eq!(found("c", 2).await, [3, 2]);
    assert_eq!(found("b", 10).await, [3, 2], "before, not at");
    assert_eq!(found("A", 10).await, [0; 0]);
    write(&store, [upsert(until(3, "d")), delete(SERVICES, 2)]).await.unwrap();
    assert_eq!(found("c", 10).await, [4, 1]);
    let nul = crate::Key { field: "until", value: "b\0".to_owned() };
    assert!(store.find(SERVICES, &nul).await.unwrap().is_none());
}

/// Lists of what has tags.
pub async fn tagged_entities_are_listed(store: Arc<dyn Store>) {
    let tagged =
        |n, tags: &[&str]| insert(tags.iter().fold(row(SERVICES, n), |row, tag| row.tag(tag)));
    let set = [
        tagged(1, &["a", "b"]),
        tagged(2, &["a"]),
        tagged(3, &["b", "c"]),
        tagged(4, &[]),
        tagged(5, &["c", "b", "a"]),
        insert(row(ROUTES, 6).tag("a")),
    ];
    write(&store, set).await.unwrap();
    let check = async |tags: Option<TagFilter>, expected: &[u128]| {
        let query = ListQuery { tags: tags.clone(), ..all(SERVICES) };
        assert_eq!(page(&store, &query).await, (expected.to_vec(), false), "{tags:?}");
        // And one by one.
        let mut after = None;
        for (place, n) in expected.iter().enumerate() {
            let query = ListQuery { tags: tags.clone(), after, size: 1, ..all(SERVICES) };
            let more = place + 1 < expected.len();
            assert_eq!(page(&store, &query).await, (vec![*n], more), "{tags:?}");
            after = Some(id(*n));
        }
    };
    check(tagged_all(&["a"]), &[1, 2, 5]).await;
    check(tagged_all(&["a", "b"]), &[1, 5]).await;
    check(tagged_all(&["b", "a", "b"]), &[1, 5]).await;
    check(tagged_all(&["a", "b", "c"]), &[5]).await;
    check(tagged_all(&["a", "z"]), &[]).await;
    check(tagged_all(&[]), &[1, 2, 3, 4, 5]).await;
    check(tagged_any(&["a"]), &[1, 2, 5]).await;
    check(tagged_any(&["a", "c"]), &[1, 2, 3, 5]).await;
    check(tagged_any(&["z", "c"]), &[3, 5]).await;
    check(tagged_any(&["z"]), &[]).await;
    check(tagged_any(&[]), &[]).await;
}

/// All tags, and the entities of one.
pub async fn tags_are_listed(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 2).tag("b").tag("a")),
        insert(row(SERVICES, 1).tag("b")),
        insert(row(ROUTES, 3).tag("b").tag("B")),
    ];
    write(&store, set).await.unwrap();
    let entry = |tag: &str, kind, n| TaggedEntity {
        tag: tag.to_owned(),
        kind: Kind::known(kind),
        id: id(n),
    };
    let expected = [
        entry("B", ROUTES, 3),
        entry("a", SERVICES, 2),
        entry("b", ROUTES, 3),
        entry("b", SERVICES, 1),
        entry("b", SERVICES, 2),
    ];
    assert_eq!(store.tags(None, None, 100).await.unwrap(), expected);
    let first = store.tags(None, None, 2).await.unwrap();
    assert_eq!(first, expected[..2]);
    assert_eq!(store.tags(None, first.last(), 2).await.unwrap(), expected[2..4]);
    assert_eq!(store.tags(None, Some(&expected[4]), 2).await.unwrap(), []);
    assert_eq!(store.tags(Some("b"), None, 2).await.unwrap(), expected[2..4]);
    assert_eq!(store.tags(Some("b"), Some(&expected[3]), 2).await.unwrap(), expected[4..]);
    assert_eq!(store.tags(Some("c"), None, 2).await.unwrap(), []);
}

/// Who would be affected by a deletion.
pub async fn referrers_are_found(store: Arc<dyn Store>) {
    let set = [
        insert(row(SERVICES, 1)),
        insert(row(ROUTES, 1).refers("service", (SERVICES, 1), Restrict)),
        insert(row(PLUGINS, 1).refers("service", (SERVICES, 1), Cascade).refers(
            "backup",
            (SERVICES, 1),
            Cascade,
        )),
        insert(row(PLUGINS, 2).refers("route", (ROUTES, 1), Cascade)),
    ];
    write(&store, set).await.unwrap();
    let found = store.referrers(SERVICES, id(1)).await.unwrap();
    let found: Vec<_> = found.iter().map(|e| (e.kind.as_str(), e.id.as_u128())).collect();
    assert_eq!(found, [(PLUGINS, 1), (ROUTES, 1)], "each once, and only those that refer directly");
    assert_eq!(store.referrers(ROUTES, id(9)).await.unwrap(), []);
}
