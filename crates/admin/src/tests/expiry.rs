//! Entities that expire.

use std::time::Duration;

use serde_json::json;

use super::support::{Stored, send};

#[tokio::test]
async fn a_key_lives_as_long_as_it_says() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    let body = json!({"key": "k", "ttl": 100});
    let made = send(api, "POST", "/consumers/c/key-auth", Some(body)).await;
    assert_eq!((made.status.as_u16(), &made.json["ttl"]), (201, &json!(100)));
    sqlite.clock.advance(Duration::from_secs(40));
    assert_eq!(send(api, "GET", "/key-auths/k", None).await.json["ttl"], 60);
    let kept = send(api, "PATCH", "/key-auths/k", Some(json!({"tags": ["x"]}))).await;
    assert_eq!(kept.json["ttl"], 60, "a PATCH without it keeps it");
    let again = send(api, "PATCH", "/key-auths/k", Some(json!({"ttl": 10}))).await;
    assert_eq!(again.json["ttl"], 10);
    sqlite.clock.advance(Duration::from_secs(10));
    for path in ["/key-auths/k", "/consumers/c/key-auth/k"] {
        assert_eq!(send(api, "GET", path, None).await.status, 404, "{path}");
        assert_eq!(send(api, "PATCH", path, Some(json!({}))).await.status, 404, "{path}");
    }
    assert_eq!(send(api, "GET", "/key-auths", None).await.json["data"], json!([]));
}

#[tokio::test]
async fn an_expired_key_is_no_obstacle() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    let body = json!({"key": "k", "ttl": 1});
    let made = send(api, "POST", "/consumers/c/key-auth", Some(body.clone())).await;
    assert_eq!(send(api, "POST", "/consumers/c/key-auth", Some(body)).await.status, 409);
    sqlite.clock.advance(Duration::from_secs(1));
    let body = json!({"key": "k"});
    let second = send(api, "POST", "/consumers/c/key-auth", Some(body)).await;
    assert_eq!((second.status.as_u16(), &second.json["ttl"]), (201, &json!(null)));
    assert_ne!(second.json["id"], made.json["id"]);
    assert_eq!(send(api, "GET", "/key-auths/k", None).await.json["id"], second.json["id"]);
}

#[tokio::test]
async fn options_that_are_no_times_are_refused() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    for ttl in [json!(-1), json!(1.5), json!("x"), json!(100_000_001)] {
        let answer = send(api, "POST", "/consumers/c/key-auth", Some(json!({"ttl": ttl}))).await;
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (400, &json!(11)), "{ttl}");
    }
    let zero = send(api, "POST", "/consumers/c/key-auth", Some(json!({"ttl": 0}))).await;
    assert_eq!((zero.status.as_u16(), &zero.json["ttl"]), (201, &json!(null)));
}

/// Makes keys `n` of consumer `c` that live this long.
async fn make_keys(stored: &Stored, names: std::ops::Range<usize>, ttl: u32) {
    for n in names {
        let body = json!({"key": format!("k{n}"), "ttl": ttl, "tags": ["t"]});
        let made = send(&stored.api, "POST", "/consumers/c/key-auth", Some(body)).await;
        assert_eq!(made.status, 201);
    }
}

async fn what_has_expired_is_deleted(stored: Stored) {
    let (api, store) = (&stored.api, &stored.store);
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    make_keys(&stored, 0..3, 100).await;
    make_keys(&stored, 3..4, 200).await;
    make_keys(&stored, 4..5, 0).await;
    let prolonged = send(api, "PATCH", "/key-auths/k2", Some(json!({"ttl": 300}))).await;
    assert_eq!(prolonged.status, 200);
    stored.clock.advance(Duration::from_secs(99));
    let before = store.head().await.unwrap().at.revision;
    assert_eq!(api.delete_expired().await, Ok(0));
    stored.clock.advance(Duration::from_secs(1));
    assert_eq!(api.delete_expired().await, Ok(2));
    let log = store.log_after(before, 100).await.unwrap();
    assert_eq!(log.transactions.len(), 1, "one revision");
    assert!(log.transactions[0].changes.iter().all(|change| change.body.is_none()));
    let tags = store.tags(Some("t"), None, 100).await.unwrap();
    assert_eq!(tags.len(), 3, "k2, k3, k4");
    // Nothing is left to do, and that costs no revision.
    assert_eq!(api.delete_expired().await, Ok(0));
    assert_eq!(store.head().await.unwrap().at.revision, before + 1);
    stored.clock.advance(Duration::from_secs(1000));
    assert_eq!(api.delete_expired().await, Ok(2));
    let left = send(api, "GET", "/key-auths", None).await;
    assert_eq!(left.json["data"][0]["key"], "k4", "it lives for ever");
}

#[tokio::test]
async fn what_has_expired_is_deleted_on_sqlite() {
    what_has_expired_is_deleted(Stored::sqlite().await).await;
}

#[tokio::test]
async fn what_has_expired_is_deleted_on_postgres() {
    what_has_expired_is_deleted(Stored::postgres().await).await;
}

#[tokio::test]
async fn several_control_planes_delete_side_by_side() {
    let stored = Stored::postgres().await;
    send(&stored.api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    make_keys(&stored, 0..40, 10).await;
    stored.clock.advance(Duration::from_secs(10));
    let sweeps = (0..4).map(|_| stored.api.delete_expired());
    let deleted: usize =
        futures_util::future::join_all(sweeps).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(deleted, 40, "each by one of them");
    assert_eq!(send(&stored.api, "GET", "/key-auths", None).await.json["data"], json!([]));
}

#[tokio::test]
async fn pages_are_full_beside_what_has_expired() {
    let stored = Stored::sqlite().await;
    let api = &stored.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    make_keys(&stored, 0..30, 10).await;
    make_keys(&stored, 30..35, 100).await;
    stored.clock.advance(Duration::from_secs(10));
    let mut path = "/key-auths?size=2".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = send(api, "GET", &path, None).await.json;
        sizes.push(page["data"].as_array().unwrap().len());
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    // Only the last one may be short; what follows it may all have expired.
    assert!(sizes.iter().rev().skip(2).all(|size| *size == 2), "{sizes:?}");
}
