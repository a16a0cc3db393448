//! What clients are told when something is wrong.

use std::time::Duration;

use serde_json::json;

use super::{
    Act, Backend, Gateway,
    gateway::{route, service, upstream},
    split_head,
};
use crate::TemplateFiles;

#[tokio::test]
async fn bad_requests_are_answered_in_plain_text_and_end_the_connection() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::before(backend.address);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("nonsense\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n", 400),
        ("GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ] {
        let answer = gateway.once(&format!("{request}GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (head, body) = split_head(&answer);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(head.contains("Content-Type: text/plain; charset=utf-8"), "{request:?}: {head}");
        assert!(head.contains("Connection: close"), "{request:?}: {head}");
        assert!(
            body.contains("\nrequest_id: ") && !body.contains("HTTP/1.1"),
            "{request:?}: {body}"
        );
    }
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let backend = Backend::text("ok").await;
    let entities = [service(1, backend.address, json!({})), route(1, 1, json!({"paths": ["/"]}))];
    let gateway = Gateway::with(&entities, |options| options.limits.body = 100);
    let long = "x".repeat(40_000);
    let refused = |request: String| {
        let gateway = &gateway;
        async move {
            let mut client = gateway.connect().await;
            client.try_send(request).await;
            let answer = client.rest().await;
            let (head, body) = split_head(&answer);
            format!("{} {}", head.split(' ').nth(1).unwrap(), body.lines().next().unwrap())
        }
    };
    assert_eq!(
        refused(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")).await,
        "414 URI too long"
    );
    assert_eq!(
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")).await,
        "400 Request header or cookie too large"
    );
    assert_eq!(
        refused(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n{long}")).await,
        "413 Payload too large"
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    assert_eq!(refused(chunked).await, "413 Payload too large");
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn what_has_no_way_is_told_in_the_clients_format() {
    let backend = Backend::text("ok").await;
    let gateway = Gateway::start(&[
        upstream(1, "empty.test", json!({})),
        service(1, backend.address, json!({"host": "empty.test"})),
        service(2, Backend::nobody().await, json!({"retries": 1})),
        route(1, 1, json!({"paths": ["/empty"]})),
        route(2, 0, json!({"paths": ["/lonely"]})),
        route(3, 2, json!({"paths": ["/dead"]})),
        route(4, 1, json!({"paths": ["/secure"], "protocols": ["https"]})),
    ]);
    let mut client = gateway.connect().await;
    for (path, accept, status, content) in [
        (
            "/none",
            "*/*",
            404,
            "{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"",
        ),
        ("/none", "text/html", 404, "<!doctype html>"),
        ("/lonely", "text/plain", 503, "no Service found with those values\n"),
        ("/empty", "application/xml", 503, "<?xml version=\"1.0\""),
        ("/dead", "text/plain", 502, "An invalid response was received from the upstream server\n"),
        ("/secure", "text/plain", 426, "Please use HTTPS protocol\n"),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).await;
        let (head, body) = client.answer().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(body.starts_with(content), "{path}: {body}");
    }
    let head = gateway.once("HEAD /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(split_head(&head).1.is_empty(), "{head}");
    // The connection is still good after a body that nobody took.
    client.send("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    client.send("x".repeat(100_000)).await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 404 "));
    client.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn bad_answers_are_not_passed_on() {
    let backend = Backend::start(|seen, _| {
        Act::Last(match seen.line().split(' ').nth(1).unwrap() {
            "/garbage" => b"SSH-2.0-OpenSSH\r\n".to_vec(),
            "/lengths" => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec()
            }
            "/both" => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                    .to_vec()
            }
            "/switch" => b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
            "/half" => b"HTTP/1.1 200 OK\r\nContent-".to_vec(),
            _ => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000)).into_bytes(),
        })
    })
    .await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"retries": 0})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let mut client = gateway.connect().await;
    for path in ["/garbage", "/lengths", "/both", "/switch", "/half", "/large"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{path}: {head}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off() {
    let backend = Backend::start(|seen, _| {
        Act::Last(match seen.line().split(' ').nth(1).unwrap() {
            "/length" => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            _ => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec(),
        })
    })
    .await;
    let gateway = Gateway::before(backend.address);
    let length = gateway.once("GET /length HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(length.ends_with("\r\n\r\nhalf"), "{length}");
    let chunked = gateway.once("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(
        chunked.ends_with("\r\n\r\n4\r\nhalf\r\n"),
        "a last chunk would tell that all is there: {chunked}"
    );
    assert_eq!(backend.seen().len(), 2, "nothing is tried again once the answer has begun");
}

#[tokio::test]
async fn a_backend_that_is_too_slow_is_given_up() {
    let backend = Backend::start(|_, _| Act::Late(Duration::from_secs(10), Vec::new())).await;
    let gateway = Gateway::start(&[
        service(1, backend.address, json!({"retries": 1, "read_timeout": 100})),
        route(1, 1, json!({"paths": ["/"]})),
    ]);
    let mut client = gateway.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert!(body.starts_with("The upstream server is timing out\n"), "{body}");
    assert_eq!(backend.seen().len(), 2);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("HTTP/1.1 504 "));
    assert_eq!(backend.seen().len(), 3, "a POST may have been acted on");
}

#[tokio::test]
async fn error_pages_may_be_the_operators_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let gateway = Gateway::with(&[], |options| {
        options.error_templates = TemplateFiles {
            html: file("html", "<b>%s</b> (%s), 100 %%"),
            json: file("json", "{\"error\":\"%s\",\"id\":\"%s\"}"),
            plain: file("plain", "sorry: %s"),
            xml: None,
        };
    });
    let mut client = gateway.connect().await;
    let message = "no Route matched with those values";
    for (accept, begins, ends) in [
        ("text/html", format!("<b>{message}</b> ("), "), 100 %"),
        ("application/json", format!("{{\"error\":\"{message}\",\"id\":\""), "\"}"),
        ("text/plain", format!("sorry: {message}"), ""),
        ("application/xml", "<?xml version=".to_owned(), "</error>\n"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n")).await;
        let (_, body) = client.answer().await;
        assert!(body.starts_with(&begins) && body.ends_with(ends), "{accept}: {body}");
    }
    // What could not be read has the default type's.
    let answer = gateway.once("GET / HTTP/9\r\n\r\n").await;
    assert!(split_head(&answer).1.starts_with("sorry: Bad request"), "{answer}");
}
