use serde_json::{Value, json};

use super::{Plugin, Scope};
use crate::testing::{ID, create, env, object, refusal, update};
use crate::{RouterFlavor, entity};

fn limit(config: Value) -> Value {
    json!({ "name": "limit", "config": config })
}

#[test]
fn a_plugin_has_the_config_of_its_name() {
    let made = create("plugins", limit(json!({ "minute": 5 }))).expect("a valid plugin");
    assert_eq!(made["config"], json!({ "minute": 5, "fail": false }));
    assert_eq!(made["protocols"], json!(["grpc", "grpcs", "http", "https"]));
    assert_eq!((&made["route"], &made["consumer"]), (&Value::Null, &Value::Null));
    let typed = Plugin::from_body(&made.to_string()).expect("a plugin");
    assert_eq!(typed.config["minute"], 5);

    let patched = update("plugins", &made, json!({ "config": { "fail": true } }));
    assert_eq!(patched.expect("a valid plugin")["config"], json!({ "minute": 5, "fail": true }));
    let patched = update("plugins", &made, json!({ "config": { "minute": null } }));
    let text = "when updating, at least one of these fields must be non-empty: 'config.minute'";
    assert_eq!(patched, Err(json!({ "@entity": [text] })));
}

#[test]
fn without_a_known_name_nothing_more_can_be_said() {
    for (input, text) in [
        (json!({ "foo": 1 }), "required field missing".to_owned()),
        (json!({ "name": null }), "required field missing".to_owned()),
        (
            json!({ "name": "nope", "foo": 1 }),
            "plugin 'nope' not enabled; add it to the 'plugins' configuration property".to_owned(),
        ),
    ] {
        assert_eq!(refusal("plugins", input), format!("schema violation (name: {text})"));
    }
}

#[test]
fn what_is_wrong_with_the_config_is_said_by_member() {
    for (config, violation) in [
        (json!("x"), json!("expected a record")),
        (json!({ "minute": 0 }), json!({ "minute": "value must be greater than 0" })),
        (json!({ "minute": 1, "x": 1 }), json!({ "x": "unknown field" })),
    ] {
        let found = create("plugins", limit(config)).expect_err("a refusal");
        assert_eq!(found["config"], violation);
    }
}

#[test]
fn a_plugin_may_not_have_every_scope_or_protocol() {
    let with = |field: &str, value: Value| {
        let mut input = limit(json!({ "minute": 1 }));
        input[field] = value;
        create("plugins", input)
    };
    assert!(with("service", json!({ "id": ID })).is_ok());
    let found = with("consumer", json!({ "id": ID }));
    assert_eq!(found, Err(json!({ "consumer": "value must be null" })));
    let found = with("protocols", json!(["http", "tcp"]));
    let text = "expected one of: grpc, grpcs, http, https";
    assert_eq!(found, Err(json!({ "protocols": [null, text] })));
    let found = with("route", json!({ "id": "x" }));
    assert_eq!(found, Err(json!({ "route": { "id": "expected a valid UUID" } })));
}

#[test]
fn form_values_have_the_types_of_the_plugin() {
    let plugins = entity("plugins").expect("a kind");
    let form = json!({ "name": "limit", "config": { "minute": "5", "fail": "true" } });
    let typed = plugins.coerce(object(form), &env(RouterFlavor::Traditional));
    assert_eq!(typed["config"], json!({ "minute": 5, "fail": true }));
}

#[test]
fn a_plugin_and_its_route_have_a_protocol_in_common() {
    let with = |protocols: Value| object(json!({ "protocols": protocols }));
    let plugin = with(json!(["http", "https"]));
    let check = |scope, routes: &[Value]| {
        let routes: Vec<_> = routes.iter().cloned().map(with).collect();
        Plugin::check_protocols(&plugin, scope, &routes).map_err(|v| v.fields())
    };
    assert_eq!(check(Scope::Route, &[json!(["https"])]), Ok(()));
    assert_eq!(
        check(Scope::Route, &[json!(["grpc"])]),
        Err(json!({ "protocols": "must match the associated route's protocols" }))
    );
    assert_eq!(check(Scope::Service, &[]), Ok(()));
    assert_eq!(check(Scope::Service, &[json!(["tcp"]), json!(["http"])]), Ok(()));
    let text = "must match the protocols of at least one route pointing to this Plugin's service";
    assert_eq!(check(Scope::Service, &[json!(["tcp"])]), Err(json!({ "protocols": text })));
}
