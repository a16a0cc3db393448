//! Which requests are tried again, and where.

use serde_json::json;

use super::{
    Act, Backend, Gateway, backend,
    gateway::{route, service, target, upstream},
};

async fn status(gateway: &Gateway, method: &str, body: &str) -> u16 {
    let mut client = gateway.connect().await;
    client
        .send(format!(
            "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    client.answer().await.0.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let good = Backend::text("ok").await;
    let gateway = Gateway::start(&[
        upstream(1, "u.test", json!({})),
        target(1, 1, Backend::nobody().await),
        target(2, 1, good.address),
        service(1, good.address, json!({"host": "u.test", "retries": 1})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    for _ in 0..6 {
        assert_eq!(status(&gateway, "POST", "a body").await, 200);
        assert_eq!(good.last().body, b"a body");
    }
    assert_eq!(good.seen().len(), 6);
}

#[tokio::test]
async fn a_request_that_was_hung_up_on_is_tried_again_if_it_is_idempotent() {
    let backend = Backend::start(|_, _| Act::HangUp).await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"retries": 2})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let mut before = 0;
    for (method, attempts) in
        [("GET", 3), ("PUT", 3), ("DELETE", 3), ("POST", 1), ("PATCH", 1), ("LOCK", 1)]
    {
        assert_eq!(status(&gateway, method, "body").await, 502, "{method}");
        let seen = backend.seen();
        assert_eq!(seen.len() - before, attempts, "{method}");
        assert!(seen[before..].iter().all(|seen| seen.body == b"body"), "{method}");
        before = seen.len();
    }
}

#[tokio::test]
async fn another_target_is_tried_before_the_same_one_again() {
    let bad = Backend::start(|_, _| Act::HangUp).await;
    let good = Backend::text("ok").await;
    let gateway = Gateway::start(&[
        upstream(1, "u.test", json!({})),
        target(1, 1, bad.address),
        target(2, 1, good.address),
        service(1, good.address, json!({"host": "u.test", "retries": 1})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    for _ in 0..10 {
        assert_eq!(status(&gateway, "GET", "").await, 200);
    }
    assert_eq!(good.seen().len(), 10);
    assert!(bad.seen().len() <= 10, "never twice for one request");
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_costs_no_attempt() {
    // Answers the first request of each connection and hangs up on the second.
    let last = std::sync::Mutex::new(None);
    let backend = Backend::start(move |seen, _| {
        if last.lock().unwrap().replace(seen.connection) == Some(seen.connection) {
            Act::HangUp
        } else {
            Act::Answer(backend::answer("ok"))
        }
    })
    .await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"retries": 0})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    assert_eq!(status(&gateway, "GET", "").await, 200);
    assert_eq!(status(&gateway, "GET", "").await, 200, "over a new connection");
    assert_eq!(backend.seen().len(), 3);
    assert_eq!(status(&gateway, "POST", "").await, 502, "it may have been acted on");
}

#[tokio::test]
async fn a_body_that_was_streamed_is_not_sent_twice() {
    let backend = Backend::start(|_, _| Act::HangUp).await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"retries": 3})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let body = "x".repeat(200_000);
    assert_eq!(status(&gateway, "PUT", &body).await, 502);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn statuses_are_passed_on() {
    let backend = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    let gateway = Gateway::before(backend.address);
    assert_eq!(status(&gateway, "GET", "").await, 503);
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_target_that_fails_too_often_gets_nothing_more() {
    let bad = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    let good = Backend::text("ok").await;
    let checks = json!({"passive": {"unhealthy": {"http_failures": 2}}});
    let gateway = Gateway::start(&[
        upstream(1, "u.test", json!({"healthchecks": checks})),
        target(1, 1, bad.address),
        target(2, 1, good.address),
        service(1, good.address, json!({"host": "u.test"})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    for _ in 0..10 {
        status(&gateway, "GET", "").await;
    }
    assert_eq!((bad.seen().len(), good.seen().len()), (2, 8));
}
