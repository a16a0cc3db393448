//! One request is one request, and one answer one answer, whatever is done to make them two: every case ends with a
//! request that must not be taken for one. How heads and chunks are read is tested in `http1`; here it is what leaves
//! the gateway, and what becomes of both connections.

use serde_json::json;

use super::{
    Act, Backend, Gateway, backend,
    gateway::{route, service},
    split_head,
};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn what_could_be_two_requests_is_none() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::before(backend.address);
    let with = |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}");
    let chunked = |body: &str| with("Transfer-Encoding: chunked\r\n", body);
    for (request, status) in [
        // Lengths that conflict, repeat, or are no number.
        (with("Content-Length: 0\r\nContent-Length: 6\r\n", "x=1234"), 400),
        (with("Content-Length: 6\r\nContent-Length: 6\r\n", "x=1234"), 400),
        (with("Content-Length: 6, 6\r\n", "x=1234"), 400),
        (with("Content-Length: +6\r\n", "x=1234"), 400),
        (with("Content-Length: 0x6\r\n", "x=1234"), 400),
        (with("Content-Length: 6 \u{b}\r\n", "x=1234"), 400),
        // A length and an encoding, in either order.
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400),
        // Encodings that one reader knows and another does not.
        (with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501),
        (with("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501),
        (with("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"), 501),
        (with("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501),
        (with("Transfer-Encoding: chunked;x=y\r\n", "0\r\n\r\n"), 501),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n"), 400),
        (with("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (with("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400),
        (with("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (with("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400),
        (with("X: y\0\r\n", ""), 400),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        // Line ends that are none.
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n".to_owned(), 400),
        // Hosts that differ.
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400),
        ("GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        // Request lines with more than three parts.
        ("GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        // Chunks whose size or end can be read in two ways.
        (chunked("0x5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunked("5 \r\nhello\r\n0\r\n\r\n"), 400),
        (chunked("5\nhello\r\n0\r\n\r\n"), 400),
        (chunked("5\r\nhello0\r\n\r\n"), 400),
        (chunked("5\r\nhello\n0\r\n\r\n"), 400),
        (chunked("5;a\nhello\r\n0\r\n\r\n"), 400),
        (chunked("5;\rx\r\nhello\r\n0\r\n\r\n"), 400),
        (chunked("ffffffffffffffff1\r\nhello\r\n0\r\n\r\n"), 400),
        (chunked("0\r\nX: y\n\r\n"), 400),
        (chunked("0\r\n X: y\r\n\r\n"), 400),
    ] {
        let answer = gateway.once(&format!("{request}{SMUGGLED}")).await;
        let (head, rest) = split_head(&answer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(!rest.contains("HTTP/1.1"), "{request:?}: {answer}");
    }
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn what_is_passed_on_has_one_reading() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::before(backend.address);
    // Framing of an odd kind, which the target gets in the plainest.
    for (request, body) in [
        ("Transfer-Encoding: chunked\r\n\r\n00000A;x=\"\r\\n\"\r\n0123456789\r\n000\r\n\r\n", None),
        (
            "Transfer-Encoding: chunked\r\n\r\n00000A;x=\"y;z\"\r\n0123456789\r\n000\r\n\r\n",
            Some("0123456789"),
        ),
        ("Transfer-Encoding: CHUNKED\r\n\r\n1;a\r\nx\r\n0;b\r\nT: u\r\n\r\n", Some("x")),
        ("Connection: close, Content-Length\r\nContent-Length: 4\r\n\r\nbody", Some("body")),
        (
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            Some("body"),
        ),
        ("Connection: Host\r\nContent-Length: 2\r\n\r\nok", Some("ok")),
    ] {
        let before = backend.seen().len();
        let request = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{request}");
        let mut client = gateway.connect().await;
        client.send(&request).await;
        let Some(body) = body else {
            assert!(client.rest().await.starts_with("HTTP/1.1 400 "), "{request:?}");
            continue;
        };
        client.answer().await;
        let seen = backend.seen().split_off(before);
        let [seen] = &seen[..] else { panic!("{request:?}: {seen:?}") };
        assert_eq!(seen.body, body.as_bytes(), "{request:?}");
        assert_eq!(
            seen.field("content-length"),
            Some(body.len().to_string().as_str()),
            "{request:?}"
        );
        assert_eq!(seen.field("transfer-encoding"), None, "{request:?}");
        assert!(seen.field("host").is_some(), "{request:?}");
    }
}

#[tokio::test]
async fn a_target_that_names_another_host_gives_way_to_the_field() {
    let (a, b) = (Backend::text("a").await, Backend::text("b").await);
    let gateway = Gateway::start(&[
        service(1, a.address, json!({})),
        service(2, b.address, json!({})),
        route(1, 1, json!({"hosts": ["a.test"], "preserve_host": true})),
        route(2, 2, json!({"hosts": ["b.test"], "preserve_host": true})),
    ]);
    let mut client = gateway.connect().await;
    client.send("GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "a");
    // As Kong has it, and the target hears of one host only.
    let seen = a.last();
    assert_eq!((seen.line(), seen.field("host")), ("GET /x?y HTTP/1.1", Some("a.test")));
    assert!(!seen.head.contains("b.test"), "{}", seen.head);
    assert!(b.seen().is_empty());
}

#[tokio::test]
async fn what_is_left_of_a_body_is_no_request() {
    // Answers before the body is there; what follows of it looks like a request.
    let backend = Backend::start(|_, _| Act::Early(backend::answer("early"))).await;
    let gateway = Gateway::before(backend.address);
    let length = SMUGGLED.len() + 100_000;
    let mut client = gateway.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    client.send("x".repeat(70_000)).await;
    assert_eq!(client.answer().await.1, "early");
    client.try_send("x".repeat(30_000)).await;
    client.try_send(SMUGGLED).await;
    assert_eq!(client.rest().await, "");
    assert_eq!(backend.seen().len(), 1, "{:?}", backend.seen());

    // The same before a route was found: the body is taken in, and then the next request.
    let gateway = Gateway::start(&[]);
    let mut client = gateway.connect().await;
    let length = SMUGGLED.len();
    client
        .send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"))
        .await;
    client.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answers = client.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 404 ").count(), 2, "{answers}");
}

#[tokio::test]
async fn what_follows_an_answer_is_not_the_next_one() {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let backend = Backend::start(|seen, _| {
        Act::Answer(match seen.line().split(' ').nth(1).unwrap() {
            "/behind" => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{POISON}").into_bytes()
            }
            "/chunked" => format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{POISON}"
            )
            .into_bytes(),
            "/none" => format!("HTTP/1.1 204 No Content\r\n\r\n{POISON}").into_bytes(),
            "/unchanged" => {
                format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n{POISON}")
                    .into_bytes()
            }
            "/head" => format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{POISON}").into_bytes(),
            _ => backend::answer("clean"),
        })
    })
    .await;
    let gateway = Gateway::before(backend.address);
    for path in ["/behind", "/chunked", "/none", "/unchanged", "/head"] {
        let method = if path == "/head" { "HEAD" } else { "GET" };
        let mut client = gateway.connect().await;
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = client.until("\r\n\r\n").await;
        assert!(
            head.starts_with("HTTP/1.1 2") || head.starts_with("HTTP/1.1 304"),
            "{path}: {head}"
        );
        client.send("GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let rest = client.rest().await;
        assert!(rest.ends_with("clean") && !rest.contains("poison"), "{path}: {rest}");
    }
}
