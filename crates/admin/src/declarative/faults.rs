//! What is wrong with a declarative text: Kong's nested form, and its flat one.

use http::StatusCode;
use schema::{Violations, lua};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::declarative::document::{Document, Draft, Step};
use crate::state::Object;

/// Everything that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Wrong entities, by where they stand.
    entities: Vec<(Vec<Step>, Value)>,
    /// The same, one entry per entity.
    flat: Vec<Value>,
    /// What is wrong beside entities.
    others: Object,
}

impl Faults {
    /// It cannot be read at all.
    pub(super) fn unreadable(text: String) -> Faults {
        let others = [("error".to_owned(), Value::from(text))].into_iter().collect();
        Faults { others, ..Faults::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entities.is_empty() && self.others.is_empty()
    }

    /// A rule between entities is broken.
    pub(super) fn of_draft(&mut self, draft: &Draft, text: String) {
        self.add(
            draft,
            Value::from(text.clone()),
            vec![json!({"type": "entity", "message": text})],
        );
    }

    /// One field of an entity is wrong.
    pub(super) fn of_field(&mut self, draft: &Draft, field: &str, text: String) {
        let flat = json!({"type": "field", "field": field, "message": text});
        self.add(draft, json!({ field: text }), vec![flat]);
    }

    /// An entity is not what its declaration asks for.
    pub(super) fn of_violations(&mut self, draft: &Draft, violations: &Violations) {
        let fields = violations.fields();
        let mut flat = Vec::new();
        flatten("", &fields, &mut flat);
        self.add(draft, fields, flat);
    }

    fn add(&mut self, draft: &Draft, nested: Value, errors: Vec<Value>) {
        let mut entry = Map::new();
        let name = draft.entity.name;
        let singular = name.strip_suffix('s').unwrap_or(name);
        entry.insert("entity_type".to_owned(), json!(singular));
        for (shown, field) in
            [("entity_name", "name"), ("entity_id", "id"), ("entity_tags", "tags")]
        {
            if let Some(value) = draft.object.get(field).filter(|value| !value.is_null()) {
                entry.insert(shown.to_owned(), value.clone());
            }
        }
        entry.insert("entity".to_owned(), Value::Object(draft.object.clone()));
        entry.insert("errors".to_owned(), Value::Array(errors));
        self.entities.push((draft.place.clone(), nested));
        self.flat.push(Value::Object(entry));
    }

    /// Adds what the text itself has wrong.
    pub(super) fn finish(mut self, document: &Document) -> Faults {
        self.others.extend(document.faults.clone());
        self
    }

    /// All of it in Kong's nested form.
    fn nested(&self) -> Value {
        let mut nested = Value::Object(self.others.clone());
        for (place, faults) in &self.entities {
            put(&mut nested, place, faults);
        }
        nested
    }

    /// All of it in one line.
    pub(crate) fn message(&self) -> String {
        format!("declarative config is invalid: {}", lua::table(&self.nested()))
    }

    /// The answer: Kong's error 14.
    pub(crate) fn into_answer(self, flattened: bool) -> Answer {
        let message = self.message();
        let nested = self.nested();
        let mut body = json!({
            "code": 14,
            "name": "invalid declarative configuration",
            "message": message,
            "fields": nested,
        });
        if flattened {
            body["fields"] = Value::Object(self.others);
            body["flattened_errors"] = Value::Array(self.flat);
        }
        Answer::json(StatusCode::BAD_REQUEST, &body)
    }
}

/// Puts the faults of an entity where it stands; good ones before it are null.
fn put(at: &mut Value, place: &[Step], faults: &Value) {
    if !at.is_object() {
        *at = json!({});
    }
    let Some(((collection, number), rest)) = place.split_first() else {
        match (at, faults) {
            (Value::Object(all), Value::Object(more)) => all.extend(more.clone()),
            (at, other) => *at = other.clone(),
        }
        return;
    };
    let items = &mut at[*collection];
    if !items.is_array() {
        *items = json!([]);
    }
    if let Value::Array(items) = items {
        while items.len() <= *number {
            items.push(Value::Null);
        }
        put(&mut items[*number], rest, faults);
    }
}

/// One entry per text: rules between fields, and fields by their dotted path.
fn flatten(path: &str, faults: &Value, out: &mut Vec<Value>) {
    let below = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    };
    match faults {
        Value::String(text) => {
            out.push(json!({"type": "field", "field": path, "message": text}));
        }
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::Array(texts) if name == "@entity" => out.extend(
                        texts.iter().map(|text| json!({"type": "entity", "message": text})),
                    ),
                    other => flatten(&below(name), other, out),
                }
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                flatten(&below(&(number + 1).to_string()), item, out);
            }
        }
        _ => {}
    }
}
