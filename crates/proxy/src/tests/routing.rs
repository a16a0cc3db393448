//! From a request line to a backend.

use serde_json::json;
use settings::ResponseHeaders;

use super::{
    Backend, Client, Gateway,
    gateway::{route, service, target, upstream},
};

async fn get(client: &mut Client, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
    let (head, body) = client.answer().await;
    format!("{} {body}", head.split(' ').nth(1).unwrap())
}

#[tokio::test]
async fn a_request_goes_to_its_routes_service_and_back() {
    let (one, two) = (Backend::text("one").await, Backend::text("two").await);
    let gateway = Gateway::start(&[
        service(1, one.address, json!({"path": "/base"})),
        service(2, two.address, json!({})),
        route(1, 1, json!({"paths": ["/one"]})),
        route(2, 2, json!({"paths": ["/two"], "strip_path": false, "preserve_host": true})),
    ]);
    let mut client = gateway.connect().await;
    assert_eq!(get(&mut client, "/one/x%20y?q=%2F").await, "200 one");
    assert_eq!(get(&mut client, "/two//x/../y?").await, "200 two");
    assert_eq!(one.last().line(), "GET /base/x%20y?q=%2F HTTP/1.1");
    assert_eq!(one.last().field("host"), Some(one.address.to_string().as_str()));
    assert_eq!(one.last().field("x-forwarded-prefix"), Some("/one"));
    assert_eq!(one.last().field("x-forwarded-path"), Some("/one/x%20y"));
    assert_eq!(two.last().line(), "GET /two/y? HTTP/1.1");
    assert_eq!(two.last().field("host"), Some("a.test"));
    let id = two.last().field("x-kong-request-id").unwrap().to_owned();
    assert_eq!(id.len(), 32);
    assert_ne!(Some(id.as_str()), one.last().field("x-kong-request-id"));
}

#[tokio::test]
async fn an_upstreams_targets_take_turns() {
    let (one, two) = (Backend::text("one").await, Backend::text("two").await);
    let gateway = Gateway::start(&[
        upstream(1, "u.test", json!({})),
        target(1, 1, one.address),
        target(2, 1, two.address),
        service(1, one.address, json!({"host": "u.test"})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let mut client = gateway.connect().await;
    for _ in 0..10 {
        get(&mut client, "/").await;
    }
    assert_eq!((one.seen().len(), two.seen().len()), (5, 5));
    assert_eq!(
        one.seen().iter().map(|seen| seen.connection).max(),
        Some(0),
        "one connection is enough"
    );
}

#[tokio::test]
async fn an_answer_gets_the_headers_that_are_switched_on() {
    let backend = Backend::start(|_, _| {
        super::Act::Answer(b"HTTP/1.1 201 Made\r\nServer: theirs\r\nX-MiXed: a\r\nKeep-Alive: x\r\nContent-Length: 2\r\n\r\nok".to_vec())
    })
    .await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let all = ResponseHeaders {
        server: true,
        via: true,
        proxy_latency: true,
        upstream_latency: true,
        response_latency: true,
        admin_latency: true,
        upstream_status: true,
        request_id: true,
    };
    let gateway = Gateway::with(&entities, |options| options.headers = all);
    let mut client = gateway.connect().await;
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.answer().await;
    let names: Vec<&str> = head.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "HTTP/1.1 201 Made",
            "Server",
            "X-MiXed",
            "Date",
            "Via",
            "X-Kong-Upstream-Status",
            "X-Kong-Upstream-Latency",
            "X-Kong-Proxy-Latency",
            "X-Kong-Request-Id",
            "Content-Length",
            ""
        ]
    );
    assert_eq!(body, "ok");
    assert!(head.contains("Via: 1.1 kong/3.9.3\r\n"), "{head}");
}
