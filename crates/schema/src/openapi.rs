//! A declaration as a schema component of OpenAPI 3.1.

use serde_json::{Value, json};

use crate::Object;
use crate::field::{Field, Type};
use crate::record::Record;
use crate::rule::Rule;

impl Record {
    /// The record as a schema of OpenAPI 3.1: what is written and what is answered. Members that
    /// are generated are read-only unless they may be given; shorthands are write-only.
    pub fn openapi(&self) -> Value {
        let mut out = Object::new();
        self.openapi_into(&mut out);
        Value::Object(out)
    }

    fn openapi_into(&self, out: &mut Object) {
        out.insert("type".to_owned(), "object".into());
        if let Some(text) = &self.description {
            out.insert("description".to_owned(), text.as_str().into());
        }
        let mut properties: Object =
            self.fields.iter().map(|(name, field)| ((*name).to_owned(), field.openapi())).collect();
        for shorthand in &self.shorthands {
            // Some stand for a field of their own name: then the field says it.
            if !properties.contains_key(shorthand.name) {
                let mut schema = shorthand.field.openapi();
                if let Value::Object(schema) = &mut schema {
                    schema.insert("writeOnly".to_owned(), true.into());
                    if let Some(deprecation) = &shorthand.deprecation {
                        schema.remove("writeOnly");
                        schema.insert("deprecated".to_owned(), true.into());
                        schema.insert("description".to_owned(), deprecation.message.into());
                    }
                }
                properties.insert(shorthand.name.to_owned(), schema);
            }
        }
        out.insert("properties".to_owned(), properties.into());
        let must_be_given = |(_, field): &&(&'static str, Field)| {
            let made = field.default.is_some()
                || field.auto
                || matches!(field.kind, Type::Record(_) | Type::Abstract);
            field.required && !made
        };
        let required: Vec<&str> =
            self.fields.iter().filter(must_be_given).map(|(name, _)| *name).collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), required.into());
        }
        out.insert("additionalProperties".to_owned(), false.into());
    }
}

impl Field {
    fn openapi(&self) -> Value {
        let mut out = Object::new();
        match &self.kind {
            Type::String => {
                out.insert("type".to_owned(), "string".into());
                if !self.may_be_empty {
                    out.insert("minLength".to_owned(), 1.into());
                }
            }
            Type::Number => {
                out.insert("type".to_owned(), "number".into());
            }
            Type::Integer => {
                out.insert("type".to_owned(), "integer".into());
            }
            Type::Boolean => {
                out.insert("type".to_owned(), "boolean".into());
            }
            Type::Array(elements) | Type::Set(elements) => {
                out.insert("type".to_owned(), "array".into());
                out.insert("items".to_owned(), elements.openapi());
            }
            Type::Map { values, .. } => {
                out.insert("type".to_owned(), "object".into());
                out.insert("additionalProperties".to_owned(), values.openapi());
            }
            Type::Record(record) => record.openapi_into(&mut out),
            Type::Foreign { entity, .. } => {
                let key = json!({
                    "type": "object",
                    "description": format!("The primary key of one of {entity}."),
                    "properties": { "id": { "type": "string", "format": "uuid" } },
                });
                if let Value::Object(key) = key {
                    out.extend(key);
                }
            }
            Type::Abstract => {
                out.insert("type".to_owned(), "object".into());
            }
            Type::Json => {}
        }
        for rule in &self.rules {
            rule.openapi_into(&mut out);
        }
        if let Some(Value::Array(options)) = out.get_mut("enum") {
            options.extend(self.further.iter().cloned());
        }
        if let Some(text) = &self.description {
            out.insert("description".to_owned(), text.as_str().into());
        }
        if let Some(default) = self.default.as_ref().filter(|default| !default.is_null()) {
            out.insert("default".to_owned(), default.clone());
        }
        if self.unvalidated {
            out.insert("readOnly".to_owned(), true.into());
        }
        if !self.required {
            or_null(&mut out);
        }
        Value::Object(out)
    }
}

/// Null beside the type; an enumeration must list it, too.
fn or_null(out: &mut Object) {
    if let Some(Value::String(kind)) = out.get("type").cloned() {
        out.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(options)) = out.get_mut("enum") {
        options.push(Value::Null);
    }
}

impl Rule {
    fn openapi_into(&self, out: &mut Object) {
        let is_list = out.get("type").is_some_and(|kind| kind == "array");
        let (shortest, longest) =
            if is_list { ("minItems", "maxItems") } else { ("minLength", "maxLength") };
        let mut set = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        match self {
            Rule::Equal(value) => set("const", value.clone()),
            Rule::OneOf(options) => set("enum", options.clone().into()),
            Rule::NotOneOf(options) => set("not", json!({ "enum": options })),
            Rule::NotEqual(value) => set("not", json!({ "const": value })),
            Rule::GreaterThan(limit) => set("exclusiveMinimum", limit.clone().into()),
            Rule::Timestamp => set("exclusiveMinimum", 0.into()),
            Rule::Uuid => set("format", "uuid".into()),
            Rule::Regex => set("format", "regex".into()),
            Rule::Between(low, high) => {
                set("minimum", low.clone().into());
                set("maximum", high.clone().into());
            }
            Rule::Length(n) => {
                set(shortest, (*n).into());
                set(longest, (*n).into());
            }
            Rule::LengthAtLeast(n) => set(shortest, (*n).into()),
            Rule::LengthAtMost(n) => set(longest, (*n).into()),
            Rule::Matches(expression) => set("pattern", expression.as_str().into()),
            // The others have no counterpart, or none that can stand beside `pattern`.
            Rule::StartsWith(_)
            | Rule::MatchesNot(_)
            | Rule::MatchesNone(_)
            | Rule::MatchesAll(_)
            | Rule::Contains(_)
            | Rule::CheckText(_)
            | Rule::CheckValue(_)
            | Rule::ExclusiveSubsets(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
