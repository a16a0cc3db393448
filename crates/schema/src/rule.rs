//! The rules a value can be held to, with Kong's texts and in Kong's order.

use regex::Regex;
use serde_json::{Number, Value};

use crate::violations::Violation;

/// One rule for the value of one field.
#[derive(Clone, Debug)]
pub enum Rule {
    /// `value must be X`
    Equal(Value),
    /// `value must not be X`
    NotEqual(Value),
    /// `must not be one of: a, b`
    NotOneOf(Vec<Value>),
    /// `expected one of: a, b`
    OneOf(Vec<Value>),
    /// `value must be greater than N`
    GreaterThan(Number),
    /// `expected a valid timestamp`
    Timestamp,
    /// `expected a valid UUID`
    Uuid,
    /// `not a valid regex: X`
    Regex,
    /// `value should be between A and B`
    Between(Number, Number),
    /// `length must be N`
    Length(usize),
    /// `length must be at least N`
    LengthAtLeast(usize),
    /// `length must be at most N`
    LengthAtMost(usize),
    /// `should start with: X`
    StartsWith(&'static str),
    /// `invalid value: X`
    MatchesNot(Regex),
    /// The text that stands with the expression.
    MatchesNone(Vec<(Regex, &'static str)>),
    /// `invalid value: X`
    Matches(Regex),
    /// The text that stands with the first expression that does not match.
    MatchesAll(Vec<(Regex, &'static str)>),
    /// `expected to contain: X`
    Contains(Value),
    /// A rule of the declaration's own for text.
    CheckText(fn(&str) -> Result<(), String>),
    /// A rule of the declaration's own for any value.
    CheckValue(fn(&Value) -> Result<(), Violation>),
    /// `these sets are mutually exclusive: ('a', 'b'), ('c')`
    ExclusiveSubsets(Vec<Vec<&'static str>>),
}

impl Rule {
    /// Compiles the expression of a declaration.
    ///
    /// # Panics
    /// When it does not compile: a mistake in a declaration, which the tests of the declaration
    /// find, since it happens whenever the record is built.
    #[expect(clippy::expect_used, reason = "a declaration is a constant; building it is tested")]
    pub fn expression(text: &str) -> Regex {
        Regex::new(text).expect("the expression of a declaration compiles")
    }

    /// The place of the rule in Kong's order; also tells sorts of rules apart.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Rule::Equal(_) => 0,
            Rule::NotEqual(_) => 1,
            Rule::NotOneOf(_) => 2,
            Rule::OneOf(_) => 3,
            Rule::GreaterThan(_) => 4,
            Rule::Timestamp => 5,
            Rule::Uuid => 6,
            Rule::Regex => 7,
            Rule::Between(..) => 8,
            Rule::Length(_) => 9,
            Rule::LengthAtLeast(_) => 10,
            Rule::LengthAtMost(_) => 11,
            Rule::StartsWith(_) => 12,
            Rule::MatchesNot(_) => 13,
            Rule::MatchesNone(_) => 14,
            Rule::Matches(_) => 15,
            Rule::MatchesAll(_) => 16,
            Rule::Contains(_) => 17,
            Rule::CheckText(_) => 18,
            Rule::CheckValue(_) => 19,
            Rule::ExclusiveSubsets(_) => 20,
        }
    }

    /// Holds the value to the rule. The value has the field's type already; a rule for another
    /// type than the value's is not broken.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Violation> {
        let text = value.as_str().unwrap_or_default();
        let number = value.as_f64();
        let holds = match self {
            Rule::Equal(wanted) => same(value, wanted),
            Rule::NotEqual(unwanted) => !same(value, unwanted),
            Rule::NotOneOf(options) => !options.iter().any(|o| same(value, o)),
            Rule::OneOf(options) => options.iter().any(|o| same(value, o)),
            Rule::GreaterThan(limit) => number > limit.as_f64(),
            Rule::Timestamp => number > Some(0.0),
            Rule::Uuid => is_uuid(text),
            Rule::Regex => Regex::new(text).is_ok(),
            Rule::Between(low, high) => number >= low.as_f64() && number <= high.as_f64(),
            Rule::Length(n) => length(value) == *n,
            Rule::LengthAtLeast(n) => length(value) >= *n,
            Rule::LengthAtMost(n) => length(value) <= *n,
            Rule::StartsWith(prefix) => text.starts_with(prefix),
            Rule::MatchesNot(expression) => !expression.is_match(text),
            Rule::Matches(expression) => expression.is_match(text),
            Rule::Contains(item) => {
                value.as_array().is_some_and(|items| items.iter().any(|i| same(i, item)))
            }
            Rule::MatchesNone(expressions) => {
                return match expressions.iter().find(|(e, _)| e.is_match(text)) {
                    Some((_, violation)) => Err((*violation).into()),
                    None => Ok(()),
                };
            }
            Rule::MatchesAll(expressions) => {
                return match expressions.iter().find(|(e, _)| !e.is_match(text)) {
                    Some((_, violation)) => Err((*violation).into()),
                    None => Ok(()),
                };
            }
            Rule::CheckText(check) => return check(text).map_err(Violation::from),
            Rule::CheckValue(check) => return check(value),
            Rule::ExclusiveSubsets(groups) => return exclusive(value, groups),
        };
        if holds { Ok(()) } else { Err(self.violation(value).into()) }
    }

    fn violation(&self, value: &Value) -> String {
        match self {
            Rule::Equal(wanted) => format!("value must be {}", plain(wanted)),
            Rule::NotEqual(unwanted) => format!("value must not be {}", plain(unwanted)),
            Rule::NotOneOf(options) => format!("must not be one of: {}", list(options)),
            Rule::OneOf(options) => format!("expected one of: {}", list(options)),
            Rule::GreaterThan(limit) => format!("value must be greater than {limit}"),
            Rule::Timestamp => "expected a valid timestamp".to_owned(),
            Rule::Uuid => "expected a valid UUID".to_owned(),
            Rule::Regex => format!("not a valid regex: {}", plain(value)),
            Rule::Between(low, high) => {
                format!("value should be between {} and {}", whole(low), whole(high))
            }
            Rule::Length(n) => format!("length must be {n}"),
            Rule::LengthAtLeast(n) => format!("length must be at least {n}"),
            Rule::LengthAtMost(n) => format!("length must be at most {n}"),
            Rule::StartsWith(prefix) => format!("should start with: {prefix}"),
            Rule::Contains(item) => format!("expected to contain: {}", plain(item)),
            _ => format!("invalid value: {}", plain(value)),
        }
    }
}

/// Equality as Lua sees it: `1` and `1.0` are the same number.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// 8-4-4-4-12 hexadecimal digits, of any version.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

fn exclusive(value: &Value, groups: &[Vec<&'static str>]) -> Result<(), Violation> {
    let mut touched: Vec<&Vec<&'static str>> = Vec::new();
    for item in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let group = groups.iter().find(|group| group.contains(&item));
        if let Some(group) = group.filter(|g| !touched.iter().any(|t| std::ptr::eq(*t, *g))) {
            touched.push(group);
        }
    }
    if touched.len() < 2 {
        return Ok(());
    }
    let groups: Vec<String> = touched.iter().map(|g| format!("({})", quoted(g))).collect();
    Err(format!("these sets are mutually exclusive: {}", groups.join(", ")).into())
}

/// `'a', 'b'`: how messages list field names.
pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Length in Lua's sense: bytes of text, items, members.
fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        _ => 0,
    }
}

fn list(options: &[Value]) -> String {
    options.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// A value within a text: without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Kong writes bounds without their fraction.
fn whole(number: &Number) -> i64 {
    number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as i64)
}

#[cfg(test)]
mod tests;
