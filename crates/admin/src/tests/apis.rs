//! `/apis`, as users of Kong 0.10 know it.

use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::{NOW_US, Stored, answered, send};

fn hello() -> Value {
    json!({"name": "hello", "hosts": "hello.com", "upstream_url": "http://hello", "strip_uri": false})
}

#[tokio::test]
async fn the_tutorial() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    assert_eq!(send(api, "POST", "/upstreams/", Some(json!({"name": "hello"}))).await.status, 201);
    for target in ["127.0.0.1:3000", "127.0.0.1:4000"] {
        let body = json!({"target": target, "weight": 100});
        assert_eq!(send(api, "POST", "/upstreams/hello/targets", Some(body)).await.status, 201);
    }
    let made = send(api, "POST", "/apis/", Some(hello())).await;
    assert_eq!(made.status, 201);
    let expected = json!({
        "id": made.json["id"], "created_at": NOW_US / 1_000_000 * 1000, "name": "hello",
        "hosts": ["hello.com"], "upstream_url": "http://hello", "strip_uri": false,
        "preserve_host": false, "retries": 5, "upstream_connect_timeout": 60000,
        "upstream_send_timeout": 60000, "upstream_read_timeout": 60000, "https_only": false,
        "http_if_terminated": true,
    });
    assert_eq!(made.json, expected);
    assert_eq!(send(api, "GET", "/apis/hello", None).await.json, expected);
    let service = send(api, "GET", "/services/hello", None).await.json;
    assert_eq!((&service["host"], &service["port"]), (&json!("hello"), &json!(80)));
    let route = send(api, "GET", "/routes/hello", None).await.json;
    assert_eq!(route["hosts"], json!(["hello.com"]));
    assert_eq!(route["strip_path"], false);
    assert_eq!(route["service"]["id"], service["id"]);
}

#[tokio::test]
async fn a_form_does_the_same() {
    let sqlite = Stored::sqlite().await;
    let body = "name=hello&hosts=a.com,+b.com&upstream_url=http://hello&strip_uri=false";
    let request = Request::post("/apis")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(body))
        .unwrap();
    let made = answered(&sqlite.api, request).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(made.json["hosts"], json!(["a.com", "b.com"]));
}

#[tokio::test]
async fn changes() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    let made = send(api, "POST", "/apis", Some(hello())).await;
    let id = made.json["id"].as_str().unwrap();
    let patch =
        json!({"uris": "/a/, /b", "https_only": "TRUE", "upstream_url": "https://x:8443/p"});
    let patched = send(api, "PATCH", &format!("/apis/{id}"), Some(patch)).await;
    assert_eq!(patched.status, 200, "{}", patched.json);
    assert_eq!(patched.json["uris"], json!(["/a", "/b"]));
    assert_eq!(patched.json["hosts"], json!(["hello.com"]), "what is not written stays");
    assert_eq!(patched.json["upstream_url"], "https://x:8443/p");
    assert_eq!(send(api, "GET", "/routes/hello", None).await.json["protocols"], json!(["https"]));
    let whole = json!({"id": id, "name": "hi", "methods": "GET", "upstream_url": "http://y"});
    let put = send(api, "PUT", "/apis", Some(whole)).await;
    assert_eq!(put.status, 200, "{}", put.json);
    assert_eq!((put.json.get("uris"), &put.json["name"]), (None, &json!("hi")));
    assert_eq!(send(api, "PATCH", "/apis/hi", Some(json!({}))).await.json["message"], "empty body");
    assert_eq!(send(api, "PATCH", "/apis/nobody", Some(json!({"name": "x"}))).await.status, 404);
    let unknown = json!({"id": "00000000-0000-4000-8000-000000000001", "name": "x"});
    assert_eq!(send(api, "PUT", "/apis", Some(unknown)).await.status, 404);
    assert_eq!(send(api, "DELETE", "/apis/hi", None).await.status, 204);
    assert_eq!(send(api, "DELETE", "/apis/hi", None).await.status, 404);
    for path in ["/services", "/routes"] {
        assert_eq!(send(api, "GET", path, None).await.json["data"], json!([]), "{path}");
    }
}

#[tokio::test]
async fn flat_errors() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    send(api, "POST", "/apis", Some(hello())).await;
    for (body, status, expected) in [
        (hello(), 409, json!({"name": "already exists with value 'hello'"})),
        (json!({"foo": 1}), 400, json!({"foo": "foo is an unknown field"})),
        (
            json!({"hosts": "a.com"}),
            400,
            json!({"name": "name is required", "upstream_url": "upstream_url is required"}),
        ),
        (
            json!({"name": "x", "upstream_url": "http://x", "uris": "/a%2"}),
            400,
            json!({"uris": "uri with value '/a%2' is invalid: must use proper encoding; '%2' is invalid"}),
        ),
    ] {
        let answer = send(api, "POST", "/apis", Some(body)).await;
        assert_eq!((answer.status.as_u16(), answer.json), (status, expected));
    }
}

#[tokio::test]
async fn lists() {
    let sqlite = Stored::sqlite().await;
    let api = &sqlite.api;
    for n in 0..3 {
        let body = json!({"name": format!("a{n}"), "hosts": "h.com", "upstream_url": "http://x"});
        send(api, "POST", "/apis", Some(body)).await;
    }
    // A service and route of today are no API.
    send(api, "POST", "/services", Some(json!({"name": "s", "host": "a"}))).await;
    send(api, "POST", "/services/s/routes", Some(json!({"name": "s", "paths": ["/"]}))).await;
    let all = send(api, "GET", "/apis", None).await.json;
    assert_eq!((&all["total"], all.get("next")), (&json!(3), None));
    let page = send(api, "GET", "/apis?size=2", None).await.json;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["total"]), (2, &json!(3)));
    let next = page["next"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
    let rest = send(api, "GET", next, None).await.json;
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    let one = send(api, "GET", "/apis?name=a1&hosts=h.com&retries=5", None).await.json;
    assert_eq!((&one["total"], &one["data"][0]["name"]), (&json!(1), &json!("a1")));
    let bad = send(api, "GET", "/apis?foo=1", None).await;
    assert_eq!((bad.status.as_u16(), bad.json), (400, json!({"foo": "unknown field"})));
}

#[tokio::test]
async fn http_if_terminated_is_kept() {
    let stored = Stored::sqlite().await;
    let api = &stored.api;
    let mut body = hello();
    body["http_if_terminated"] = json!(false);
    let made = send(api, "POST", "/apis", Some(body)).await;
    assert_eq!(made.json["http_if_terminated"], false);
    let tagged = json!({"tags": ["mine", "http_if_terminated:false"]});
    assert_eq!(send(api, "PATCH", "/routes/hello", Some(tagged)).await.status, 200);
    let other = send(api, "PATCH", "/apis/hello", Some(json!({"retries": 3}))).await;
    assert_eq!(other.json["http_if_terminated"], false, "a PATCH without it keeps it");
    let on = send(api, "PATCH", "/apis/hello", Some(json!({"http_if_terminated": "true"}))).await;
    assert_eq!((on.status.as_u16(), &on.json["http_if_terminated"]), (200, &json!(true)));
    let route = send(api, "GET", "/routes/hello", None).await;
    assert_eq!(route.json["tags"], json!(["mine"]));
}
