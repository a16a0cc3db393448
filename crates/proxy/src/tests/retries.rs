//! Which requests are tried again, and where.

use std::time::Duration;

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

fn busy(status: u16) -> Act {
    Act::Answer(format!("HTTP/1.1 {status} Busy\r\nContent-Length: 4\r\n\r\nbusy").into_bytes())
}

/// A gateway before these targets, with an upstream of these settings.
fn balanced(settings: serde_json::Value, targets: &[std::net::SocketAddr]) -> Gateway {
    let mut entities = vec![
        upstream(1, "u.test", settings),
        service(1, targets[0], json!({"host": "u.test", "retries": 3})),
        route(1, 1, json!({"paths": ["/"]})),
    ];
    entities.extend((1..).zip(targets).map(|(number, address)| target(number, 1, *address)));
    Gateway::start(&entities)
}

#[tokio::test]
async fn chosen_statuses_are_tried_elsewhere() {
    let bad = Backend::start(|_, _| busy(503)).await;
    let good = Backend::text("ok").await;
    let retry = json!({"retry": {"http_statuses": [503]}});
    let gateway = balanced(retry, &[bad.address, good.address]);
    for _ in 0..6 {
        assert_eq!(status(&gateway, "PUT", "body").await, 200);
        assert_eq!(good.last().body, b"body");
    }
    let tried = bad.seen().len();
    assert!((1..=6).contains(&tried), "once for a request at most: {tried}");
    let mut seen_503 = 0;
    for _ in 0..6 {
        seen_503 += u16::from(status(&gateway, "POST", "body").await == 503);
    }
    assert_eq!(seen_503, 3, "what may not be repeated is passed on");
    let long = "x".repeat(200_000);
    let streamed = [status(&gateway, "PUT", &long).await, status(&gateway, "PUT", &long).await];
    assert!(streamed.contains(&503), "what cannot be sent again is passed on: {streamed:?}");
}

#[tokio::test]
async fn when_nobody_else_is_there_the_answer_is_passed_on() {
    let backends = [Backend::start(|_, _| busy(503)).await, Backend::start(|_, _| busy(502)).await];
    let retry = json!({"retry": {"http_statuses": [502, 503], "methods": ["POST"]}});
    let gateway = balanced(retry, &backends.each_ref().map(|backend| backend.address));
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 50"), "{head}");
    assert_eq!(body, "busy", "the target's own");
    assert_eq!(backends.each_ref().map(|backend| backend.seen().len()), [1, 1]);
    status(&gateway, "GET", "").await;
    assert_eq!(backends.iter().map(|backend| backend.seen().len()).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up() {
    let slow =
        Backend::start(|_, _| Act::Late(Duration::from_secs(3_600), backend::answer("late"))).await;
    let good = Backend::text("ok").await;
    let gateway = balanced(json!({"retry": {"timeout": 0.05}}), &[slow.address, good.address]);
    for _ in 0..4 {
        assert_eq!(status(&gateway, "GET", "").await, 200);
    }
    let tried = slow.seen().len();
    assert!((1..=4).contains(&tried), "once for a request at most: {tried}");
    let posts = [status(&gateway, "POST", "x").await, status(&gateway, "POST", "x").await];
    assert!(posts.contains(&504) && posts.contains(&200), "it may have been acted on: {posts:?}");
}

#[tokio::test]
async fn the_time_of_a_try_ends_with_the_head_of_its_answer() {
    let pieces = vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no".to_vec(), b"k".to_vec()];
    let backend =
        Backend::start(move |_, _| Act::Slowly(pieces.clone(), Duration::from_millis(300))).await;
    let gateway = balanced(json!({"retry": {"timeout": 0.1}}), &[backend.address]);
    assert_eq!(status(&gateway, "GET", "").await, 200);
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let bad = Backend::start(|_, _| Act::HangUp).await;
    let good = Backend::text("ok").await;
    let retry = json!({"retry": {"budget": 10, "budget_min": 0, "backoff": 0.001}});
    let gateway = balanced(retry, &[bad.address, good.address]);
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(status(&gateway, "GET", "").await == 502);
    }
    let retries = bad.seen().len() - failed;
    // Requests that hurry through more than ten seconds of a loaded machine have a little more.
    assert!((1..=8).contains(&retries), "{retries} retries of 40 requests");
}

#[tokio::test]
async fn an_ejected_target_comes_back_by_itself() {
    let bad =
        Backend::start(
            |_, before| {
                if before == 0 { busy(500) } else { Act::Answer(backend::answer("ok")) }
            },
        )
        .await;
    let good = Backend::text("ok").await;
    let passive = json!({"unhealthy": {"http_failures": 1}, "ejection": {"time": 1}});
    let gateway = balanced(
        json!({"healthchecks": {"passive": passive}, "retry": {"http_statuses": [500]}}),
        &[bad.address, good.address],
    );
    for _ in 0..4 {
        assert_eq!(status(&gateway, "GET", "").await, 200);
    }
    assert_eq!(bad.seen().len(), 1, "out after its first failure");
    let back = async {
        while bad.seen().len() < 3 {
            assert_eq!(status(&gateway, "GET", "").await, 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), back).await.expect("it comes back");
}
