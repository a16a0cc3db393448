use serde_json::json;

use crate::testing::{create, update};

#[test]
fn a_consumer_has_a_name_here_or_elsewhere() {
    let text = "at least one of these fields must be non-empty: 'custom_id', 'username'";
    assert_eq!(create("consumers", json!({})), Err(json!({ "@entity": [text] })));
    assert_eq!(
        create("consumers", json!({ "username": "" })),
        Err(json!({ "@entity": [text], "username": "length must be at least 1" }))
    );
    let made = create("consumers", json!({ "username": "any text: ü/&" }));
    let made = made.expect("a valid consumer");
    let text = format!("when updating, {text}");
    let cleared = update("consumers", &made, json!({ "username": null }));
    assert_eq!(cleared, Err(json!({ "@entity": [text] })));
    assert!(update("consumers", &made, json!({ "username": null, "custom_id": "1" })).is_ok());
}
