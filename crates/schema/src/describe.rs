//! A declaration in the shape of Kong's `/schemas` answers.

use serde_json::{Value, json};

use crate::Object;
use crate::check::{Check, Conditional, ConditionalAtLeastOneOf};
use crate::field::{Field, Type};
use crate::record::{Record, Subschema};
use crate::rule::Rule;
use crate::shorthand::Shorthand;

impl Record {
    /// `{"fields":[{"name":{…}},…],"entity_checks":[…]}`, and `shorthand_fields` if there are any.
    /// Extensions are left out: who reads it expects Kong's.
    pub fn describe(&self) -> Value {
        let mut out = Object::new();
        self.describe_into(&mut out);
        out.entry("entity_checks").or_insert_with(|| json!([]));
        Value::Object(out)
    }

    /// The defaults of its members, without those that are null.
    pub fn defaults(&self) -> Object {
        let default = |(name, field): &(&'static str, Field)| {
            let value = match (&field.default, &field.kind) {
                (Some(value), _) => value.clone(),
                (None, Type::Record(record)) if field.required => Value::Object(record.defaults()),
                _ => Value::Null,
            };
            ((*name).to_owned(), value)
        };
        self.fields.iter().map(default).filter(|(_, value)| !value.is_null()).collect()
    }

    fn describe_into(&self, out: &mut Object) {
        let of_kong = self.fields.iter().filter(|(_, field)| !field.extension);
        let fields = of_kong.map(|(name, field)| named(name, field.describe()));
        out.insert("fields".to_owned(), fields.collect());
        let field_at = |path: &str| self.get_path(path);
        let is_of_kong = |check: &&Check| {
            !check.fields().iter().any(|name| field_at(name).is_some_and(|field| field.extension))
        };
        let checks: Vec<Value> =
            self.checks.iter().filter(is_of_kong).map(|check| check.describe(&field_at)).collect();
        if !checks.is_empty() {
            out.insert("entity_checks".to_owned(), checks.into());
        }
        if !self.shorthands.is_empty() {
            let shorthands = self.shorthands.iter().map(|s| named(s.name, s.describe()));
            out.insert("shorthand_fields".to_owned(), shorthands.collect());
        }
    }
}

impl Subschema {
    /// As [`Record::describe`], of what the subschema declares.
    pub fn describe(&self) -> Value {
        let field_at = |path: &str| self.get_path(path);
        let fields = self.fields.iter().map(|(name, field)| named(name, field.describe()));
        let checks = self.checks.iter().map(|check| check.describe(&field_at));
        json!({
            "fields": fields.collect::<Value>(),
            "entity_checks": checks.collect::<Value>(),
        })
    }
}

impl Field {
    /// The attributes of the field.
    pub(crate) fn describe(&self) -> Value {
        let mut out = Object::new();
        let mut set = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        set("type", self.kind.name().into());
        set("required", self.required.into());
        if let Some(text) = &self.description {
            set("description", text.as_str().into());
        }
        if let Some(default) = &self.default {
            set("default", default.clone());
        }
        if self.must_be_null {
            set("eq", Value::Null);
        }
        for (name, flag) in [
            ("auto", self.auto),
            ("unique", self.unique),
            ("referenceable", self.referenceable),
            ("encrypted", self.encrypted),
            ("abstract", matches!(self.kind, Type::Abstract)),
        ] {
            if flag {
                set(name, true.into());
            }
        }
        if self.may_be_empty {
            set("len_min", 0.into());
        }
        if let Some(text) = self.error {
            set("err", text.into());
        }
        for rule in &self.rules {
            if let Some((name, value)) = rule.describe() {
                set(name, value);
            }
        }
        match &self.kind {
            Type::Array(elements) | Type::Set(elements) => set("elements", elements.describe()),
            Type::Map { keys, values } => {
                set("keys", keys.describe());
                set("values", values.describe());
            }
            Type::Foreign { entity, on_delete } => {
                set("reference", (*entity).into());
                if *on_delete == crate::DeleteRule::Cascade {
                    set("on_delete", "cascade".into());
                }
            }
            Type::Record(record) => record.describe_into(&mut out),
            Type::String
            | Type::Number
            | Type::Integer
            | Type::Boolean
            | Type::Abstract
            | Type::Json => {}
        }
        for (name, value) in &self.attributes {
            out.insert((*name).to_owned(), value.clone());
        }
        Value::Object(out)
    }
}

impl Type {
    /// Kong's name of the type.
    pub fn name(&self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Number => "number",
            Type::Integer => "integer",
            Type::Boolean => "boolean",
            Type::Array(_) => "array",
            Type::Set(_) => "set",
            Type::Map { .. } => "map",
            Type::Record(_) | Type::Abstract => "record",
            Type::Foreign { .. } => "foreign",
            Type::Json => "json",
        }
    }
}

