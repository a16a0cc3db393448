use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ForeignKey, UniqueKey, parse_ttl};
use crate::testing::{ID, NOW_MS, create, env, object};
use crate::{EntityType, Env, RouterFlavor, Unknown, entities, entity, entity_by_path};

const OTHER: &str = "00000000-0000-4000-8000-000000000008";

fn kind(name: &str) -> &'static EntityType {
    entity(name).expect("a kind")
}

fn keys(name: &str, body: Value) -> Vec<(&'static str, String)> {
    let parts = kind(name).row_parts(&object(body));
    parts.keys.into_iter().map(|key| (key.field, key.value)).collect()
}

#[test]
fn every_declaration_is_whole() {
    for entity in entities() {
        for flavor in [
            RouterFlavor::Traditional,
            RouterFlavor::TraditionalCompatible,
            RouterFlavor::Expressions,
        ] {
            let record = entity.record(flavor);
            assert_eq!(record.name(), entity.name);
            for (name, _) in record.fields() {
                let described = record.openapi();
                let about = &described["properties"][name]["description"];
                assert!(about.is_string(), "{}.{name} says what it is for", entity.name);
            }
        }
        if let Some(key) = entity.endpoint_key {
            let record = entity.record(RouterFlavor::Traditional);
            let field = record.get(key).expect("a field");
            assert!(field.is_unique() || entity.composite_key.is_some(), "{}.{key}", entity.name);
        }
    }
}

#[test]
fn parents_stand_before_their_children() {
    for (at, entity) in entities().iter().enumerate() {
        for field in entity.foreign_fields() {
            let parent = entities().iter().position(|other| other.name == field.entity);
            assert!(parent.expect("a kind") < at, "{}.{}", entity.name, field.name);
        }
    }
}

#[test]
fn kinds_are_found_by_name_and_by_path() {
    assert_eq!(entity("key_sets").map(|e| e.path), Some("key-sets"));
    assert_eq!(entity_by_path("key-sets").map(|e| e.name), Some("key_sets"));
    assert!(entity("key-sets").is_none() && entity_by_path("key_sets").is_none());
    assert_eq!(kind("keyauth_credentials").nested_path, "key-auth");
    assert_eq!(kind("services").nested_path, "services");
    assert_eq!(kind("services").kind().as_str(), "services");
}

#[test]
fn the_store_learns_keys_references_and_tags() {
    let mut route = create(
        "routes",
        json!({
            "name": "r", "paths": ["/"], "service": { "id": OTHER }, "tags": ["b", "a"],
        }),
    )
    .expect("a valid route");
    let parts = kind("routes").row_parts(&object(route.clone()));
    assert_eq!(parts.id.to_string(), ID);
    assert_eq!(parts.keys, [UniqueKey { field: "name", value: "r".to_owned() }]);
    assert_eq!(parts.tags, ["b", "a"]);
    assert_eq!(
        parts.references,
        [ForeignKey {
            field: "service",
            to_kind: "services",
            to_id: OTHER.parse().expect("an id"),
            on_delete: schema::DeleteRule::Restrict,
        }]
    );
    route["name"] = Value::Null;
    route["service"] = Value::Null;
    let parts = kind("routes").row_parts(&object(route));
    assert!(parts.keys.is_empty() && parts.references.is_empty(), "null is no key");
}

