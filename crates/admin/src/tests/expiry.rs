//! Entities that expire.

use std::time::Duration;

use serde_json::json;

use super::support::{Sqlite, send};

#[tokio::test]
async fn a_key_lives_as_long_as_it_says() {
    let sqlite = Sqlite::open().await;
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
    let sqlite = Sqlite::open().await;
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
    let sqlite = Sqlite::open().await;
    let api = &sqlite.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    for ttl in [json!(-1), json!(1.5), json!("x"), json!(100_000_001)] {
        let answer = send(api, "POST", "/consumers/c/key-auth", Some(json!({"ttl": ttl}))).await;
        assert_eq!((answer.status.as_u16(), &answer.json["code"]), (400, &json!(11)), "{ttl}");
    }
    let zero = send(api, "POST", "/consumers/c/key-auth", Some(json!({"ttl": 0}))).await;
    assert_eq!((zero.status.as_u16(), &zero.json["ttl"]), (201, &json!(null)));
}
