//! References to secrets, `{vault://…}`: which fields may hold them.

use serde_json::Value;

use crate::field::{Field, Type};
use crate::{Object, Record, is_vault_reference};

impl Record {
    /// Puts in place of every reference what `resolve` makes of it, given the dotted path of the
    /// field and the reference. Text that looks like a reference in a field that may hold none is
    /// left alone.
    pub fn resolve_references(
        &self,
        object: &mut Object,
        resolve: &mut dyn FnMut(&str, &str) -> String,
    ) {
        self.resolve_below("", object, resolve);
    }

    fn resolve_below(
        &self,
        path: &str,
        object: &mut Object,
        resolve: &mut dyn FnMut(&str, &str) -> String,
    ) {
        for (name, field) in self.fields() {
            if let Some(value) = object.get_mut(name) {
                let path = if path.is_empty() { name } else { &format!("{path}.{name}") };
                field.resolve_references(path, value, resolve);
            }
        }
    }
}

impl Field {
    /// As [`Record::resolve_references`], for the value of one field; `path` is what it is called.
    pub fn resolve_references(
        &self,
        path: &str,
        value: &mut Value,
        resolve: &mut dyn FnMut(&str, &str) -> String,
    ) {
        match (self.kind(), value) {
            (Type::String, Value::String(text))
                if self.referenceable && is_vault_reference(text) =>
            {
                *text = resolve(path, text);
            }
            (Type::Array(elements) | Type::Set(elements), Value::Array(items)) => {
                for item in items {
                    elements.resolve_references(path, item, resolve);
                }
            }
            (Type::Map { values, .. }, Value::Object(members)) => {
                for (name, member) in members {
                    values.resolve_references(&format!("{path}.{name}"), member, resolve);
                }
            }
            (Type::Record(record), Value::Object(members)) => {
                record.resolve_below(path, members, resolve);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_resolved_where_they_may_stand() {
        let secret = || Field::string().referenceable();
        let inner = Record::new("").field("password", secret());
        let record = Record::new("things")
            .field("name", Field::string())
            .field("redis", Field::record(inner))
            .field("secrets", Field::array(secret()))
            .field("headers", Field::map(Field::string(), secret()));
        let mut object = json!({
            "name": "{vault://env/a}",
            "redis": {"password": "{vault://env/b}"},
            "secrets": ["plain", "{vault://env/c}", null],
            "headers": {"x": "{vault://env/d}", "y": "{vault://}"},
            "unknown": "{vault://env/e}",
        });
        let Value::Object(object) = &mut object else { unreachable!("it is an object") };
        let mut seen = Vec::new();
        record.resolve_references(object, &mut |path, reference| {
            seen.push(format!("{path} {reference}"));
            "resolved".to_owned()
        });
        assert_eq!(
            seen,
            [
                "redis.password {vault://env/b}",
                "secrets {vault://env/c}",
                "headers.x {vault://env/d}",
            ]
        );
        let expected = json!({
            "name": "{vault://env/a}",
            "redis": {"password": "resolved"},
            "secrets": ["plain", "resolved", null],
            "headers": {"x": "resolved", "y": "{vault://}"},
            "unknown": "{vault://env/e}",
        });
        assert_eq!(Value::Object(object.clone()), expected);
    }
}
