use serde_json::{Value, json};

use super::*;

fn transformer(config: Value) -> ResponseTransformer {
    let mut whole = json!({
        "remove": {"json": [], "headers": []}, "rename": {"json": [], "headers": []},
        "replace": {"json": [], "json_types": [], "headers": []},
        "add": {"json": [], "json_types": [], "headers": []},
        "append": {"json": [], "json_types": [], "headers": []},
    });
    for (operation, settings) in config.as_object().unwrap() {
        for (name, value) in settings.as_object().unwrap() {
            whole[operation][name] = value.clone();
        }
    }
    let config: Config = serde_json::from_value(whole).unwrap();
    ResponseTransformer {
        remove: config.remove.headers.clone(),
        rename: pairs::all(&config.rename.headers),
        replace: pairs::all(&config.replace.headers),
        add: pairs::all(&config.add.headers),
        append: pairs::all(&config.append.headers),
        json: JsonChanges::new(&config),
    }
}

fn changed(config: Value, body: Value) -> Value {
    let bytes = transformer(config).json.change(body.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn json_operations_run_in_kongs_order() {
    let config = json!({
        "remove": {"json": ["p1"]}, "rename": {"json": ["p4:p2"]}, "replace": {"json": ["p2:v2"]},
        "add": {"json": ["p3:v1"]}, "append": {"json": ["p3:v2"]},
    });
    let expected = json!({"p2": "v2", "p3": ["v1", "v2"]});
    assert_eq!(changed(config, json!({"p1": "v1", "p4": "v1"})), expected);
}

#[test]
fn values_get_their_types() {
    let config = json!({"add": {
        "json": ["p1:v1", "p3:value:3", "p4:\"v1\"", "p5:-1", "p6:false", "p7:x"],
        "json_types": ["string", "string", "string", "number", "boolean", "number"],
    }});
    let expected = json!({
        "p2": "v1", "p1": "v1", "p3": "value:3", "p4": "\"v1\"", "p5": -1, "p6": false,
    });
    assert_eq!(changed(config, json!({"p2": "v1"})), expected);
}

#[test]
fn false_counts_as_absent_and_null_as_present() {
    let add = |body| changed(json!({"add": {"json": ["a:1"]}}), body);
    assert_eq!(add(json!({"a": false})), json!({"a": "1"}));
    assert_eq!(add(json!({"a": null})), json!({"a": null}));
    let replace = |body| changed(json!({"replace": {"json": ["a:1"]}}), body);
    assert_eq!(replace(json!({"a": false})), json!({"a": false}));
    assert_eq!(replace(json!({"a": null})), json!({"a": "1"}));
}

#[test]
fn what_is_no_object_stays() {
    let transformer = transformer(json!({"add": {"json": ["a:1"]}}));
    for body in ["[1,2]", "\"text\"", "null", "{broken", ""] {
        assert_eq!(transformer.json.change(body.as_bytes()), None, "{body}");
    }
}

#[test]
fn fields_are_changed_in_order_and_stay_on_their_line() {
    let mut fields = Fields::default();
    for (name, value) in [("X-Gone", "1"), ("X-Old", "a"), ("x-old", "b"), ("X-Rep", "r")] {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    let config = json!({
        "remove": {"headers": ["x-gone"]}, "rename": {"headers": ["x-old:X-New"]},
        "replace": {"headers": ["x-rep:R\r\nSet-Cookie: a", "x-none:n"]},
        "add": {"headers": ["x-rep:no", "x-add:a:b"]}, "append": {"headers": ["x-add:2"]},
    });
    transformer(config).change_fields(&mut fields);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let lines: Vec<String> =
        fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect();
    let expected =
        ["X-New: a", "X-New: b", "x-rep: R%0D%0ASet-Cookie: a", "x-add: a:b", "x-add: 2"];
    assert_eq!(lines, expected);
}

#[test]
fn json_is_told_by_its_type() {
    let check = |kind: &str, expected: bool| {
        let mut fields = Fields::default();
        fields.push(b"Content-Type", kind.as_bytes());
        assert_eq!(is_json(&fields), expected, "{kind}");
    };
    check("application/json", true);
    check("Application/JSON; charset=utf-8", true);
    check("application/vnd.api+json", true);
    check("text/plain, application/json", true);
    check("text/json", false);
    check("application/jsonp", false);
}
