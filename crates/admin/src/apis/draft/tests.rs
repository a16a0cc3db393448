use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

fn checked(value: Value) -> Result<Object, Faults> {
    let mut object = typed(&object(value))?;
    complete(&mut object);
    check(&mut object).map(|()| object)
}

fn fault(value: Value, field: &str) -> String {
    checked(value).unwrap_err().remove(field).unwrap_or_default()
}

#[test]
fn values_of_a_form_and_of_json_are_read_alike() {
    for input in [
        json!({"name": "hello", "hosts": "a.com, b.com", "upstream_url": " http://hello ", "strip_uri": false, "retries": 3}),
        json!({"name": "hello", "hosts": ["a.com", "b.com"], "upstream_url": "http://hello", "strip_uri": "False", "retries": "3", "uris": null}),
    ] {
        let api = checked(input).unwrap();
        assert_eq!(api["hosts"], json!(["a.com", "b.com"]));
        assert_eq!(api["upstream_url"], "http://hello");
        assert_eq!((&api["strip_uri"], &api["retries"]), (&json!(false), &json!(3)));
        assert!(!api.contains_key("uris"));
    }
}

#[test]
fn unreadable_values() {
    let faults =
        typed(&object(json!({"foo": 1, "retries": "x", "strip_uri": 1, "hosts": 5}))).unwrap_err();
    assert_eq!(faults["foo"], "foo is an unknown field");
    assert_eq!(faults["retries"], "retries is not a number");
    assert_eq!(faults["strip_uri"], "strip_uri is not a boolean");
    assert_eq!(faults["hosts"], "hosts is not an array");
}

#[test]
fn rules() {
    let with = |name: &str, value: Value| {
        let mut api = object(json!({"name": "a", "upstream_url": "http://a", "methods": "GET"}));
        api.insert(name.to_owned(), value);
        Value::Object(api)
    };
    for (field, value, text) in [
        ("name", json!("a b"), "name must only contain alphanumeric and '., -, _, ~' characters"),
        (
            "hosts",
            json!("a_b.com, *.x.*"),
            "host with value '*.x.*' is invalid: Only one wildcard is allowed",
        ),
        (
            "hosts",
            json!("a.*.com"),
            "host with value 'a.*.com' is invalid: Invalid wildcard placement",
        ),
        ("hosts", json!("a b"), "host with value 'a b' is invalid: Invalid hostname"),
        ("hosts", json!("a.com:80"), "host with value 'a.com:80' is invalid: Invalid hostname"),
        ("hosts", json!([""]), "host with value '' is invalid: host is empty"),
        ("uris", json!("a"), "uri with value 'a' is invalid: must be prefixed with slash"),
        ("uris", json!("/a//b"), "uri with value '/a//b' is invalid: invalid"),
        (
            "uris",
            json!("/a?b"),
            "uri with value '/a?b' is invalid: must only contain alphanumeric and '., -, _, ~, /, %' characters",
        ),
        (
            "uris",
            json!("/a%zzb"),
            "uri with value '/a%zzb' is invalid: must use proper encoding; '%zz' is invalid",
        ),
        ("methods", json!("get"), "method with value 'get' is invalid: invalid value"),
        ("upstream_url", json!("hello"), "upstream_url is not a url"),
        ("upstream_url", json!("ftp://hello"), "Supported protocols are HTTP and HTTPS"),
        ("upstream_url", json!("http://"), "upstream_url is not a url"),
        ("retries", json!(-1), "must be an integer between 0 and 32767"),
        ("retries", json!(1.5), "must be an integer between 0 and 32767"),
        ("upstream_read_timeout", json!(0), "must be an integer between 1 and 2147483646"),
    ] {
        assert_eq!(fault(with(field, value), field), text);
    }
    let neither = json!({"name": "a", "upstream_url": "http://a", "hosts": ""});
    assert_eq!(
        fault(neither, "message"),
        "at least one of 'hosts', 'uris' or 'methods' must be specified"
    );
    let nothing = checked(json!({})).unwrap_err();
    assert_eq!(
        (nothing["name"].as_str(), nothing["upstream_url"].as_str()),
        ("name is required", "upstream_url is required")
    );
}

#[test]
fn uris_lose_the_slash_at_their_end() {
    let api =
        checked(json!({"name": "a", "upstream_url": "http://a", "uris": "/, /a/, /b"})).unwrap();
    assert_eq!(api["uris"], json!(["/", "/a", "/b"]));
}

#[test]
fn urls_are_taken_apart_and_put_together() {
    for (url, protocol, host, port, path) in [
        ("http://hello", "http", "hello", 80, None),
        ("https://hello/a/b?c", "https", "hello", 443, Some("/a/b")),
        ("HTTP://hello:8080/", "http", "hello", 8080, Some("/")),
        ("http://1.2.3.4", "http", "1.2.3.4", 80, None),
        ("http://[::1]:81/x", "http", "[::1]", 81, Some("/x")),
    ] {
        let parsed = Upstream::parse(url).unwrap();
        let expected =
            Upstream { protocol, host: host.to_owned(), port, path: path.map(str::to_owned) };
        assert_eq!(parsed, expected, "{url}");
    }
    assert_eq!(Upstream::url("http", "hello", 80, ""), "http://hello");
    assert_eq!(Upstream::url("https", "hello", 80, "/a"), "https://hello:80/a");
}
