use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Algorithm, HashOn};
use crate::Upstream;
use crate::testing::{create, refusal, update};

fn upstream(input: Value) -> Value {
    let mut named = json!({ "name": "u" });
    named.as_object_mut().unwrap().extend(input.as_object().cloned().unwrap());
    create("upstreams", named).expect("a valid upstream")
}

#[test]
fn a_name_is_all_that_it_takes() {
    let made = upstream(json!({}));
    let typed = Upstream::from_body(&made.to_string()).expect("an upstream");
    assert_eq!(typed.algorithm, Some(Algorithm::RoundRobin));
    assert_eq!((typed.hash_on, typed.hash_fallback), (Some(HashOn::None), Some(HashOn::None)));
    assert_eq!(typed.slots, Some(10000));
    assert_eq!(typed.healthchecks.threshold, Some(0.0));
    assert_eq!(
        made["healthchecks"]["active"],
        json!({
            "type": "http",
            "timeout": 1,
            "concurrency": 10,
            "http_path": "/",
            "https_sni": null,
            "https_verify_certificate": true,
            "headers": null,
            "healthy": { "interval": 0, "successes": 0, "http_statuses": [200, 302] },
            "unhealthy": {
                "interval": 0,
                "http_statuses": [429, 404, 500, 501, 502, 503, 504, 505],
                "tcp_failures": 0,
                "timeouts": 0,
                "http_failures": 0,
            },
        })
    );
    assert_eq!(
        made["healthchecks"]["passive"]["unhealthy"]["http_statuses"],
        json!([429, 500, 503])
    );
}

#[test]
fn names_are_host_names() {
    for (name, text) in [
        ("1.2.3.4", "no ip addresses allowed"),
        ("::1", "no ip addresses allowed"),
        ("name:80", "no port allowed"),
        ("sp ace", "must be a valid hostname"),
        ("x-", "must be a valid hostname"),
    ] {
        let message = format!("schema violation (name: Invalid name ('{name}'); {text})");
        assert_eq!(refusal("upstreams", json!({ "name": name })), message);
    }
}

#[test]
fn algorithm_and_hash_on_set_each_other() {
    for (input, algorithm, hash_on) in [
        (json!({ "algorithm": "consistent-hashing" }), "round-robin", "none"),
        (json!({ "algorithm": "least-connections" }), "least-connections", "none"),
        (json!({ "algorithm": "round-robin", "hash_on": "ip" }), "consistent-hashing", "ip"),
        (json!({ "algorithm": "latency", "hash_on": "ip" }), "latency", "none"),
        (json!({ "algorithm": "consistent-hashing", "hash_on": "none" }), "round-robin", "none"),
        (json!({ "hash_on": null }), "round-robin", "none"),
    ] {
        let made = upstream(input.clone());
        assert_eq!(
            (&made["algorithm"], &made["hash_on"]),
            (&json!(algorithm), &json!(hash_on)),
            "{input}"
        );
    }
    let stored = upstream(json!({ "hash_on": "ip" }));
    for (patch, algorithm, hash_on) in [
        (json!({ "slots": 20 }), "consistent-hashing", "ip"),
        (json!({ "algorithm": "latency" }), "latency", "none"),
        (json!({ "algorithm": "round-robin" }), "consistent-hashing", "ip"),
        (json!({ "hash_on": null }), "round-robin", "none"),
    ] {
        let made = update("upstreams", &stored, patch.clone()).expect("a valid upstream");
        assert_eq!(
            (&made["algorithm"], &made["hash_on"]),
            (&json!(algorithm), &json!(hash_on)),
            "{patch}"
        );
    }
}

#[test]
fn hashing_needs_to_know_what() {
    for (hash_on, needed) in [
        ("header", "hash_on_header"),
        ("cookie", "hash_on_cookie"),
        ("query_arg", "hash_on_query_arg"),
        ("uri_capture", "hash_on_uri_capture"),
    ] {
        let text = "failed conditional validation given value of field 'hash_on'";
        let fields = json!({ "@entity": [text], needed: "required field missing" });
        let input = json!({ "name": "u", "hash_on": hash_on });
        assert_eq!(create("upstreams", input), Err(fields));
        assert_eq!(upstream(json!({ "hash_on": hash_on, needed: "x" }))["hash_on"], hash_on);
    }
    let fields = json!({
        "@entity": ["failed conditional validation given value of field 'hash_fallback'"],
        "hash_on_cookie": "required field missing",
    });
    let input = json!({ "name": "u", "hash_on": "ip", "hash_fallback": "cookie" });
    assert_eq!(create("upstreams", input), Err(fields));
}