#[test]
fn null_counts_in_keys_of_several_fields() {
    let global = json!({ "name": "limit", "route": null, "service": null, "consumer": null });
    let scoped = json!({ "name": "limit", "service": { "id": ID } });
    let field = "name,route,service,consumer";
    assert_eq!(keys("plugins", global), [(field, r#"["limit",null,null,null]"#.to_owned())]);
    let value = format!(r#"["limit",null,{{"id":"{ID}"}},null]"#);
    assert_eq!(keys("plugins", scoped.clone()), [(field, value)]);
    let parts = kind("plugins").row_parts(&object(scoped));
    let shown = Value::Object(kind("plugins").key_fields(&parts.keys[0]));
    let fields =
        json!({ "consumer": null, "name": "limit", "route": null, "service": { "id": ID } });
    assert_eq!(shown, fields);
    let key = UniqueKey { field: "instance_name", value: "x".to_owned() };
    let shown = Value::Object(kind("plugins").key_fields(&key));
    assert_eq!(shown, json!({ "instance_name": "x" }));
}

#[test]
fn an_expiring_entity_shows_what_is_left_to_it() {
    let kind = kind("keyauth_credentials");
    let now = env(RouterFlavor::Traditional);
    let later = Env { now_ms: NOW_MS + 40_000, ..now };
    let mut key = object(
        create(
            "keyauth_credentials",
            json!({
                "key": "k", "consumer": { "id": ID },
            }),
        )
        .expect("a valid credential"),
    );
    assert_eq!(kind.shown(&key, &now)["ttl"], Value::Null);
    assert!(!kind.is_expired(&key, &later));

    kind.expire(&mut key, Some(60), &now);
    assert_eq!(kind.shown(&key, &later)["ttl"], 20);
    assert_eq!(kind.shown(&key, &later).len(), 6, "nothing else is added");
    let patched = kind.update(&key, object(json!({ "tags": ["t"] })), &later);
    let patched = patched.expect("a valid credential");
    assert_eq!(kind.shown(&patched, &later)["ttl"], 20, "a patch keeps the time");
    assert!(kind.is_expired(&patched, &Env { now_ms: NOW_MS + 60_000, ..now }));

    // Its place in the order of expiry.
    let keys = |object: &_| -> Vec<super::UniqueKey> {
        let keys = kind.row_parts(object).keys;
        keys.into_iter().filter(|key| key.field == "expires_at").collect()
    };
    let expires = NOW_MS / 1000 + 60;
    let place = &keys(&key)[0].value;
    assert!(*place >= super::EntityType::expired_before(expires - 1).value);
    assert!(*place < super::EntityType::expired_before(expires).value);

    kind.expire(&mut key, Some(0), &now);
    assert_eq!(kind.shown(&key, &now)["ttl"], Value::Null);
    assert_eq!(keys(&key), []);
}

#[test]
fn a_ttl_is_a_number_of_seconds() {
    assert_eq!(parse_ttl(&json!(null)), Ok(None));
    assert_eq!(parse_ttl(&json!(0)), Ok(Some(0)));
    assert_eq!(parse_ttl(&json!(100_000_000)), Ok(Some(100_000_000)));
    for value in [json!(-1), json!(1.5), json!(100_000_001), json!("10"), json!([])] {
        let text = "must be an integer between 0 and 100000000".to_owned();
        assert_eq!(parse_ttl(&value), Err(text), "{value}");
    }
}

#[test]
fn an_update_does_not_change_which_entity_it_is() {
    let stored = create("consumers", json!({ "username": "u" })).expect("a valid consumer");
    let patch = object(json!({ "id": OTHER, "custom_id": "1" }));
    let updated = kind("consumers").update(&object(stored), patch, &env(RouterFlavor::Traditional));
    assert_eq!(updated.expect("a valid consumer")["id"], ID);
}

#[test]
fn answers_are_complete_also_when_what_is_stored_is_older() {
    let mut stored = object(create("services", json!({ "host": "h" })).expect("a valid service"));
    stored.remove("enabled");
    let shown = kind("services").shown(&stored, &env(RouterFlavor::Traditional));
    assert_eq!(shown["enabled"], json!(true));
}

/// One input of every kind that a test can make without a key pair, with much of what it can have.
fn samples() -> Vec<(&'static str, Value)> {
    let consumer = json!({ "id": ID });
    vec![
        (
            "services",
            json!({
                "name": "s", "url": "https://a.example/p", "tags": ["a", "b", "a"], "tls_verify": true,
                "tls_verify_depth": 3, "ca_certificates": [OTHER], "client_certificate": { "id": ID },
                "retries": null, "read_timeout": 1000.0,
            }),
        ),
        (
            "routes",
            json!({
                "name": "r", "protocols": ["https", "http"], "paths": ["/a", "~/b/(?<c>\\d+)"],
                "methods": ["GET", "GET"], "hosts": ["*.a.example:8443"], "snis": ["a.example"],
                "headers": { "x-a": ["1", "~*b+"] }, "regex_priority": -7, "path_handling": "v1",
                "service": { "id": OTHER }, "https_redirect_status_code": 301,
            }),
        ),
        (
            "routes",
            json!({
                "protocols": ["udp"],
                "sources": [{ "ip": "10.1.2.3/8" }, { "port": 9 }, { "port": 9 }],
                "destinations": [{ "ip": "::1", "port": 53 }],
            }),
        ),
        (
            "upstreams",
            json!({
                "name": "u", "hash_on": "header", "hash_on_header": "X-A", "hash_fallback": "ip",
                "slots": 100, "host_header": "h.example:80", "healthchecks": {
                    "active": { "timeout": 0.5, "headers": { "x": ["1"] }, "healthy": { "interval": 5 } },
                    "threshold": 12.5,
                },
            }),
        ),
        ("targets", json!({ "upstream": { "id": ID }, "target": "2001:db8::1", "weight": 0 })),
        ("consumers", json!({ "username": "u", "custom_id": "1" })),
        ("plugins", json!({ "name": "limit", "config": { "minute": 5 }, "protocols": ["http"] })),
        ("snis", json!({ "name": "*.example", "certificate": { "id": ID } })),
        ("key_sets", json!({ "name": "set" })),
        ("vaults", json!({ "name": "env", "prefix": "my-env", "description": "d" })),
        ("keyauth_credentials", json!({ "consumer": consumer, "key": "k" })),
        ("hmacauth_credentials", json!({ "consumer": consumer, "username": "u" })),
        ("jwt_secrets", json!({ "consumer": consumer, "algorithm": "ES512" })),
        ("acls", json!({ "consumer": consumer, "group": "g", "tags": ["t"] })),
        (
            "oauth2_credentials",
            json!({
                "consumer": consumer, "name": "app", "redirect_uris": ["https://a.example"],
            }),
        ),
        ("oauth2_tokens", json!({ "credential": { "id": ID }, "expires_in": 60, "scope": "a b" })),
    ]
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

#[test]
fn what_came_out_comes_out_again() {
    let env = env(RouterFlavor::TraditionalCompatible);
    for (name, input) in samples() {
        let once = object(create(name, input).expect("a valid entity"));
        assert_eq!(kind(name).create(once.clone(), &env), Ok(once.clone()), "{name}");
        assert_eq!(kind(name).update(&once, once.clone(), &env), Ok(once.clone()), "{name}");
        let shown = kind(name).shown(&once, &env);
        let expected = once.len() + usize::from(kind(name).ttl);
        assert_eq!(shown.len(), expected, "{name} shows what is stored");
    }
}

#[test]
fn a_form_says_the_same_as_json() {
    let env = env(RouterFlavor::TraditionalCompatible);
    for (name, input) in samples() {
        let typed = kind(name).coerce(object(as_form(&input)), &env);
        assert_eq!(create(name, typed.into()), create(name, input), "{name}");
    }
}

#[test]
fn fields_that_are_not_given_are_what_the_description_says() {
    for (name, input) in samples() {
        let made = create(name, input.clone()).expect("a valid entity");
        let described = kind(name).record(RouterFlavor::TraditionalCompatible).describe();
        for field in described["fields"].as_array().expect("a list") {
            let (field, attributes) = field.as_object().and_then(|f| f.iter().next()).expect("one");
            // What follows from another field is not the default.
            let follows =
                matches!(field.as_str(), "protocol" | "port" | "algorithm" | "healthchecks");
            if let (Some(default), None, false) =
                (attributes.get("default"), input.get(field), follows)
            {
                assert_eq!(&made[field], default, "{name}.{field}");
            }
        }
    }
}

/// Whether the typed struct of the kind reads the body.
fn reads(kind: &str, body: &str) -> Result<(), crate::BodyError> {
    match kind {
        "services" => crate::Service::from_body(body).map(drop),
        "routes" => crate::Route::from_body(body).map(drop),
        "upstreams" => crate::Upstream::from_body(body).map(drop),
        "targets" => crate::Target::from_body(body).map(drop),
        "consumers" => crate::Consumer::from_body(body).map(drop),
        "plugins" => crate::Plugin::from_body(body).map(drop),
        "certificates" => crate::Certificate::from_body(body).map(drop),
        "snis" => crate::Sni::from_body(body).map(drop),
        "ca_certificates" => crate::CaCertificate::from_body(body).map(drop),
        "keys" => crate::Key::from_body(body).map(drop),
        "key_sets" => crate::KeySet::from_body(body).map(drop),
        "vaults" => crate::Vault::from_body(body).map(drop),
        "keyauth_credentials" => crate::KeyAuthCredential::from_body(body).map(drop),
        "basicauth_credentials" => crate::BasicAuthCredential::from_body(body).map(drop),
        "hmacauth_credentials" => crate::HmacAuthCredential::from_body(body).map(drop),
        "jwt_secrets" => crate::JwtSecret::from_body(body).map(drop),
        "acls" => crate::Acl::from_body(body).map(drop),
        "oauth2_credentials" => crate::OAuth2Credential::from_body(body).map(drop),
        "oauth2_tokens" => crate::OAuth2Token::from_body(body).map(drop),
        other => panic!("{other} has no typed struct"),
    }
}

/// Values as clients might write them, many of them where they do not belong.
fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![
            json!(0),
            json!(1),
            json!(-1),
            json!(80),
            json!(65536),
            json!(1.5),
            json!(2.0),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1e300),
            json!(-0.0),
        ]),
        prop::sample::select(vec![
            json!(""),
            json!("a"),
            json!("a.example"),
            json!("/"),
            json!("~/(a"),
            json!("::1"),
            json!("10.0.0.0/8"),
            json!("{vault://env/x}"),
            json!(ID),
            json!("http"),
            json!("ip"),
            json!("*"),
            json!("%"),
            json!("/%zz"),
            json!("é\u{0}"),
            json!("env"),
            json!("limit"),
        ]),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let key = prop::sample::select(vec!["id", "ip", "port", "name", "x-a", "active", "config"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4).prop_map(|members| {
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_accepted_can_be_read_typed(
        sample in prop::sample::select(samples()),
        at in any::<prop::sample::Index>(),
        value in values(),
        as_text in any::<bool>(),
    ) {
        let env = env(RouterFlavor::TraditionalCompatible);
        let (name, input) = sample;
        let mut input = object(input);
        let fields: Vec<&str> =
            kind(name).record(env.router_flavor).fields().map(|(field, _)| field).collect();
        input.insert(fields[at.index(fields.len())].to_owned(), value);
        let input = if as_text {
            kind(name).coerce(object(as_form(&Value::Object(input))), &env)
        } else {
            input
        };
        match kind(name).create(input, &env) {
            Err(violations) => prop_assert!(violations.count() > 0 && !violations.summary().is_empty()),
            Ok(made) => {
                let body = Value::Object(made.clone()).to_string();
                prop_assert!(reads(name, &body).is_ok(), "{}: {:?}", body, reads(name, &body));
                let unknown = Unknown::of(kind(name).record(env.router_flavor), &made);
                prop_assert!(unknown.is_empty(), "{unknown} of {name}");
                // A hash that is written is hashed again.
                if made.get("hash_secret") != Some(&Value::Bool(true)) {
                    prop_assert_eq!(kind(name).create(made.clone(), &env), Ok(made));
                }
            }
        }
    }
}
