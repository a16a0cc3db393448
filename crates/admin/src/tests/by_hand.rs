//! The health of targets set by hand: what is stored, and what is refused.

use http_body_util::BodyExt;
use model::TargetHealth;
use serde_json::json;
use store::ListQuery;

use super::support::{Stored, send};

const PASSIVE: &str = "tcp_failures";

async fn words(sqlite: &Stored) -> Vec<(Option<String>, bool)> {
    let query =
        ListQuery { kind: TargetHealth::KIND, referring: None, tags: None, after: None, size: 100 };
    let page = sqlite.store.list(&query).await.unwrap();
    let mut words: Vec<(Option<String>, bool)> = page
        .entities
        .iter()
        .map(|entity| TargetHealth::from_body(&entity.body).unwrap())
        .map(|word| (word.address.map(|address| address.to_string()), word.healthy))
        .collect();
    words.sort();
    words
}

#[tokio::test]
async fn a_word_on_health_is_stored_until_its_target_goes() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let checks = json!({"passive": {"unhealthy": {PASSIVE: 1}}});
    let upstream = json!({"name": "u", "healthchecks": checks});
    assert_eq!(send(api, "POST", "/upstreams", Some(upstream)).await.status, 201);
    let target = json!({"target": "10.0.0.1:80"});
    assert_eq!(send(api, "POST", "/upstreams/u/targets", Some(target)).await.status, 201);

    let of = |rest: &str| format!("/upstreams/u/targets/10.0.0.1:80/{rest}");
    for (method, path, expected) in [
        ("PUT", "10.0.0.1:80/unhealthy", vec![(Some("10.0.0.1:80".to_owned()), false)]),
        ("POST", "10.0.0.1:80/healthy", vec![(Some("10.0.0.1:80".to_owned()), true)]),
        // A word on the whole target takes older ones on its addresses away.
        ("PUT", "unhealthy", vec![(None, false)]),
    ] {
        let answer = send(api, method, &of(path), None).await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.json);
        assert!(answer.headers.contains_key("x-weir-revision"));
        assert_eq!(words(&sqlite).await, expected, "{path}");
    }
    // Said again it is a new word, or data planes would not hear of it.
    let before = sqlite.store.head().await.unwrap().at.revision;
    sqlite.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(send(api, "PUT", &of("unhealthy"), None).await.status, 204);
    assert_eq!(sqlite.store.head().await.unwrap().at.revision, before + 1);

    // It is in no list and no export.
    let request = http::Request::get("/declarative").body(http_body_util::Full::default()).unwrap();
    let request: http::Request<http_body_util::Full<bytes::Bytes>> = request;
    let dumped = api.handle(request, "http").await.into_body().collect().await.unwrap().to_bytes();
    let dumped = String::from_utf8(dumped.to_vec()).unwrap();
    assert!(dumped.contains("10.0.0.1:80") && !dumped.contains("target_health"), "{dumped}");
    let gone = send(api, "DELETE", "/upstreams/u/targets/10.0.0.1:80", None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(words(&sqlite).await, []);
}

#[tokio::test]
async fn a_word_on_health_needs_checks_and_a_target() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/upstreams", Some(json!({"name": "u"}))).await;
    let target = json!({"target": "10.0.0.1:80"});
    send(api, "POST", "/upstreams/u/targets", Some(target)).await;
    let off = send(api, "PUT", "/upstreams/u/targets/10.0.0.1:80/unhealthy", None).await;
    assert_eq!(
        (off.status.as_u16(), &off.json["message"]),
        (400, &json!("no healthchecker found for u"))
    );
    let path = "/upstreams/u/targets/10.0.0.1:80/nowhere/unhealthy";
    assert_eq!(send(api, "PUT", path, None).await.status, 400);
    let none = send(api, "PUT", "/upstreams/u/targets/10.0.0.2:80/unhealthy", None).await;
    assert_eq!(none.status, 404);
    assert_eq!(words(&sqlite).await, []);
}
