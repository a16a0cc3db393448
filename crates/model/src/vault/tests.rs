use serde_json::json;

use crate::testing::{create, refusal, update};

#[test]
fn a_vault_has_the_config_of_its_kind() {
    let made = create("vaults", json!({ "name": "env", "prefix": "my-env" }));
    let made = made.expect("a valid vault");
    assert_eq!(made["config"], json!({ "prefix": null }));
    let patched = update("vaults", &made, json!({ "config": { "prefix": "KONG_" } }));
    assert_eq!(patched.expect("a valid vault")["config"], json!({ "prefix": "KONG_" }));
    let input = json!({ "name": "env", "prefix": "ok", "config": { "prefix": "9 x" } });
    assert_eq!(refusal("vaults", input), "schema violation (config.prefix: invalid value: 9 x)");
    let message = "schema violation (name: vault 'nope' is not installed)";
    assert_eq!(refusal("vaults", json!({ "name": "nope", "prefix": "ok" })), message);
}

#[test]
fn prefixes_can_stand_in_a_reference() {
    for prefix in ["ab", "a1", "a-b", "a--1"] {
        assert!(create("vaults", json!({ "name": "env", "prefix": prefix })).is_ok(), "{prefix}");
    }
    for prefix in ["a", "1a", "a_b", "ab-", "Upper"] {
        let message = format!("schema violation (prefix: invalid value: {prefix})");
        assert_eq!(refusal("vaults", json!({ "name": "env", "prefix": prefix })), message);
    }
    let message = "schema violation (prefix: must not be one of: env)";
    assert_eq!(refusal("vaults", json!({ "name": "env", "prefix": "env" })), message);
}
