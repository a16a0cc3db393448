//! Changes to a JSON body.

use serde_json::{Map, Number, Value};

use super::config::{Config, JsonType, Values};
use crate::pairs;

/// The changes, in the order in which they are made.
#[derive(Debug)]
pub(super) struct JsonChanges {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
    append: Vec<(String, Value)>,
}

impl JsonChanges {
    pub(super) fn new(config: &Config) -> JsonChanges {
        JsonChanges {
            remove: config.remove.json.clone(),
            rename: pairs::all(&config.rename.json),
            replace: typed(&config.replace),
            add: typed(&config.add),
            append: typed(&config.append),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && [&self.replace, &self.add, &self.append].into_iter().all(Vec::is_empty)
    }

    /// The changed body; none if it is no JSON object, which stays as it is.
    pub(super) fn change(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut members: Map<String, Value> = serde_json::from_slice(body).ok()?;
        for name in &self.remove {
            members.remove(name);
        }
        for (old, new) in &self.rename {
            if let Some(value) = members.remove(old) {
                members.insert(new.clone(), value);
            }
        }
        for (name, value) in &self.replace {
            if is_there(&members, name) {
                members.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &self.add {
            if !is_there(&members, name) {
                members.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &self.append {
            append(&mut members, name, value.clone());
        }
        serde_json::to_vec(&members).ok()
    }
}

/// The values as what they are said to be; those that cannot be are left out.
fn typed(values: &Values) -> Vec<(String, Value)> {
    let typed = |(at, pair): (usize, &String)| {
        let (name, text) = pairs::split(pair);
        let value = match values.json_types.get(at) {
            Some(JsonType::Boolean) => Value::Bool(text == "true"),
            Some(JsonType::Number) => number(text)?,
            Some(JsonType::String) | None => Value::String(text.to_owned()),
        };
        Some((name.to_owned(), value))
    };
    values.json.iter().enumerate().filter_map(typed).collect()
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(text.parse().ok()?).map(Value::Number)
}

/// As Kong asks: `false` counts as absent, `null` as present.
fn is_there(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| *value != Value::Bool(false))
}

fn append(members: &mut Map<String, Value>, name: &str, value: Value) {
    let values = match members.remove(name) {
        Some(Value::Array(mut present)) => {
            present.push(value);
            present
        }
        Some(Value::String(present)) => vec![Value::String(present), value],
        _ => vec![value],
    };
    members.insert(name.to_owned(), Value::Array(values));
}
