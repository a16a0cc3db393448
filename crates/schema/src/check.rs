//! Rules between the fields of a record (Kong's entity checks).

use serde_json::Value;

use crate::field::Field;
use crate::rule::{quoted, same};
use crate::surroundings::Surroundings;
use crate::validate::validate_field;
use crate::violations::Violations;
use crate::{Object, Phase, get, is_vault_reference};

/// A rule between fields. Fields are named by path (`config.redis.host`).
#[derive(Clone, Debug)]
pub enum Check {
    /// At least one is non-empty.
    AtLeastOneOf(Vec<&'static str>),
    /// Exactly one is non-empty.
    OnlyOneOf(Vec<&'static str>),
    /// At most one is non-empty.
    MutuallyExclusive(Vec<&'static str>),
    /// All are non-empty, or none.
    MutuallyRequired(Vec<&'static str>),
    /// Not both sets have a non-empty field.
    MutuallyExclusiveSets(Vec<&'static str>, Vec<&'static str>),
    /// No two have the same non-empty value.
    Distinct(Vec<&'static str>),
    /// When one field fits, another must fit.
    Conditional(Box<Conditional>),
    /// When one field fits, at least one of several must be non-empty.
    ConditionalAtLeastOneOf(Box<ConditionalAtLeastOneOf>),
    /// A rule of the declaration's own.
    Custom(CustomCheck),
}

/// When `if_field` fits `if_match`, `then_field` must fit `then_match`.
#[derive(Clone, Debug)]
pub struct Conditional {
    /// The field that decides.
    pub if_field: &'static str,
    /// The declared field, refined to what is asked of it.
    pub if_match: Field,
    /// The field that is held to the rule.
    pub then_field: &'static str,
    /// The declared field, refined.
    pub then_match: Field,
    /// The text of the violation in place of Kong's usual one.
    pub text: Option<&'static str>,
}

/// When a field fits, at least one of some fields must be non-empty; else, when it fits something
/// else, one of some other fields.
#[derive(Clone, Debug)]
pub struct ConditionalAtLeastOneOf {
    /// The field that decides.
    pub if_field: &'static str,
    /// What is asked of it, which fields are then asked for, and the text with `{}` for them.
    /// The first branch that fits counts.
    pub branches: Vec<(Field, Vec<&'static str>, &'static str)>,
}

/// A rule of the declaration's own. It does not run while one of its fields is wrong or is a
/// reference to a secret.
#[derive(Clone, Copy, Debug)]
pub struct CustomCheck {
    /// The fields that it looks at.
    pub fields: &'static [&'static str],
    /// Whether it also runs while one of its fields is wrong.
    pub with_invalid_fields: bool,
    /// The rule: gets the whole object, and says which fields are wrong or what is wrong between
    /// them.
    pub check: fn(&Object, &dyn Surroundings) -> Result<(), Violations>,
}

impl Check {
    /// Runs the rule and adds what is broken. `field_at` finds a declared field by path.
    pub(crate) fn run<'a>(
        &self,
        object: &Object,
        phase: Phase,
        field_at: &dyn Fn(&str) -> Option<&'a Field>,
        around: &dyn Surroundings,
        violations: &mut Violations,
    ) {
        let names = self.fields();
        let is_reference = |name: &&&str| {
            field_at(name).is_some_and(|f| f.referenceable)
                && get(object, name).and_then(Value::as_str).is_some_and(is_vault_reference)
        };
        if names.iter().find(is_reference).is_some() {
            return;
        }
        // The record that holds all of them is not there: that is said already, or it may be so.
        let absent = names.iter().all(|name| get(object, name).is_none());
        if absent && (phase == Phase::Update || !self.runs_with_absent_fields()) {
            return;
        }
        if !self.runs_with_invalid_fields() && names.iter().any(|n| violations.has_path(n)) {
            return;
        }
        match self {
            Check::AtLeastOneOf(fields) => {
                if present(object, fields).is_empty() {
                    let prefix = if phase == Phase::Update { "when updating, " } else { "" };
                    violations.entity.push(format!(
                        "{prefix}at least one of these fields must be non-empty: {}",
                        quoted(fields)
                    ));
                }
            }
            Check::OnlyOneOf(fields) => {
                if present(object, fields).len() != 1 {
                    violations.entity.push(format!(
                        "exactly one of these fields must be non-empty: {}",
                        quoted(fields)
                    ));
                }
            }
            Check::MutuallyExclusive(fields) => {
                if present(object, fields).len() > 1 {
                    violations.entity.push(format!(
                        "only one or none of these fields must be set: {}",
                        quoted(fields)
                    ));
                }
            }
            Check::MutuallyRequired(fields) => {
                let set = present(object, fields).len();
                if set != 0 && set != fields.len() {
                    violations.entity.push(format!(
                        "all or none of these fields must be set: {}",
                        quoted(fields)
                    ));
                }
            }
            Check::MutuallyExclusiveSets(one, other) => {
                let (one, other) = (present(object, one), present(object, other));
                if !one.is_empty() && !other.is_empty() {
                    violations.entity.push(format!(
                        "these sets are mutually exclusive: ({}), ({})",
                        quoted(&one),
                        quoted(&other)
                    ));
                }
            }
            Check::Distinct(fields) => {
                let values: Vec<&Value> =
                    fields.iter().filter_map(|f| get(object, f)).filter(|v| !is_empty(v)).collect();
                let repeats = |(at, value): (usize, &&Value)| {
                    values.iter().take(at).any(|earlier| same(earlier, value))
                };
                if values.iter().enumerate().any(repeats) {
                    violations.entity.push(format!(
                        "values of these fields must be distinct: {}",
                        quoted(fields)
                    ));
                }
            }
            Check::Conditional(check) => check.run(object, phase, around, violations),
            Check::ConditionalAtLeastOneOf(check) => check.run(object, phase, around, violations),
            Check::Custom(check) => {
                if let Err(found) = (check.check)(object, around) {
                    violations.entity.extend(found.entity);
                    violations.fields.extend(found.fields);
                }
            }
        }
    }

    /// The fields that it looks at, by dotted name.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        match self {
            Check::AtLeastOneOf(fields)
            | Check::OnlyOneOf(fields)
            | Check::MutuallyExclusive(fields)
            | Check::MutuallyRequired(fields)
            | Check::Distinct(fields) => fields.clone(),
            Check::MutuallyExclusiveSets(one, other) => [one.clone(), other.clone()].concat(),
            Check::Conditional(check) => vec![check.if_field, check.then_field],
            Check::ConditionalAtLeastOneOf(check) => vec![check.if_field],
            Check::Custom(check) => check.fields.to_vec(),
        }
    }

    fn runs_with_absent_fields(&self) -> bool {
        match self {
            Check::AtLeastOneOf(_)
            | Check::ConditionalAtLeastOneOf(_)
            | Check::MutuallyExclusive(_)
            | Check::MutuallyRequired(_)
            | Check::MutuallyExclusiveSets(..) => true,
            Check::OnlyOneOf(_) | Check::Distinct(_) | Check::Conditional(_) | Check::Custom(_) => {
                false
            }
        }
    }

    fn runs_with_invalid_fields(&self) -> bool {
        match self {
            Check::AtLeastOneOf(_)
            | Check::OnlyOneOf(_)
            | Check::Distinct(_)
            | Check::Conditional(_)
            | Check::ConditionalAtLeastOneOf(_) => true,
            Check::MutuallyExclusive(_)
            | Check::MutuallyRequired(_)
            | Check::MutuallyExclusiveSets(..) => false,
            Check::Custom(check) => check.with_invalid_fields,
        }
    }
}

impl Conditional {
    fn run(
        &self,
        object: &Object,
        phase: Phase,
        around: &dyn Surroundings,
        violations: &mut Violations,
    ) {
        // Absent, not null: a record on the way to it is not there, so neither is the condition.
        let Some(deciding) = get(object, self.if_field) else { return };
        if validate_field(&self.if_match, deciding, phase, around).is_err() {
            return;
        }
        let value = get(object, self.then_field).unwrap_or(&Value::Null);
        if let Err(violation) = validate_field(&self.then_match, value, phase, around) {
            violations.set_path(self.then_field, violation);
            violations.entity.push(self.text.map_or_else(
                || {
                    format!(
                        "failed conditional validation given value of field '{}'",
                        self.if_field
                    )
                },
                str::to_owned,
            ));
        }
    }
}

impl ConditionalAtLeastOneOf {
    fn run(
        &self,
        object: &Object,
        phase: Phase,
        around: &dyn Surroundings,
        violations: &mut Violations,
    ) {
        let Some(deciding) = get(object, self.if_field) else { return };
        let fits = |(field, ..): &&(Field, Vec<&'static str>, &'static str)| {
            validate_field(field, deciding, phase, around).is_ok()
        };
        if let Some((_, fields, text)) = self.branches.iter().find(fits)
            && present(object, fields).is_empty()
        {
            violations.entity.push(text.replace("{}", &quoted(fields)));
        }
    }
}

fn present(object: &Object, fields: &[&'static str]) -> Vec<&'static str> {
    fields.iter().copied().filter(|f| get(object, f).is_some_and(|v| !is_empty(v))).collect()
}

/// Null, no text, no items, no members.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests;
