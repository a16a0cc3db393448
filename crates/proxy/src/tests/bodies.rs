//! Bodies both ways, whatever their framing and size.

use std::time::Duration;

use serde_json::json;

use super::{
    Act, Backend, Gateway, backend,
    gateway::{entity, route, service},
    split_head,
};

fn chunked(text: &str, size: usize) -> String {
    let mut wire = String::new();
    for piece in text.as_bytes().chunks(size) {
        wire += &format!("{:x};ext=1\r\n{}\r\n", piece.len(), std::str::from_utf8(piece).unwrap());
    }
    wire + "0\r\nX-Trailer: t\r\n\r\n"
}

fn unchunked(mut wire: &str) -> String {
    let mut text = String::new();
    loop {
        let (size, rest) = wire.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        text += &rest[..size];
        if size == 0 {
            assert_eq!(rest, "\r\n");
            return text;
        }
        wire = rest[size..].strip_prefix("\r\n").unwrap();
    }
}

#[tokio::test]
async fn request_bodies_of_every_size_and_framing_arrive() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/"]})),
        route(2, 1, json!({"paths": ["/stream"], "request_buffering": false})),
    ]);
    let mut client = gateway.connect().await;
    for path in ["/", "/stream"] {
        for size in [0, 1, 1000, 16_000, 17_000, 60_000, 70_000, 1_000_000] {
            let text = "0123456789".repeat(size / 10 + 1)[..size].to_owned();
            client
                .send(format!(
                    "PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{text}"
                ))
                .await;
            assert!(client.answer().await.0.starts_with("HTTP/1.1 200"), "{path} {size}");
            assert_eq!(backend.last().field("content-length"), Some(size.to_string().as_str()));
            assert!(backend.last().body == text.as_bytes(), "{path} {size}");

            client
                .send(format!(
                    "PUT {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    chunked(&text, 3000)
                ))
                .await;
            assert!(client.answer().await.0.starts_with("HTTP/1.1 200"), "chunked {path} {size}");
            assert!(backend.last().body == text.as_bytes(), "chunked {path} {size}");
            if path == "/" && size <= 17_000 {
                assert_eq!(
                    backend.last().field("content-length"),
                    Some(size.to_string().as_str()),
                    "small bodies are whole"
                );
            }
        }
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.answer().await;
    assert_eq!(
        (backend.last().field("content-length"), backend.last().field("transfer-encoding")),
        (None, None)
    );
}

#[tokio::test]
async fn answers_of_every_framing_arrive() {
    let long = "0123456789".repeat(30_000);
    let answers = long.clone();
    let backend = Backend::start(move |seen, _| {
        let size: usize = seen.line().split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let text = &answers[..size];
        match seen.field("x-framing") {
            Some("chunked") => Act::Answer(
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                    chunked(text, 7000)
                )
                .into_bytes(),
            ),
            Some("close") => Act::Last(format!("HTTP/1.1 200 OK\r\n\r\n{text}").into_bytes()),
            _ => Act::Answer(backend::answer(text)),
        }
    })
    .await;
    let gateway = Gateway::before(backend.address);
    for size in [0, 1, 1000, 16_300, 17_000, 70_000, 300_000] {
        for framing in ["length", "chunked", "close"] {
            let request = |version: &str| {
                format!(
                    "GET /{size} HTTP/{version}\r\nHost: a\r\nX-Framing: {framing}\r\nConnection: close\r\n\r\n"
                )
            };
            let answer = gateway.once(&request("1.1")).await;
            let (head, body) = split_head(&answer);
            let body = if framing == "length" { body.to_owned() } else { unchunked(body) };
            assert!(body == long[..size], "{framing} {size}: {head}");
            let old = gateway.once(&request("1.0")).await;
            let (head, body) = split_head(&old);
            assert!(!head.contains("Transfer-Encoding"), "{head}");
            assert!(body == &long[..size], "1.0 {framing} {size}");
        }
    }
}

