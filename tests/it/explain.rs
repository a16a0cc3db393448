//! What becomes of requests, asked of the Admin API.

use end_to_end::{Backend, Client, Gateway};
use serde_json::{Value, json};

fn post(client: &Client, path: &str, body: Value) -> end_to_end::Reply {
    client.write(&json!({ "method": "POST", "path": path, "json": body })).unwrap()
}

#[test]
fn what_is_said_becomes_of_the_request() {
    let gateway = Gateway::start(&[]).unwrap();
    let client = gateway.client();
    let backend = Backend::start("one", None).unwrap();
    let url = format!("http://127.0.0.1:{}/base", backend.port());
    post(&client, "/services", json!({ "name": "s", "url": url }));
    let route = json!({ "name": "r", "paths": ["/a"], "methods": ["GET"] });
    let made = post(&client, "/services/s/routes", route);
    let revision: u64 = made.header("x-weir-revision").unwrap().parse().unwrap();
    let explain = |described: Value| {
        client.admin(&json!({ "method": "POST", "path": "/explain", "json": described })).unwrap()
    };

    let described = json!({ "host": "h.test", "path": "/a/b?q=1", "revision": revision });
    let said = explain(described);
    assert_eq!((said.status, &said.json["outcome"]), (200, &json!("proxied")), "{}", said.json);
    let sent =
        client.proxy(&json!({ "path": "/a/b?q=1", "headers": [["Host", "h.test"]] })).unwrap();
    assert_eq!(sent.json["path"], "/base/b?q=1", "{}", sent.json);
    let authority = format!("127.0.0.1:{}", backend.port());
    assert_eq!(said.json["sends"]["url"], format!("http://{authority}/base/b?q=1"));
    assert_eq!(said.json["target"]["address"], authority);

    let said = explain(json!({ "method": "POST", "host": "h.test", "path": "/a" }));
    assert_eq!(said.json["answer"]["status"], 404);
    assert_eq!(said.json["candidates"][0]["failed"], "methods");

    let wrong = explain(json!({ "host": "h.test", "path": "a" }));
    assert_eq!(wrong.status, 400);
    assert!(wrong.json["fields"]["path"].is_string(), "{}", wrong.json);
    assert_eq!(explain(json!({ "host": "h", "revision": revision + 1000 })).status, 409);
}

#[test]
fn a_write_warns_of_routes_that_hide_each_other() {
    let gateway = Gateway::start(&[]).unwrap();
    let client = gateway.client();
    post(&client, "/services", json!({ "name": "s", "url": "http://127.0.0.1:1" }));
    let made = |route: Value| {
        let reply = post(&client, "/services/s/routes", route);
        reply.header("x-weir-warning").map(str::to_owned)
    };
    assert_eq!(made(json!({ "name": "api", "hosts": ["a.test"], "paths": ["/api"] })), None);
    // The same conditions: the greater id goes first.
    let id = "ffffffff-ffff-4fff-bfff-ffffffffffff";
    let twin = json!({ "id": id, "name": "twin", "hosts": ["a.test"], "paths": ["/api"] });
    assert_eq!(made(twin).as_deref(), Some("hides api"));
    let last = json!({
        "id": "00000000-0000-4000-8000-000000000000", "name": "last", "hosts": ["a.test"],
        "paths": ["/api"],
    });
    let warned = made(last).unwrap();
    assert!(warned.starts_with("never reached: hidden by "), "{warned}");
    assert!(warned.contains("twin") && warned.contains("api"), "{warned}");
}
