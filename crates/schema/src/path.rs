//! Members of nested objects by dotted name (`config.redis.host`).

use serde_json::Value;

use crate::Object;

/// The member, or `None` when it or a record on the way is absent.
pub fn get<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => object.get(path),
        Some((head, rest)) => get(object.get(head)?.as_object()?, rest),
    }
}

/// Sets the member; records on the way are made when they are absent or null.
pub fn set(object: &mut Object, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            object.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let slot = object.entry(head).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Object::new());
            }
            if let Value::Object(inner) = slot {
                set(inner, rest, value);
            }
        }
    }
}
