use futures_util::StreamExt;
use http::Request;
use http_body_util::Full;
use serde_json::json;

use super::*;
use crate::tests::support::LARGEST_BODY;

fn read_now(types: &[&str], body: &[u8]) -> Result<Input, Refusal> {
    let mut request = Request::post("/services");
    for value in types {
        request = request.header(header::CONTENT_TYPE, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = Full::new(Bytes::copy_from_slice(body));
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(read(
        &parts,
        body,
        LARGEST_BODY,
    ))
}

fn check(kind: &str, body: &str, textual: bool, expected: Value) {
    let input = read_now(&[kind], body.as_bytes()).unwrap();
    assert_eq!(Value::Object(input.object), expected);
    assert_eq!(input.textual, textual);
}

fn status(result: Result<Input, Refusal>) -> u16 {
    result.unwrap_err().into_answer().status.as_u16()
}

fn parts(parts: &[(&str, &str, &str)]) -> String {
    let mut body = String::new();
    for (name, headers, value) in parts {
        body.push_str(&format!(
            "--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n{value}\r\n"
        ));
    }
    body + "--XX--\r\n"
}

const MULTIPART: &str = "multipart/form-data; boundary=XX";

#[test]
fn kinds() {
    check("application/json", r#" {"a":[1,null]} "#, false, json!({"a": [1, null]}));
    check("application/json; charset=utf-8", "{}", false, json!({}));
    check("Application/JSON", "{}", false, json!({}));
    check("application/x-www-form-urlencoded", "a.b=1", true, json!({"a": {"b": "1"}}));
    check("application/x-www-form-urlencoded", "", true, json!({}));
    let body = parts(&[("name", "", "x"), ("tags[]", "", "one"), ("path", "", "")]);
    check(MULTIPART, &body, true, json!({"name": "x", "tags": ["one"], "path": ""}));
}

#[test]
fn multipart_takes_the_last_part_and_reads_json_parts() {
    let json = "Content-Type: application/json\r\n";
    let body = parts(&[("paths[]", "", "/a"), ("paths[]", "", "/b"), ("c", json, "[1]")]);
    check(MULTIPART, &body, true, json!({"paths": ["/b"], "c": [1]}));
}

#[test]
fn no_content_type() {
    assert_eq!(read_now(&[], b"").unwrap(), Input::default());
    assert_eq!(status(read_now(&[], b"{}")), 415);
}

#[test]
fn refused_bodies() {
    for kind in ["text/plain", "text/html", "application/xml", "image/png", ""] {
        assert_eq!(status(read_now(&[kind], b"{}")), 415, "{kind}");
    }
    for body in ["", "{", "{\"a\":}", "{\"a\":1,}", "a=1", "{'a':1}", "{} x", "[]", "null", "\"x\""]
    {
        assert_eq!(status(read_now(&["application/json"], body.as_bytes())), 400, "{body}");
    }
    let deep = format!("{}{}", "{\"a\":".repeat(500), "1".to_owned() + &"}".repeat(500));
    assert_eq!(status(read_now(&["application/json"], deep.as_bytes())), 400);
    assert_eq!(status(read_now(&["application/json", "application/json"], b"{}")), 400);
    assert_eq!(status(read_now(&["multipart/form-data"], b"")), 400);
    assert_eq!(status(read_now(&[MULTIPART], b"--XX\r\nbroken")), 400);
    assert_eq!(status(read_now(&["application/x-www-form-urlencoded"], b"a=%FF")), 400);
}

#[test]
fn sizes() {
    let most = format!("{{\"a\":\"{}\"}}", "x".repeat(LARGEST_BODY - 8));
    assert_eq!(most.len(), LARGEST_BODY);
    assert!(read_now(&["application/json"], most.as_bytes()).is_ok());
    assert_eq!(status(read_now(&["application/json"], format!("{most} ").as_bytes())), 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_cut_off() {
    let (parts, ()) = Request::post("/services")
        .header(header::CONTENT_TYPE, "application/json")
        .body(())
        .unwrap()
        .into_parts();
    let start = Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"{")));
    let frames = futures_util::stream::iter([start]).chain(futures_util::stream::pending());
    let body = http_body_util::StreamBody::new(frames);
    let refusal = read(&parts, body, LARGEST_BODY).await.unwrap_err();
    assert_eq!(refusal.into_answer().status, StatusCode::REQUEST_TIMEOUT);
}
