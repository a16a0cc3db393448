use proptest::prelude::*;
use serde_json::{Value, json};

use crate::samples::{Fixed, Limit, login, object, shapes};
use crate::{Field, Object, Record};

fn process(input: Value) -> Value {
    Limit::record().process(object(input), &Fixed).expect("a valid limit").into()
}

fn defaults() -> Value {
    json!({
        "id": "00000000-0000-0000-0000-000000000007",
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_000,
        "name": "n",
        "policy": "local",
        "minute": 1,
        "hour": null,
        "burst": 5,
        "enabled": true,
        "redis": { "host": null, "port": 6379 },
        "tags": null,
        "list": null,
        "headers": null,
        "secret": "secret",
        "owner": null,
    })
}

/// The stored limit of [`defaults`] with some members changed.
fn stored(changes: Value) -> Object {
    let mut stored = object(defaults());
    stored.extend(object(changes));
    stored
}

#[test]
fn absent_fields_get_their_defaults() {
    assert_eq!(process(json!({ "name": "n", "minute": 1 })), defaults());
}

#[test]
fn null_is_not_absent() {
    let limit = process(json!({ "name": "n", "minute": 1, "burst": null, "created_at": null }));
    assert_eq!(limit["burst"], json!(null));
    assert_eq!(limit["created_at"], json!(1_700_000_000), "a time is made all the same");
}

#[test]
fn what_is_given_is_kept_in_one_form() {
    let limit = process(json!({
        "id": "ABCDEF00-0000-4000-8000-00000000005B",
        "created_at": 5,
        "updated_at": "nonsense",
        "name": "n",
        "minute": 2.0,
        "burst": 3.0,
        "tags": ["b", "a", "b"],
        "list": [200, 200],
        "redis": { "port": 1 },
        "owner": { "id": "ABCDEF00-0000-4000-8000-00000000005C", "name": "dropped" },
    }));
    assert_eq!(limit["id"], "abcdef00-0000-4000-8000-00000000005b");
    assert_eq!(limit["created_at"], 5);
    assert_eq!(limit["updated_at"], 1_700_000_000);
    assert_eq!(limit["minute"].to_string(), "2");
    assert_eq!(limit["burst"].to_string(), "3");
    assert_eq!(limit["tags"], json!(["b", "a"]));
    assert_eq!(limit["list"], json!([200, 200]));
    assert_eq!(limit["redis"], json!({ "host": null, "port": 1 }));
    assert_eq!(limit["owner"], json!({ "id": "abcdef00-0000-4000-8000-00000000005c" }));
}

#[test]
fn a_typed_struct_mirrors_what_comes_out() {
    let limit: Limit = serde_json::from_value(defaults()).expect("the mirror of its record");
    assert_eq!(limit.burst, Some(5));
    assert_eq!(limit.redis.port, Some(6379));
    assert_eq!(serde_json::to_value(&limit).expect("JSON")["redis"], defaults()["redis"]);
}

#[test]
fn shorthands_win_over_the_fields_that_they_stand_for() {
    let limit = process(json!({ "name": "n", "every": 9, "minute": 1 }));
    assert_eq!((&limit["minute"], &limit["hour"]), (&json!(9), &json!(9)));
    assert_eq!(limit.get("every"), None);
}

#[test]
fn a_wrong_shorthand_is_all_that_is_said() {
    let found = Limit::record().process(object(json!({ "every": "x" })), &Fixed);
    assert_eq!(found.map_err(|v| v.fields()), Err(json!({ "every": "expected a number" })));
}

#[test]
fn deprecated_inputs_yield_to_what_replaced_them() {
    let limit = process(json!({ "name": "n", "minute": 1, "redis_port": 1 }));
    assert_eq!(limit["redis"], json!({ "host": null, "port": 1 }));
    let same = json!({ "name": "n", "minute": 1, "redis_port": 1, "redis": { "port": 1 } });
    assert_eq!(process(same)["redis"]["port"], 1);
    let other = json!({ "name": "n", "minute": 1, "redis_port": 1, "redis": { "port": 2 } });
    let found = Limit::record().process(object(other), &Fixed);
    assert_eq!(
        found.map_err(|v| v.fields()),
        Err(json!({
            "redis_port": "both deprecated and new field are used but their values mismatch: \
                           redis_port = 1 vs redis.port = 2",
        }))
    );
}

#[test]
fn deprecated_inputs_are_shown_beside_what_replaced_them() {
    let mut limit = object(defaults());
    Limit::record().show_deprecated(&mut limit, &Fixed);
    assert_eq!(limit["redis_port"], 6379);
    let again = Limit::record().process(limit, &Fixed).expect("what is shown can be written");
    assert_eq!(Value::Object(again), defaults());
}

