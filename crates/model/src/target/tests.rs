use serde_json::json;

use crate::testing::{ID, create, env, object, refusal, update};
use crate::{RouterFlavor, Target, entity};

#[test]
fn a_target_is_stored_in_its_normal_form() {
    let upstream = json!({ "id": ID });
    let made = create("targets", json!({ "upstream": upstream, "target": "a.example" }));
    let made = made.expect("a valid target");
    assert_eq!(made["target"], "a.example:8000");
    assert_eq!(made["weight"], 100);
    assert_eq!(made.get("failover"), None);
    assert_eq!(made["created_at"], json!(1_700_000_000.123));
    let typed = Target::from_body(&made.to_string()).expect("a target");
    assert_eq!((typed.target.port, typed.weight), (8000, Some(100)));
    let moved = update("targets", &made, json!({ "target": "::1" })).expect("a valid target");
    assert_eq!(moved["target"], "[0000:0000:0000:0000:0000:0000:0000:0001]:8000");
}

#[test]
fn a_bad_address_is_all_that_is_said() {
    let message = "schema violation (target: Invalid target; not a valid hostname or ip address)";
    for target in ["", "bad host", "a.example:99999", "[::1", "http://a.example"] {
        assert_eq!(refusal("targets", json!({ "target": target, "weight": -1 })), message);
    }
    let targets = entity("targets").expect("a kind");
    let input = object(json!({ "target": "bad host", "upstream": { "id": ID } }));
    let found = targets.validate_only(input, &env(RouterFlavor::Traditional));
    let text = "Invalid target ('bad host'); not a valid hostname or ip address";
    assert_eq!(found.map_err(|v| v.fields()), Err(json!({ "target": text })));
}

#[test]
fn weights_have_bounds() {
    let target = |weight| json!({ "target": "a", "upstream": { "id": ID }, "weight": weight });
    for weight in [0, 65535] {
        assert!(create("targets", target(weight)).is_ok(), "{weight}");
    }
    for weight in [-1, 65536] {
        let message = "schema violation (weight: value should be between 0 and 65535)";
        assert_eq!(refusal("targets", target(weight)), message);
    }
}

#[test]
fn a_target_can_be_kept_for_the_worst() {
    let input = json!({ "target": "a", "upstream": { "id": ID }, "failover": true });
    let made = create("targets", input).expect("a valid target");
    let typed = Target::from_body(&made.to_string()).expect("a target");
    assert_eq!(typed.failover, Some(true));
    let back = update("targets", &made, json!({ "failover": null })).expect("a valid target");
    assert_eq!(back.get("failover"), None);
}
