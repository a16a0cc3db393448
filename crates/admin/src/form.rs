//! The arguments of a query or of a form body, and how their names make nested values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::state::Object;

/// At most this many arguments are read (Kong: more is 400 `Too many arguments`).
pub(crate) const MAX_ARGUMENTS: usize = 1000;

/// How deep names may nest; `a.b[c]` is three. Bodies with deeper names are refused, so that
/// nothing that walks the value can run out of stack.
const MAX_DEPTH: usize = 32;

/// Why arguments cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More than [`MAX_ARGUMENTS`].
    TooMany,
    /// A name that nests deeper than [`MAX_DEPTH`].
    TooDeep(String),
    /// A name or a value that is not UTF-8.
    NotUtf8,
}

/// One argument, decoded. A name without `=` has the value `true`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Argument {
    /// The name, brackets and dots included.
    pub(crate) name: String,
    /// Text, `true`, or (from a multipart body) any JSON.
    pub(crate) value: Value,
}

/// Reads `application/x-www-form-urlencoded` text.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Argument>, Refused> {
    let mut arguments = Vec::new();
    for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
        if arguments.len() == MAX_ARGUMENTS {
            return Err(Refused::TooMany);
        }
        let at = pair.iter().position(|&b| b == b'=');
        let (name, value) = match at {
            Some(at) => (&pair[..at], Some(&pair[at + 1..])),
            None => (pair, None),
        };
        let value = match value {
            Some(value) => Value::String(decode(value)?),
            None => Value::Bool(true),
        };
        arguments.push(Argument { name: decode(name)?, value });
    }
    Ok(arguments)
}

/// The nested value that the arguments describe (Kong: admin-api.md §7.2):
///
/// - `a.b` and `a[b]` name members; inside brackets a dot is part of the name;
/// - `a[]` appends to an array, `a[2]` is its second item, a repeated name makes an array;
/// - where names contradict each other (`a=1&a.b=2`), the later one wins.
pub(crate) fn nest(arguments: Vec<Argument>) -> Result<Object, Refused> {
    let mut root = BTreeMap::new();
    for Argument { name, value } in arguments {
        let (head, rest) = steps(&name);
        if rest.len() >= MAX_DEPTH {
            return Err(Refused::TooDeep(name));
        }
        place(root.entry(head.to_owned()).or_insert(Node::Empty), &rest, value);
    }
    Ok(root.into_iter().map(|(name, node)| (name, node.into_value())).collect())
}

/// One step from a value to a value within it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a str),
    Item(u64),
    Append,
}

/// What is known of a value so far.
enum Node {
    Empty,
    Leaf(Value),
    /// Values of a repeated or appended name, in order.
    List(Vec<Node>),
    /// Values by the positions that the names gave.
    Items(BTreeMap<u64, Node>),
    Members(BTreeMap<String, Node>),
}

impl Node {
    fn into_value(self) -> Value {
        match self {
            Node::Empty => Value::Null,
            Node::Leaf(value) => value,
            Node::List(nodes) => nodes.into_iter().map(Node::into_value).collect(),
            Node::Items(nodes) => nodes.into_values().map(Node::into_value).collect(),
            Node::Members(nodes) => Value::Object(
                nodes.into_iter().map(|(name, node)| (name, node.into_value())).collect(),
            ),
        }
    }
}

fn place(node: &mut Node, steps: &[Step<'_>], value: Value) {
    let Some((first, rest)) = steps.split_first() else {
        *node = match std::mem::replace(node, Node::Empty) {
            Node::Leaf(earlier) => Node::List(vec![Node::Leaf(earlier), Node::Leaf(value)]),
            Node::List(mut nodes) => {
                nodes.push(Node::Leaf(value));
                Node::List(nodes)
            }
            _ => Node::Leaf(value),
        };
        return;
    };
    match first {
        Step::Member(name) => {
            if !matches!(node, Node::Members(_)) {
                *node = Node::Members(BTreeMap::new());
            }
            if let Node::Members(members) = node {
                place(members.entry((*name).to_owned()).or_insert(Node::Empty), rest, value);
            }
        }
        Step::Item(position) => {
            if !matches!(node, Node::Items(_)) {
                *node = Node::Items(BTreeMap::new());
            }
            if let Node::Items(items) = node {
                place(items.entry(*position).or_insert(Node::Empty), rest, value);
            }
        }
        Step::Append => {
            if let Node::Leaf(earlier) = node {
                *node = Node::List(vec![Node::Leaf(earlier.take())]);
            } else if !matches!(node, Node::List(_)) {
                *node = Node::List(Vec::new());
            }
            if let Node::List(nodes) = node {
                let mut item = Node::Empty;
                place(&mut item, rest, value);
                nodes.push(item);
            }
        }
    }
}

/// `a.b[c.d][]` is `a`, then the members `b` and `c.d`, then an append. A name that is not of
/// this form (a bracket that is not closed, an empty part) is one plain name.
fn steps(name: &str) -> (&str, Vec<Step<'_>>) {
    split(name).unwrap_or((name, Vec::new()))
}

fn split(name: &str) -> Option<(&str, Vec<Step<'_>>)> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (head, mut rest) = name.split_at(end);
    if head.is_empty() {
        return None;
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']')?;
            steps.push(match key {
                "" => Step::Append,
                key => match position(key) {
                    Some(position) => Step::Item(position),
                    None => Step::Member(key),
                },
            });
            rest = after;
        } else {
            let inner = rest.strip_prefix('.')?;
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            let (key, after) = inner.split_at(end);
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Member(key));
            rest = after;
        }
    }
    Some((head, steps))
}

fn position(key: &str) -> Option<u64> {
    if key.bytes().all(|b| b.is_ascii_digit()) { key.parse().ok() } else { None }
}

fn decode(bytes: &[u8]) -> Result<String, Refused> {
    let blanks: Cow<'_, [u8]> = if bytes.contains(&b'+') {
        bytes.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect::<Vec<_>>().into()
    } else {
        bytes.into()
    };
    String::from_utf8(percent_encoding::percent_decode(&blanks).collect())
        .map_err(|_| Refused::NotUtf8)
}

#[cfg(test)]
mod tests;
