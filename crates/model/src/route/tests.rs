use serde_json::{Value, json};

use super::RouterFlavor;
use crate::testing::{create, env, object, refusal, update};
use crate::{Route, entity};

fn in_flavor(flavor: RouterFlavor, input: Value) -> Result<Value, String> {
    let routes = entity("routes").expect("a kind");
    let created = routes.create(object(input), &env(flavor));
    created.map(Value::Object).map_err(|violations| violations.summary())
}

#[test]
fn one_match_field_is_all_that_it_takes() {
    assert_eq!(
        create("routes", json!({ "paths": ["/one"] })),
        Ok(json!({
            "id": crate::testing::ID,
            "created_at": 1_700_000_000,
            "updated_at": 1_700_000_000,
            "name": null,
            "protocols": ["http", "https"],
            "https_redirect_status_code": 426,
            "strip_path": true,
            "preserve_host": false,
            "request_buffering": true,
            "response_buffering": true,
            "tags": null,
            "service": null,
            "snis": null,
            "sources": null,
            "destinations": null,
            "methods": null,
            "hosts": null,
            "paths": ["/one"],
            "headers": null,
            "regex_priority": 0,
            "path_handling": "v0",
        }))
    );
}

#[test]
fn each_protocol_has_match_fields_of_which_one_must_be_set() {
    for (protocols, text) in [
        (
            json!(["http"]),
            "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
        ),
        (
            json!(["http", "https"]),
            "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
        ),
        (json!(["grpc"]), "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"),
        (
            json!(["grpc", "grpcs"]),
            "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'",
        ),
        (
            json!(["udp"]),
            "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'",
        ),
        (json!(["tls_passthrough"]), "must set snis when 'protocols' is 'tls_passthrough'"),
    ] {
        let message = refusal("routes", json!({ "protocols": protocols }));
        assert_eq!(message, format!("schema violation ({text})"));
        if protocols[0] != "udp" && protocols[0] != "tls_passthrough" {
            let message = refusal("routes", json!({ "protocols": protocols, "hosts": [] }));
            assert_eq!(message, format!("schema violation ({text})"), "an empty list is none");
        }
    }
}

#[test]
fn each_protocol_has_fields_that_make_no_sense() {
    let ports = json!([{ "port": 1 }]);
    for (protocols, field, value, of) in [
        (json!(["https"]), "sources", ports.clone(), "'http' or 'https'"),
        (json!(["http"]), "destinations", json!([]), "'http' or 'https'"),
        (json!(["grpc"]), "methods", json!(["GET"]), "'grpc' or 'grpcs'"),
        (json!(["grpcs"]), "sources", ports.clone(), "'grpc' or 'grpcs'"),
        (json!(["grpc"]), "strip_path", json!(true), "'grpc' or 'grpcs'"),
        (json!(["tcp"]), "hosts", json!(["h"]), "'tcp', 'tls', 'tls_passthrough' or 'udp'"),
        (json!(["tls"]), "headers", json!({}), "'tcp', 'tls', 'tls_passthrough' or 'udp'"),
    ] {
        let is_stream = of.starts_with("'tcp'");
        let matching = if is_stream { ("sources", ports.clone()) } else { ("paths", json!(["/"])) };
        let input = json!({ "protocols": protocols, matching.0: matching.1, field: value });
        let text =
            format!("schema violation ({field}: cannot set '{field}' when 'protocols' is {of})");
        assert_eq!(refusal("routes", input), text);
    }
}

#[test]
fn grpc_routes_do_not_strip_paths() {
    let route = create("routes", json!({ "protocols": ["grpc"], "paths": ["/"] }));
    assert_eq!(route.expect("a valid route")["strip_path"], json!(false));
    let stored = create("routes", json!({ "paths": ["/"] })).expect("a valid route");
    let patched = update("routes", &stored, json!({ "protocols": ["grpc"] }));
    let text = "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'";
    assert_eq!(patched, Err(json!({ "strip_path": text })));
}

#[test]
fn server_names_need_a_protocol_with_tls() {
    let text = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or \
                'tls_passthrough'";
    let input = json!({ "protocols": ["http"], "paths": ["/"], "snis": ["a.example"] });
    let fields = json!({ "@entity": [text], "snis": "length must be 0" });
    assert_eq!(create("routes", input), Err(fields));
    for protocol in ["https", "grpcs", "tls", "tls_passthrough"] {
        let input = json!({ "protocols": [protocol], "snis": ["a.example", "*.b.example"] });
        assert!(create("routes", input).is_ok(), "{protocol}");
    }
}

