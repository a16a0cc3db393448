use serde_json::{Value, json};

use crate::samples::{Fixed, Limit, object, shapes};

fn check(form: Value, typed: Value) {
    assert_eq!(Value::Object(Limit::record().coerce(object(form), &Fixed)), typed);
}

#[test]
fn texts_become_what_their_fields_are() {
    check(
        json!({ "minute": "1.5", "burst": " 0x10 ", "enabled": "false", "name": "12" }),
        json!({ "minute": 1.5, "burst": 16, "enabled": false, "name": "12" }),
    );
    check(json!({ "burst": "1e2", "hour": "-3" }), json!({ "burst": 100, "hour": -3 }));
    check(json!({ "every": "5", "redis_port": "80" }), json!({ "every": 5, "redis_port": 80 }));
}

#[test]
fn what_cannot_be_converted_stays_text() {
    for text in ["eighty", "inf", "nan", "1_000", "0x", "--1", "1e999"] {
        check(json!({ "burst": text }), json!({ "burst": text }));
    }
    check(json!({ "enabled": "yes", "foo": "1" }), json!({ "enabled": "yes", "foo": "1" }));
}

#[test]
fn empty_text_is_null() {
    check(
        json!({ "name": "", "tags": "", "redis": { "port": "" } }),
        json!({
            "name": null,
            "tags": null,
            "redis": { "port": null },
        }),
    );
    check(json!({ "list": [""] }), json!({ "list": [null] }));
}

#[test]
fn one_value_is_a_list_of_one() {
    check(json!({ "tags": "a,b", "list": "200" }), json!({ "tags": ["a,b"], "list": [200] }));
    check(json!({ "headers": { "a": "1" } }), json!({ "headers": { "a": ["1"] } }));
    check(json!({ "list": ["200", "x"] }), json!({ "list": [200, "x"] }));
}

#[test]
fn what_one_field_decides_counts() {
    let form = object(json!({ "kind": "square", "config": { "side": "3", "radius": "4" } }));
    let typed = json!({ "kind": "square", "config": { "side": 3, "radius": "4" } });
    assert_eq!(Value::Object(shapes().coerce(form, &Fixed)), typed);
}
