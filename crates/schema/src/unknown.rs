//! What an object has beyond its declaration: it was written by another version.

use serde_json::Value;

use crate::field::{Field, Type};
use crate::{Object, Record};

impl Record {
    /// The dotted paths of members that mean something and are not declared. A value that says
    /// nothing (null, false, 0, and what is empty) is passed over: whoever does not know the field
    /// loses nothing.
    pub fn unknown(&self, object: &Object) -> Vec<String> {
        let mut found = Vec::new();
        self.find_unknown("", object, &mut found);
        found
    }

    fn find_unknown(&self, path: &str, object: &Object, found: &mut Vec<String>) {
        for (name, value) in object {
            let below = || if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match self.get(name) {
                Some(field) => match field.kind() {
                    Type::Array(_) | Type::Set(_) | Type::Map { .. } | Type::Record(_) => {
                        field.find_unknown(&below(), value, found);
                    }
                    _ => {}
                },
                None if says_something(value) => found.push(below()),
                None => {}
            }
        }
    }
}

impl Field {
    /// As [`Record::unknown`], for the members of a record that is one field; `path` is what it is
    /// called. Nothing where the field is no record.
    pub fn unknown(&self, path: &str, members: &Object) -> Vec<String> {
        let mut found = Vec::new();
        if let Type::Record(record) = self.kind() {
            record.find_unknown(path, members, &mut found);
        }
        found
    }

    fn find_unknown(&self, path: &str, value: &Value, found: &mut Vec<String>) {
        match (self.kind(), value) {
            (Type::Array(elements) | Type::Set(elements), Value::Array(items)) => {
                for item in items {
                    elements.find_unknown(path, item, found);
                }
            }
            (Type::Map { values, .. }, Value::Object(members)) => {
                for (name, member) in members {
                    values.find_unknown(&format!("{path}.{name}"), member, found);
                }
            }
            (Type::Record(record), Value::Object(members)) => {
                record.find_unknown(path, members, found);
            }
            _ => {}
        }
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => members.values().any(says_something),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_set_and_not_declared_is_named_wherever_it_stands() {
        let inner = || Record::new("").field("known", Field::string());
        let record = Record::new("things")
            .field("name", Field::string())
            .field("one", Field::record(inner()))
            .field("list", Field::array(Field::record(inner())))
            .field("map", Field::map(Field::string(), Field::record(inner())))
            .field("free", Field::json());
        let value = json!({
            "name": "a",
            "one": {"known": "b", "new": true},
            "list": [{"known": "c"}, {"newer": "d"}],
            "map": {"x": {"newest": [1]}},
            "free": {"anything": 1},
            "other": {"deep": {"on": 0.5}},
            "silent": null, "off": false, "zero": 0, "none": "", "empty": [], "hollow": {"a": null},
        });
        let Value::Object(object) = value else { unreachable!("it is an object") };
        let found = record.unknown(&object);
        assert_eq!(found, ["list.newer", "map.x.newest", "one.new", "other"]);
        let member = Field::record(inner());
        let Value::Object(one) = &object["one"] else { unreachable!("it is an object") };
        assert_eq!(member.unknown("config", one), ["config.new"]);
    }
}
