use serde_json::{Value, json};

use crate::surroundings::Nothing;
use crate::validate::validate_field;
use crate::{Field, Phase, Violation};

fn check(field: &Field, value: Value, violation: Option<&str>) {
    let found = validate_field(field, &value, Phase::Insert, &Nothing);
    let expected = match violation {
        Some(text) => Err(Violation::from(text)),
        None => Ok(()),
    };
    assert_eq!(found, expected, "{value}");
}

#[test]
fn numbers() {
    let port = Field::integer().between(0, 65535);
    check(&port, json!(0), None);
    check(&port, json!(65535), None);
    check(&port, json!(65536), Some("value should be between 0 and 65535"));
    check(&port, json!(-1), Some("value should be between 0 and 65535"));
    check(&Field::number().greater_than(0), json!(0), Some("value must be greater than 0"));
    check(&Field::number().greater_than(0), json!(0.5), None);
    check(&Field::integer().timestamp(), json!(0), Some("expected a valid timestamp"));
    check(&Field::integer().one_of([301, 302]), json!(300), Some("expected one of: 301, 302"));
    check(&Field::integer().one_of([301, 302]), json!(301.0), None);
}

#[test]
fn integers_are_whole_and_of_a_size_that_can_be_stored() {
    check(&Field::integer(), json!(1.0), None);
    check(&Field::integer(), json!(1.5), Some("expected an integer"));
    check(&Field::integer(), json!(1e300), Some("expected an integer"));
    check(&Field::integer(), json!(u64::MAX), Some("expected an integer"));
    check(&Field::integer(), json!(i64::MIN), None);
}

#[test]
fn texts() {
    check(&Field::string(), json!(""), Some("length must be at least 1"));
    check(&Field::string().may_be_empty(), json!(""), None);
    check(&Field::string().length(2), json!("abc"), Some("length must be 2"));
    check(&Field::string().length_at_most(2), json!("abc"), Some("length must be at most 2"));
    check(&Field::string().starts_with("/"), json!("a"), Some("should start with: /"));
    check(&Field::string().matches("^[A-Z]+$"), json!("get"), Some("invalid value: get"));
    check(&Field::string().matches_not("x"), json!("axe"), Some("invalid value: axe"));
    check(&Field::string().not_one_of(["env"]), json!("env"), Some("must not be one of: env"));
    check(&Field::string().equal("a"), json!("b"), Some("value must be a"));
    check(&Field::boolean().not_equal(true), json!(true), Some("value must not be true"));
    check(&Field::string().regex(), json!("a("), Some("not a valid regex: a("));
    check(&Field::string().uuid(), json!("x"), Some("expected a valid UUID"));
    let id = "ABCDEF00-0000-0000-0000-00000000005b";
    check(&Field::string().uuid(), json!(id), None);
    check(&Field::string().uuid(), json!(id.replace('-', "")), Some("expected a valid UUID"));
}

#[test]
fn the_first_rule_in_kongs_order_has_the_word() {
    let path = Field::string()
        .check(|_| Err("last".to_owned()))
        .matches_all(&[("^x", "third")])
        .matches_none(&[("//", "second")])
        .starts_with("/");
    check(&path, json!("a//"), Some("should start with: /"));
    check(&path, json!("//"), Some("second"));
    check(&path, json!("/a"), Some("third"));
    check(&path, json!(""), Some("length must be at least 1"));
}

#[test]
fn a_field_can_have_a_text_of_its_own() {
    let field = Field::boolean().not_equal(true).error("cannot be set");
    check(&field, json!(true), Some("cannot be set"));
    check(&field, json!("x"), Some("expected a boolean"));
    check(&Field::string().must_be_null().error("no"), json!("x"), Some("no"));
    check(&Field::string().must_be_null(), json!("x"), Some("value must be null"));
    check(&Field::string().must_be_null(), json!(null), None);
}

#[test]
fn lists() {
    let groups: &[&[&'static str]] = &[&["http", "https"], &["tcp"], &["grpc"]];
    let field = Field::set(Field::string()).mutually_exclusive_subsets(groups);
    check(&field, json!(["https", "http"]), None);
    check(
        &field,
        json!(["grpc", "https", "other"]),
        Some("these sets are mutually exclusive: ('grpc'), ('http', 'https')"),
    );
    let field = Field::array(Field::string()).contains("a");
    check(&field, json!(["b", "a"]), None);
    check(&field, json!(["b"]), Some("expected to contain: a"));
    check(&Field::set(Field::string()).length(0), json!(["b"]), Some("length must be 0"));
}

#[test]
fn null_is_refused_by_what_wants_a_value() {
    check(&Field::string(), json!(null), None);
    check(&Field::string().equal("a"), json!(null), Some("value must be a"));
    check(&Field::string().not_equal(Value::Null), json!(null), Some("value must not be null"));
    check(&Field::string().required(), json!(null), Some("required field missing"));
}
