use serde_json::{Value, json};

use crate::samples::{Limit, shapes};

fn field(name: &str) -> Value {
    let described = Limit::record().describe();
    let fields = described["fields"].as_array().cloned().unwrap_or_default();
    fields.into_iter().find_map(|field| field.get(name).cloned()).unwrap_or_default()
}

#[test]
fn attributes_have_kongs_names() {
    assert_eq!(
        field("burst"),
        json!({
            "type": "integer",
            "required": false,
            "description": "How many at a time.",
            "default": 5,
            "between": [0, 255],
        })
    );
    assert_eq!(field("policy")["one_of"], json!(["local", "redis"]));
    assert_eq!(field("minute")["gt"], json!(0));
    assert_eq!(field("id")["uuid"], json!(true));
    assert_eq!(field("id")["auto"], json!(true));
    assert_eq!(field("name")["unique"], json!(true));
    assert_eq!(field("tags")["elements"]["type"], "string");
    assert_eq!(field("headers")["keys"]["match"], "^[a-z-]+$");
    assert_eq!(field("secret")["referenceable"], json!(true));
    assert_eq!(field("owner")["type"], "foreign");
    assert_eq!(field("owner")["reference"], "owners");
    assert_eq!(field("redis")["fields"][1]["port"]["default"], 6379);
}

#[test]
fn fields_stand_in_the_order_of_the_declaration() {
    let described = Limit::record().describe();
    let fields = described["fields"].as_array().cloned().unwrap_or_default();
    let names = fields.iter().filter_map(|f| f.as_object()?.keys().next().cloned());
    let declared: Vec<&str> = Limit::record().fields().map(|(name, _)| name).collect();
    assert_eq!(names.collect::<Vec<_>>(), declared);
}

#[test]
fn rules_show_what_they_ask_beyond_the_declaration() {
    assert_eq!(
        Limit::record().describe()["entity_checks"],
        json!([
            { "at_least_one_of": ["minute", "hour"] },
            { "conditional": {
                "if_field": "policy",
                "if_match": { "eq": "redis" },
                "then_field": "redis.host",
                "then_match": { "required": true },
            } },
        ])
    );
}

#[test]
fn deprecated_inputs_say_what_to_use() {
    let shorthand = &Limit::record().describe()["shorthand_fields"][0]["redis_port"];
    assert_eq!(
        shorthand["deprecation"],
        json!({
            "message": "limits: use redis.port",
            "removal_in_version": "4.0",
            "replaced_with": [{ "path": ["redis", "port"] }],
        })
    );
}

#[test]
fn a_subschema_shows_what_it_declares() {
    let shapes = shapes();
    let square = shapes.subschema("square").map(|s| s.describe()).unwrap_or_default();
    assert_eq!(square["fields"][0]["config"]["fields"][0]["side"]["required"], json!(true));
    assert_eq!(square["fields"][1]["note"]["eq"], json!(null));
    assert!(shapes.subschema("flat").is_none());
}

#[test]
fn defaults_leave_out_what_is_null() {
    let defaults = json!({
        "policy": "local", "burst": 5, "enabled": true, "redis": { "port": 6379 },
    });
    assert_eq!(Value::Object(Limit::record().defaults()), defaults);
}
