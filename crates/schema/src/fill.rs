//! Completing an object: shorthands, generated values, defaults, one form for equal values.

use serde_json::{Number, Value};

use crate::field::{Field, Type};
use crate::record::Record;
use crate::rule::{Rule, plain};
use crate::surroundings::Surroundings;
use crate::validate::validate_field;
use crate::violations::Violations;
use crate::{Object, Phase, get};

impl Record {
    /// Completes and validates a whole object: what POST and PUT do.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn process(
        &self,
        mut object: Object,
        around: &dyn Surroundings,
    ) -> Result<Object, Violations> {
        let written = self.written(&object);
        self.fill(&mut object, Phase::Insert, around)?;
        self.finish(object, &written, None, around)
    }

    /// Merges a part into a stored object and validates what comes out: what PATCH does.
    ///
    /// # Errors
    /// Everything that is wrong with what comes out.
    pub fn process_update(
        &self,
        mut patch: Object,
        stored: &Object,
        around: &dyn Surroundings,
    ) -> Result<Object, Violations> {
        let written = self.written(&patch);
        // The part is of the same kind as the whole, unless it says otherwise.
        if let Some(key) = self.subschemas.as_ref().map(|subschemas| subschemas.key)
            && !patch.contains_key(key)
            && let Some(kind) = stored.get(key)
        {
            patch.insert(key.to_owned(), kind.clone());
        }
        self.fill(&mut patch, Phase::Update, around)?;
        let mut merged = self.merge(patch, stored, around);
        self.complete(&mut merged, around);
        self.finish(merged, &written, Some(stored), around)
    }

    /// What the transformations must know of what was written; nothing if there are none.
    fn written(&self, input: &Object) -> Object {
        if self.transformations.is_empty() { Object::new() } else { input.clone() }
    }

    fn finish(
        &self,
        mut object: Object,
        written: &Object,
        stored: Option<&Object>,
        around: &dyn Surroundings,
    ) -> Result<Object, Violations> {
        let phase = if stored.is_some() { Phase::Update } else { Phase::Insert };
        let mut violations = self.validate(&object, phase, around).err().unwrap_or_default();
        for transformation in &self.transformations {
            transformation.check(written, &object, stored, &mut violations);
        }
        violations.into_result()?;
        self.settle_all(&mut object);
        for transformation in &self.transformations {
            // Of a new entity, what was generated counts as written.
            let written = if stored.is_some() { written } else { &object.clone() };
            transformation.run(written, &mut object, around);
        }
        Ok(object)
    }

    /// Extensions that are null are left out.
    fn drop_unused(&self, object: &mut Object) {
        for (name, field) in &self.fields {
            match (object.get_mut(*name), &field.kind) {
                (Some(Value::Null), _) if field.extension => {
                    object.remove(*name);
                }
                (Some(Value::Object(inner)), Type::Record(record)) => record.drop_unused(inner),
                _ => {}
            }
        }
    }

    /// References keep nothing but the key; fields are brought in line.
    fn settle_all(&self, object: &mut Object) {
        self.drop_unused(object);
        for (name, field) in &self.fields {
            if let (Type::Foreign { .. }, Some(Value::Object(key))) =
                (&field.kind, object.get_mut(*name))
            {
                key.retain(|member, _| member == "id");
            }
        }
        if let Some(settle) = self.settle {
            settle(object);
        }
    }

    /// Expands shorthands, generates what is generated, gives absent fields their defaults (on
    /// [`Phase::Insert`]), drops repetitions in sets, writes integers without fraction.
    ///
    /// # Errors
    /// Only when a shorthand is wrong; nothing else is validated then.
    pub fn fill(
        &self,
        object: &mut Object,
        phase: Phase,
        around: &dyn Surroundings,
    ) -> Result<(), Violations> {
        self.expand_shorthands(object, phase, around)?;
        let subschema = self.subschema_of(object, around);
        for (name, field) in self.each(subschema) {
            if field.auto {
                generate(name, field, object, phase, around);
            }
            match object.get_mut(name) {
                Some(value) => fill_value(field, value, phase, around)
                    .map_err(|inner| Violations::field(name, inner))?,
                None if phase == Phase::Update => {}
                None => {
                    if let Some(value) = absent(field, around)? {
                        object.insert(name.to_owned(), value);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives absent fields their defaults, also in nested records, and changes nothing else: for
    /// what an older version stored, or an update has merged.
    pub fn complete(&self, object: &mut Object, around: &dyn Surroundings) {
        let subschema = self.subschema_of(object, around);
        for (name, field) in self.each(subschema) {
            match object.get_mut(name) {
                Some(value) => complete_value(field, value, around),
                None => {
                    if let Ok(Some(value)) = absent(field, around) {
                        object.insert(name.to_owned(), value);
                    }
                }
            }
        }
    }

    /// What an update makes of what is stored: records are merged member by member, everything
    /// else is replaced.
    pub fn merge(&self, patch: Object, stored: &Object, around: &dyn Surroundings) -> Object {
        let subschema = self.subschema_of(stored, around);
        let mut merged = stored.clone();
        for (name, value) in patch {
            let declared = subschema.and_then(|s| s.fields.get(name.as_str()));
            let value = match (declared.or_else(|| self.get(&name)).map(|f| &f.kind), value) {
                (Some(Type::Record(record)), Value::Object(patch)) => {
                    let empty = Object::new();
                    let stored = stored.get(&name).and_then(Value::as_object).unwrap_or(&empty);
                    Value::Object(record.merge(patch, stored, around))
                }
                (_, value) => value,
            };
            merged.insert(name, value);
        }
        merged
    }

    /// Adds the deprecated inputs that are shown in answers beside what replaced them.
    pub fn show_deprecated(&self, object: &mut Object, around: &dyn Surroundings) {
        for shorthand in &self.shorthands {
            let shown = shorthand.deprecation.as_ref().and_then(|d| d.replaced_with.first());
            if let Some(path) = shown {
                let value = get(object, path).cloned().unwrap_or(Value::Null);
                object.insert(shorthand.name.to_owned(), value);
            }
        }
        let subschema = self.subschema_of(object, around);
        for (name, field) in self.each(subschema) {
            if let (Type::Record(record), Some(Value::Object(inner))) =
                (&field.kind, object.get_mut(name))
            {
                record.show_deprecated(inner, around);
            }
        }
    }

    fn expand_shorthands(
        &self,
        object: &mut Object,
        phase: Phase,
        around: &dyn Surroundings,
    ) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for shorthand in &self.shorthands {
            let Some(value) = object.get(shorthand.name) else { continue };
            if let Err(violation) = validate_field(&shorthand.field, value, phase, around) {
                violations.set(shorthand.name, violation);
                continue;
            }
            if let Some(deprecation) = &shorthand.deprecation
                && !value.is_null()
                && let Some((path, other)) = deprecation
                    .replaced_with
                    .iter()
                    .filter_map(|path| Some((path, get(object, path)?)))
                    .find(|(_, other)| !other.is_null() && *other != value)
            {
                let text = format!(
                    "both deprecated and new field are used but their values mismatch: \
                     {} = {} vs {path} = {}",
                    shorthand.name,
                    plain(value),
                    plain(other)
                );
                violations.set(shorthand.name, text);
                continue;
            }
            let value = object.remove(shorthand.name).unwrap_or(Value::Null);
            let translated = (shorthand.expand)(value);
            overlay(object, translated, shorthand.deprecation.is_none());
        }
        violations.into_result()
    }
}

/// Puts a translation over what was given, or under it when what was given wins.
fn overlay(object: &mut Object, translated: Object, wins: bool) {
    for (name, value) in translated {
        match (object.get_mut(&name), value) {
            (Some(Value::Object(given)), Value::Object(inner)) => overlay(given, inner, wins),
            (Some(given), value) => {
                if wins || given.is_null() {
                    *given = value;
                }
            }
            (None, value) => {
                object.insert(name, value);
            }
        }
    }
}

fn generate(
    name: &str,
    field: &Field,
    object: &mut Object,
    phase: Phase,
    around: &dyn Surroundings,
) {
    let given = object.get(name);
    let value = match &field.kind {
        Type::String if phase == Phase::Update => return,
        Type::String if is_uuid(field) && given.is_none_or(Value::is_null) => {
            Value::from(around.new_id().to_string())
        }
        Type::String if given.is_some() => return,
        Type::String => Value::from(around.random_string()),
        Type::Integer | Type::Number => {
            // What is not validated is overwritten: the time of the last change.
            let keep = phase == Phase::Update || given.is_some_and(|v| !v.is_null());
            if !field.unvalidated && keep {
                return;
            }
            if matches!(field.kind, Type::Integer) {
                Value::from(around.now_ms() / 1000)
            } else {
                number(around.now_ms() as f64 / 1000.0)
            }
        }
        _ => return,
    };
    object.insert(name.to_owned(), value);
}

fn is_uuid(field: &Field) -> bool {
    field.rules.iter().any(|rule| matches!(rule, Rule::Uuid))
}

/// The value of an absent field; `None` stays absent, and is missed if it is required.
fn absent(field: &Field, around: &dyn Surroundings) -> Result<Option<Value>, Violations> {
    if let Some(default) = &field.default {
        return Ok(Some(default.clone()));
    }
    if field.extension {
        return Ok(None);
    }
    if !field.required {
        return Ok(Some(Value::Null));
    }
    match &field.kind {
        Type::Record(record) => {
            let mut inner = Object::new();
            record.fill(&mut inner, Phase::Insert, around)?;
            Ok(Some(Value::Object(inner)))
        }
        _ => Ok(None),
    }
}

fn fill_value(
    field: &Field,
    value: &mut Value,
    phase: Phase,
    around: &dyn Surroundings,
) -> Result<(), Violations> {
    match (&field.kind, &mut *value) {
        (Type::Integer | Type::Number, Value::Number(_)) => without_fraction(value),
        (Type::Record(record), Value::Object(object)) => record.fill(object, phase, around)?,
        // An empty list and an empty object are the same to Kong.
        (Type::Array(_) | Type::Set(_), Value::Object(object)) if object.is_empty() => {
            *value = Value::Array(Vec::new());
        }
        (Type::Map { .. } | Type::Record(_) | Type::Abstract, Value::Array(items))
            if items.is_empty() =>
        {
            *value = Value::Object(Object::new());
            return fill_value(field, value, phase, around);
        }
        (Type::Array(elements), Value::Array(items)) => {
            for item in items {
                fill_value(elements, item, Phase::Insert, around)?;
            }
        }
        (Type::Set(elements), Value::Array(items)) => {
            for item in items.iter_mut() {
                fill_value(elements, item, Phase::Insert, around)?;
            }
            without_repetitions(items);
        }
        (Type::Map { values, .. }, Value::Object(members)) => {
            for member in members.values_mut() {
                fill_value(values, member, Phase::Insert, around)?;
            }
        }
        (Type::String, Value::String(text)) if is_uuid(field) => text.make_ascii_lowercase(),
        (Type::Foreign { .. }, Value::Object(key)) => {
            if let Some(Value::String(id)) = key.get_mut("id") {
                id.make_ascii_lowercase();
            }
        }
        _ => {}
    }
    Ok(())
}

fn complete_value(field: &Field, value: &mut Value, around: &dyn Surroundings) {
    match (&field.kind, value) {
        (Type::Record(record), Value::Object(object)) => record.complete(object, around),
        (Type::Array(elements) | Type::Set(elements), Value::Array(items)) => {
            for item in items {
                complete_value(elements, item, around);
            }
        }
        (Type::Map { values, .. }, Value::Object(members)) => {
            for member in members.values_mut() {
                complete_value(values, member, around);
            }
        }
        _ => {}
    }
}

/// Drops later repetitions of strings and numbers; records are kept twice, as in Kong.
fn without_repetitions(items: &mut Vec<Value>) {
    let mut seen: Vec<Value> = Vec::with_capacity(items.len());
    items.retain(|item| {
        if item.is_object() || item.is_array() {
            return true;
        }
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}

fn without_fraction(value: &mut Value) {
    if let Value::Number(n) = value
        && n.is_f64()
        && let Some(float) = n.as_f64()
    {
        *value = number(float);
    }
}

/// Whether the number is an integer, of a size up to which floats hold every one.
pub(crate) fn is_whole(float: f64) -> bool {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    float.fract() == 0.0 && float.abs() <= EXACT
}

/// A number, as an integer if it is one that a float holds exactly.
pub(crate) fn number(float: f64) -> Value {
    if is_whole(float) {
        Value::from(float as i64)
    } else {
        Number::from_f64(float).map_or(Value::Null, Value::Number)
    }
}

#[cfg(test)]
mod tests;
