//! The setting `custom_fields_by_lua`: fields of the record by chunks of Lua.

use std::collections::BTreeMap;

use plugin::{Answered, BuildError, Outcome};
use schema::Field;
use serde_json::{Map, Value};

use super::api;
use crate::lua::Expression;

/// The custom fields of one configuration.
#[derive(Debug, Default)]
pub(crate) struct CustomFields(Vec<(Vec<String>, Expression)>);

/// What custom fields gave for a request, by path and in the order in which they were set; nothing
/// takes a field away.
#[derive(Debug, Default)]
struct Noted(Vec<(Vec<String>, Option<Value>)>);

/// The field of a configuration.
pub(crate) fn field() -> Field {
    let chunk = Field::string().check(|text| match compile(text) {
        Ok(_) => Ok(()),
        Err(reason) => Err(format!("Error parsing function: {reason}")),
    });
    Field::map(Field::string(), chunk)
}

impl CustomFields {
    /// Reads the chunks of a configuration.
    pub(crate) fn new(chunks: Option<&BTreeMap<String, String>>) -> Result<Self, BuildError> {
        let read = |(key, text): (&String, &String)| match compile(text) {
            Ok(expression) => Ok((path(key), expression)),
            Err(reason) => Err(BuildError(format!("custom_fields_by_lua: {key}: {reason}"))),
        };
        chunks.into_iter().flatten().map(read).collect::<Result<_, _>>().map(CustomFields)
    }

    /// Evaluates the fields for a request, for this record and those of later plugins. One that
    /// fails is left as it is.
    pub(super) fn note(&self, exchange: &mut Answered<'_>, outcome: &Outcome<'_>) {
        if self.0.is_empty() {
            return;
        }
        let mut values = Vec::with_capacity(self.0.len());
        let api = api::Api { exchange, outcome };
        for (path, expression) in &self.0 {
            match expression.evaluate(&api) {
                Ok(value) => values.push((path.clone(), value.to_json())),
                Err(error) => tracing::warn!(
                    request_id = exchange.id,
                    field = path.join("."),
                    %error,
                    "a custom log field has no value"
                ),
            }
        }
        if exchange.notes.get::<Noted>().is_none() {
            exchange.notes.put(Noted::default());
        }
        if let Some(noted) = exchange.notes.get_mut::<Noted>() {
            noted.0.append(&mut values);
        }
    }
}

/// Sets what was noted for a request in its record.
pub(super) fn apply(exchange: &Answered<'_>, record: &mut Map<String, Value>) {
    for (path, value) in exchange.notes.get::<Noted>().iter().flat_map(|noted| &noted.0) {
        if let Err(reason) = set(record, path, value.as_ref()) {
            tracing::warn!(request_id = exchange.id, reason, "a custom log field cannot be set");
        }
    }
}

/// Compiles a chunk and looks whether all that it names exists.
fn compile(text: &str) -> Result<Expression, String> {
    let expression = Expression::parse_return(text).map_err(|error| error.to_string())?;
    for path in expression.paths() {
        if !api::knows(&path) {
            return Err(format!("this version does not know {}", path.join(".")));
        }
    }
    Ok(expression)
}

/// A key taken apart at its points; `\.` is a point within a name.
fn path(key: &str) -> Vec<String> {
    let mut path = vec![String::new()];
    let mut rest = key.chars().peekable();
    while let Some(next) = rest.next() {
        match (next, path.last_mut()) {
            ('.', _) => path.push(String::new()),
            ('\\', Some(name)) if rest.peek() == Some(&'.') => name.extend(rest.next()),
            (other, Some(name)) => name.push(other),
            (_, None) => {}
        }
    }
    path
}

/// Sets a member at a path, or takes it away. Fails where something on the path is no object.
fn set(
    record: &mut Map<String, Value>,
    path: &[String],
    value: Option<&Value>,
) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        match value {
            Some(value) => record.insert(name.clone(), value.clone()),
            None => record.remove(name),
        };
        return Ok(());
    }
    match record.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(members) => set(members, rest, value),
        other => Err(format!(
            "The key '{}' could not be used as a serialize value. Subkey '{name}' is not a table. \
             It's {other}.",
            path.join(".")
        )),
    }
}
