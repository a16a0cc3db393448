use serde_json::json;

use crate::samples::Limit;

#[test]
fn properties_say_what_json_schema_can_say() {
    let schema = Limit::record().openapi();
    let property = |name: &str| schema["properties"][name].clone();
    assert_eq!(
        property("burst"),
        json!({
            "type": ["integer", "null"],
            "description": "How many at a time.",
            "minimum": 0,
            "maximum": 255,
            "default": 5,
        })
    );
    assert_eq!(property("policy")["type"], "string");
    assert_eq!(property("policy")["enum"], json!(["local", "redis"]));
    assert_eq!(property("minute")["exclusiveMinimum"], 0);
    assert_eq!(property("id")["format"], "uuid");
    assert_eq!(property("updated_at")["readOnly"], json!(true));
    assert_eq!(property("tags")["items"]["minLength"], 1);
    assert_eq!(property("headers")["additionalProperties"]["type"], "array");
    assert_eq!(property("redis")["properties"]["port"]["maximum"], 65535);
    assert_eq!(property("owner")["properties"]["id"]["format"], "uuid");
    assert_eq!(property("every")["writeOnly"], json!(true));
    assert_eq!(property("redis_port")["deprecated"], json!(true));
    assert_eq!(schema["required"], json!(["name"]));
    assert_eq!(schema["additionalProperties"], json!(false));
}
