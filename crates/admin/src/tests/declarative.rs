//! Whole configurations as text.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::support::{Answered, Stored, answered, send};
use crate::Api;

const CONFIGURATION: &str = r#"
_format_version: "3.0"
_comment: two services, written in both ways
services:
- name: one
  url: http://one.test/base
  tags: [shop]
  routes:
  - name: first
    paths: [/first]
  - paths: [/second]
    _comment: without a name
- name: two
  host: pool
routes:
- name: third
  hosts: [three.test]
  service: two
consumers:
- username: bob
  keyauth_credentials:
  - key: secret
    ttl: 600
  basicauth_credentials:
  - username: bob
    password: clear
  acls:
  - group: friends
upstreams:
- name: pool
  targets:
  - target: 127.0.0.1:81
"#;

async fn load(api: &Api, path: &str, text: &str) -> Answered {
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header(header::CONTENT_TYPE, "application/yaml");
    answered(api, request.body(Full::new(Bytes::from(text.to_owned()))).unwrap()).await
}

async fn dump(api: &Api) -> String {
    let request = Request::builder().uri("/declarative").body(Full::new(Bytes::new())).unwrap();
    let bytes = api.handle(request, "http").await.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.into()).unwrap()
}

fn revision(answer: &Answered) -> u64 {
    answer.headers["x-weir-revision"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_text_becomes_the_whole_configuration_under_one_revision() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let old = send(api, "POST", "/services", Some(json!({"name": "old", "host": "a"}))).await;
    let loaded = load(api, "/declarative", CONFIGURATION).await;
    assert_eq!(loaded.status, 201, "{}", loaded.json);
    assert_eq!(revision(&loaded), revision(&old) + 1);
    assert_eq!(send(api, "GET", "/services/old", None).await.status, 404);
    let one = send(api, "GET", "/services/one", None).await.json;
    assert_eq!((&one["path"], &one["host"]), (&json!("/base"), &json!("one.test")));
    let third = send(api, "GET", "/routes/third/service", None).await.json;
    assert_eq!(third["name"], "two");
    let of_one = send(api, "GET", "/services/one/routes", None).await.json;
    assert_eq!(of_one["data"].as_array().map(Vec::len), Some(2));
    let basic = send(api, "GET", "/basic-auths/bob", None).await.json;
    assert_ne!(basic["password"], "clear", "it is stored as a hash");
    let key = send(api, "GET", "/key-auths/secret", None).await.json;
    assert_eq!(key["ttl"], 600);
    let targets = send(api, "GET", "/upstreams/pool/targets", None).await.json;
    assert_eq!(targets["data"][0]["target"], "127.0.0.1:81");
}

#[tokio::test]
async fn what_is_dumped_loads_as_what_it_was() {
    let sqlite = Stored::sqlite().await;
    let first = load(&sqlite.api, "/declarative", CONFIGURATION).await;
    let text = dump(&sqlite.api).await;
    let again = load(&sqlite.api, "/declarative", &text).await;
    assert_eq!(again.status, 201, "{}", again.json);
    assert_eq!(revision(&again), revision(&first), "nothing changed, so no revision was spent");
    let other = Stored::sqlite().await;
    assert_eq!(load(&other.api, "/declarative", &text).await.status, 201);
    assert_eq!(dump(&other.api).await, text);
}

#[tokio::test]
async fn ids_follow_from_names() {
    let (one, other) = (Stored::sqlite().await, Stored::sqlite().await);
    let mut ids = Vec::new();
    for sqlite in [&one, &other] {
        load(&sqlite.api, "/declarative", CONFIGURATION).await;
        ids.push(send(&sqlite.api, "GET", "/services/one", None).await.json["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_and_nothing_is_written() {
    let sqlite = Stored::sqlite().await;
    let text = r#"
_format_version: "3.0"
nonsense: []
services:
- name: good
  host: a
- name: bad
  host: "not a host"
  routes:
  - paths: ["no slash"]
- name: good
  host: b
routes:
- name: lost
  paths: [/x]
  service: nobody
"#;
    let refused = load(&sqlite.api, "/declarative?flatten_errors=1", text).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json["code"], 14);
    let flat = refused.json["flattened_errors"].as_array().unwrap();
    let names: Vec<&Value> = flat.iter().map(|entry| &entry["entity"]["name"]).collect();
    assert_eq!(flat.len(), 4, "{names:?}");
    let nested = load(&sqlite.api, "/declarative", text).await.json;
    assert_eq!(nested["fields"]["nonsense"], "unknown field");
    assert_eq!(nested["fields"]["services"][0], Value::Null);
    assert!(nested["fields"]["services"][1]["routes"][0]["paths"].is_array(), "{nested}");
    let reference = nested["fields"]["routes"][0]["service"].as_str().unwrap();
    assert_eq!(reference, "invalid reference 'service: nobody' (no such entry in 'services')");
    let written = send(&sqlite.api, "GET", "/services", None).await.json;
    assert_eq!(written["data"], json!([]));
}

#[tokio::test]
async fn text_that_cannot_be_read_is_refused_with_a_reason() {
    let sqlite = Stored::sqlite().await;
    for (text, part) in [
        ("[]", "expected an object"),
        ("services: {", "failed parsing declarative configuration"),
        ("services: []", "_format_version"),
        ("_format_version: \"9\"", "expected one of: 1.1, 2.1, 3.0"),
    ] {
        let refused = load(&sqlite.api, "/declarative", text).await;
        assert_eq!(refused.status, 400, "{text}");
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains(part), "{text}: {message}");
    }
    let empty = load(&sqlite.api, "/declarative", "").await;
    assert_eq!(empty.json["message"], "expected a declarative configuration");
}

#[tokio::test]
async fn before_3_0_paths_with_characters_of_expressions_are_expressions() {
    let sqlite = Stored::sqlite().await;
    let text =
        r#"{"_format_version": "2.1", "routes": [{"name": "r", "paths": ["/a/\\d+", "/b"]}]}"#;
    assert_eq!(load(&sqlite.api, "/declarative", text).await.status, 201);
    let route = send(&sqlite.api, "GET", "/routes/r", None).await.json;
    assert_eq!(route["paths"], json!(["~/a/\\d+", "/b"]));
}

#[tokio::test]
async fn without_a_database_entities_come_from_config_alone() {
    let sqlite = Stored::sqlite().await;
    let mut state = sqlite.state.clone();
    state.declarative = Some(std::sync::Arc::default());
    let api = Api::new(state);
    let refused = send(&api, "POST", "/services", Some(json!({"host": "a"}))).await;
    assert_eq!(refused.status, 405);
    assert_eq!(
        refused.json["message"],
        "cannot create 'services' entities when not using a database"
    );
    let by_name = send(&api, "PATCH", "/services/x", Some(json!({"host": "a"}))).await;
    assert_eq!(
        by_name.json["message"],
        "cannot update 'services' entities by 'name' when not using a database"
    );
    let body = json!({ "config": CONFIGURATION });
    assert_eq!(send(&api, "POST", "/config", Some(body.clone())).await.status, 201);
    let same = send(&api, "POST", "/config?check_hash=1", Some(body)).await;
    assert_eq!(same.status, 304);
    assert_eq!(send(&api, "GET", "/services/one", None).await.status, 200);
    let shown = send(&api, "GET", "/config", None).await.json;
    assert!(
        shown["config"].as_str().unwrap().starts_with("_format_version: '3.0'\n_transform: false")
    );
}
