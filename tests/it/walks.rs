//! The walks that users of Kong follow, typed as they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use end_to_end::{Backend, Client, Gateway};
use serde_json::{Value, json};

/// Two HTTP servers, a gateway, and a client of it.
struct Setting {
    one: Arc<Backend>,
    other: Arc<Backend>,
    client: Client,
    _gateway: Gateway,
}

impl Setting {
    fn new() -> Setting {
        let gateway = Gateway::start(&[]).unwrap();
        Setting {
            one: Backend::start("one", None).unwrap(),
            other: Backend::start("other", None).unwrap(),
            client: gateway.client(),
            _gateway: gateway,
        }
    }

    fn targets(&self) -> [String; 2] {
        [&self.one, &self.other].map(|backend| format!("127.0.0.1:{}", backend.port()))
    }

    /// Sends the same request so many times; every one must succeed. Answers which backend was
    /// reached how often.
    fn spread(&self, request: &Value, times: usize) -> BTreeMap<String, usize> {
        let mut spread = BTreeMap::new();
        for _ in 0..times {
            let reply = self.client.proxy(request).unwrap();
            assert_eq!(reply.status, 200, "{request}: {}", reply.json);
            let name = reply.json["backend"].as_str().unwrap().to_owned();
            *spread.entry(name).or_default() += 1;
        }
        spread
    }
}

fn evenly(times: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([("one".to_owned(), times / 2), ("other".to_owned(), times / 2)])
}

#[test]
fn an_api_over_an_upstream_in_json() {
    let setting = Setting::new();
    let client = &setting.client;
    client
        .write(&json!({ "method": "POST", "path": "/upstreams/", "json": { "name": "hello" } }))
        .unwrap();
    for target in setting.targets() {
        let body = json!({ "target": target, "weight": 100 });
        client
            .write(&json!({ "method": "POST", "path": "/upstreams/hello/targets", "json": body }))
            .unwrap();
    }
    let api = json!({ "name": "hello", "hosts": "hello.com", "upstream_url": "http://hello", "strip_uri": false });
    client.write(&json!({ "method": "POST", "path": "/apis/", "json": api })).unwrap();

    let request = json!({ "path": "/some/path", "headers": [["Host", "hello.com"]] });
    let reply = client.proxy_until(&request, 200).unwrap();
    assert_eq!(reply.json["path"], "/some/path");
    // The one request above went to one of the two.
    client.proxy(&request).unwrap();
    assert_eq!(setting.spread(&request, 100), evenly(100));
}

#[test]
fn a_service_and_a_route_over_an_upstream_in_forms() {
    for nested in [false, true] {
        let setting = Setting::new();
        let client = &setting.client;
        let post = |path: &str, form: &str| {
            client.write(&json!({ "method": "POST", "path": path, "form": form })).unwrap().json
        };
        post("/upstreams", "name=upstream.api");
        for target in setting.targets() {
            post("/upstreams/upstream.api/targets", &format!("target={target}&weight=100"));
        }
        let service = post("/services", "name=service.api&host=upstream.api");
        let id = service["id"].as_str().unwrap();
        let fields = "paths[]=/api/v1&paths[]=/api/v2&paths[]=/api/v3&hosts[]=api.service.com&hosts[]=service.com";
        if nested {
            post("/services/service.api/routes", fields);
        } else {
            post("/routes", &format!("{fields}&service.id={id}"));
        }

        let request = |host: &str, path: &str| json!({ "path": path, "headers": [["Host", host]] });
        client.proxy_until(&request("service.com", "/api/v1"), 200).unwrap();
        client.proxy(&request("service.com", "/api/v1")).unwrap();
        for host in ["api.service.com", "service.com"] {
            for path in ["/api/v1", "/api/v2", "/api/v3"] {
                assert_eq!(setting.spread(&request(host, path), 20), evenly(20), "{host}{path}");
            }
        }
        assert_eq!(client.proxy(&request("service.com", "/api/v4")).unwrap().status, 404);
        assert_eq!(client.proxy(&request("other.com", "/api/v1")).unwrap().status, 404);
    }
}