#[test]
fn a_fallback_is_something_else() {
    let text = "failed conditional validation given value of field 'hash_on'";
    for (hash_on, fallback, allowed) in [
        ("none", "ip", "none"),
        ("ip", "ip", "none, consumer, header, cookie, path, query_arg, uri_capture"),
        ("path", "path", "none, consumer, header, cookie, query_arg, ip, uri_capture"),
        ("consumer", "consumer", "none, ip, header, cookie, path, query_arg, uri_capture"),
    ] {
        let input = json!({ "name": "u", "hash_on": hash_on, "hash_fallback": fallback });
        let violation = format!("expected one of: {allowed}");
        let fields = json!({ "@entity": [text], "hash_fallback": violation });
        assert_eq!(create("upstreams", input), Err(fields));
    }
    for kind in ["header", "query_arg", "uri_capture"] {
        let (on, fallback) = (format!("hash_on_{kind}"), format!("hash_fallback_{kind}"));
        let input = json!({
            "name": "u", "hash_on": kind, "hash_fallback": kind, on.as_str(): "a", fallback.as_str(): "a",
        });
        let text = format!("values of these fields must be distinct: '{on}', '{fallback}'");
        assert_eq!(create("upstreams", input), Err(json!({ "@entity": [text] })));
    }
}

#[test]
fn what_kong_does_not_have_shows_only_where_it_is_used() {
    let plain = upstream(json!({}));
    for name in [
        "sticky_sessions_cookie",
        "sticky_sessions_cookie_path",
        "retry",
        "slow_start",
        "panic_policy",
    ] {
        assert_eq!(plain.get(name), None, "{name}");
    }
    assert_eq!(plain["healthchecks"]["passive"].get("ejection"), None);
    let own = json!({
        "retry": { "http_statuses": [503], "budget": 20 },
        "slow_start": 5,
        "panic_policy": "fail-open",
        "healthchecks": { "passive": { "ejection": {} } },
    });
    let made = upstream(own);
    assert_eq!(
        made["retry"],
        json!({
            "http_statuses": [503], "methods": null, "timeout": null,
            "backoff": 0, "backoff_max": 1, "budget": 20, "budget_min": 10,
        })
    );
    let ejection = json!({ "time": 30, "max_time": 300, "max_percent": 50 });
    assert_eq!(made["healthchecks"]["passive"]["ejection"], ejection);
    let typed = Upstream::from_body(&made.to_string()).expect("an upstream");
    assert_eq!(typed.panic_policy, Some(super::PanicPolicy::FailOpen));
    assert_eq!(typed.retry.and_then(|retry| retry.http_statuses), Some(vec![503]));
    let back = update(
        "upstreams",
        &made,
        json!({
            "retry": null, "slow_start": null, "panic_policy": null,
            "healthchecks": { "passive": { "ejection": null } },
        }),
    );
    assert_eq!(back, Ok(plain));
}

#[test]
fn sticky_sessions_need_a_cookie_and_hash_nothing() {
    let text = "failed conditional validation given value of field 'algorithm'";
    let fields = json!({ "@entity": [text], "sticky_sessions_cookie": "required field missing" });
    let input = json!({ "name": "u", "algorithm": "sticky-sessions" });
    assert_eq!(create("upstreams", input), Err(fields));
    let made = upstream(json!({
        "algorithm": "sticky-sessions", "sticky_sessions_cookie": "stick", "hash_on": "ip",
    }));
    assert_eq!((&made["algorithm"], &made["hash_on"]), (&json!("sticky-sessions"), &json!("none")));
    let message = "schema violation (algorithm: expected one of: consistent-hashing, \
                   least-connections, round-robin, latency)";
    assert_eq!(refusal("upstreams", json!({ "name": "u", "algorithm": "random" })), message);
}

proptest! {
    #[test]
    fn what_hashes_has_something_to_hash(
        algorithm in prop::option::of(prop::sample::select(Algorithm::WORDS.to_vec())),
        hash_on in prop::option::of(prop::sample::select(vec!["none", "ip", "path", "consumer"])),
        patched in prop::option::of(prop::sample::select(Algorithm::WORDS.to_vec())),
    ) {
        let mut input = json!({ "name": "u", "sticky_sessions_cookie": "s" });
        for (name, value) in [("algorithm", algorithm), ("hash_on", hash_on)] {
            if let Some(value) = value {
                input[name] = json!(value);
            }
        }
        let made = create("upstreams", input).expect("a valid upstream");
        let patch = patched.map_or(json!({}), |algorithm| json!({ "algorithm": algorithm }));
        let updated = update("upstreams", &made, patch).expect("a valid upstream");
        for upstream in [&made, &updated] {
            let hashes = upstream["algorithm"] == "consistent-hashing";
            prop_assert_eq!(hashes, upstream["hash_on"] != "none", "{}", upstream);
        }
        prop_assert_eq!(create("upstreams", updated.clone()), Ok(updated));
    }
}
