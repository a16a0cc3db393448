//! What a declarative text says: drafts of entities, each with its place and its parent.

use model::{EntityType, ForeignField, RouterFlavor};
use serde_json::Value;
use uuid::Uuid;

use crate::declarative::faults::Faults;
use crate::state::Object;

/// A step of the way to an entity: a collection, and the number in it.
pub(super) type Step = (&'static str, usize);

/// A text, taken apart.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Parents before the children that stand inside of them.
    pub(super) drafts: Vec<Draft>,
    /// Whether values are as a user writes them, or as they are stored.
    pub(super) transform: bool,
    /// Members of the top level that are wrong.
    pub(super) faults: Object,
}

/// An entity as it was written.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) entity: &'static EntityType,
    /// Its members, without children.
    pub(super) object: Object,
    /// Where it stands.
    pub(super) place: Vec<Step>,
    /// The field that refers to the entity it stands in, and that entity's draft.
    pub(super) parent: Option<(ForeignField, usize)>,
    pub(super) id: Option<Uuid>,
}

impl Draft {
    /// Whether fields of it are stored as hashes.
    pub(super) fn has_hashes(&self) -> bool {
        matches!(self.entity.name, "basicauth_credentials" | "oauth2_credentials")
    }
}

/// Reads a text: JSON, else YAML.
pub(super) fn parse(text: &str) -> Result<Value, Faults> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    serde_yaml_ng::from_str(text).map_err(|error| {
        Faults::unreadable(format!("failed parsing declarative configuration: {error}"))
    })
}

/// Takes a parsed text apart.
pub(super) fn take_apart(value: Value, flavor: RouterFlavor) -> Result<Document, Faults> {
    let Value::Object(mut top) = value else {
        return Err(Faults::unreadable(
            "failed parsing declarative configuration: expected an object".to_owned(),
        ));
    };
    let mut document = Document { transform: true, ..Document::default() };
    let version = top.remove("_format_version");
    match &version {
        Some(Value::String(version)) if VERSIONS.contains(&version.as_str()) => {}
        None | Some(Value::Null) => document.fault("_format_version", "required field missing"),
        Some(Value::String(_)) => {
            document.fault("_format_version", "expected one of: 1.1, 2.1, 3.0");
        }
        Some(_) => document.fault("_format_version", "expected a string"),
    }
    match top.remove("_transform") {
        None | Some(Value::Null) => {}
        Some(Value::Bool(transform)) => document.transform = transform,
        Some(_) => document.fault("_transform", "expected a boolean"),
    }
    let reader = Reader { flavor, old_paths: version.is_some_and(|version| version != "3.0") };
    for (name, members) in top {
        if COMMENTS.contains(&name.as_str()) {
            continue;
        }
        let Some(entity) = model::entity(&name) else {
            document.fault(&name, "unknown field");
            continue;
        };
        reader.collection(&mut document, entity, members, &[], None);
    }
    Ok(document)
}

const VERSIONS: [&str; 3] = ["1.1", "2.1", "3.0"];
const COMMENTS: [&str; 2] = ["_comment", "_ignore"];

impl Document {
    fn fault(&mut self, name: &str, text: &str) {
        self.faults.insert(name.to_owned(), Value::from(text));
    }
}

struct Reader {
    flavor: RouterFlavor,
    /// Before 3.0 a path with characters of expressions was one.
    old_paths: bool,
}

impl Reader {
    fn collection(
        &self,
        document: &mut Document,
        entity: &'static EntityType,
        members: Value,
        place: &[Step],
        parent: Option<(ForeignField, usize)>,
    ) {
        let items = match members {
            Value::Array(items) => items,
            Value::Null => return,
            _ => {
                document.fault(entity.name, "expected an array");
                return;
            }
        };
        for (number, item) in items.into_iter().enumerate() {
            let place: Vec<Step> = place.iter().copied().chain([(entity.name, number)]).collect();
            match item {
                Value::Object(object) => self.entity(document, entity, object, place, parent),
                _ => document.fault(entity.name, "expected a record"),
            }
        }
    }

    fn entity(
        &self,
        document: &mut Document,
        entity: &'static EntityType,
        object: Object,
        place: Vec<Step>,
        parent: Option<(ForeignField, usize)>,
    ) {
        let number = document.drafts.len();
        let mut own = Object::new();
        let mut children = Vec::new();
        for (name, value) in object {
            if COMMENTS.contains(&name.as_str()) {
                continue;
            }
            match child_of(entity, &name, self.flavor) {
                Some(child) => children.push((child, value)),
                None => {
                    own.insert(name, value);
                }
            }
        }
        if self.old_paths && entity.name == "routes" {
            mark_expressions(&mut own);
        }
        document.drafts.push(Draft { entity, object: own, place: place.clone(), parent, id: None });
        for ((child, field), members) in children {
            self.collection(document, child, members, &place, Some((field, number)));
        }
    }
}

/// The entity type of that name, if its entities can stand inside those of `entity`. What is a
/// field as well is the field, but for the server names of a certificate.
fn child_of(
    entity: &'static EntityType,
    name: &str,
    flavor: RouterFlavor,
) -> Option<(&'static EntityType, ForeignField)> {
    let is_field = entity.record(flavor).get(name).is_some();
    if is_field && !entity.not_stored.contains(&name) {
        return None;
    }
    let child = model::entity(name)?;
    let field = child.foreign_fields().into_iter().find(|field| field.entity == entity.name)?;
    Some((child, field))
}

/// Gives paths that were expressions before 3.0 the `~` that says so now.
fn mark_expressions(route: &mut Object) {
    let plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/%-".contains(&byte))
    };
    for path in route.get_mut("paths").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(text) = path
            && !plain(text)
        {
            text.insert(0, '~');
        }
    }
}
