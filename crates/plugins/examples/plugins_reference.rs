//! Prints the reference of the plugins, from their declarations and examples. `cargo xtask codegen`
//! keeps it in the repository.
#![expect(clippy::print_stdout, reason = "a command that prints a text")]

use plugin::{Definition, Phases, Registry};
use serde_json::Value;

fn main() {
    let mut page = String::from(HEAD);
    let definitions = plugins::bundled().definitions();
    for definition in definitions {
        let name = definition.listing.name;
        page.push_str(&format!("- [{name}](#{name}) ({})\n", definition.listing.priority));
    }
    for definition in definitions {
        page.push_str(&section(definition));
    }
    print!("{page}");
}

const HEAD: &str = "<!-- Written by `cargo xtask codegen` from crates/plugins: change it there. -->

# Plugins

What each plugin does, its settings, and an example that the tests run: there the services are at
`http://localhost:9000`, and requests go to the proxy. In an example's answers other fields are left
out; the second request is what the service gets.

In order of their priority, in which they run:

";

fn section(definition: &Definition) -> String {
    let listing = &definition.listing;
    let mut text = format!("\n## {}\n\n", listing.name);
    text.push_str(listing.config.description().unwrap_or_default());
    text.push_str(&format!(
        "\n\nPriority {}. Phases: {}.",
        listing.priority,
        phases(&definition.phases)
    ));
    let schema = listing.schema.describe();
    let fields = schema["fields"].as_array().into_iter().flatten();
    let without: Vec<&str> = fields
        .filter_map(Value::as_object)
        .flatten()
        .filter(|(_, field)| field.get("eq").is_some_and(Value::is_null))
        .map(|(name, _)| name.as_str())
        .collect();
    if !without.is_empty() {
        text.push_str(&format!(" Cannot be for a {}.", without.join(" or a ")));
    }
    let mut rows = Vec::new();
    collect(&listing.config.describe(), "", &mut rows);
    if !rows.is_empty() {
        text.push_str("\n\n| Setting | Type | Default | |\n| --- | --- | --- | --- |\n");
        text.push_str(&rows.concat());
    }
    text.push_str("\n### Example\n\n");
    text.push_str(listing.example.trim());
    text.push('\n');
    text
}

fn phases(phases: &Phases) -> String {
    let all = [
        (phases.rewrite, "rewrite"),
        (phases.access, "access"),
        (phases.header_filter, "header_filter"),
        (phases.body_filter, "body_filter"),
        (phases.log, "log"),
    ];
    let own: Vec<&str> = all.iter().filter(|(own, _)| *own).map(|(_, name)| *name).collect();
    own.join(", ")
}

/// A row for each setting; those of records stand one by one.
fn collect(record: &Value, prefix: &str, rows: &mut Vec<String>) {
    let fields = record["fields"].as_array().into_iter().flatten().filter_map(Value::as_object);
    for (name, field) in fields.flatten() {
        let path = format!("{prefix}{name}");
        if field.get("fields").is_some() {
            collect(field, &format!("{path}."), rows);
            continue;
        }
        let default = match field.get("default") {
            Some(Value::Null) | None if field["required"] == true => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let about = field.get("description").and_then(Value::as_str).unwrap_or_default();
        let (kind, about) = (escaped(&kind(field)), escaped(about));
        rows.push(format!("| `{path}` | {kind} | {} | {about} |\n", escaped(&default)));
    }
}

fn kind(field: &Value) -> String {
    let name = field["type"].as_str().unwrap_or_default();
    match name {
        "array" | "set" => return format!("{name} of {}", kind(&field["elements"])),
        "map" => return format!("map of {}", kind(&field["values"])),
        _ => {}
    }
    if let Some(options) = field.get("one_of").and_then(Value::as_array) {
        let plain = |option: &Value| match option {
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        return options.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    if let Some([low, high]) = field.get("between").and_then(Value::as_array).map(Vec::as_slice) {
        return format!("{name}, {low} to {high}");
    }
    if let Some(limit) = field.get("gt") {
        return format!("{name} above {limit}");
    }
    name.to_owned()
}

/// A bar would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
