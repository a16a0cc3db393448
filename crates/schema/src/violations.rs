//! The tree of what is wrong with an object, and Kong's two renderings of it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::lua;

/// Everything that is wrong with one object: by field, and between fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Violations {
    /// Rules between fields that are broken (Kong's `@entity`), in the order of the rules.
    pub entity: Vec<String>,
    /// What is wrong with a field, by its name.
    pub fields: BTreeMap<String, Violation>,
}

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq)]
pub enum Violation {
    /// The value itself.
    Text(String),
    /// Members of the record, by name.
    Fields(Violations),
    /// Items of the array or set, by position; `None` is a good item.
    Items(Vec<Option<Violation>>),
}

impl From<String> for Violation {
    fn from(text: String) -> Violation {
        Violation::Text(text)
    }
}

impl From<&str> for Violation {
    fn from(text: &str) -> Violation {
        Violation::Text(text.to_owned())
    }
}

impl From<Violations> for Violation {
    fn from(inner: Violations) -> Violation {
        Violation::Fields(inner)
    }
}

impl Violations {
    /// One field is wrong.
    pub fn field(name: impl Into<String>, violation: impl Into<Violation>) -> Violations {
        let mut all = Violations::default();
        all.set(name, violation);
        all
    }

    /// One rule between fields is broken.
    pub fn of_entity(text: impl Into<String>) -> Violations {
        Violations { entity: vec![text.into()], fields: BTreeMap::new() }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.fields.is_empty()
    }

    /// `Ok` when nothing is wrong.
    pub fn into_result(self) -> Result<(), Violations> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Notes what is wrong with a field, in place of what was noted before: the last rule that
    /// looks at a field has the word, as in Kong.
    pub fn set(&mut self, name: impl Into<String>, violation: impl Into<Violation>) {
        self.fields.insert(name.into(), violation.into());
    }

    /// As [`Violations::set`], for a member of nested records (`config.redis.host`).
    pub fn set_path(&mut self, path: &str, violation: impl Into<Violation>) {
        match path.split_once('.') {
            None => self.set(path, violation),
            Some((head, rest)) => {
                let slot = self
                    .fields
                    .entry(head.to_owned())
                    .or_insert_with(|| Violation::Fields(Violations::default()));
                if !matches!(slot, Violation::Fields(_)) {
                    *slot = Violation::Fields(Violations::default());
                }
                if let Violation::Fields(inner) = slot {
                    inner.set_path(rest, violation);
                }
            }
        }
    }

    /// Whether something is wrong with this member, or within it.
    pub fn has_path(&self, path: &str) -> bool {
        match path.split_once('.') {
            None => self.fields.contains_key(path),
            Some((head, rest)) => match self.fields.get(head) {
                None => false,
                Some(Violation::Fields(inner)) => inner.has_path(rest),
                Some(_) => true,
            },
        }
    }

    /// Kong's `fields`: names to texts, nested objects, and arrays with `null` for good items.
    pub fn fields(&self) -> Value {
        let mut object: crate::Object =
            self.fields.iter().map(|(name, v)| (name.clone(), v.to_json())).collect();
        if !self.entity.is_empty() {
            object.insert("@entity".to_owned(), Value::from(self.entity.clone()));
        }
        Value::Object(object)
    }

    /// How many entries [`Violations::summary`] has: one per broken rule between fields, per
    /// wrong scalar field, and per wrong member or item of a wrong field.
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    /// Kong's message: `schema violation (host: required field missing)`, or
    /// `2 schema violations (…; …)`. Rules between fields come first, then fields by name; one
    /// level of nesting is spelled out, what lies deeper is a table.
    pub fn summary(&self) -> String {
        let entries = self.entries();
        match entries.as_slice() {
            [one] => format!("schema violation ({one})"),
            all => format!("{} schema violations ({})", all.len(), all.join("; ")),
        }
    }

    fn entries(&self) -> Vec<String> {
        let mut entries = self.entity.clone();
        for (name, violation) in &self.fields {
            match violation {
                Violation::Text(text) => entries.push(format!("{name}: {text}")),
                Violation::Fields(inner) => {
                    if !inner.entity.is_empty() {
                        let list = Value::from(inner.entity.clone());
                        entries.push(format!("{name}.@entity: {}", lua::pretty(&list)));
                    }
                    for (member, violation) in &inner.fields {
                        entries.push(format!("{name}.{member}: {}", violation.to_line()));
                    }
                }
                Violation::Items(items) => {
                    for (at, violation) in items.iter().enumerate() {
                        if let Some(violation) = violation {
                            entries.push(format!("{name}.{}: {}", at + 1, violation.to_line()));
                        }
                    }
                }
            }
        }
        entries
    }
}

impl Violation {
    /// As in Kong's `fields`.
    pub fn to_json(&self) -> Value {
        match self {
            Violation::Text(text) => Value::from(text.clone()),
            Violation::Fields(inner) => inner.fields(),
            Violation::Items(items) => items
                .iter()
                .map(|item| item.as_ref().map_or(Value::Null, Violation::to_json))
                .collect(),
        }
    }

    fn to_line(&self) -> String {
        match self {
            Violation::Text(text) => text.clone(),
            nested => lua::pretty(&nested.to_json()),
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Violations {}

#[cfg(test)]
mod tests;
