//! Lists, followed from page to page while others write.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::{Stored, send};
use crate::Api;

/// Follows `next` to the end; answers with the values of `field`.
async fn follow(api: &Api, first: &str, field: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut path = first.to_owned();
    loop {
        let page = send(api, "GET", &path, None).await;
        assert_eq!(page.status, 200, "{path}: {}", page.json);
        let data = page.json["data"].as_array().unwrap();
        seen.extend(data.iter().map(|one| one[field].as_str().unwrap().to_owned()));
        match &page.json["next"] {
            Value::String(next) => {
                assert!(page.json["offset"].is_string());
                path = next.clone();
            }
            _ => {
                assert_eq!(page.json.get("offset"), None);
                return seen;
            }
        }
    }
}

#[tokio::test]
async fn all_pages_together_are_all_entities() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let mut names = BTreeSet::new();
    for n in 0..23 {
        let name = format!("s{n}");
        let tags = if n % 2 == 0 { json!(["even", "all"]) } else { json!(["odd one", "all"]) };
        let body = json!({"name": name, "host": "a", "tags": tags});
        assert_eq!(send(api, "POST", "/services", Some(body)).await.status, 201);
        names.insert(name);
    }
    for size in [1, 5, 22, 23, 24, 1000] {
        let seen = follow(api, &format!("/services?size={size}"), "name").await;
        assert_eq!((seen.len(), &seen.into_iter().collect()), (23, &names), "size {size}");
    }
    assert_eq!(follow(api, "/services?size=2&tags=odd%20one,all", "name").await.len(), 11);
    assert_eq!(follow(api, "/services?size=3&tags=even/odd+one", "name").await.len(), 23);
    assert_eq!(follow(api, "/tags?size=7", "tag").await.len(), 46);
    assert_eq!(follow(api, "/tags/odd%20one?size=4", "entity_id").await.len(), 11);
}

#[tokio::test]
async fn a_list_is_stable_while_rows_come_and_go() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    for n in 0..10 {
        send(api, "POST", "/consumers", Some(json!({"username": format!("c{n}")}))).await;
    }
    let first = send(api, "GET", "/consumers?size=4", None).await.json;
    let last = first["data"][3]["username"].as_str().unwrap();
    assert_eq!(send(api, "DELETE", &format!("/consumers/{last}"), None).await.status, 204);
    let rest = follow(api, first["next"].as_str().unwrap(), "username").await;
    let mut all: Vec<&str> =
        first["data"].as_array().unwrap().iter().map(|c| c["username"].as_str().unwrap()).collect();
    all.extend(rest.iter().map(String::as_str));
    assert_eq!(all.len(), 10);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 10, "none twice, none missing");
}

#[tokio::test]
async fn nested_lists_and_targets() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/upstreams", Some(json!({"name": "u"}))).await;
    for n in 0..5 {
        let body = json!({"target": format!("t{n}.example"), "weight": n});
        assert_eq!(send(api, "POST", "/upstreams/u/targets", Some(body)).await.status, 201);
        sqlite.clock.advance(std::time::Duration::from_millis(2));
    }
    let newest: Vec<String> = (0..5).rev().map(|n| format!("t{n}.example:8000")).collect();
    assert_eq!(follow(api, "/upstreams/u/targets?size=2", "target").await[..2], newest[..2]);
    assert_eq!(follow(api, "/upstreams/u/targets", "target").await, newest);
    assert_eq!(follow(api, "/upstreams/u/targets/all?size=2", "target").await.len(), 5);
    let health = send(api, "GET", "/upstreams/u/health?size=3", None).await.json;
    assert_eq!(health["data"].as_array().unwrap().len(), 3);
    assert_eq!(health["next"], "/upstreams/u/health?offset=3");
    let active = send(api, "GET", "/upstreams/u/targets/active", None).await.json;
    assert_eq!(active["total"], 4);
    let missing = send(api, "GET", "/upstreams/nobody/targets/all", None).await;
    assert_eq!(missing.status, 404);
    // An address finds its target in any spelling.
    assert_eq!(send(api, "GET", "/upstreams/u/targets/t1.example", None).await.status, 200);
}
