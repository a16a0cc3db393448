//! Clients that speak HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, Response};
use serde_json::json;
use tokio::net::TcpStream;

use super::{
    Act, Backend, Gateway, backend,
    gateway::{route, service},
};
use crate::Options;

fn with_http2(options: &mut Options) {
    options.listeners[0].http2 = true;
}

async fn gateway(backend: &Backend) -> (Gateway, SendRequest<Bytes>) {
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let gateway = Gateway::with(&entities, with_http2);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        // The tests look at streams; how the connection ends does not matter to them.
        let _ = connection.await;
    });
    (gateway, client)
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a.test{path}")).body(()).unwrap()
}

async fn read(response: Response<RecvStream>) -> (u16, HeaderMap, Vec<u8>, Option<HeaderMap>) {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes.unwrap();
        stream.flow_control().release_capacity(bytes.len()).unwrap();
        body.extend_from_slice(&bytes);
    }
    (parts.status.as_u16(), parts.headers, body, stream.trailers().await.unwrap())
}

#[tokio::test]
async fn a_request_is_the_same_as_over_http1() {
    let backend = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 200 OK\r\nX-MiXed: a\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok".to_vec())
    })
    .await;
    let (_gateway, client) = gateway(&backend).await;
    let request = Request::get("http://a.test:81/x%20y?q")
        .header("cookie", "a=1")
        .header("x-two", "1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let (status, headers, body, _) = read(response.await.unwrap()).await;
    assert_eq!((status, body.as_slice()), (200, &b"ok"[..]));
    assert_eq!(headers["content-length"], "2");
    assert_eq!(headers["x-mixed"], "a");
    assert!(!headers.contains_key("x-hop") && !headers.contains_key("connection"));
    let seen = backend.last();
    assert_eq!(seen.line(), "GET /x%20y?q HTTP/1.1");
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.field("x-forwarded-host"), Some("a.test"));
    assert_eq!(seen.field("te"), Some("trailers"));
    assert_eq!(seen.field("via"), Some("2 kong/3.9.3"));
    assert_eq!(seen.field("transfer-encoding"), None);
}

#[tokio::test]
async fn bodies_of_every_size_pass() {
    let backend = Backend::start(|seen, _| {
        let size: usize = seen.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        Act::Answer(backend::answer(&"y".repeat(size)))
    })
    .await;
    let (_gateway, client) = gateway(&backend).await;
    for size in [0_usize, 1, 20_000, 70_000, 700_000] {
        let mut client = client.clone().ready().await.unwrap();
        let request = Request::post(format!("http://a.test/{size}")).body(()).unwrap();
        let (response, mut stream) = client.send_request(request, false).unwrap();
        let body = vec![b'x'; size];
        let mut rest = &body[..];
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let room = std::future::poll_fn(|context| stream.poll_capacity(context))
                .await
                .unwrap()
                .unwrap();
            let (now, later) = rest.split_at(room.min(rest.len()));
            stream.send_data(Bytes::copy_from_slice(now), false).unwrap();
            rest = later;
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let (status, _, answer, _) = read(response.await.unwrap()).await;
        assert_eq!((status, answer.len()), (200, size));
        assert_eq!(backend.last().body.len(), size);
    }
}

#[tokio::test]
async fn trailers_pass() {
    let backend = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n".to_vec())
    })
    .await;
    let (_gateway, mut client) = gateway(&backend).await;
    let request = Request::get("http://a.test/").header("te", "trailers").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    let (_, headers, body, trailers) = read(response.await.unwrap()).await;
    assert!(!headers.contains_key("transfer-encoding"));
    assert_eq!(
        (body.as_slice(), &trailers.unwrap()["x-t"]),
        (&b"ok"[..], &http::HeaderValue::from_static("1"))
    );
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other() {
    let backend = Backend::start(|seen, _| {
        let slow = seen.line().contains("slow");
        Act::Late(
            Duration::from_millis(if slow { 300 } else { 0 }),
            backend::answer(if slow { "slow" } else { "fast" }),
        )
    })
    .await;
    let (_gateway, mut client) = gateway(&backend).await;
    let (slow, _) = client.send_request(get("/slow"), true).unwrap();
    let mut slow = std::pin::pin!(slow);
    for _ in 0..5 {
        let (fast, _) = client.send_request(get("/fast"), true).unwrap();
        tokio::select! {
            biased;
            _ = &mut slow => panic!("the slow one came first"),
            fast = fast => assert_eq!(read(fast.unwrap()).await.2, b"fast"),
        }
    }
    assert_eq!(read(slow.await.unwrap()).await.2, b"slow");
}

#[tokio::test]
async fn errors_are_answered_and_broken_answers_reset() {
    let backend = Backend::start(|_, _| {
        Act::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec())
    })
    .await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/a"]}))];
    let gateway = Gateway::with(&entities, with_http2);
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let (response, _) = client.send_request(get("/none"), true).unwrap();
    let (status, headers, body, _) = read(response.await.unwrap()).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (404, &http::HeaderValue::from_static("application/json; charset=utf-8"))
    );
    assert!(body.starts_with(b"{\n  \"message\":\"no Route matched"));
    let (response, _) = client.send_request(get("/a"), true).unwrap();
    // What was not sent yet when the answer broke off may be left out, its head included.
    let error = match response.await {
        Err(error) => error,
        Ok(response) => {
            let mut stream = response.into_body();
            loop {
                match stream.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("the answer looks whole"),
                }
            }
        }
    };
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[tokio::test]
async fn a_stream_that_is_reset_takes_its_request_along() {
    let backend =
        Backend::start(|_, _| Act::Late(Duration::from_secs(10), backend::answer("late"))).await;
    let (gateway, mut client) = gateway(&backend).await;
    let (response, mut stream) = client.send_request(get("/"), true).unwrap();
    while backend.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    drop((stream, client));
    gateway.shutdown.drain();
    gateway.stopped().await;
}

#[tokio::test]
async fn draining_lets_streams_finish() {
    let backend =
        Backend::start(|_, _| Act::Late(Duration::from_millis(200), backend::answer("late"))).await;
    let (gateway, mut client) = gateway(&backend).await;
    let (response, _) = client.send_request(get("/"), true).unwrap();
    while backend.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.shutdown.drain();
    assert_eq!(read(response.await.unwrap()).await.2, b"late");
    gateway.stopped().await;
}

#[tokio::test]
async fn http1_is_spoken_beside_it() {
    let backend = Backend::text("ok").await;
    let (gateway, _client) = gateway(&backend).await;
    let answer = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("ok"), "{answer}");
    // Where it is not switched on, the preface is no request.
    let plain = Gateway::before(backend.address);
    let answer = plain.once("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
