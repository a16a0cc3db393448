//! Connections that leave HTTP.

use std::time::Duration;

use serde_json::json;

use super::{
    Act, Backend, Gateway,
    gateway::{route, service},
};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn bytes_flow_both_ways_after_an_upgrade() {
    let backend = Backend::start(|_, _| Act::Echo).await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send(format!("{ASK}early")).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert!(head.contains("Upgrade: websocket\r\nConnection: Upgrade\r\n"), "{head}");
    client.until("early").await;
    let long = "z".repeat(200_000);
    client.send(&long).await;
    client.until(&long).await;
    client.finish_sending().await;
    assert_eq!(client.rest().await, "");
    assert_eq!(backend.last().field("connection"), Some("keep-alive, Upgrade"));
    assert_eq!(backend.last().field("upgrade"), Some("websocket"));
}

#[tokio::test]
async fn a_tunnel_that_is_idle_is_closed() {
    let backend = Backend::start(|_, _| Act::Echo).await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"read_timeout": 200})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let mut client = gateway.connect().await;
    client.send(ASK).await;
    client.until("\r\n\r\n").await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        client.send("tick").await;
        client.until("tick").await;
    }
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_upgrade_may_be_refused_or_ignored() {
    let backend = Backend::text("no").await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send(ASK).await;
    assert_eq!(client.answer().await.1, "no");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "no");
    assert_eq!(
        (backend.last().field("connection"), backend.last().field("upgrade")),
        (Some("keep-alive"), None)
    );
}
