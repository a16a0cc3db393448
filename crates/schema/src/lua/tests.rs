use serde_json::json;

use super::{pretty, table};

#[test]
fn tables_on_one_line() {
    for (value, text) in [
        (json!({ "b": { "id": "U" }, "a": "x" }), r#"{a="x",b={id="U"}}"#),
        (json!({ "c-d": 1, "end": true, "_x1": null }), r#"{_x1=null,["c-d"]=1,["end"]=true}"#),
        (json!(["a", "b"]), r#"{"a","b"}"#),
        (json!([null, "b", null, "d"]), r#"{[2]="b",[4]="d"}"#),
        (json!({ "q": "say \"hi\"" }), r#"{q="say \"hi\""}"#),
        (json!({}), "{}"),
    ] {
        assert_eq!(table(&value), text);
    }
}

#[test]
fn tables_over_several_lines() {
    let value = json!({ "ip": "bad", "ports": [null, "worse"], "x": { "@entity": ["one"] } });
    assert_eq!(
        pretty(&value),
        "{\n  ip = \"bad\",\n  ports = {\n    [2] = \"worse\"\n  },\n  x = {\n    \
         [\"@entity\"] = {\n      \"one\"\n    }\n  }\n}"
    );
    assert_eq!(pretty(&json!({})), "{}");
}
