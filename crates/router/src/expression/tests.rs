use super::{Expression, Reach};
use crate::matched::Matched;
use crate::name::Name;
use crate::request::Request;
use crate::rule::Prepared;
use crate::testing::request;

fn matched(expression: &str, request: &Request<'_>) -> Option<Option<usize>> {
    let expression = Expression::new(expression, false).unwrap();
    let mut matched = Matched::default();
    expression.evaluate(&Prepared::new(request), &mut matched).then_some(matched.prefix)
}

#[test]
fn what_kongs_crate_says() {
    let headers: &[(&str, &str)] = &[("x-a", "1"), ("X-A", "2"), ("y_b", "3")];
    let on = |host, path| Request { headers: &headers, ..request(host, path) };
    for (expression, request, holds) in [
        (r#"http.path == "/a" || http.path == "/b" && http.host == "h""#, on("x", "/a"), false),
        (r#"http.path == "/a" || (http.path == "/b" && http.host == "h")"#, on("x", "/a"), true),
        (r#"http.host != "x""#, on("", "/"), false),
        (r#"!(http.host == "x")"#, on("", "/"), true),
        (r#"http.headers.x_a == "1""#, on("", "/"), false),
        (r#"any(http.headers.x_a) == "1""#, on("", "/"), true),
        (r#"http.headers.y_b == "3""#, on("", "/"), true),
        ("net.dst.port == 0x1F90", on("h:8080", "/"), true),
        ("net.port == 8000", on("h", "/"), true),
        (r#"http.host == "UPPER.test""#, on("upper.TEST", "/"), true),
        (r#"http.path.segments.0_1 == "a/b""#, on("", "/a/b/c/"), true),
        ("http.path.segments.len == 0", on("", "/"), true),
    ] {
        assert_eq!(matched(expression, &request).is_some(), holds, "{expression}");
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    for (expression, reason) in [
        (r#"!http.host == "x""#, "expected term"),
        ("net.src.ip in 127.168.0.1/8", "host part of address was not zero"),
        (r#"net.src.ip == "1.1.1.1""#, "Type mismatch"),
        ("net.dst.port in 80", "In/NotIn operators only supports IP in CIDR"),
        ("lower(net.dst.port) == 1", "lower-case transformation"),
        (r#"upper(http.host) == "x""#, "unknown transformation function"),
        (r#"http.nothing == "x""#, "Unknown LHS field"),
        (r#"http.path.segments.01 == "x""#, "illformed http.path.segments.* field"),
        (r#"http.path ~ "(?=x)""#, "look-around"),
    ] {
        let error = Expression::new(expression, false).unwrap_err().to_string();
        assert!(error.contains(reason), "{expression}: {error}");
    }
    assert!(Expression::new(r#"http.host == "x""#, true).is_err());
}

#[test]
fn the_prefix_is_of_the_comparison_that_counts() {
    for (expression, prefix) in [
        (r#"http.path ^= "/a""#, Some(2)),
        (r#"http.path == "/ab/c""#, Some(5)),
        (r#"http.path ~ "^/a.""#, Some(3)),
        // Found elsewhere than at the start, or in a branch that failed: nothing to strip.
        (r#"http.path ~ "b""#, None),
        (r#"(http.path ^= "/a" && http.host == "x") || http.method == "GET""#, None),
        (r#"!(http.path ^= "/x")"#, None),
    ] {
        assert_eq!(matched(expression, &request("h", "/ab/c")), Some(prefix), "{expression}");
    }
}

#[test]
fn where_to_look() {
    let reach = |expression| Expression::new(expression, false).unwrap().reach();
    let exact = |name: &str| Name::Exact(name.into());
    assert_eq!(
        reach(
            r#"(http.host == "a" || http.host == "B") && http.path ^= "/x" && http.method == "GET""#
        ),
        Reach { hosts: Some(vec![exact("a"), exact("b")]), paths: Some(vec![b"/x".to_vec()]) }
    );
    assert_eq!(reach(r#"http.host == "a" || http.path == "/x""#), Reach::default());
    assert_eq!(reach(r#"!(http.host == "a")"#), Reach::default());
    assert_eq!(
        reach(r#"http.path ~ "^/v[12]/""#).paths,
        Some(vec![b"/v1/".to_vec(), b"/v2/".to_vec()])
    );
    assert_eq!(reach(r#"lower(http.path) == "/x""#).paths, None);
}
