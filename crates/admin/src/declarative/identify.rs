//! Ids and references. An entity without an id gets one that depends on what it is called, so that
//! loading the same text again finds it.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::declarative::document::{Document, Draft};
use crate::declarative::faults::Faults;

/// Kong's namespace for such ids.
const NAMESPACE: Uuid = Uuid::from_u128(0xfd02_801f_0957_4a15_a55a_c8d9_606f_30b5);

/// Gives every draft its id, and turns what names other entities into references by id.
pub(super) fn identify(
    document: &mut Document,
    mut new_id: impl FnMut() -> Uuid,
    faults: &mut Faults,
) {
    // Parents stand before the children inside of them, so theirs are known by then.
    for number in 0..document.drafts.len() {
        let parent = document.drafts[number].parent.and_then(|(_, at)| document.drafts[at].id);
        let draft = &mut document.drafts[number];
        let given = match draft.object.get("id") {
            Some(Value::String(id)) => Uuid::try_parse(id).ok(),
            _ => None,
        };
        let id = given.or_else(|| stable_id(draft, parent)).unwrap_or_else(&mut new_id);
        draft.id = Some(id);
        // One that is no UUID stays, for the validator to say so.
        if given.is_none() && draft.object.get("id").is_none_or(Value::is_null) {
            draft.object.insert("id".to_owned(), json!(id));
        }
    }
    let names = names(document);
    for number in 0..document.drafts.len() {
        refer_to_parent(document, number, faults);
        let draft = &mut document.drafts[number];
        let mut missing = Vec::new();
        for field in draft.entity.foreign_fields() {
            let Some(Value::String(name)) = draft.object.get(field.name) else { continue };
            let named = names.get(&(field.entity, name.clone()));
            match named.copied().or_else(|| Uuid::try_parse(name).ok()) {
                Some(id) => {
                    draft.object.insert(field.name.to_owned(), json!({ "id": id }));
                }
                None => missing.push((field.name, field.entity, name.clone())),
            }
        }
        for (field, entity, name) in missing {
            draft.object.remove(field);
            let text = format!("invalid reference '{field}: {name}' (no such entry in '{entity}')");
            faults.of_field(draft, field, text);
        }
    }
}

fn refer_to_parent(document: &mut Document, number: usize, faults: &mut Faults) {
    let Some((field, parent)) = document.drafts[number].parent else { return };
    let id = document.drafts[parent].id;
    let draft = &mut document.drafts[number];
    if draft.object.get(field.name).is_some_and(|value| !value.is_null()) {
        faults.of_field(draft, field.name, "value must be null".to_owned());
    }
    draft.object.insert(field.name.to_owned(), json!({ "id": id }));
}

/// What entities are called: by id and by the key that URLs use.
fn names(document: &Document) -> HashMap<(&'static str, String), Uuid> {
    let mut names = HashMap::new();
    for draft in &document.drafts {
        let Some(id) = draft.id else { continue };
        for field in ["id"].into_iter().chain(draft.entity.endpoint_key) {
            if let Some(Value::String(text)) = draft.object.get(field) {
                names.insert((draft.entity.name, text.clone()), id);
            }
        }
    }
    names
}

/// The id that follows from what the entity is called, if that is unique.
fn stable_id(draft: &Draft, parent: Option<Uuid>) -> Option<Uuid> {
    let key = match draft.entity.composite_key {
        Some(fields) => composite(draft, fields, parent),
        None => {
            let field = draft.entity.endpoint_key?;
            draft.object.get(field)?.as_str()?.to_owned()
        }
    };
    let of_type = Uuid::new_v5(&NAMESPACE, draft.entity.name.as_bytes());
    Some(Uuid::new_v5(&of_type, key.as_bytes()))
}

/// `plugins:*:<name>:<route>:<service>:<consumer>`: an absent part is empty, a reference stands as
/// it is written or as the parent's id.
fn composite(draft: &Draft, fields: &str, parent: Option<Uuid>) -> String {
    let mut key = format!("{}:*", draft.entity.name);
    for field in fields.split(',') {
        key.push(':');
        match draft.object.get(field) {
            Some(Value::String(text)) => key.push_str(text),
            Some(Value::Object(reference)) => {
                key.push_str(reference.get("id").and_then(Value::as_str).unwrap_or_default());
            }
            _ => {
                let inside = draft.parent.filter(|(of, _)| of.name == field).and(parent);
                key.push_str(&inside.map(|id| id.to_string()).unwrap_or_default());
            }
        }
    }
    key
}