#[tokio::test]
async fn trailers_reach_who_takes_them() {
    let backend = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n".to_vec())
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let answer = gateway
        .once("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n")
        .await;
    let (head, body) = split_head(&answer);
    assert!(head.contains("Trailer: X-T"), "{head}");
    assert_eq!(body, "2\r\nok\r\n0\r\nX-T: 1\r\n\r\n");
    let answer = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(split_head(&answer).1, "2\r\nok\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_head_goes_out_before_its_body_comes() {
    let backend = Backend::start(|_, _| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let event = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
        Act::Slowly(vec![head, event("data: 1\n\n"), event("data: 2\n\n"), b"0\r\n\r\n".to_vec()], Duration::from_millis(50))
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.until("\r\n\r\n").await;
    client.until("data: 1\n\n").await;
    client.until("data: 2\n\n").await;
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_answer_that_comes_early_is_passed_on() {
    let backend = Backend::start(|_, _| {
        Act::Early(
            b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nstop".to_vec(),
        )
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n").await;
    let piece = "x".repeat(100_000);
    client.send(&piece).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 413 Too Much\r\n"), "{head}");
    assert!(head.contains("Connection: close\r\n"), "{head}");
    assert_eq!(body, "stop");
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    // Answers each piece of the body when it comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 200_000];
        let mut read = 0;
        while !bytes[..read].windows(4).any(|window| window == b"ping") {
            read += stream.read(&mut bytes[read..]).await.unwrap();
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n")
            .await
            .unwrap();
        while !bytes[..read].windows(4).any(|window| window == b"over") {
            read += stream.read(&mut bytes[read..]).await.unwrap();
        }
        stream.write_all(b"4\r\nover\r\n0\r\n\r\n").await.unwrap();
        // Stays open until the gateway has no more use for it.
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 0);
    });
    let gateway = Gateway::start(&[
        service(1, address, json!({})),
        route(1, 1, json!({"paths": ["/"], "request_buffering": false})),
    ]);
    let mut client = gateway.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n")
        .await;
    client.until("pong\r\n").await;
    client.send("4\r\nover\r\n0\r\n\r\n").await;
    client.until("over\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn leave_to_send_a_body_is_given_once_it_is_wanted() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/a"]})),
    ]);
    let mut client = gateway.connect().await;
    client
        .send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    client.answer().await;
    assert_eq!(
        (backend.last().body.as_slice(), backend.last().field("expect")),
        (&b"hello"[..], None)
    );
    let refused = gateway
        .once("POST /none HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
    assert!(refused.contains("Connection: close\r\n"), "{refused}");
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let backend = Backend::start(|_, _| {
        Act::Answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let answer = gateway.once("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let backend = Backend::start(|seen, _| {
        Act::Answer(match seen.line().split(' ').nth(1) {
            Some("/304") => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n".to_vec(),
            Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n".to_vec(),
        })
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let mut client = gateway.connect().await;
    for (request, length) in [("HEAD /x", Some("12")), ("GET /304", Some("12")), ("GET /204", None)]
    {
        client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = client.until("\r\n\r\n").await;
        assert_eq!(
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")),
            length,
            "{request}"
        );
        assert!(!head.contains("Transfer-Encoding"), "{head}");
    }
    assert_eq!(backend.seen().iter().map(|seen| seen.connection).max(), Some(0));
}

#[tokio::test]
async fn a_long_body_of_unknown_length_is_counted_on_its_way() {
    let backend = Backend::text("ok").await;
    let config = json!({"allowed_payload_size": 300, "size_unit": "kilobytes", "require_content_length": false});
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({})),
        route(1, 1, json!({"paths": ["/"]})),
        entity("plugins", 1, json!({"name": "request-size-limiting", "config": config})),
    ]);
    let send = |length: usize| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}", chunked(&"x".repeat(length), 7000))
    };
    let mut client = gateway.connect().await;
    for length in [1000, 100_000, 300 * 1024] {
        client.send(send(length)).await;
        assert!(client.answer().await.0.starts_with("HTTP/1.1 200"), "{length}");
        assert_eq!(backend.last().body.len(), length);
    }
    for length in [300 * 1024 + 1, 1_000_000] {
        let mut client = gateway.connect().await;
        client.try_send(send(length)).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert!(body.contains("Request size limit exceeded"), "{body}");
        assert_eq!(backend.last().body.len(), 300 * 1024, "no request of this length is whole");
    }
}
