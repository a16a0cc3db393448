use serde_json::{Value, json};

use crate::testing::{create, refusal, update};
use crate::{Protocol, Service};

fn service(input: Value) -> Value {
    create("services", input).expect("a valid service")
}

#[test]
fn a_host_is_all_that_it_takes() {
    assert_eq!(
        service(json!({ "host": "a.example" })),
        json!({
            "id": crate::testing::ID,
            "created_at": 1_700_000_000,
            "updated_at": 1_700_000_000,
            "name": null,
            "retries": 5,
            "protocol": "http",
            "host": "a.example",
            "port": 80,
            "path": null,
            "connect_timeout": 60000,
            "write_timeout": 60000,
            "read_timeout": 60000,
            "tags": null,
            "client_certificate": null,
            "tls_verify": null,
            "tls_verify_depth": null,
            "ca_certificates": null,
            "enabled": true,
        })
    );
    assert_eq!(refusal("services", json!({})), "schema violation (host: required field missing)");
}

#[test]
fn a_url_stands_for_its_parts() {
    for (url, protocol, host, port, path) in [
        ("http://a.example", "http", json!("a.example"), 80, Value::Null),
        ("https://a.example", "https", json!("a.example"), 443, Value::Null),
        ("http://a.example:8080/base/path", "http", json!("a.example"), 8080, json!("/base/path")),
        ("https://a.example:80/", "https", json!("a.example"), 80, json!("/")),
        ("grpcs://g.example", "grpcs", json!("g.example"), 80, Value::Null),
        ("http://[::1]:9999/six", "http", json!("::1"), 9999, json!("/six")),
        ("//nohost/x", "http", json!("nohost"), 80, json!("/x")),
        ("//a.example:443", "https", json!("a.example"), 443, Value::Null),
        ("http://user:secret@a.example:81/p?q=1#f", "http", json!("a.example"), 81, json!("/p")),
    ] {
        let service = service(json!({ "url": url, "host": "loses", "port": 1, "protocol": "tcp" }));
        assert_eq!(
            (&service["protocol"], &service["host"], &service["port"], &service["path"]),
            (&json!(protocol), &host, &json!(port), &path),
            "{url}"
        );
    }
}

#[test]
fn a_url_is_judged_by_its_parts() {
    for (url, message) in [
        (
            json!("invalid"),
            "2 schema violations (host: required field missing; path: should start with: /)",
        ),
        (json!("http://"), "schema violation (host: required field missing)"),
        (
            json!("http://a.example:99999"),
            "schema violation (port: value should be between 0 and 65535)",
        ),
        (json!("http://a.example//x"), "schema violation (path: must not have empty segments)"),
        (
            json!("ftp://a.example"),
            "schema violation (protocol: expected one of: grpc, grpcs, http, https, tcp, tls, \
             tls_passthrough, udp)",
        ),
        (json!(""), "schema violation (url: length must be at least 1)"),
        (json!(7), "schema violation (url: expected a string)"),
        (json!(null), "schema violation (host: required field missing)"),
    ] {
        assert_eq!(refusal("services", json!({ "url": url })), message, "{url}");
    }
}

#[test]
fn a_patched_url_replaces_all_of_its_parts() {
    let stored = service(json!({ "url": "http://a.example:8080/old", "retries": 1 }));
    let patched = update("services", &stored, json!({ "url": "https://b.example" }));
    let patched = patched.expect("a valid service");
    assert_eq!(patched["path"], Value::Null);
    assert_eq!(patched["port"], 443);
    assert_eq!(patched["retries"], 1);
}

#[test]
fn a_protocol_leaves_no_room_for_some_fields() {
    let text = "failed conditional validation given value of field 'protocol'";
    for protocol in ["tcp", "tls", "udp", "grpc", "grpcs"] {
        let input = json!({ "host": "h", "protocol": protocol, "path": "/p" });
        let fields = json!({ "@entity": [text], "path": "value must be null" });
        assert_eq!(create("services", input), Err(fields), "{protocol}");
    }
    for (field, value) in [
        ("tls_verify", json!(true)),
        ("tls_verify_depth", json!(1)),
        ("ca_certificates", json!([])),
        ("client_certificate", json!({ "id": crate::testing::ID })),
    ] {
        let input = json!({ "host": "h", field: value });
        let fields = json!({ "@entity": [text], field: "value must be null" });
        assert_eq!(create("services", input), Err(fields), "{field}");
        let input = json!({ "host": "h", "protocol": "https", field: value });
        assert!(create("services", input).is_ok(), "{field}");
    }
}

#[test]
fn a_stored_body_is_read_typed_also_when_it_lacks_newer_fields() {
    let mut body = service(json!({ "url": "https://a.example", "tags": ["t"] }));
    let whole = Service::from_body(&body.to_string()).expect("a service");
    assert_eq!((whole.protocol, whole.port, whole.enabled), (Protocol::Https, 443, true));
    body.as_object_mut().expect("an object").remove("enabled");
    body["from_a_newer_version"] = json!(1);
    assert_eq!(Service::from_body(&body.to_string()).expect("a service"), whole);
    let error = Service::from_body("{}").expect_err("no service").to_string();
    assert!(error.starts_with("not a valid entity of services: missing field"), "{error}");
}
