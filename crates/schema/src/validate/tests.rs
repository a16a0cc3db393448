use serde_json::{Value, json};

use crate::samples::{Fixed, Limit, object, shapes};
use crate::{Record, Violation, is_vault_reference};

fn check(record: &Record, input: Value, fields: Value) {
    let found = record.process(object(input.clone()), &Fixed).err().unwrap_or_default();
    assert_eq!(found.fields(), fields, "{input}");
}

fn limit(input: Value, fields: Value) {
    let mut whole = object(json!({ "name": "n", "minute": 1 }));
    whole.extend(object(input));
    check(Limit::record(), whole.into(), fields);
}

#[test]
fn types_are_strict() {
    limit(json!({ "name": 5 }), json!({ "name": "expected a string" }));
    limit(json!({ "minute": "5" }), json!({ "minute": "expected a number" }));
    limit(json!({ "burst": "5" }), json!({ "burst": "expected an integer" }));
    limit(json!({ "enabled": "true" }), json!({ "enabled": "expected a boolean" }));
    limit(json!({ "tags": "a" }), json!({ "tags": "expected a set" }));
    limit(json!({ "list": 200 }), json!({ "list": "expected an array" }));
    limit(json!({ "headers": "a" }), json!({ "headers": "expected a map" }));
    limit(json!({ "redis": 5 }), json!({ "redis": "expected a record" }));
}

#[test]
fn an_empty_list_and_an_empty_object_are_the_same() {
    limit(json!({ "tags": {}, "list": {}, "headers": [], "redis": [] }), json!({}));
}

#[test]
fn members_and_items_are_held_to_their_own_rules() {
    limit(
        json!({ "redis": { "port": -1 } }),
        json!({
            "redis": { "port": "value should be between 0 and 65535" },
        }),
    );
    limit(
        json!({ "list": [200, 99, 300, null] }),
        json!({
            "list": [null, "value should be between 100 and 999", null, "required field missing"],
        }),
    );
    limit(json!({ "headers": { "A": ["x"] } }), json!({ "headers": "invalid value: A" }));
    limit(json!({ "headers": { "a": [1] } }), json!({ "headers": ["expected a string"] }));
}

#[test]
fn unknown_and_missing_fields() {
    check(
        Limit::record(),
        json!({ "foo": 1, "redis": { "bar": 2 } }),
        json!({
            "@entity": ["at least one of these fields must be non-empty: 'minute', 'hour'"],
            "foo": "unknown field",
            "name": "required field missing",
            "redis": { "bar": "unknown field" },
        }),
    );
}

#[test]
fn references_are_primary_keys() {
    let id = "00000000-0000-4000-8000-000000000001";
    limit(json!({ "owner": { "id": id } }), json!({}));
    limit(json!({ "owner": id }), json!({ "owner": { "id": "missing primary key" } }));
    limit(json!({ "owner": {} }), json!({ "owner": { "id": "missing primary key" } }));
    limit(
        json!({ "owner": { "id": null } }),
        json!({ "owner": { "id": "required field missing" } }),
    );
    limit(json!({ "owner": { "id": "x" } }), json!({ "owner": { "id": "expected a valid UUID" } }));
    limit(json!({ "owner": { "foo": 1 } }), json!({ "owner": { "foo": "unknown field" } }));
}

#[test]
fn conditions_reach_into_records() {
    limit(
        json!({ "policy": "redis" }),
        json!({
            "@entity": ["failed conditional validation given value of field 'policy'"],
            "redis": { "host": "required field missing" },
        }),
    );
    limit(json!({ "policy": "redis", "redis": { "host": "h" } }), json!({}));
}

#[test]
fn references_to_secrets_are_not_looked_at() {
    limit(json!({ "secret": "x" }), json!({ "secret": "should start with: s" }));
    limit(json!({ "secret": "{vault://env/x}" }), json!({}));
    for (text, is_reference) in [
        ("{vault://a/b}", true),
        ("{vault://}", false),
        ("vault://a/b", false),
        ("{vault://a", false),
    ] {
        assert_eq!(is_vault_reference(text), is_reference, "{text}");
    }
}

#[test]
fn one_field_can_decide_what_else_there_is() {
    let shapes = shapes();
    check(&shapes, json!({}), json!({ "kind": "required field missing" }));
    check(&shapes, json!({ "kind": "flat", "foo": 1 }), json!({ "kind": "no shape flat" }));
    check(&shapes, json!({ "kind": "round" }), json!({}));
    check(
        &shapes,
        json!({ "kind": "square", "note": "x" }),
        json!({
            "config": { "side": "required field missing" },
            "note": "squares have no notes",
        }),
    );
    check(
        &shapes,
        json!({ "kind": "round", "config": { "radius": null } }),
        json!({
            "@entity": ["at least one of these fields must be non-empty: 'config.radius'"],
        }),
    );
}

#[test]
fn one_value_can_be_looked_at_by_itself() {
    let check = |name: &str, value: Value| Limit::record().validate_value(name, &value, &Fixed);
    assert_eq!(check("burst", json!(5)), Ok(()));
    let violation = Violation::from("value should be between 0 and 255");
    assert_eq!(check("burst", json!(256)), Err(violation));
    assert_eq!(check("foo", json!(1)), Err(Violation::from("unknown field")));
}
