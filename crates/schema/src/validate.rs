//! Holding an object to its declaration.

use serde_json::Value;

use crate::field::{Field, Type};
use crate::fill::is_whole;
use crate::record::Record;
use crate::rule::{Rule, plain};
use crate::surroundings::Surroundings;
use crate::violations::{Violation, Violations};
use crate::{Object, Phase};

const REQUIRED: &str = "required field missing";

impl Record {
    /// Everything that is wrong with the object, which [`Record::fill`] has completed.
    pub fn validate(
        &self,
        object: &Object,
        phase: Phase,
        around: &dyn Surroundings,
    ) -> Result<(), Violations> {
        self.validate_part(object, phase, true, around)
    }

    /// What is wrong with the value of one field by itself, such as a key in a URL.
    pub fn validate_value(
        &self,
        name: &str,
        value: &Value,
        around: &dyn Surroundings,
    ) -> Result<(), Violation> {
        match self.get(name) {
            Some(field) => validate_field(field, value, Phase::Insert, around),
            None => Err("unknown field".into()),
        }
    }

    /// As [`Record::validate`]; unless the object is `whole`, absent fields are not missed.
    fn validate_part(
        &self,
        object: &Object,
        phase: Phase,
        whole: bool,
        around: &dyn Surroundings,
    ) -> Result<(), Violations> {
        let subschema = self.subschema_of(object, around);
        if let Some(subschemas) = self.subschemas.as_ref().filter(|_| whole) {
            // Without knowing what it should look like, nothing more can be said.
            let key = object.get(subschemas.key).unwrap_or(&Value::Null);
            if key.is_null() {
                return Err(Violations::field(subschemas.key, REQUIRED));
            }
            if subschema.is_none() {
                let name = match key {
                    Value::Array(names) => names.first().map_or("nil".to_owned(), plain),
                    other => plain(other),
                };
                return Err(Violations::field(subschemas.key, (subschemas.unknown)(&name)));
            }
        }
        let mut violations = Violations::default();
        for (name, field) in self.each(subschema) {
            match object.get(name) {
                Some(_) if field.unvalidated => {}
                Some(value) => {
                    if let Err(violation) = validate_field(field, value, phase, around) {
                        violations.set(name, violation);
                    }
                }
                None if whole && field.required => violations.set(name, REQUIRED),
                None => {}
            }
        }
        for name in object.keys().filter(|name| self.get(name).is_none()) {
            violations.set(name.as_str(), "unknown field");
        }
        let field_at =
            |path: &str| subschema.and_then(|s| s.get_path(path)).or_else(|| self.get_path(path));
        if whole {
            let further = subschema.map_or(&[][..], |s| &s.checks);
            for check in self.checks.iter().chain(further) {
                check.run(object, phase, &field_at, around, &mut violations);
            }
        }
        violations.into_result()
    }
}

/// Whether the text is a reference to a secret, `{vault://…}`.
pub fn is_vault_reference(text: &str) -> bool {
    text.strip_prefix("{vault://").and_then(|t| t.strip_suffix('}')).is_some_and(|t| !t.is_empty())
}

