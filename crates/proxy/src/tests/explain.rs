//! What is said of a request is what becomes of it.

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    Backend, Client, Gateway,
    gateway::{entity, reference, route, service, target, upstream},
};
use crate::Unexplained;

/// Sends what was described and returns status and body.
async fn send(client: &mut Client, described: &Value) -> (u64, String) {
    let text = |name: &str| described[name].as_str().unwrap();
    let mut head =
        format!("{} {} HTTP/1.1\r\nhost: {}\r\n", text("method"), text("path"), text("host"));
    for (name, value) in described["headers"].as_object().unwrap() {
        head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap()));
    }
    client.send(head + "\r\n").await;
    let (head, body) = client.answer().await;
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

async fn explain(gateway: &Gateway, described: &Value) -> Result<Value, Unexplained> {
    gateway.explainer().explain(described.as_object().unwrap()).await
}

fn any_of<'a>(random: &mut StdRng, choices: &[&'a str]) -> &'a str {
    choices[random.random_range(0..choices.len())]
}

fn any_request(random: &mut StdRng) -> Value {
    let mut headers = json!({});
    for (name, values) in [
        ("accept", &["application/json"][..]),
        ("x-forwarded-for", &["192.0.2.7"]),
        ("x-version", &["1", "2", "beta"]),
    ] {
        if random.random_bool(0.5) {
            headers[name] = any_of(random, values).into();
        }
    }
    json!({
        "method": any_of(random, &["GET", "POST", "DELETE", "TRACE"]),
        "host": any_of(random, &["a.test", "A.test:81", "x.wild.test", "other"]),
        "path": any_of(random, &[
            "/", "/a", "/a//b/../c?q=1", "/users/42/x%20y", "/users/x", "/tls", "/none/%6a?",
            "/../x", "/b/%2F", "/gone",
        ]),
        "headers": headers,
    })
}

#[tokio::test]
async fn what_is_said_of_a_request_becomes_of_it() {
    let (one, two) = (Backend::text("one").await, Backend::text("two").await);
    let gateway = Gateway::start(&[
        upstream(1, "u.test", json!({"host_header": "named.test"})),
        target(1, 1, one.address),
        target(2, 1, two.address),
        upstream(2, "empty.test", json!({})),
        service(1, one.address, json!({"host": "u.test", "path": "/base"})),
        service(2, two.address, json!({})),
        service(3, two.address, json!({"host": "empty.test"})),
        route(1, 1, json!({"paths": ["/a"]})),
        route(2, 2, json!({"paths": [r"~/users/(?<id>\d+)"], "strip_path": false})),
        route(3, 1, json!({"hosts": ["*.wild.test"], "methods": ["GET"], "preserve_host": true})),
        route(4, 2, json!({"hosts": ["a.test:81"], "headers": {"x-version": ["2"]}})),
        route(5, 2, json!({"paths": ["/tls"], "protocols": ["https"]})),
        route(6, 0, json!({"paths": ["/none"]})),
        route(7, 3, json!({"paths": ["/gone"]})),
        route(8, 2, json!({"paths": ["/b/"], "hosts": ["a.test"]})),
    ]);
    let mut random = StdRng::seed_from_u64(4);
    let mut proxied = 0;
    for _ in 0..400 {
        let described = any_request(&mut random);
        let said = explain(&gateway, &described).await.unwrap();
        // Some refusals end the connection.
        let (status, body) = send(&mut gateway.connect().await, &described).await;
        if said["outcome"] != "proxied" {
            assert_eq!(said["answer"]["status"], status, "{described} {said}");
            let message = said["answer"]["message"].as_str().unwrap();
            assert!(body.contains(message), "{described} {said} {body}");
            continue;
        }
        proxied += 1;
        assert_eq!(status, 200, "{described} {said}");
        let backend = if body == "one" { &one } else { &two };
        assert_eq!(said["target"]["address"], backend.address.to_string(), "{described} {said}");
        let seen = backend.last();
        let sends = &said["sends"];
        let line = seen.line().split(' ').collect::<Vec<_>>();
        assert_eq!(sends["method"], line[0]);
        let url = format!("http://{}{}", seen.field("host").unwrap(), line[1]);
        assert_eq!(sends["url"], url, "{described} {said}");
        let headers: Vec<(&str, &str)> = seen
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| *name != "X-Kong-Request-Id")
            .collect();
        assert_eq!(sends["headers"], json!(headers), "{described}");
        let winner = said["candidates"].as_array().unwrap().iter().find(|c| c["failed"].is_null());
        assert_eq!(
            winner.unwrap()["route"],
            json!({
                "id": said["route"]["id"], "name": said["route"]["name"]
            })
        );
    }
    assert!(proxied > 100, "{proxied}");
}