impl Rule {
    /// Kong's attribute for the rule, if it can be shown.
    fn describe(&self) -> Option<(&'static str, Value)> {
        let described = match self {
            Rule::Equal(value) => ("eq", value.clone()),
            Rule::NotEqual(value) => ("ne", value.clone()),
            Rule::OneOf(options) => ("one_of", options.clone().into()),
            Rule::NotOneOf(options) => ("not_one_of", options.clone().into()),
            Rule::GreaterThan(limit) => ("gt", limit.clone().into()),
            Rule::Timestamp => ("timestamp", true.into()),
            Rule::Uuid => ("uuid", true.into()),
            Rule::Regex => ("is_regex", true.into()),
            Rule::Between(low, high) => ("between", json!([low, high])),
            Rule::Length(n) => ("len_eq", (*n).into()),
            Rule::LengthAtLeast(n) => ("len_min", (*n).into()),
            Rule::LengthAtMost(n) => ("len_max", (*n).into()),
            Rule::StartsWith(prefix) => ("starts_with", (*prefix).into()),
            Rule::Matches(expression) => ("match", expression.as_str().into()),
            Rule::MatchesNot(expression) => ("not_match", expression.as_str().into()),
            Rule::MatchesNone(expressions) => ("match_none", patterns(expressions)),
            Rule::MatchesAll(expressions) => ("match_all", patterns(expressions)),
            Rule::Contains(item) => ("contains", item.clone()),
            Rule::ExclusiveSubsets(groups) => {
                ("mutually_exclusive_subsets", groups.iter().cloned().map(Value::from).collect())
            }
            Rule::CheckText(_) | Rule::CheckValue(_) => return None,
        };
        Some(described)
    }
}

impl Shorthand {
    fn describe(&self) -> Value {
        let mut out = self.field.describe();
        if let (Some(deprecation), Value::Object(out)) = (&self.deprecation, &mut out) {
            let paths = deprecation.replaced_with.iter().map(|path| {
                let segments: Vec<&str> = path.split('.').collect();
                json!({ "path": segments })
            });
            let shown = json!({
                "message": deprecation.message,
                "removal_in_version": deprecation.removal_in_version,
                "replaced_with": paths.collect::<Value>(),
            });
            out.insert("deprecation".to_owned(), shown);
        }
        out
    }
}

impl Check {
    fn describe<'a>(&self, field_at: &dyn Fn(&str) -> Option<&'a Field>) -> Value {
        match self {
            Check::AtLeastOneOf(fields) => named("at_least_one_of", fields.clone().into()),
            Check::OnlyOneOf(fields) => named("only_one_of", fields.clone().into()),
            Check::MutuallyExclusive(fields) => named("mutually_exclusive", fields.clone().into()),
            Check::MutuallyRequired(fields) => named("mutually_required", fields.clone().into()),
            Check::Distinct(fields) => named("distinct", fields.clone().into()),
            Check::MutuallyExclusiveSets(one, other) => {
                named("mutually_exclusive_sets", json!({ "set1": one, "set2": other }))
            }
            Check::Conditional(check) => named("conditional", check.describe(field_at)),
            Check::ConditionalAtLeastOneOf(check) => {
                named("conditional_at_least_one_of", check.describe(field_at))
            }
            Check::Custom(check) => {
                named("custom_entity_check", json!({ "field_sources": check.fields }))
            }
        }
    }
}

impl Conditional {
    fn describe<'a>(&self, field_at: &dyn Fn(&str) -> Option<&'a Field>) -> Value {
        let mut out = json!({
            "if_field": self.if_field,
            "if_match": refinement(&self.if_match, field_at(self.if_field)),
            "then_field": self.then_field,
            "then_match": refinement(&self.then_match, field_at(self.then_field)),
        });
        if let (Some(text), Value::Object(out)) = (self.text, &mut out) {
            out.insert("then_err".to_owned(), text.into());
        }
        out
    }
}

impl ConditionalAtLeastOneOf {
    fn describe<'a>(&self, field_at: &dyn Fn(&str) -> Option<&'a Field>) -> Value {
        let mut out = Object::new();
        out.insert("if_field".to_owned(), self.if_field.into());
        let names = [
            ("if_match", "then_at_least_one_of", "then_err"),
            ("else_match", "else_then_at_least_one_of", "else_then_err"),
        ];
        for ((field, fields, text), (matched, asked, err)) in self.branches.iter().zip(names) {
            out.insert(matched.to_owned(), refinement(field, field_at(self.if_field)));
            out.insert(asked.to_owned(), fields.clone().into());
            out.insert(err.to_owned(), text.replace("{}", "%s").into());
        }
        Value::Object(out)
    }
}

/// What a rule asks of a field beyond what its declaration does.
fn refinement(field: &Field, declared: Option<&Field>) -> Value {
    let declared = declared.map(Field::describe).unwrap_or_default();
    match field.describe() {
        Value::Object(mut out) => {
            out.retain(|name, value| declared.get(name) != Some(value));
            Value::Object(out)
        }
        other => other,
    }
}

fn patterns(expressions: &[(regex::Regex, &'static str)]) -> Value {
    let shown = expressions.iter().map(|(e, text)| json!({ "pattern": e.as_str(), "err": text }));
    shown.collect()
}

fn named(name: &str, value: Value) -> Value {
    Value::Object([(name.to_owned(), value)].into_iter().collect())
}

#[cfg(test)]
mod tests;