/// Holds one value to its field.
pub(crate) fn validate_field(
    field: &Field,
    value: &Value,
    phase: Phase,
    around: &dyn Surroundings,
) -> Result<(), Violation> {
    let own = |text: &str| Err(field.error.unwrap_or(text).into());
    if value.is_null() {
        for rule in &field.rules {
            match rule {
                Rule::NotEqual(Value::Null) => return own("value must not be null"),
                Rule::Equal(wanted) => {
                    return Err(format!("value must be {}", plain(wanted)).into());
                }
                _ => {}
            }
        }
        return if field.required { Err(REQUIRED.into()) } else { Ok(()) };
    }
    if field.must_be_null {
        return own("value must be null");
    }
    match (&field.kind, value) {
        (Type::String, Value::String(text)) => {
            if field.referenceable && is_vault_reference(text) {
                return Ok(());
            }
            let bounded = field.rules.iter().any(|rule| matches!(rule, Rule::LengthAtLeast(_)));
            if text.is_empty() && !field.may_be_empty && !bounded {
                let first = Rule::LengthAtLeast(1);
                return run_rules(field, Some(&first), value);
            }
        }
        (Type::String, _) => return Err("expected a string".into()),
        (Type::Number, Value::Number(_)) => {}
        (Type::Number, _) => return Err("expected a number".into()),
        (Type::Integer, Value::Number(number))
            if number.is_i64() || number.as_f64().is_some_and(is_whole) => {}
        (Type::Integer, _) => return Err("expected an integer".into()),
        (Type::Boolean, Value::Bool(_)) => {}
        (Type::Boolean, _) => return Err("expected a boolean".into()),
        (Type::Array(elements) | Type::Set(elements), Value::Array(items)) => {
            validate_items(elements, items, phase, around)?;
        }
        (Type::Array(_), _) => return Err("expected an array".into()),
        (Type::Set(_), _) => return Err("expected a set".into()),
        (Type::Map { keys, values }, Value::Object(members)) => {
            for (key, member) in members {
                validate_field(keys, &Value::from(key.as_str()), phase, around)?;
                validate_field(values, member, phase, around)?;
            }
        }
        // In Lua a list is a map whose keys are numbers.
        (Type::Map { .. }, Value::Array(_)) => return Err("expected a string".into()),
        (Type::Map { .. }, _) => return Err("expected a map".into()),
        // Nested records are judged as whole ones, also in an update: they are merged by now.
        (Type::Record(record), Value::Object(object)) => {
            record.validate(object, Phase::Insert, around).map_err(Violation::from)?;
        }
        (Type::Record(_), _) => return Err("expected a record".into()),
        (Type::Foreign { entity, .. }, _) => validate_foreign(entity, value, phase, around)?,
        (Type::Abstract, _) => {
            return Err("error in schema definition: abstract field was not specialized".into());
        }
        (Type::Json, _) => {}
    }
    run_rules(field, None, value)
}

fn run_rules(field: &Field, extra: Option<&Rule>, value: &Value) -> Result<(), Violation> {
    let mut pending = extra;
    for rule in &field.rules {
        if let Some(extra) = pending.take_if(|extra| extra.rank() < rule.rank()) {
            extra.check(value).map_err(|v| field.error.map_or(v, Violation::from))?;
        }
        if matches!(rule, Rule::OneOf(_)) && field.further.contains(value) {
            continue;
        }
        rule.check(value).map_err(|v| field.error.map_or(v, Violation::from))?;
    }
    if let Some(extra) = pending {
        extra.check(value).map_err(|v| field.error.map_or(v, Violation::from))?;
    }
    Ok(())
}

fn validate_items(
    elements: &Field,
    items: &[Value],
    phase: Phase,
    around: &dyn Surroundings,
) -> Result<(), Violation> {
    let mut found: Vec<Option<Violation>> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if let Err(violation) = validate_field(elements, item, phase, around) {
            found.resize(at, None);
            found.push(Some(violation));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(Violation::Items(found)) }
}

/// The other entity's primary key. With other members beside a bad key, what is wrong with those
/// is more helpful.
fn validate_foreign(
    entity: &str,
    value: &Value,
    phase: Phase,
    around: &dyn Surroundings,
) -> Result<(), Violation> {
    let missing = Violations::field("id", "missing primary key");
    let Value::Object(key) = value else { return Err(missing.into()) };
    let violations = match key.get("id") {
        None => missing,
        Some(Value::Null) => Violations::field("id", REQUIRED),
        Some(id) => match validate_field(&Field::string().uuid(), id, phase, around) {
            Ok(()) => return Ok(()),
            Err(violation) => Violations::field("id", violation),
        },
    };
    if let Some(record) = around.entity(entity) {
        record.validate_part(key, phase, false, around)?;
    }
    Err(violations.into())
}

#[cfg(test)]
mod tests;
