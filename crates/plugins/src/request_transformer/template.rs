//! Values with expressions in them: `a-$(headers.x)-b`.

use std::borrow::Cow;

use http1::Fields;
use plugin::{Captures, Exchange};

use crate::lua::{self, Expression, Library, Place, ROOT, Source, SyntaxError, Value};

/// A value as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// One that cannot be read fails when it is used: Kong does not look into the values of header
    /// fields before.
    Expression(Result<Expression, SyntaxError>),
}

impl Template {
    /// Finds the expressions: what is in balanced parentheses behind a `$`. An opening one that is
    /// never closed is text.
    pub(super) fn new(text: &str) -> Template {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("$(") {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            match balanced(&from[1..]) {
                Some((inner, behind)) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Expression(Expression::parse(inner)));
                    rest = behind;
                }
                None => {
                    plain.push_str("$(");
                    rest = &from[2..];
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Template { parts }
    }

    /// Why it can never be used.
    pub(super) fn fault(&self) -> Option<&SyntaxError> {
        self.parts.iter().find_map(|part| match part {
            Part::Expression(Err(fault)) => Some(fault),
            _ => None,
        })
    }

    /// Whether nothing is configured.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Text(text)] if text.is_empty())
    }

    /// Whether what it gives depends on the request.
    pub(super) fn is_dynamic(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Expression(_)))
    }

    /// The text for a request. Fails with the reason.
    pub(super) fn render(&self, original: &Original) -> Result<Cow<'_, str>, String> {
        if let [Part::Text(text)] = self.parts.as_slice() {
            return Ok(text.into());
        }
        let mut text = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.extend_from_slice(plain.as_bytes()),
                Part::Expression(Err(fault)) => return Err(fault.to_string()),
                Part::Expression(Ok(expression)) => {
                    match expression.evaluate(original).map_err(|error| error.to_string())? {
                        Value::Boolean(true) => text.extend_from_slice(b"true"),
                        value if !value.is_true() => {}
                        value => match value.as_text() {
                            Some(part) => text.extend_from_slice(&part),
                            None => {
                                return Err(format!(
                                    "an expression gives a {}, which is no text; of a list take \
                                     one member: headers['x-name'][1]",
                                    value.kind()
                                ));
                            }
                        },
                    }
                }
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned().into())
    }
}

/// What is in the parentheses that `text` begins with, and what is behind them.
fn balanced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[1..at], &text[at + 1..]));
        }
    }
    None
}

/// What templates speak of: the request before it was changed.
#[derive(Debug, Default)]
pub(super) struct Original {
    fields: Fields,
    query: Option<Vec<u8>>,
    captures: Captures,
}

const HEADERS: Place = 1;
const QUERY: Place = 2;
const CAPTURES: Place = 3;
/// What plugins in Lua leave for others (`kong.ctx.shared`): nothing, since none runs here.
const SHARED: Place = 4;

impl Original {
    pub(super) fn of(exchange: &Exchange<'_>) -> Original {
        Original {
            fields: exchange.request.fields.clone(),
            query: exchange.request.query().map(<[u8]>::to_vec),
            captures: exchange.captures.clone(),
        }
    }
}

impl Source for Original {
    fn get<'v>(&'v self, at: Place, key: &Value<'_>) -> Value<'v> {
        let Some(name) = key.as_text() else { return Value::Nil };
        match at {
            ROOT => match &*name {
                b"headers" => Value::Source(self, HEADERS),
                b"query_params" => Value::Source(self, QUERY),
                b"uri_captures" => Value::Source(self, CAPTURES),
                b"shared" => Value::Source(self, SHARED),
                b"type" => Library.get(ROOT, key),
                _ => Value::Nil,
            },
            HEADERS => lua::header(&self.fields, &name),
            QUERY => lua::argument(self.query.as_deref(), &name),
            CAPTURES => Value::text_or_nil(self.captures.get(&String::from_utf8_lossy(&name))),
            _ => Value::Nil,
        }
    }
}
