//! What needs no store, and what happens when it is down.

use std::sync::Arc;

use http::{Request, header};
use http_body_util::Full;
use serde_json::json;

use super::support::{Down, answered, send, state};
use crate::Api;

fn api() -> Api {
    Api::new(state(Arc::new(Down)))
}

#[tokio::test]
async fn an_unreachable_store_is_a_503_with_a_reason() {
    for (method, path, body) in [
        ("GET", "/services", None),
        ("GET", "/services/x", None),
        ("POST", "/services", Some(json!({"host": "a.example"}))),
        ("DELETE", "/services/x", None),
        ("GET", "/tags", None),
        ("GET", "/", None),
    ] {
        let answer = send(&api(), method, path, body).await;
        assert_eq!(answer.status, 503, "{method} {path}");
        assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        let message = answer.json["message"].as_str().unwrap();
        assert!(message.starts_with("the store is unavailable"), "{message}");
        assert!(!message.contains("refused"), "the reason is for the log: {message}");
    }
}

#[tokio::test]
async fn status_tells_that_the_store_is_down() {
    let answer = send(&api(), "GET", "/status", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["database"]["reachable"], false);
}

#[tokio::test]
async fn bad_input_is_refused_before_the_store_is_asked() {
    for (method, path, body, status) in [
        ("POST", "/services", Some(json!({})), 400),
        ("POST", "/services?wait=some", Some(json!({"host": "a.example"})), 400),
        ("GET", "/services?size=0", None, 400),
        ("GET", "/services/%zz", None, 400),
        ("GET", "/unknown", None, 404),
        ("DELETE", "/services", None, 405),
        ("OPTIONS", "/services/x", None, 204),
        ("OPTIONS", "/unknown", None, 404),
    ] {
        assert_eq!(send(&api(), method, path, body).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn headers_of_every_answer() {
    let answer = send(&api(), "GET", "/unknown", None).await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "23");
    assert_eq!(answer.headers[header::SERVER], "kong/3.9.3");
    assert_eq!(answer.headers["x-kong-admin-latency"], "0");
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let head = send(&api(), "HEAD", "/unknown", None).await;
    assert_eq!(head.headers[header::CONTENT_LENGTH], "23");
    assert!(head.json.is_null());
}

#[tokio::test]
async fn origins_are_limited_when_configured() {
    let mut state = state(Arc::new(Down));
    let mut about = (*state.about).clone();
    about.gui_origins = vec!["http://gui:8002".to_owned(), "https://gui:8445".to_owned()];
    state.about = Arc::new(about);
    let api = Api::new(state);
    for (asked, allowed) in [
        (Some("https://gui:8445"), "https://gui:8445"),
        (Some("http://evil"), "http://gui:8002"),
        (None, "http://gui:8002"),
    ] {
        let mut request = Request::get("/unknown");
        if let Some(origin) = asked {
            request = request.header(header::ORIGIN, origin);
        }
        let answer = answered(&api, request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], allowed, "{asked:?}");
    }
}

#[tokio::test]
async fn whoever_names_itself_may_put_the_workspace_before_every_path() {
    for (path, status) in [
        ("/default/schemas/services", 200),
        ("/default/kong", 503),
        ("/default/workspaces/default", 200),
        ("/default/workspaces/other", 404),
        ("/other/schemas/services", 404),
        ("/default/default/schemas/services", 404),
        ("/default", 503),
        ("/kong", 404),
        ("/workspaces", 404),
    ] {
        let request = Request::get(path).header(header::USER_AGENT, "speakeasy-sdk/go");
        let answer = answered(&api(), request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert_eq!(send(&api(), "GET", "/default/schemas/services", None).await.status, 404);
}

#[tokio::test]
async fn a_refused_method_tells_which_are_not() {
    for (method, path, allow) in [
        ("PUT", "/services", "GET, HEAD, OPTIONS, POST"),
        ("TRACE", "/services/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("POST", "/status", "GET, HEAD, OPTIONS"),
    ] {
        let answer = send(&api(), method, path, None).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.headers[header::ALLOW], allow, "{method} {path}");
    }
}
