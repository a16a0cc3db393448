mod tls;

use std::sync::Arc;
use std::time::Duration;

use lifecycle::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::tests::support::{Down, state};

struct Server {
    address: SocketAddr,
    counters: Arc<Counters>,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

async fn server(limits: Limits) -> Server {
    server_with(Plain { http2: false }, limits).await
}

async fn server_with<H: Handshake>(handshake: H, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (counters, shutdown) = (Arc::new(Counters::default()), Shutdown::new());
    let api = Api::new(state(Arc::new(Down)));
    let serving = serve(listener, handshake, api, limits, counters.clone(), shutdown.clone());
    Server { address, counters, shutdown, running: tokio::spawn(serving) }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection was closed");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn serves_until_it_drains() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let first = exchange(&mut stream, "GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(first.starts_with("HTTP/1.1 404 Not Found\r\n"), "{first}");
    let again = exchange(&mut stream, "GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(again.starts_with("HTTP/1.1 404"), "the connection is kept");
    let counts = server.counters.read();
    assert_eq!((counts.accepted, counts.active, counts.requests), (1, 1, 2));
    server.shutdown.drain();
    server.running.await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    while server.counters.read().writing == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.drain();
    let answer = exchange(&mut stream, "{}").await;
    assert!(answer.contains("host: required field missing"), "{answer}");
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_forced_end_drops_what_is_under_way() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST /services HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        .await
        .unwrap();
    while server.counters.read().writing == 0 {
        tokio::task::yield_now().await;
    }
    server.shutdown.force();
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_closes_the_connection() {
    let limits = Limits { head: Duration::from_millis(20), ..Limits::default() };
    let server = server(limits).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /unk").await.unwrap();
    let mut rest = Vec::new();
    // Whether hyper still says 408 is its own business; the connection ends.
    stream.read_to_end(&mut rest).await.unwrap();
    server.shutdown.drain();
    server.running.await.unwrap();
}

#[tokio::test]
async fn further_connections_wait_for_room() {
    let server = server(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    exchange(&mut first, "GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(b"GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    exchange(&mut first, "GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(server.counters.read().accepted, 1);
    drop(first);
    let answer = exchange(&mut second, "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(server.counters.read().accepted, 2);
    server.shutdown.drain();
    server.running.await.unwrap();
}
