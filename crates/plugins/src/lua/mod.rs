//! Expressions of Lua 5.1, as templates of `request-transformer` and custom fields of logs hold
//! them: literals, names, members, calls, operators, tables. No statements and no functions of the
//! user's own: those need Lua itself.
//!
//! Pure: what names mean is handed in ([`Source`]). Nothing loops, so an expression costs what its
//! text and its values are long.

mod evaluate;
mod lexer;
mod library;
mod parser;
mod request;
mod value;

pub(crate) use library::Library;
pub(crate) use parser::SyntaxError;
pub(crate) use request::{argument, header};
pub(crate) use value::{Place, ROOT, Source, Table, Value};

/// An expression, ready to be evaluated any number of times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression(parser::Node);

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Expression, SyntaxError> {
        parser::parse(text).map(Expression)
    }

    /// Reads a chunk that does nothing but give back an expression: `return 1 + 1`.
    pub(crate) fn parse_return(text: &str) -> Result<Expression, SyntaxError> {
        parser::parse_return(text).map(Expression)
    }

    /// Its value, where free names are members of `names`.
    pub(crate) fn evaluate<'v>(
        &self,
        names: &'v dyn Source,
    ) -> Result<Value<'v>, evaluate::EvaluationError> {
        evaluate::evaluate(&self.0, names)
    }

    /// The free names in it, each with the members that follow it as constants:
    /// `kong.request.get_header('x')` is `["kong", "request", "get_header"]`.
    pub(crate) fn paths(&self) -> Vec<Vec<&str>> {
        let mut paths = Vec::new();
        self.0.paths(&mut paths);
        paths
    }
}

#[cfg(test)]
mod tests;
