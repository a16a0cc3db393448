use proptest::prelude::*;
use serde_json::json;

use super::*;

fn check(text: &str, expected: Value) {
    assert_eq!(Value::Object(nest(parse(text.as_bytes()).unwrap()).unwrap()), expected, "{text}");
}

#[test]
fn names_nest() {
    check("name=a&port=80", json!({"name": "a", "port": "80"}));
    check("a.b.c=1&a.b.d=2", json!({"a": {"b": {"c": "1", "d": "2"}}}));
    check("a[b][c]=1&a.b[d]=2", json!({"a": {"b": {"c": "1", "d": "2"}}}));
    check("config.map[x.y]=v", json!({"config": {"map": {"x.y": "v"}}}));
    check("service.id=U", json!({"service": {"id": "U"}}));
}

#[test]
fn lists() {
    check("a=1&a=2&a=3", json!({"a": ["1", "2", "3"]}));
    check("a[]=1&a[]=2", json!({"a": ["1", "2"]}));
    check("a[]=1", json!({"a": ["1"]}));
    check("a=1&a[]=2", json!({"a": ["1", "2"]}));
    check("a[2]=second&a[1]=first", json!({"a": ["first", "second"]}));
    check("a[1].b=v&a[1].c=w&a[2].b=x", json!({"a": [{"b": "v", "c": "w"}, {"b": "x"}]}));
    check("headers.x-a=1&headers.x-a=2", json!({"headers": {"x-a": ["1", "2"]}}));
    check("headers[x-b][1]=one&headers[x-b][2]=two", json!({"headers": {"x-b": ["one", "two"]}}));
    check("headers[x-foo][]=v", json!({"headers": {"x-foo": ["v"]}}));
}

#[test]
fn values_are_decoded() {
    check("a=1+2%2B3&%61%5Bb%5D=%26%3D", json!({"a": {"b": "&="}}));
    check("a=1+2%2B3", json!({"a": "1 2+3"}));
    check("host", json!({"host": true}));
    check("host=", json!({"host": ""}));
    check("&&a=1&", json!({"a": "1"}));
    check("a=b=c", json!({"a": "b=c"}));
}

#[test]
fn contradictions_and_oddities() {
    check("a=1&a.b=2", json!({"a": {"b": "2"}}));
    check("a.b=2&a=1", json!({"a": "1"}));
    check(".foo=1&bar.=2&a..b=3&c[d=4", json!({".foo": "1", "bar.": "2", "a..b": "3", "c[d": "4"}));
    check("a[99999999999999999999]=1", json!({"a": {"99999999999999999999": "1"}}));
    check("a[4000000000]=1", json!({"a": ["1"]}));
}

#[test]
fn limits() {
    let many = "a=1&".repeat(MAX_ARGUMENTS);
    assert_eq!(parse(many.as_bytes()).unwrap().len(), MAX_ARGUMENTS);
    assert_eq!(parse(format!("{many}b=1").as_bytes()), Err(Refused::TooMany));
    let deep = format!("a{}=1", ".a".repeat(MAX_DEPTH));
    assert!(matches!(nest(parse(deep.as_bytes()).unwrap()), Err(Refused::TooDeep(_))));
    let deep = format!("a{}=1", ".a".repeat(MAX_DEPTH - 1));
    assert!(nest(parse(deep.as_bytes()).unwrap()).is_ok());
    assert_eq!(parse(b"a=%FF"), Err(Refused::NotUtf8));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(arguments) = parse(&bytes) {
            let _ = nest(arguments);
        }
    }

    #[test]
    fn any_names_are_read(text in "([ab.\\[\\]12]{0,12}=[a-c]&){0,8}") {
        prop_assert!(nest(parse(text.as_bytes()).unwrap()).is_ok());
    }

    #[test]
    fn plain_arguments_come_back(
        pairs in proptest::collection::btree_map("[a-z_]{1,8}", "\\PC{0,12}", 0..8)
    ) {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let expected: Object = pairs.into_iter().map(|(k, v)| (k, Value::String(v))).collect();
        prop_assert_eq!(nest(parse(text.as_bytes()).unwrap()).unwrap(), expected);
    }
}