#[tokio::test]
async fn candidates_say_what_they_miss_and_plugins_are_in_their_order() {
    let backend = Backend::text("one").await;
    let gateway = Gateway::start(&[
        entity("consumers", 1, json!({"username": "alice"})),
        service(1, backend.address, json!({})),
        route(1, 1, json!({"name": "posts", "paths": ["/a"], "methods": ["POST"]})),
        route(2, 1, json!({"name": "tenants", "paths": ["/a"], "headers": {"x-tenant": ["1"]}})),
        route(3, 1, json!({"name": "rest", "paths": ["/"]})),
        route(4, 1, json!({"name": "elsewhere", "hosts": ["b.test"]})),
        entity(
            "plugins",
            2,
            json!({
                "name": "request-termination", "consumer": reference(1),
                "config": {"status_code": 403, "echo": false},
            }),
        ),
        entity(
            "plugins",
            3,
            json!({
                "name": "request-size-limiting",
                "config": {
                    "allowed_payload_size": 1, "size_unit": "kilobytes",
                    "require_content_length": false,
                },
            }),
        ),
        entity(
            "plugins",
            4,
            json!({
                "name": "correlation-id",
                "config": {
                    "header_name": "X-Id", "generator": "uuid", "echo_downstream": false,
                },
            }),
        ),
    ]);
    let described =
        json!({"host": "a.test", "path": "/a", "route": "20000000-0000-4000-8000-000000000004"});
    let said = explain(&gateway, &described).await.unwrap();
    let failed: Vec<_> = said["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| {
            (candidate["route"]["name"].as_str().unwrap(), candidate["failed"].clone())
        })
        .collect();
    assert_eq!(
        failed,
        [
            ("tenants", json!("headers.x-tenant")),
            ("posts", json!("methods")),
            ("rest", Value::Null)
        ]
    );
    assert_eq!(said["asked_about"][0]["failed"], "hosts");
    let names = |said: &Value| {
        let plugins = said["plugins"].as_array().unwrap().iter();
        plugins.map(|plugin| plugin["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&said), ["correlation-id", "request-size-limiting"]);
    let described = json!({"host": "a.test", "consumer": "alice"});
    let said = explain(&gateway, &described).await.unwrap();
    assert_eq!(names(&said), ["correlation-id", "request-size-limiting", "request-termination"]);
    assert_eq!(said["plugins"][2]["scope"]["consumer"], reference(1)["id"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_description_is_said_by_its_field() {
    let gateway = Gateway::start(&[]);
    for (described, field) in [
        (json!({}), "host"),
        (json!({"host": "a", "paht": "/"}), "paht"),
        (json!({"host": "a", "path": "a"}), "path"),
        (json!({"host": "a", "path": "/a b"}), "path"),
        (json!({"host": "a", "method": "G T"}), "method"),
        (json!({"host": "a", "headers": {"x": 1}}), "headers.x"),
        (json!({"host": "a", "headers": {"x y": "1"}}), "headers.x y"),
        (json!({"host": "a", "headers": {"Host": "b"}}), "headers.Host"),
        (json!({"host": "a", "headers": []}), "headers"),
        (json!({"host": "a", "client_address": "here"}), "client_address"),
        (json!({"host": "a", "scheme": "http", "sni": "a"}), "sni"),
        (json!({"host": "a", "scheme": "tcp"}), "scheme"),
        (json!({"host": "a", "http_version": "3"}), "http_version"),
        (json!({"host": "a", "consumer": "nobody"}), "consumer"),
        (json!({"host": "a", "route": "by-name"}), "route"),
        (json!({"host": "a", "revision": -1}), "revision"),
    ] {
        match explain(&gateway, &described).await {
            Err(Unexplained::Field { field: found, .. }) => assert_eq!(found, field, "{described}"),
            other => panic!("{described}: {other:?}"),
        }
    }
    let ahead = explain(&gateway, &json!({"host": "a", "revision": 2})).await;
    assert_eq!(ahead, Err(Unexplained::Revision { wanted: 2, served: 1 }));
    // What the proxy refuses is an answer, too.
    let refused = explain(&gateway, &json!({"host": "a b"})).await.unwrap();
    assert_eq!(refused["answer"]["status"], 400);
}