#[test]
fn an_update_merges_records_and_replaces_the_rest() {
    let stored = stored(json!({ "tags": ["a"], "headers": { "a": ["1"] }, "updated_at": 1 }));
    let patch = json!({ "redis": { "host": "h" }, "tags": ["b"], "headers": { "b": ["2"] } });
    let updated =
        Limit::record().process_update(object(patch), &stored, &Fixed).expect("a valid limit");
    assert_eq!(updated["redis"], json!({ "host": "h", "port": 6379 }));
    assert_eq!(updated["tags"], json!(["b"]));
    assert_eq!(updated["headers"], json!({ "b": ["2"] }));
    assert_eq!(updated["updated_at"], 1_700_000_000);
    assert_eq!(updated["secret"], "secret", "nothing is generated anew");
}

#[test]
fn an_update_is_judged_by_what_comes_out() {
    let updated = Limit::record().process_update(
        object(json!({ "minute": null, "redis": null })),
        &stored(json!({})),
        &Fixed,
    );
    assert_eq!(
        updated.map_err(|v| v.fields()),
        Err(json!({
            "@entity": ["when updating, at least one of these fields must be non-empty: \
                         'minute', 'hour'"],
            "redis": "required field missing",
        }))
    );
}

#[test]
fn a_field_added_since_gets_its_default_with_the_next_update() {
    let mut stored = stored(json!({}));
    stored.remove("burst");
    stored.insert("redis".to_owned(), json!({ "host": "h" }));
    let updated = Limit::record()
        .process_update(object(json!({ "hour": 2 })), &stored, &Fixed)
        .expect("a valid limit");
    assert_eq!(updated["burst"], 5);
    assert_eq!(updated["redis"], json!({ "host": "h", "port": 6379 }));
}

#[test]
fn an_update_without_the_deciding_field_has_the_stored_one() {
    let stored = object(json!({ "kind": "round", "config": { "radius": 1 }, "note": null }));
    let patched = |patch| shapes().process_update(object(patch), &stored, &Fixed);
    let grown = patched(json!({ "config": { "radius": 2 } })).expect("a valid shape");
    assert_eq!(grown["config"], json!({ "radius": 2 }));
    let turned = patched(json!({ "kind": "square", "config": { "side": 2 } }));
    assert_eq!(
        turned.map_err(|v| v.fields()),
        Err(json!({ "config": { "radius": "unknown field" } }))
    );
}

fn login_update(patch: Value) -> Result<Value, Value> {
    let stored = object(json!({ "name": null, "realm": "r", "password": "hash" }));
    let updated = login().process_update(object(patch), &stored, &Fixed);
    updated.map(|login| login["password"].clone()).map_err(|v| v.fields())
}

#[test]
fn what_is_transformed_is_transformed_once() {
    let made = login().process(object(json!({ "realm": "r", "password": "p" })), &Fixed);
    assert_eq!(made.expect("a valid login")["password"], json!("\"p\"@\"r\""));
    assert_eq!(login_update(json!({ "name": "n" })), Ok(json!("hash")));
    assert_eq!(login_update(json!({ "realm": "r" })), Ok(json!("hash")));
    assert_eq!(login_update(json!({ "password": "q" })), Ok(json!("\"q\"@\"r\"")));
    assert_eq!(login_update(json!({ "realm": "s", "password": "q" })), Ok(json!("\"q\"@\"s\"")));
}

#[test]
fn what_a_transformation_needs_cannot_change_under_it() {
    let text = "all or none of these fields must be set: 'password', 'realm'";
    assert_eq!(login_update(json!({ "realm": "s" })), Err(json!({ "@entity": [text] })));
    let made = login().process(object(json!({ "password": "p" })), &Fixed);
    assert_eq!(
        made.map_err(|v| v.fields()),
        Err(json!({ "@entity": [text], "realm": "required field missing" }))
    );
}

/// Limits as clients write them: each field absent, null, or a value of its type.
fn limits() -> impl Strategy<Value = Object> {
    let field = |value: BoxedStrategy<Value>| {
        prop_oneof![Just(None), Just(Some(Value::Null)), value.prop_map(Some)]
    };
    let number = (1..500_i32).prop_map(|n| json!(f64::from(n) / 2.0)).boxed();
    let texts = prop::collection::vec("[a-c]{1,2}", 0..4).prop_map(|texts| json!(texts)).boxed();
    (
        field("[a-z]{1,4}".prop_map(Value::from).boxed()),
        field(number.clone()),
        field(number),
        field((0..255_u8).prop_map(Value::from).boxed()),
        field(any::<bool>().prop_map(Value::from).boxed()),
        field(texts.clone()),
        field(prop::collection::vec(100..999_u16, 0..3).prop_map(|list| json!(list)).boxed()),
        field(prop::collection::btree_map("[a-z]", texts, 0..3).prop_map(|map| json!(map)).boxed()),
        field((0..65535_u16).prop_map(|port| json!({ "port": port })).boxed()),
    )
        .prop_map(|(name, minute, hour, burst, enabled, tags, list, headers, redis)| {
            let fields = [
                ("name", name),
                ("minute", minute),
                ("hour", hour),
                ("burst", burst),
                ("enabled", enabled),
                ("tags", tags),
                ("list", list),
                ("headers", headers),
                ("redis", redis),
            ];
            let given = fields.into_iter().filter_map(|(n, v)| Some((n.to_owned(), v?)));
            given.collect()
        })
}

