//! The reference page: the document as Markdown for people to read.

use std::fmt::Write;

use serde_json::Value;

/// The columns of a type's table.
const FIELDS_HEAD: &str = "| field | type | default | meaning |\n| --- | --- | --- | --- |\n";
const PATHS_HEAD: &str = "| method | path | what it does |\n| --- | --- | --- |\n";

/// The methods in the order in which people look for them.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The page for a document that [`super::document`] made.
pub(crate) fn page(document: &Value) -> String {
    let mut page = String::from(
        "# Admin API\n\nMade from the declarations of the entities and the table of paths by \
         `cargo xtask codegen`; the same document is served at `/openapi.json`.\n\n\
         Entities are written as JSON or as forms. Every path also answers OPTIONS, and HEAD where \
         there is GET. A list has `data`, `next` (the path of the next page, or null) and `offset`; \
         `size`, `offset` and `tags` are arguments of its query. Every write tells its revision \
         (`X-Weir-Revision`); `?wait=all`, `quorum` or a number holds the answer until so many data \
         planes serve it, for `wait_timeout` at most.\n\n## Paths\n",
    );
    let mut section = None;
    for (path, item) in members(&document["paths"]) {
        let first = path.split('/').nth(1).unwrap_or_default();
        if section != Some(first) {
            let name = if first.is_empty() { "/".to_owned() } else { format!("/{first}") };
            line(&mut page, format_args!("\n### `{name}`\n\n{PATHS_HEAD}"));
            section = Some(first);
        }
        for method in METHODS {
            if let Some(summary) = item[method]["summary"].as_str() {
                let method = method.to_ascii_uppercase();
                line(&mut page, format_args!("| {method} | `{path}` | {summary} |\n"));
            }
        }
    }
    page.push_str("\n## Entities\n\nA field in **bold** must be given.\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let Some(entity) = name.strip_suffix(".patch") else { continue };
        line(&mut page, format_args!("\n### {entity}\n\n"));
        if let Some(about) = schema["description"].as_str() {
            line(&mut page, format_args!("{about}\n\n"));
        }
        page.push_str(FIELDS_HEAD);
        let required = &document["components"]["schemas"][entity]["required"];
        fields(&mut page, schema, required, "");
    }
    page.push_str("\n## Errors\n\nThe body of a refusal; most have `message` alone.\n\n");
    page.push_str(FIELDS_HEAD);
    let error = &document["components"]["schemas"]["error"];
    fields(&mut page, error, &error["required"], "");
    page
}

/// The rows of an object's fields; those of nested objects follow, with dots in their names.
fn fields(page: &mut String, schema: &Value, required: &Value, prefix: &str) {
    let required: Vec<&Value> = required.as_array().into_iter().flatten().collect();
    for (name, field) in members(&schema["properties"]) {
        let full = format!("{prefix}{name}");
        let shown = if required.iter().any(|one| *one == name) {
            format!("**`{full}`**")
        } else {
            format!("`{full}`")
        };
        let default = match &field["default"] {
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        let mut meaning = field["description"].as_str().unwrap_or_default().to_owned();
        for (mark, word) in [("readOnly", "Not written."), ("writeOnly", "Not answered.")] {
            if field[mark] == true {
                meaning = format!("{meaning} {word}");
            }
        }
        let (kind, meaning) = (cell(&kind(field)), cell(meaning.trim()));
        line(page, format_args!("| {shown} | {kind} | {} | {meaning} |\n", cell(&default)));
        if field["properties"]["id"].is_null() {
            fields(page, field, &field["required"], &format!("{full}."));
        }
    }
}

/// The type of a field with its limits, in words.
fn kind(schema: &Value) -> String {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let nullable = types.contains(&"null");
    let main = types.iter().find(|name| **name != "null").copied().unwrap_or("null");
    let mut text = match main {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if !schema["properties"]["id"].is_null() => "reference `{\"id\": …}`".to_owned(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map to {}", kind(&schema["additionalProperties"]))
        }
        other => other.to_owned(),
    };
    if let Some(options) = schema["enum"].as_array() {
        let options: Vec<String> = options
            .iter()
            .filter(|option| !option.is_null())
            .map(|option| match option {
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            })
            .collect();
        text = options.join(", ");
    }
    if let (Some(low), Some(high)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        let _ = write!(text, " {low}–{high}");
    }
    if let Some(low) = schema["exclusiveMinimum"].as_f64() {
        let _ = write!(text, " > {low}");
    }
    if let Some(format) = schema["format"].as_str() {
        let _ = write!(text, " ({format})");
    }
    if nullable {
        text.push_str(", or null");
    }
    text
}

/// Text within a table: a bar would end its cell, a break its row.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_words() {
        for (schema, expected) in [
            (
                json!({"type": ["integer", "null"], "minimum": 0, "maximum": 9}),
                "integer 0–9, or null",
            ),
            (json!({"type": "array", "items": {"enum": ["a", null]}}), "list of `a`"),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                "map to string",
            ),
            (json!({"type": "object", "properties": {"id": {}}}), "reference `{\"id\": …}`"),
            (json!({}), "any"),
        ] {
            assert_eq!(kind(&schema), expected, "{schema}");
        }
    }
}