#[test]
fn protocols_come_from_one_group() {
    for (protocols, violation) in [
        (json!([]), json!("unknown type: nil")),
        (json!(["foo"]), json!("unknown type: foo")),
        (json!([1]), json!("unknown type: 1")),
        (json!("http"), json!("expected a set")),
        (json!(null), json!("required field missing")),
        (
            json!(["http", "tcp"]),
            json!("these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')"),
        ),
    ] {
        let input = json!({ "protocols": protocols, "paths": ["/"] });
        let found = create("routes", input).expect_err("a refusal");
        assert_eq!(found["protocols"], violation, "{protocols}");
    }
}

#[test]
fn headers_are_matched_by_values() {
    let refused = refusal("routes", json!({ "headers": { "x": [] } }));
    assert!(refused.starts_with("schema violation (Router Expression failed validation: "));
    let refused = refusal("routes", json!({ "headers": { "x": ["~*("] } }));
    assert!(refused.starts_with("schema violation (Router Expression failed validation: "));
    assert!(create("routes", json!({ "headers": { "x": ["~*^a+$", "b"] } })).is_ok());
    for name in ["host", "HOST"] {
        let message = "schema violation (headers: cannot contain 'host' header, which must be \
                       specified in the 'hosts' attribute)";
        assert_eq!(refusal("routes", json!({ "headers": { name: ["a"] } })), message);
    }
}

#[test]
fn ends_of_connections_are_addresses_or_ports() {
    let input = json!({ "protocols": ["tcp"], "sources": [{ "port": 1 }, {}] });
    let text = "at least one of these fields must be non-empty: 'ip', 'port'";
    assert_eq!(create("routes", input), Err(json!({ "sources": [null, { "@entity": [text] }] })));
    let input = json!({ "protocols": ["tcp"], "sources": [{ "ip": "10.1.2.3/8" }, { "port": 1 }] });
    let body = create("routes", input).expect("a valid route").to_string();
    let sources = Route::from_body(&body).expect("a route").sources.expect("sources");
    let address = "10.9.9.9".parse().expect("an address");
    assert!(sources[0].ip.expect("a range").contains(&address));
    assert_eq!((sources[1].ip, sources[1].port), (None, Some(1)));
}

#[test]
fn flavors_have_different_fields() {
    use RouterFlavor::{Expressions, Traditional, TraditionalCompatible};
    let wild = json!({ "snis": ["*.example"] });
    assert!(in_flavor(TraditionalCompatible, wild.clone()).is_ok());
    let message = "schema violation (snis.1: invalid value: *.example)";
    assert_eq!(in_flavor(Traditional, wild), Err(message.to_owned()));

    let expression = json!({ "expression": "http.path ^= \"/a\"", "priority": 3 });
    let route = in_flavor(Expressions, expression.clone()).expect("a valid route");
    assert_eq!(route["priority"], 3);
    let message = in_flavor(TraditionalCompatible, expression).expect_err("a refusal");
    assert!(message.contains("expression: unknown field; priority: unknown field"), "{message}");

    let http_sources = json!({ "paths": ["/"], "sources": [{ "port": 1 }] });
    assert!(in_flavor(Expressions, http_sources).is_ok());
    let message = in_flavor(Expressions, json!({})).expect_err("a refusal");
    assert!(message.contains("'paths', 'snis', 'expression' when"), "{message}");
}

#[test]
fn expressions_are_checked() {
    let message = |input| in_flavor(RouterFlavor::Expressions, input).expect_err("a refusal");
    let prefix = "schema violation (Router Expression failed validation: ";
    for (input, text) in [
        (json!({ "expression": "http.path ^=" }), ""),
        (json!({ "expression": "http.nothing == \"a\"" }), ""),
        (json!({ "expression": "net.dst.port == \"80\"" }), ""),
        (json!({ "expression": "http.path == \"/\"", "protocols": ["tcp"] }), ""),
        (
            json!({ "expression": "http.path.segments.01 == \"a\"" }),
            "illformed http.path.segments.* field",
        ),
        (
            json!({ "expression": "http.path.segments.2_1 == \"a\"" }),
            "illformed http.path.segments.* field",
        ),
        (json!({ "expression": "(".repeat(5000) }), "parentheses are nested more than 100 deep"),
        (
            json!({ "expression": "http.path == \"/\"", "paths": ["/"] }),
            "cannot set 'expression' with ",
        ),
        (
            json!({ "expression": "http.path == \"/\"", "regex_priority": 1 }),
            "cannot set 'regex_priority' with 'expression' simultaneously",
        ),
        (json!({ "paths": ["/"], "priority": 1 }), "cannot set 'priority' with 'methods', "),
    ] {
        let found = message(input.clone());
        assert!(found.starts_with(&format!("{prefix}{text}")), "{input}: {found}");
    }
    for expression in [
        "http.path.segments.len == 2 && http.path.segments.0_1 == \"a/b\"",
        "net.src.ip in 10.0.0.0/8 || http.headers.x_a == \"1\"",
    ] {
        let input = json!({ "expression": expression });
        assert!(in_flavor(RouterFlavor::Expressions, input).is_ok(), "{expression}");
    }
}
