//! Connections of clients: kept, ended, drained, limited.

use std::time::Duration;

use serde_json::json;

use super::{
    Act, Backend, Gateway, backend,
    gateway::{route, service},
};

#[tokio::test]
async fn requests_that_are_sent_ahead_are_answered_in_order() {
    let backend = Backend::start(|seen, _| {
        let path = seen.line().split(' ').nth(1).unwrap();
        Act::Late(Duration::from_millis(if path == "/1" { 50 } else { 0 }), backend::answer(path))
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client
        .send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.1, "/1");
    assert_eq!(client.answer().await.1, "/2");
    let last = client.rest().await;
    assert!(last.contains("Connection: close\r\n") && last.ends_with("/3"), "{last}");
    assert_eq!(backend.seen().len(), 3);
}

#[tokio::test]
async fn connections_are_kept_as_their_version_has_it() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::before(backend.address);
    let old = gateway.once("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.contains("Connection: close\r\n"), "{old}");
    assert_eq!(backend.last().field("x-forwarded-host"), Some("kong"));
    let mut kept = gateway.connect().await;
    for _ in 0..2 {
        kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert!(kept.answer().await.0.contains("Connection: keep-alive\r\n"));
    }
}

#[tokio::test]
async fn a_connection_carries_as_many_requests_as_it_may() {
    let backend = Backend::text("ok").await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let gateway = Gateway::with(&entities, |options| options.limits.keepalive_requests = 2);
    let answers = gateway.once(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answers.matches("Connection: close").count(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let backend = Backend::start(|_, number| {
        let pause = Duration::from_millis(if number == 0 { 10_000 } else { 0 });
        Act::Late(pause, backend::answer("late"))
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while backend.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client);
    // The thread has nothing left to do, so that it drains at once.
    gateway.shutdown.drain();
    gateway.stopped().await;
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let backend = Backend::text("ok").await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let gateway = Gateway::with(&entities, |options| {
        options.limits.head_timeout = Duration::from_millis(150);
        options.limits.body_timeout = Duration::from_millis(150);
        options.limits.keepalive_timeout = Duration::from_millis(150);
    });
    assert_eq!(gateway.once("").await, "", "a connection on which nothing comes");
    let half = gateway.once("GET / HTTP/1.1\r\nHost:").await;
    assert!(half.starts_with("HTTP/1.1 408 "), "{half}");
    let body = gateway.once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel").await;
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
    let idle = gateway.once("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(idle.ends_with("ok"), "{idle}");
}

#[tokio::test]
async fn draining_ends_what_waits_and_lets_the_rest_finish() {
    let backend =
        Backend::start(|_, _| Act::Late(Duration::from_millis(300), backend::answer("late"))).await;
    let gateway = Gateway::before(backend.address);
    let mut idle = gateway.connect().await;
    let mut busy = gateway.connect().await;
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    while backend.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.shutdown.drain();
    assert_eq!(idle.rest().await, "");
    let last = busy.rest().await;
    assert!(last.contains("Connection: close\r\n") && last.ends_with("late"), "{last}");
    gateway.stopped().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let backend = Backend::text("ok").await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let gateway = Gateway::with(&entities, |options| options.limits.connections = 1);
    let mut first = gateway.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    first.answer().await;
    let mut second = gateway.connect().await;
    second.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(tokio::time::timeout(Duration::from_millis(200), second.answer()).await.is_err());
    drop(first);
    assert_eq!(second.answer().await.1, "ok");
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request() {
    let backend = Backend::text("ok").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = crate::AccessLog {
        path: path.clone(),
        format: settings::AccessLogFormat::Json,
        sampling: 1.0,
    };
    let entities = [
        service(1, backend.address, json!({"name": "s"})),
        route(1, 1, json!({"name": "r", "paths": ["/a"]})),
    ];
    let gateway = Gateway::with(&entities, |options| options.access_log = Some(log));
    gateway.once("GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    gateway.once("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    gateway.once("nonsense\r\n\r\n").await;
    gateway.shutdown.drain();
    gateway.stopped().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let parts: Vec<_> = lines
        .iter()
        .map(|line| (line["status"].as_u64(), line["route"].as_str(), line["reason"].as_str()))
        .collect();
    assert_eq!(
        parts,
        [
            (Some(200), Some("r"), None),
            (Some(404), None, Some("no_route")),
            (Some(400), None, Some("bad_request"))
        ]
    );
    assert_eq!(lines[0]["target"], backend.address.to_string());
}
