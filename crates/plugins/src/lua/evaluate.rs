//! The value of a tree.

use std::borrow::Cow;
use std::rc::Rc;

use super::library;
use super::parser::{Binary, Node, Unary};
use super::value::{ROOT, Source, Table, Value};

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EvaluationError(String);

type Result<T> = std::result::Result<T, EvaluationError>;

pub(super) fn evaluate<'v>(node: &Node, names: &'v dyn Source) -> Result<Value<'v>> {
    Ok(match node {
        Node::Nil => Value::Nil,
        Node::Boolean(boolean) => Value::Boolean(*boolean),
        Node::Number(number) => Value::Number(*number),
        Node::Text(text) => Value::Text(Cow::Owned(text.clone())),
        Node::Name(name) => names.get(ROOT, &Value::text(name)),
        Node::Member(of, key) => {
            let (table, key) = (evaluate(of, names)?, evaluate(key, names)?);
            member(&table, &key).ok_or_else(|| fault("index", of, &table))?
        }
        Node::Call(function, arguments) => {
            let callee = evaluate(function, names)?;
            let arguments = all(arguments, names)?;
            let called = match &callee {
                Value::Function(run) => Some(run(&arguments).map_err(EvaluationError)?),
                Value::Source(source, at) => source.call(*at, &arguments),
                _ => None,
            };
            called.ok_or_else(|| fault("call", function, &callee))?
        }
        Node::Method(of, name, arguments) => {
            let value = evaluate(of, names)?;
            let function = match &value {
                Value::Text(_) | Value::Number(_) => library::of_strings(name.as_bytes()),
                _ => return Err(fault("index", of, &value)),
            };
            let Some(function) = function else {
                return Err(EvaluationError(format!(
                    "string:{name}() needs Lua, which this version does not run"
                )));
            };
            let mut arguments = all(arguments, names)?;
            arguments.insert(0, value);
            function(&arguments).map_err(EvaluationError)?
        }
        Node::Table(members) => {
            let mut table = Table::default();
            for (key, value) in members {
                let value = evaluate(value, names)?;
                match key {
                    None => table.list.push(value),
                    Some(key) => {
                        let key = evaluate(key, names)?;
                        let Some(name) = key.as_text() else {
                            return Err(EvaluationError(format!(
                                "a {} cannot be a key here",
                                key.kind()
                            )));
                        };
                        table.named.insert(name.into_owned(), value);
                    }
                }
            }
            Value::Table(Rc::new(table))
        }
        Node::And(one, other) => match evaluate(one, names)? {
            value if value.is_true() => evaluate(other, names)?,
            value => value,
        },
        Node::Or(one, other) => match evaluate(one, names)? {
            value if value.is_true() => value,
            _ => evaluate(other, names)?,
        },
        Node::Unary(Unary::Not, of) => Value::Boolean(!evaluate(of, names)?.is_true()),
        Node::Unary(Unary::Minus, of) => {
            let value = evaluate(of, names)?;
            let number = value.as_number();
            Value::Number(-number.ok_or_else(|| fault("perform arithmetic on", of, &value))?)
        }
        Node::Unary(Unary::Length, of) => match evaluate(of, names)? {
            Value::Text(text) => Value::Number(text.len() as f64),
            Value::Table(table) => Value::Number(table.list.len() as f64),
            value => return Err(fault("get length of", of, &value)),
        },
        Node::Binary(operator, one, other) => {
            let (left, right) = (evaluate(one, names)?, evaluate(other, names)?);
            binary(*operator, (one, &left), (other, &right))?
        }
    })
}

fn all<'v>(nodes: &[Node], names: &'v dyn Source) -> Result<Vec<Value<'v>>> {
    nodes.iter().map(|node| evaluate(node, names)).collect()
}

fn member<'v>(of: &Value<'v>, key: &Value<'_>) -> Option<Value<'v>> {
    match of {
        Value::Table(table) => Some(table.get(key)),
        Value::Source(source, at) => Some(source.get(*at, key)),
        _ => None,
    }
}

fn binary<'v>(
    operator: Binary,
    (left_node, left): (&Node, &Value<'v>),
    (right_node, right): (&Node, &Value<'v>),
) -> Result<Value<'v>> {
    let numbers = || {
        let wrong = |node, value| fault("perform arithmetic on", node, value);
        let one = left.as_number().ok_or_else(|| wrong(left_node, left))?;
        let other = right.as_number().ok_or_else(|| wrong(right_node, right))?;
        Ok((one, other))
    };
    let arithmetic = |calculate: fn(f64, f64) -> f64| {
        numbers().map(|(one, other)| Value::Number(calculate(one, other)))
    };
    match operator {
        Binary::Add => arithmetic(|one, other| one + other),
        Binary::Subtract => arithmetic(|one, other| one - other),
        Binary::Multiply => arithmetic(|one, other| one * other),
        Binary::Divide => arithmetic(|one, other| one / other),
        Binary::Modulo => arithmetic(|one, other| one - (one / other).floor() * other),
        Binary::Power => arithmetic(f64::powf),
        Binary::Join => {
            let wrong = |node, value| fault("concatenate", node, value);
            let mut text = left.as_text().ok_or_else(|| wrong(left_node, left))?.into_owned();
            text.extend_from_slice(&right.as_text().ok_or_else(|| wrong(right_node, right))?);
            Ok(Value::Text(Cow::Owned(text)))
        }
        Binary::Equal => Ok(Value::Boolean(equal(left, right))),
        Binary::Unequal => Ok(Value::Boolean(!equal(left, right))),
        Binary::Less => {
            ordered(left, right).map(|order| Value::Boolean(order.is_some_and(|o| o.is_lt())))
        }
        Binary::AtMost => {
            ordered(left, right).map(|order| Value::Boolean(order.is_some_and(|o| o.is_le())))
        }
        Binary::Greater => {
            ordered(left, right).map(|order| Value::Boolean(order.is_some_and(|o| o.is_gt())))
        }
        Binary::AtLeast => {
            ordered(left, right).map(|order| Value::Boolean(order.is_some_and(|o| o.is_ge())))
        }
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Table(one), Value::Table(other)) => Rc::ptr_eq(one, other),
        _ => false,
    }
}

fn ordered(left: &Value<'_>, right: &Value<'_>) -> Result<Option<std::cmp::Ordering>> {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => Ok(one.partial_cmp(other)),
        (Value::Text(one), Value::Text(other)) => Ok(Some(one.cmp(other))),
        _ => Err(EvaluationError(format!(
            "attempt to compare {} with {}",
            left.kind(),
            right.kind()
        ))),
    }
}

/// What went wrong, in Lua's words.
fn fault(what: &str, node: &Node, value: &Value<'_>) -> EvaluationError {
    let kind = value.kind();
    let named = match node {
        Node::Name(name) => format!("global '{name}' (a {kind} value)"),
        Node::Member(_, key) => match &**key {
            Node::Text(key) => {
                format!("field '{}' (a {kind} value)", String::from_utf8_lossy(key))
            }
            _ => format!("a {kind} value"),
        },
        _ => format!("a {kind} value"),
    };
    EvaluationError(format!("attempt to {what} {named}"))
}
