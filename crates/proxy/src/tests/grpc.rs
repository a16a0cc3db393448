//! gRPC: HTTP/2 on both sides, with trailers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use super::{
    Backend, Gateway,
    gateway::{route, service},
};

/// Gives every message back, then the trailers; `/refuse` ends with trailers alone.
async fn echo() -> (SocketAddr, Arc<Mutex<Vec<Request<()>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let log = log.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (parts, mut body) = request.into_parts();
                    log.lock().unwrap().push(Request::from_parts(parts.clone(), ()));
                    tokio::spawn(async move {
                        let head = Response::builder().header("content-type", "application/grpc");
                        if parts.uri.path().ends_with("/refuse") {
                            let head = head.header("grpc-status", "7").body(()).unwrap();
                            respond.send_response(head, true).unwrap();
                            return;
                        }
                        let mut stream =
                            respond.send_response(head.body(()).unwrap(), false).unwrap();
                        while let Some(Ok(data)) = body.data().await {
                            body.flow_control().release_capacity(data.len()).unwrap();
                            stream.send_data(data, false).unwrap();
                        }
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        trailers.insert("details-bin", "AAE".parse().unwrap());
                        stream.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    (address, seen)
}

async fn client(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

fn before(backend: SocketAddr) -> Gateway {
    let entities = [
        service(1, backend, json!({"protocol": "grpc", "retries": 1})),
        route(1, 1, json!({"paths": ["/"], "protocols": ["grpc"], "strip_path": false})),
    ];
    Gateway::with(&entities, |options| options.listeners[0].http2 = true)
}

fn call(path: &str) -> Request<()> {
    let request = Request::post(format!("http://a.test{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

#[tokio::test]
async fn calls_pass_with_their_trailers() {
    let (backend, seen) = echo().await;
    let gateway = before(backend);
    let client = client(&gateway).await;
    for size in [1, 100_000] {
        let mut client = client.clone().ready().await.unwrap();
        let (response, mut stream) = client.send_request(call("/a.Service/Method"), false).unwrap();
        stream.send_data(Bytes::from(vec![b'm'; size]), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            length += data.len();
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(
            (length, &trailers["grpc-status"], &trailers["details-bin"]),
            (size, &"0".parse().unwrap(), &"AAE".parse().unwrap())
        );
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].uri().path(), "/a.Service/Method");
    assert_eq!(seen[0].uri().authority().unwrap().as_str(), backend.to_string());
    assert_eq!(seen[0].headers()["te"], "trailers");
    assert_eq!(seen[0].headers()["x-forwarded-host"], "a.test");
    assert!(!seen[0].headers().contains_key("connection"));
}

#[tokio::test]
async fn messages_go_both_ways_at_once() {
    let (backend, _) = echo().await;
    let gateway = before(backend);
    let mut client = client(&gateway).await;
    let (response, mut stream) = client.send_request(call("/chat"), false).unwrap();
    stream.send_data(Bytes::from_static(b"one"), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "one");
    stream.send_data(Bytes::from_static(b"two"), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "two");
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none_or(|data| data.unwrap().is_empty()));
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn an_error_without_messages_passes() {
    let (backend, _) = echo().await;
    let gateway = before(backend);
    let mut client = client(&gateway).await;
    let (response, mut stream) = client.send_request(call("/refuse"), false).unwrap();
    stream.send_data(Bytes::from_static(b"m"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"7".parse().unwrap())
    );
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn what_the_gateway_says_is_said_in_grpc() {
    let gateway = before(Backend::nobody().await);
    let mut client = client(&gateway).await;
    let (response, mut stream) = client.send_request(call("/a"), false).unwrap();
    stream.send_data(Bytes::from_static(b"m"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (502, &"13".parse().unwrap())
    );
    let old = gateway.once("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nConnection: close\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.1 426 "), "{old}");
    assert!(old.contains("Upgrade: HTTP/2\r\n"), "{old}");
    let other = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(other.starts_with("HTTP/1.1 415 "), "{other}");
}
