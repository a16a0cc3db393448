//! One request is one revision, whole or not at all.

use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::{Stored, answered, send};

/// A certificate and key for tests, valid for 100 years, made for nothing else.
const CERT: &str = include_str!("cert.pem");
const KEY: &str = include_str!("key.pem");

fn revision(answer: &super::support::Answered) -> u64 {
    answer.headers["x-weir-revision"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_write_names_its_revision() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let made = send(api, "POST", "/services", Some(json!({"name": "s", "host": "a"}))).await;
    assert_eq!(made.status, 201);
    let first = revision(&made);
    for (method, path, body, status) in [
        ("PATCH", "/services/s", Some(json!({"port": 1})), 200),
        ("PUT", "/services/s", Some(json!({"host": "b"})), 200),
        ("POST", "/services/s/routes", Some(json!({"name": "r", "paths": ["/"]})), 201),
        ("DELETE", "/services/s/routes/r", None, 204),
        ("DELETE", "/services/s", None, 204),
    ] {
        let answer = send(api, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.json);
        assert_eq!(answer.headers["x-weir-epoch"], made.headers["x-weir-epoch"]);
    }
    let gone = send(api, "DELETE", "/services/s", None).await;
    assert_eq!((gone.status.as_u16(), revision(&gone)), (204, first + 5), "nothing was spent");
    let read = send(api, "GET", "/services", None).await;
    assert!(!read.headers.contains_key("x-weir-revision"));
}

#[tokio::test]
async fn a_refused_write_leaves_nothing() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let cert = |snis: Value| json!({"cert": CERT, "key": KEY, "snis": snis});
    let made = send(api, "POST", "/certificates", Some(cert(json!(["a.example"])))).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let before = send(api, "PATCH", "/certificates/a.example", Some(json!({}))).await;
    for (method, path, body) in [
        ("POST", "/certificates", cert(json!(["new.example", "a.example"]))),
        ("POST", "/certificates", json!({"cert": CERT, "key": "junk", "snis": ["new.example"]})),
        ("POST", "/routes", json!({"paths": ["/"], "service": {"id": made.json["id"]}})),
        ("PUT", "/services/s", json!({"host": "a", "port": "x"})),
    ] {
        let answer = send(api, method, path, Some(body)).await;
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.json);
    }
    for path in ["/services", "/routes"] {
        assert_eq!(send(api, "GET", path, None).await.json["data"], json!([]), "{path}");
    }
    let snis = send(api, "GET", "/snis", None).await.json;
    assert_eq!(snis["data"].as_array().unwrap().len(), 1);
    let after = send(api, "PATCH", "/certificates/a.example", Some(json!({}))).await;
    assert_eq!(revision(&after), revision(&before) + 1);
}

#[tokio::test]
async fn a_certificate_and_its_names_are_one_revision() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let names = |answer: &super::support::Answered| answer.json["snis"].clone();
    let body = json!({"cert": CERT, "key": KEY, "snis": ["b.example", "a.example"]});
    let made = send(api, "POST", "/certificates", Some(body)).await;
    assert_eq!(names(&made), json!(["a.example", "b.example"]));
    let patched = json!({"snis": ["c.example", "a.example"]});
    let patched = send(api, "PATCH", "/certificates/b.example", Some(patched)).await;
    assert_eq!(names(&patched), json!(["a.example", "c.example"]));
    assert_eq!(revision(&patched), revision(&made) + 1);
    let put =
        send(api, "PUT", "/certificates/c.example", Some(json!({"cert": CERT, "key": KEY}))).await;
    assert_eq!((names(&put), &put.json["id"]), (json!([]), &made.json["id"]));
    assert_eq!(revision(&put), revision(&made) + 2);
    let stored = sqlite.store.get("certificates", sqlite.id(&made)).await.unwrap().unwrap();
    assert!(!stored.body.contains("snis"), "the names are entities of their own");
}

#[tokio::test]
async fn a_parent_that_is_made_is_linked_in_the_same_revision() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let route = send(api, "POST", "/routes", Some(json!({"name": "r", "paths": ["/"]}))).await;
    let made = send(api, "PUT", "/routes/r/service", Some(json!({"host": "a"}))).await;
    assert_eq!((made.status.as_u16(), revision(&made)), (200, revision(&route) + 1));
    let route = send(api, "GET", "/routes/r", None).await;
    assert_eq!(route.json["service"]["id"], made.json["id"]);
}