/// As a form has it: everything is text, null is empty.
fn as_form(value: &Value) -> Value {
    match value {
        Value::Null => "".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        Value::String(_) => value.clone(),
        Value::Array(items) => items.iter().map(as_form).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), as_form(member))).collect()
        }
    }
}

fn fields_of(record: &Record, input: Object) -> Result<Object, Value> {
    record.process(input, &Fixed).map_err(|violations| violations.fields())
}

proptest! {
    #[test]
    fn what_came_out_comes_out_again(input in limits()) {
        if let Ok(once) = Limit::record().process(input, &Fixed) {
            prop_assert_eq!(Limit::record().process(once.clone(), &Fixed), Ok(once.clone()));
            let patched = Limit::record().process_update(once.clone(), &once, &Fixed);
            prop_assert_eq!(patched, Ok(once));
        }
    }

    #[test]
    fn a_form_says_the_same_as_json(input in limits()) {
        let form = object(as_form(&Value::Object(input.clone())));
        let typed = Limit::record().coerce(form, &Fixed);
        prop_assert_eq!(fields_of(Limit::record(), typed), fields_of(Limit::record(), input));
    }

    #[test]
    fn fields_that_are_not_given_are_what_the_description_says(input in limits()) {
        let described = Limit::record().describe();
        if let Ok(limit) = Limit::record().process(input.clone(), &Fixed) {
            for field in described["fields"].as_array().into_iter().flatten() {
                for (name, attributes) in field.as_object().into_iter().flatten() {
                    if let Some(default) = attributes.get("default") && !input.contains_key(name) {
                        prop_assert_eq!(&limit[name], default);
                    }
                }
            }
        }
    }
}

#[test]
fn an_extension_shows_only_where_it_is_used() {
    let options = Record::new("")
        .field("percent", Field::number().between(0, 100).default(20))
        .field("words", Field::set(Field::string()));
    let inner = Record::new("").field("extra", Field::string().extension());
    let record = Record::new("things")
        .field("name", Field::string().required())
        .field("kind", Field::string().one_of(["a", "b"]).default("a").further("c"))
        .field("inner", Field::record(inner))
        .field("options", Field::record(options).optional().extension())
        .conditional("kind", |f| f.equal("c"), "options", Field::required);
    let plain = json!({ "name": "n", "kind": "a", "inner": {} });
    let made = |input| record.process(object(input), &Fixed).map(Value::Object);
    assert_eq!(made(json!({ "name": "n" })), Ok(plain.clone()));
    let nulls = json!({ "name": "n", "options": null, "inner": { "extra": null } });
    assert_eq!(made(nulls), Ok(plain.clone()));
    let used = made(json!({ "name": "n", "kind": "c", "options": { "percent": 5 } }));
    let used = used.expect("a valid thing");
    assert_eq!(used["options"], json!({ "percent": 5, "words": null }));

    let changed = |patch| {
        let patched = record.process_update(object(patch), &object(used.clone()), &Fixed);
        Value::Object(patched.expect("a valid patch"))
    };
    assert_eq!(changed(json!({ "options": { "percent": 7 } }))["options"]["percent"], 7);
    assert_eq!(changed(json!({ "options": null, "kind": "a" })), plain);
    let mut shown = object(plain.clone());
    record.complete(&mut shown, &Fixed);
    assert_eq!(Value::Object(shown), plain);

    let refused = made(json!({ "name": "n", "kind": "d" })).map_err(|found| found.fields());
    assert_eq!(refused, Err(json!({ "kind": "expected one of: a, b" })));
    assert!(made(json!({ "name": "n", "kind": "c" })).is_err(), "its rule holds");
    let described = record.describe();
    assert_eq!(described["fields"].as_array().map(Vec::len), Some(3), "{described}");
    assert_eq!(described["entity_checks"], json!([]));
    let openapi = record.openapi();
    assert_eq!(openapi["properties"]["options"]["properties"]["percent"]["default"], 20);
    assert_eq!(openapi["properties"]["kind"]["enum"], json!(["a", "b", "c", null]));
}
