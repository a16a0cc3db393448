//! What the tests of this crate share.

use schema::{Field, Object, Record, Subschema};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Env, Plugin, PluginProtocols, Plugins, RouterFlavor, Scope, entity};

/// The time of every test, in milliseconds since 1970.
pub(crate) const NOW_MS: u64 = 1_700_000_000_123;

/// The id of every entity that a test makes.
pub(crate) const ID: &str = "00000000-0000-4000-8000-000000000007";

/// Surroundings with a fixed clock and predictable randomness.
pub(crate) fn env(router_flavor: RouterFlavor) -> Env<'static> {
    Env {
        now_ms: NOW_MS,
        new_id: &|| Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0007),
        random: &|buffer| {
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = u8::try_from(at % 251).unwrap_or_default();
            }
        },
        router_flavor,
        plugins: &OnePlugin,
    }
}

/// What becomes of a new entity, or what is wrong with it.
pub(crate) fn create(kind: &str, input: Value) -> Result<Value, Value> {
    let env = env(RouterFlavor::TraditionalCompatible);
    let created = entity(kind).expect("a kind").create(object(input), &env);
    created.map(Value::Object).map_err(|violations| violations.fields())
}

/// What becomes of a stored entity, or what is wrong with it.
pub(crate) fn update(kind: &str, stored: &Value, patch: Value) -> Result<Value, Value> {
    let env = env(RouterFlavor::TraditionalCompatible);
    let stored = object(stored.clone());
    let updated = entity(kind).expect("a kind").update(&stored, object(patch), &env);
    updated.map(Value::Object).map_err(|violations| violations.fields())
}

/// The message of the violations of a new entity.
pub(crate) fn refusal(kind: &str, input: Value) -> String {
    let env = env(RouterFlavor::TraditionalCompatible);
    match entity(kind).expect("a kind").create(object(input.clone()), &env) {
        Ok(_) => panic!("{kind} {input} is accepted"),
        Err(violations) => violations.summary(),
    }
}

/// What is wrong with one value of a field; null when nothing is.
pub(crate) fn violation(field: Field, value: Value) -> Value {
    let record = Record::new("").field("it", field);
    match record.process(object(json!({ "it": value })), &schema::Nothing) {
        Ok(_) => Value::Null,
        Err(violations) => violations.fields()["it"].clone(),
    }
}

/// The members of a JSON object.
pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

/// A node that has the plugin `limit` and no other.
struct OnePlugin;

impl Plugins for OnePlugin {
    fn plugin(&self, name: &str) -> Option<&Subschema> {
        static LIMIT: std::sync::LazyLock<Subschema> = std::sync::LazyLock::new(|| {
            let config = Record::new("")
                .field("minute", Field::number().greater_than(0))
                .field("fail", Field::boolean().required().default(false));
            Plugin::subschema(Field::record(config), PluginProtocols::Http, &[Scope::Consumer])
                .at_least_one_of(&["config.minute"])
        });
        (name == "limit").then_some(&*LIMIT)
    }
}
