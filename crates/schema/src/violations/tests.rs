use serde_json::json;

use super::{Violation, Violations};

fn nested() -> Violations {
    let mut inner = Violations::field("port", "too large");
    inner.entity.push("no host".to_owned());
    inner.set("deep", Violations::field("er", "bad"));
    let mut all = Violations::of_entity("one of them");
    all.set("redis", inner);
    all.set("list", Violation::Items(vec![None, Some("wrong".into())]));
    all.set("name", "taken");
    all
}

#[test]
fn one_violation_is_not_counted_in_the_message() {
    let violations = Violations::field("host", "required field missing");
    assert_eq!(violations.count(), 1);
    assert_eq!(violations.summary(), "schema violation (host: required field missing)");
}

#[test]
fn rules_between_fields_come_first_then_fields_by_name() {
    let violations = nested();
    assert_eq!(violations.count(), 6);
    assert_eq!(
        violations.summary(),
        "6 schema violations (one of them; list.2: wrong; name: taken; \
         redis.@entity: {\n  \"no host\"\n}; redis.deep: {\n  er = \"bad\"\n}; \
         redis.port: too large)"
    );
}

#[test]
fn fields_keep_their_places() {
    assert_eq!(
        nested().fields(),
        json!({
            "@entity": ["one of them"],
            "list": [null, "wrong"],
            "name": "taken",
            "redis": { "@entity": ["no host"], "deep": { "er": "bad" }, "port": "too large" },
        })
    );
}

#[test]
fn paths_reach_into_records_and_the_last_word_counts() {
    let mut violations = Violations::field("config", "expected a record");
    violations.set_path("config.redis.host", "required field missing");
    violations.set_path("config.redis.host", "invalid value: x");
    assert_eq!(
        violations.fields(),
        json!({ "config": { "redis": { "host": "invalid value: x" } } })
    );
    assert!(violations.has_path("config.redis"));
    assert!(!violations.has_path("config.redis.port"));
}

#[test]
fn nothing_wrong_is_ok() {
    assert_eq!(Violations::default().into_result(), Ok(()));
    assert!(nested().into_result().is_err());
}
