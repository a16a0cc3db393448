//! Opening, promoting and reverting rollouts.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{RevokedCertificate, Rollout};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Answered, Stored, send};
use crate::{Api, Role};

/// A control plane: data planes are elsewhere.
async fn stored() -> (Stored, Api) {
    on(Stored::sqlite().await)
}

fn on(stored: Stored) -> (Stored, Api) {
    let mut state = stored.state.clone();
    let mut about = (*state.about).clone();
    about.role = Role::ControlPlane;
    state.about = Arc::new(about);
    (stored, Api::new(state))
}

async fn open(api: &Api) -> Answered {
    send(api, "POST", "/rollouts", Some(json!({ "labels": ["stage:canary"] }))).await
}

async fn put(api: &Api, path: &str, body: Value) -> Answered {
    let put = send(api, "PUT", path, Some(body)).await;
    assert!(put.status.is_success(), "{put:?}");
    put
}

/// Everything that is stored, but for the versions of the rows.
async fn everything(stored: &Stored) -> BTreeMap<(String, Uuid), String> {
    let (_, entities) = stored.store.snapshot().await.unwrap();
    entities.into_iter().map(|e| ((e.kind.to_string(), e.id), e.body.to_string())).collect()
}

fn revision(answered: &Answered) -> u64 {
    answered.headers["x-weir-revision"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_revert_leaves_everything_as_it_was() {
    for stored in [Stored::sqlite().await, Stored::postgres().await] {
        revert_everything(on(stored)).await;
    }
}

async fn revert_everything((stored, api): (Stored, Api)) {
    put(&api, "/services/a", json!({ "host": "a" })).await;
    put(&api, "/services/b", json!({ "host": "b", "tags": ["t"] })).await;
    put(&api, "/services/b/routes/r", json!({ "paths": ["/r"] })).await;
    put(&api, "/consumers/c", json!({})).await;
    put(&api, "/consumers/c/key-auth/secret", json!({})).await;
    let before = everything(&stored).await;
    let opened = open(&api).await;
    assert_eq!(opened.status, 201);

    // Names swap, a reference moves to what is new, a deletion cascades, what is new goes again.
    let rename = |name: &str| json!({ "name": name });
    send(&api, "PATCH", "/services/a", Some(rename("x"))).await;
    send(&api, "PATCH", "/services/b", Some(rename("a"))).await;
    send(&api, "PATCH", "/services/x", Some(rename("b"))).await;
    let new = put(&api, "/services/new", json!({ "host": "new" })).await;
    let moved = json!({ "service": { "id": new.json["id"] } });
    assert_eq!(send(&api, "PATCH", "/routes/r", Some(moved)).await.status, 200);
    assert_eq!(send(&api, "DELETE", "/consumers/c", None).await.status, 204);
    put(&api, "/consumers/d", json!({})).await;
    put(&api, "/consumers/d/key-auth/secret", json!({})).await;
    put(&api, "/upstreams/gone", json!({})).await;
    let last = send(&api, "DELETE", "/upstreams/gone", None).await;

    let listed = send(&api, "GET", "/rollouts", None).await;
    assert_eq!(listed.json["data"][0]["labels"], json!(["stage:canary"]));
    assert_eq!(listed.json["data"][0]["opened_revision"], revision(&opened));
    assert_eq!(listed.json["data"][0]["touched"], 9);
    let reverted = send(&api, "POST", "/rollouts/revert", None).await;
    assert_eq!(reverted.status, 200, "{reverted:?}");
    assert_eq!(reverted.json["outcome"], "reverted");
    assert_eq!(revision(&reverted), revision(&last) + 1, "one revision");
    assert_eq!(reverted.json["revision"], revision(&reverted));
    assert_eq!(everything(&stored).await, before);
    // Keys, references and tags, too.
    let by_name = send(&api, "GET", "/services/a", None).await;
    assert_eq!(by_name.json["host"], "a");
    let tagged = send(&api, "GET", "/services?tags=t", None).await;
    assert_eq!(tagged.json["data"][0]["name"], "b");
    assert_eq!(send(&api, "DELETE", "/services/b", None).await.status, 400, "r refers to it");
    let again = send(&api, "POST", "/consumers/c/key-auth", Some(json!({ "key": "secret" }))).await;
    assert_eq!(again.status, 409, "it is taken again");

    let listed = send(&api, "GET", "/rollouts", None).await;
    assert_eq!(listed.json, json!({ "data": [], "next": null }));
}

#[tokio::test]
async fn a_promotion_keeps_everything() {
    let (stored, api) = stored().await;
    open(&api).await;
    put(&api, "/services/a", json!({ "host": "a" })).await;
    let mut expected = everything(&stored).await;
    let promoted = send(&api, "POST", "/rollouts/promote", None).await;
    assert_eq!((promoted.status.as_u16(), &promoted.json["touched"]), (200, &json!(1)));
    expected.remove(&(Rollout::KIND.to_string(), Rollout::ID));
    assert_eq!(everything(&stored).await, expected);
    for ended in ["promote", "revert"] {
        let none = send(&api, "POST", &format!("/rollouts/{ended}"), None).await;
        assert_eq!(none.status, 404);
        assert_eq!(none.json["message"], "no rollout is open");
    }
}

#[tokio::test]
async fn a_second_rollout_is_refused_with_the_first_named() {
    let (_stored, api) = stored().await;
    let first = open(&api).await;
    let second = send(&api, "POST", "/rollouts", Some(json!({ "labels": ["a:b"] }))).await;
    assert_eq!(second.status, 409);
    assert_eq!(
        second.json["message"],
        format!(
            "a rollout to data planes with stage:canary is open since revision {}: promote or \
             revert it first",
            revision(&first)
        )
    );
}

#[tokio::test]
async fn labels_are_those_of_data_planes() {
    let (_stored, api) = stored().await;
    for (body, said) in [
        (json!({}), "required field missing"),
        (json!({ "labels": [] }), "length must be at least 1"),
        (json!({ "labels": 7 }), "expected an array"),
        (json!({ "labels": ["canary"] }), "each is NAME:VALUE"),
        (json!({ "labels": ["a:b", "a:c"] }), "name each once"),
    ] {
        let refused = send(&api, "POST", "/rollouts", Some(body)).await;
        assert_eq!(refused.status, 400);
        let text = refused.json["fields"]["labels"].as_str().unwrap_or_default();
        assert!(text.contains(said), "{refused:?}");
    }
    let unknown = json!({ "labels": ["a:b"], "percent": 5 });
    let refused = send(&api, "POST", "/rollouts", Some(unknown)).await;
    assert_eq!(refused.json["fields"]["percent"], "unknown field");
}

#[tokio::test]
async fn what_is_said_of_the_cluster_stays_when_a_rollout_is_reverted() {
    let (stored, api) = stored().await;
    open(&api).await;
    let path = format!("/clustering/revocations/{}", "ab".repeat(32));
    assert_eq!(send(&api, "PUT", &path, None).await.status, 204);
    assert_eq!(send(&api, "POST", "/rollouts/revert", None).await.status, 200);
    let kinds: Vec<String> = everything(&stored).await.into_keys().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [RevokedCertificate::KIND.as_str()]);
}

#[tokio::test]
async fn a_gateway_in_one_process_has_no_rollouts() {
    let stored = Stored::sqlite().await;
    assert_eq!(open(&stored.api).await.status, 400);
}
