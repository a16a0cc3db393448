use schema::Field;
use serde_json::{Value, json};

use super::{
    cookie_name, header_name, host, host_with_optional_port, http_method, ip_or_cidr, path,
    route_host, router_path, sni, tags, utf8_name, wildcard_host,
};
use crate::testing::violation;

fn check(field: fn() -> Field, values: &[(&str, Option<&str>)]) {
    for (value, text) in values {
        assert_eq!(violation(field(), json!(value)), json!(text), "{value}");
    }
}

#[test]
fn hosts() {
    check(
        host,
        &[
            ("UPPER.Example", None),
            ("::1", None),
            ("[2001:db8::1]", None),
            ("a.example:80", Some("must not have a port")),
            ("a.example:99999", Some("must not have a port")),
            ("1.2.3", Some("invalid value: 1.2.3")),
            ("sp ace", Some("invalid value: sp ace")),
        ],
    );
    check(
        host_with_optional_port,
        &[
            ("h.example:8080", None),
            ("h.example:99999", Some("invalid port number")),
            ("bad host", Some("invalid hostname: bad host")),
        ],
    );
    check(
        sni,
        &[
            ("a.example", None),
            ("1.2.3.4", Some("must not be an IP")),
            ("a.example:1", Some("must not have a port")),
            ("*.example", Some("invalid value: *.example")),
        ],
    );
    check(
        wildcard_host,
        &[
            ("*", None),
            ("*.a.example", None),
            ("b.*", None),
            ("a.*.b", Some("wildcard must be leftmost or rightmost character")),
            ("*.a.*", Some("only one wildcard must be specified")),
            ("::1", Some("must not be an IP")),
        ],
    );
    check(
        route_host,
        &[
            ("*.example:80", None),
            ("example.*", None),
            ("[::1]:80", None),
            ("*.*.example", Some("invalid wildcard: must have at most one wildcard")),
            ("*", Some("invalid wildcard: must be placed at leftmost or rightmost label")),
            ("a*.example", Some("invalid wildcard: must be placed at leftmost or rightmost label")),
            ("a.example:99999", Some("invalid port number")),
            ("bad host", Some("invalid hostname: bad host")),
        ],
    );
    check(
        ip_or_cidr,
        &[
            ("::1", None),
            ("10.0.0.0/8", None),
            ("10.1.2.3/8", None),
            ("10.0.0.0/33", Some("invalid ip or cidr range: '10.0.0.0/33'")),
            ("a.example", Some("invalid ip or cidr range: 'a.example'")),
        ],
    );
}

#[test]
fn names() {
    check(
        utf8_name,
        &[
            ("a-b.c_d~1", None),
            ("ünï", None),
            (
                "sp ace",
                Some(
                    "invalid value 'sp ace': the only accepted ascii characters are alphanumerics or \
                 ., -, _, and ~",
                ),
            ),
        ],
    );
    check(http_method, &[("PROPFIND", None), ("get", Some("invalid value: get"))]);
    check(
        header_name,
        &[
            ("X-My_Header1", None),
            (
                "x y",
                Some("bad header name 'x y', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
            ),
        ],
    );
    let refused = violation(cookie_name(), json!("a=b"));
    assert!(refused.as_str().unwrap().starts_with("contains one or more invalid characters."));
    assert_eq!(violation(cookie_name(), json!("a!#$%&'*+.^_`|~-1")), Value::Null);
}

#[test]
fn tags_do_not_hold_what_joins_tags_in_queries() {
    let text = |tag: &str| {
        format!(
            "invalid tag '{tag}': expected printable ascii (except `,` and `/`) or valid utf-8 \
             sequences"
        )
    };
    assert_eq!(violation(tags(), json!(["with space", "é", "a=b"])), Value::Null);
    assert_eq!(
        violation(tags(), json!(["ok", "a,b", "c/d", "t\tab"])),
        json!([null, text("a,b"), text("c/d"), text("t\tab")])
    );
}

#[test]
fn paths_of_services() {
    check(
        path,
        &[
            ("/", None),
            ("/a/b;c=1,2/%20@:!$&'()*+~._-", None),
            ("nopath", Some("should start with: /")),
            ("/a//b", Some("must not have empty segments")),
            ("/%2", Some("invalid url-encoded value: '%2'")),
            ("/%zz/%20", Some("invalid url-encoded value: '%zz'")),
            (
                "/a b",
                Some(
                    "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)",
                ),
            ),
        ],
    );
}

#[test]
fn paths_of_routes() {
    check(
        router_path,
        &[
            ("/a b", None),
            ("/ü", None),
            ("/a?b=c", None),
            ("~/a/(?<id>\\d+)$", None),
            ("~noslash", Some("should start with: / (fixed path) or ~/ (regex path)")),
            ("noslash", Some("should start with: / (fixed path) or ~/ (regex path)")),
            ("//double", Some("must not have empty segments")),
            ("~/a//b", Some("must not have empty segments")),
            ("~/%2", Some("invalid url-encoded value: '%2'")),
            ("/a/../b", Some("non-normalized path, consider use '/b' instead")),
        ],
    );
    let refused = violation(router_path(), json!("~/re(gex"));
    assert!(refused.as_str().unwrap().starts_with("invalid regex: '/re(gex' (PCRE returned: "));
}
