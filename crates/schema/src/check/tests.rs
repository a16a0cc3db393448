use serde_json::{Value, json};

use crate::samples::object;
use crate::surroundings::Nothing;
use crate::{CustomCheck, Field, Phase, Record, Violations};

fn record() -> Record {
    let text = || Field::string().referenceable();
    Record::new("")
        .field("a", text())
        .field("b", text())
        .field("c", Field::string())
        .field("list", Field::array(Field::string()))
}

fn check(record: &Record, value: Value, texts: &[&str]) {
    let mut given = object(value);
    record.complete(&mut given, &Nothing);
    let found = record.validate(&given, Phase::Insert, &Nothing).err().unwrap_or_default();
    assert_eq!(found.entity, texts, "{given:?}");
}

#[test]
fn how_many_may_be_set() {
    let one = record().only_one_of(&["a", "b"]);
    check(&one, json!({ "a": "x" }), &[]);
    let text = "exactly one of these fields must be non-empty: 'a', 'b'";
    check(&one, json!({}), &[text]);
    check(&one, json!({ "a": "x", "b": "y" }), &[text]);

    let some = record().at_least_one_of(&["a", "list"]);
    let text = "at least one of these fields must be non-empty: 'a', 'list'";
    check(&some, json!({ "list": [] }), &[text]);
    check(&some, json!({ "list": ["x"] }), &[]);

    let most = record().mutually_exclusive(&["a", "b"]);
    check(&most, json!({}), &[]);
    let text = "only one or none of these fields must be set: 'a', 'b'";
    check(&most, json!({ "a": "x", "b": "y" }), &[text]);

    let all = record().mutually_required(&["a", "b"]);
    check(&all, json!({ "a": "x", "b": "y" }), &[]);
    check(&all, json!({ "a": "x" }), &["all or none of these fields must be set: 'a', 'b'"]);

    let sets = record().mutually_exclusive_sets(&["a"], &["b", "c"]);
    check(&sets, json!({ "b": "x", "c": "x" }), &[]);
    let text = "these sets are mutually exclusive: ('a'), ('c')";
    check(&sets, json!({ "a": "x", "c": "x" }), &[text]);
}

#[test]
fn distinct_looks_only_at_values() {
    let distinct = record().distinct(&["a", "b", "c"]);
    check(&distinct, json!({}), &[]);
    check(&distinct, json!({ "a": "x", "c": "y" }), &[]);
    let text = "values of these fields must be distinct: 'a', 'b', 'c'";
    check(&distinct, json!({ "a": "x", "c": "x" }), &[text]);
}

#[test]
fn an_update_says_that_it_is_one() {
    let record = record().at_least_one_of(&["a"]);
    let found = record.validate(&object(json!({ "a": null })), Phase::Update, &Nothing);
    let text = "when updating, at least one of these fields must be non-empty: 'a'";
    assert_eq!(found, Err(Violations::of_entity(text)));
}

#[test]
fn a_condition_names_the_field_that_decides_and_the_one_that_is_wrong() {
    let record = record().conditional("a", |f| f.equal("x"), "b", Field::required);
    let found = record.validate(&object(json!({ "a": "x", "b": null })), Phase::Insert, &Nothing);
    assert_eq!(
        found.map_err(|found| found.fields()),
        Err(json!({
            "@entity": ["failed conditional validation given value of field 'a'"],
            "b": "required field missing",
        }))
    );
    check(&record, json!({ "a": "y" }), &[]);
    check(&record, json!({ "a": "x", "b": "z" }), &[]);
}

#[test]
fn references_to_secrets_stop_rules_about_them() {
    let record = record().mutually_required(&["a", "b"]).mutually_required(&["a", "c"]);
    check(&record, json!({ "a": "{vault://env/a}" }), &[]);
    check(
        &record,
        json!({ "c": "{vault://env/a}" }),
        &["all or none of these fields must be set: 'a', 'c'"],
    );
}

#[test]
fn own_rules_wait_until_their_fields_are_right() {
    let record = record().check(CustomCheck {
        fields: &["a"],
        with_invalid_fields: false,
        check: |_, _| Err(Violations::of_entity("never")),
    });
    check(&record, json!({ "a": 5 }), &[]);
    check(&record, json!({ "a": "x" }), &["never"]);
}

#[test]
fn rules_about_a_record_that_is_null_say_nothing_of_it_in_an_update() {
    let inner = Record::new("").field("x", Field::string()).field("y", Field::string());
    let record = Record::new("")
        .field("config", Field::record(inner))
        .at_least_one_of(&["config.x", "config.y"])
        .only_one_of(&["config.x", "config.y"]);
    let missing = json!({ "config": "required field missing" });
    let check = |phase| {
        let found = record.validate(&object(json!({ "config": null })), phase, &Nothing);
        found.map_err(|found| found.fields())
    };
    assert_eq!(check(Phase::Update), Err(missing.clone()));
    let mut whole = missing;
    let text = "at least one of these fields must be non-empty: 'config.x', 'config.y'";
    whole["@entity"] = json!([text]);
    assert_eq!(check(Phase::Insert), Err(whole));
}
