//! Memory stays flat however long a body or a stream is: what one side does not take, the other cannot send.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    Gateway,
    gateway::{listener, route, service},
};

/// More than the four buffers of the operating system on the way hold together, and what the gateway may.
const FAR_TOO_MUCH: usize = 256 << 20;

/// How much of far too much can be written until nothing is taken any more.
async fn taken(stream: &mut TcpStream) -> usize {
    let piece = vec![b'x'; 1 << 20];
    let mut taken = 0;
    while taken < FAR_TOO_MUCH {
        let write = tokio::time::timeout(Duration::from_secs(1), stream.write(&piece));
        match write.await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => break,
        }
    }
    taken
}

/// A backend that sends `greeting` and then as much as it can, without reading what it gets beyond `asked` bytes; how
/// much was taken comes through the channel.
async fn gusher(
    greeting: &'static str,
    asked: usize,
) -> (SocketAddr, tokio::sync::oneshot::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut vec![0; asked]).await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        let _ = tell.send(taken(&mut stream).await);
        // The connection stays, so that nothing but silence ends what waits for it.
        std::future::pending::<()>().await;
    });
    (address, told)
}

/// A backend that accepts, and reads nothing.
async fn deaf() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let _held = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    address
}

#[tokio::test]
async fn a_client_cannot_send_what_the_target_does_not_take() {
    let backend = deaf().await;
    let entities = [
        service(1, backend, json!({})),
        route(1, 1, json!({"paths": ["/"], "request_buffering": false})),
    ];
    let gateway = Gateway::start(&entities);
    let mut http = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {FAR_TOO_MUCH}\r\n\r\n");
    http.write_all(head.as_bytes()).await.unwrap();
    assert!(taken(&mut http).await < FAR_TOO_MUCH);
}

#[tokio::test]
async fn a_target_cannot_send_what_the_client_does_not_take() {
    let (backend, told) = gusher("HTTP/1.1 200 OK\r\n\r\n", 16).await;
    let gateway = Gateway::before(backend);
    let mut client = TcpStream::connect(gateway.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(told.await.unwrap() < FAR_TOO_MUCH);
}

#[tokio::test]
async fn streams_hold_no_more_than_is_taken() {
    let up = deaf().await;
    let (down, told) = gusher("", 0).await;
    let to = |number: u8, backend| {
        let (kind, mut body) = service(number, backend, json!({}));
        body["protocol"] = "tcp".into();
        (kind, body)
    };
    let mut gateway = Gateway::with(&[], |options| options.streams = vec![listener(), listener()]);
    let by = |number: u8, port: u16| {
        route(number, number, json!({"protocols": ["tcp"], "destinations": [{"port": port}]}))
    };
    let ports = [0, 1].map(|number: usize| gateway.streams[number].port());
    gateway.apply(&[to(1, up), to(2, down), by(1, ports[0]), by(2, ports[1])]);
    let mut sender = TcpStream::connect(gateway.streams[0]).await.unwrap();
    assert!(taken(&mut sender).await < FAR_TOO_MUCH);
    let _receiver = TcpStream::connect(gateway.streams[1]).await.unwrap();
    assert!(told.await.unwrap() < FAR_TOO_MUCH);
}
