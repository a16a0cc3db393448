//! Changes to bodies.

use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::changes::Changes;
use super::multipart::Multipart;

/// What a body is, by its Content-Type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    Multipart,
}

impl Kind {
    /// By what the Content-Type holds; nothing for bodies that are left alone.
    pub(super) fn of(content_type: &[u8]) -> Option<Kind> {
        let text = String::from_utf8_lossy(content_type).to_ascii_lowercase();
        let kinds = [
            ("application/json", Kind::Json),
            ("multipart/form-data", Kind::Multipart),
            ("application/x-www-form-urlencoded", Kind::Form),
        ];
        kinds.into_iter().find(|(name, _)| text.contains(name)).map(|(_, kind)| kind)
    }

    /// The changed body; nothing if it stays as it is.
    pub(super) fn change(
        self,
        content_type: &[u8],
        body: &[u8],
        changes: &Changes,
    ) -> Option<Vec<u8>> {
        if body.is_empty() && changes.add.is_empty() && changes.append.is_empty() {
            return None;
        }
        match self {
            Kind::Json => json(body, changes),
            Kind::Form => {
                let mut arguments = Arguments::read(body);
                arguments.change(changes);
                Some(arguments.write().into_bytes())
            }
            Kind::Multipart => {
                let mut multipart = Multipart::read(content_type, body)?;
                multipart.change(changes);
                Some(multipart.write())
            }
        }
    }
}

/// What is no JSON object stays as it is, but for an empty body, which becomes one.
fn json(body: &[u8], changes: &Changes) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = match body.is_empty() {
        true => Map::new(),
        false => serde_json::from_slice(body).ok()?,
    };
    if !body.is_empty() {
        for name in &changes.remove {
            members.remove(name);
        }
        for (old, new) in &changes.rename {
            if let Some(value) = members.remove(old) {
                members.insert(new.clone(), value);
            }
        }
        for (name, value) in &changes.replace {
            if let (true, Some(value)) = (is_there(&members, name), value) {
                members.insert(name.clone(), value.as_str().into());
            }
        }
    }
    for (name, value) in &changes.add {
        if let (false, Some(value)) = (is_there(&members, name), value) {
            members.insert(name.clone(), value.as_str().into());
        }
    }
    for (name, value) in &changes.append {
        let Some(value) = value else { continue };
        let value = Value::String(value.clone());
        let values = match members.remove(name) {
            Some(Value::Array(mut present)) => {
                present.push(value);
                present
            }
            Some(Value::String(present)) => vec![Value::String(present), value],
            _ => vec![value],
        };
        members.insert(name.clone(), Value::Array(values));
    }
    serde_json::to_vec(&members).ok()
}

/// As Kong asks: `false` counts as absent, `null` as present.
fn is_there(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| *value != Value::Bool(false))
}