#[tokio::test]
async fn segments_are_decoded() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    for name in ["a+b", "a/b c", "雪"] {
        let made = send(api, "POST", "/consumers", Some(json!({"username": name}))).await;
        assert_eq!(made.status, 201);
    }
    for (path, name) in [
        ("/consumers/a%2Bb", "a+b"),
        ("/consumers/a%2Fb+c/", "a/b c"),
        ("/consumers/%E9%9B%AA", "雪"),
    ] {
        assert_eq!(send(api, "GET", path, None).await.json["username"], name, "{path}");
    }
    let bad = send(api, "GET", "/services/%FF", None).await;
    assert_eq!((bad.status.as_u16(), &bad.json["code"]), (400, &json!(10)));
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused() {
    let sqlite = Stored::sqlite().await;
    let body = format!("{{\"host\":\"{}\"}}", "x".repeat(super::support::LARGEST_BODY));
    let request = Request::post("/services")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .unwrap();
    let answer = answered(&sqlite.api, request).await;
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.json["message"],
        "the body is larger than 10 MiB; the setting nginx_admin_client_max_body_size allows more"
    );
}

#[tokio::test]
async fn an_entity_that_no_data_plane_takes_is_refused() {
    let mut stored = Stored::sqlite().await;
    let mut about = (*stored.state.about).clone();
    about.largest_entity = 2000;
    stored.state.about = std::sync::Arc::new(about);
    let api = crate::Api::new(stored.state.clone());
    let tags = |count: usize| -> serde_json::Value {
        json!((0..count).map(|n| format!("tag-number-{n:04}")).collect::<Vec<_>>())
    };
    let body = json!({"name": "a", "host": "a", "tags": tags(50)});
    assert_eq!(send(&api, "POST", "/services", Some(body)).await.status, 201);
    let grown = send(&api, "PATCH", "/services/a", Some(json!({"tags": tags(200)}))).await;
    assert_eq!(grown.status, 413);
    let said = grown.json["message"].as_str().unwrap();
    assert!(said.contains("'services' entity") && said.contains("data planes take"), "{said}");
    let kept = send(&api, "GET", "/services/a", None).await;
    assert_eq!(kept.json["tags"].as_array().unwrap().len(), 50);
    let declared =
        json!({"_format_version": "3.0", "services": [{"host": "b", "tags": tags(200)}]});
    assert_eq!(send(&api, "POST", "/declarative", Some(declared)).await.status, 413);
}

#[tokio::test]
async fn cache_keys_lead_to_entities() {
    let stored = Stored::sqlite().await;
    let api = &stored.api;
    send(api, "POST", "/consumers", Some(json!({"username": "c"}))).await;
    send(api, "POST", "/consumers/c/key-auth", Some(json!({"key": "k", "ttl": 10}))).await;
    let workspace = stored.state.about.workspace_id;
    for path in [
        "/cache/keyauth_credentials:k".to_owned(),
        format!("/cache/keyauth_credentials:k:::::{workspace}"),
    ] {
        let found = send(api, "GET", &path, None).await;
        assert_eq!((found.status.as_u16(), &found.json["key"]), (200, &json!("k")), "{path}");
    }
    assert_eq!(send(api, "GET", "/cache/keyauth_credentials:other", None).await.status, 404);
    assert_eq!(send(api, "DELETE", "/cache/keyauth_credentials:k", None).await.status, 204);
    stored.clock.advance(std::time::Duration::from_secs(10));
    assert_eq!(send(api, "GET", "/cache/keyauth_credentials:k", None).await.status, 404);
}

#[tokio::test]
async fn a_key_with_a_nul_is_refused_and_found_nowhere() {
    for stored in [Stored::sqlite().await, Stored::postgres().await] {
        let api = &stored.api;
        let nul = json!({"username": "a\u{0}"});
        let refused = send(api, "POST", "/consumers", Some(nul)).await;
        assert_eq!((refused.status.as_u16(), &refused.json["code"]), (400, &json!(2)));
        assert_eq!(refused.json["fields"]["username"], "must not contain the character U+0000");
        assert_eq!(send(api, "PUT", "/consumers/%00", Some(json!({}))).await.status, 400);
        let by_name = json!({"paths": ["/"], "service": {"name": "a\u{0}"}});
        assert_eq!(send(api, "POST", "/routes", Some(by_name)).await.status, 400);
        for path in ["/consumers/%00", "/key-auths/a%00", "/cache/consumers:%00", "/apis/%00"] {
            assert_eq!(send(api, "GET", path, None).await.status, 404, "{path}");
        }
        assert_eq!(send(api, "GET", "/consumers?custom_id=%00", None).await.status, 200);
        let offset = crate::query::encode(["\0", "a", "00000000-0000-0000-0000-000000000000"]);
        let path = format!("/tags?offset={}", crate::query::escape(&offset));
        assert_eq!(send(api, "GET", &path, None).await.status, 400);
    }
}
