//! The PROXY protocol in front of HTTP.

use serde_json::json;
use settings::{RealIpHeader, Trusted};

use super::{
    Backend, Gateway,
    gateway::{route, service},
};
use crate::{Options, Trust};

const HEADER: &str = "PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\r\n";

fn before(backend: &Backend, change: impl FnOnce(&mut Options)) -> Gateway {
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    Gateway::with(&entities, |options| {
        options.listeners[0].proxy_protocol = true;
        change(options);
    })
}

fn trusting(header: RealIpHeader) -> impl FnOnce(&mut Options) {
    move |options| {
        let loopback = Trusted::Network("127.0.0.0/8".parse().unwrap());
        options.trust = Trust::new(&[loopback], header, false);
    }
}

#[tokio::test]
async fn the_header_counts_where_it_is_asked_for_and_trusted() {
    for (header, trusted, real_ip) in [
        (RealIpHeader::ProxyProtocol, true, "1.2.3.4"),
        (RealIpHeader::XRealIp, true, "9.9.9.9"),
        (RealIpHeader::ProxyProtocol, false, "127.0.0.1"),
    ] {
        let backend = Backend::text("ok").await;
        let gateway =
            if trusted { before(&backend, trusting(header)) } else { before(&backend, |_| {}) };
        let request =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\n\r\n";
        let mut client = gateway.connect().await;
        client.send(format!("{HEADER}{request}")).await;
        client.answer().await;
        let seen = backend.last();
        assert_eq!(seen.field("x-real-ip"), Some(real_ip), "{header} {trusted}");
        // The list is of those who connected, whoever they spoke for.
        assert_eq!(seen.field("x-forwarded-for"), Some("8.8.8.8, 127.0.0.1"));
        // The header is the connection's: the next request has the same client.
        client.send(request).await;
        client.answer().await;
        assert_eq!(backend.last().field("x-real-ip"), Some(real_ip));
    }
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let backend = Backend::text("ok").await;
    let gateway = before(&backend, |options| {
        options.listeners[0].ssl = true;
        trusting(RealIpHeader::ProxyProtocol)(options);
    });
    let mut tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, HEADER.as_bytes()).await.unwrap();
    let tls = super::tls::handshake(tcp, "a.test").await;
    let mut client = super::Client::over(tls);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.answer().await;
    assert_eq!(backend.last().field("x-real-ip"), Some("1.2.3.4"));
    assert_eq!(backend.last().field("x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn a_connection_without_the_header_is_closed() {
    let backend = Backend::text("ok").await;
    let gateway = before(&backend, |options| {
        options.limits.head_timeout = std::time::Duration::from_millis(50);
    });
    assert_eq!(gateway.once("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
    // One that never ends costs no more than the time for a head.
    assert_eq!(gateway.once("PROXY TCP4 1.2.3.4").await, "");
    assert!(backend.seen().is_empty());
}
