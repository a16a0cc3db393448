//! Types for the values of a form, which are all text.

use serde_json::Value;

use crate::Object;
use crate::field::{Field, Type};
use crate::fill::number;
use crate::record::Record;
use crate::surroundings::Surroundings;

impl Record {
    /// Gives the values of a decoded form (text, lists and objects of text) the types of their
    /// fields. Empty text becomes null. What cannot be converted stays text, so that validation
    /// says what was expected.
    pub fn coerce(&self, form: Object, around: &dyn Surroundings) -> Object {
        let subschema = self.subschema_of(&form, around);
        let typed = |(name, value): (String, Value)| {
            let field = subschema
                .and_then(|s| s.fields.get(name.as_str()))
                .or_else(|| self.get(&name))
                .or_else(|| self.shorthands.iter().find(|s| s.name == name).map(|s| &s.field));
            let value = match field {
                Some(field) => coerce_value(field, value, around),
                None => value,
            };
            (name, value)
        };
        form.into_iter().map(typed).collect()
    }
}

fn coerce_value(field: &Field, value: Value, around: &dyn Surroundings) -> Value {
    match (&field.kind, value) {
        (_, Value::String(text)) if text.is_empty() => Value::Null,
        (Type::Number | Type::Integer, Value::String(text)) => {
            parse_number(&text).map_or(Value::String(text), number)
        }
        (Type::Boolean, Value::String(text)) => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::String(text),
        },
        (Type::Array(elements) | Type::Set(elements), value) => match value {
            Value::Array(items) => {
                items.into_iter().map(|item| coerce_value(elements, item, around)).collect()
            }
            Value::Object(_) | Value::Null => value,
            one => Value::Array(vec![coerce_value(elements, one, around)]),
        },
        (Type::Map { values, .. }, Value::Object(members)) => Value::Object(
            members.into_iter().map(|(key, v)| (key, coerce_value(values, v, around))).collect(),
        ),
        (Type::Record(record), Value::Object(members)) => {
            Value::Object(record.coerce(members, around))
        }
        (Type::Foreign { entity, .. }, Value::Object(members)) => match around.entity(entity) {
            Some(record) => Value::Object(record.coerce(members, around)),
            None => Value::Object(members),
        },
        (_, value) => value,
    }
}

/// A number as Lua reads one: decimal or hexadecimal, blanks around it allowed.
fn parse_number(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let hex = |text: &str| {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        u64::from_str_radix(digits, 16).ok().filter(|_| plain).map(|n| n as f64)
    };
    if let Some(number) = hex(text) {
        return Some(number);
    }
    if let Some(number) = text.strip_prefix('-').and_then(hex) {
        return Some(-number);
    }
    // Rust also reads "inf" and "nan", which no JSON number can be.
    let plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    text.parse::<f64>().ok().filter(|number| plain && number.is_finite())
}

#[cfg(test)]
mod tests;
