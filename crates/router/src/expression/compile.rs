//! From text to something that can be evaluated.

use std::borrow::Cow;

use atc_router::ast::{self, LogicalExpression};
use atc_router::semantics::Validate;

use super::Term;
use super::field::Field;
use super::limits;
use super::literal::Comparison;
use super::predicate::Predicate;
use super::schema::schema;
use crate::error::Rejected;

pub(super) fn compile(source: &str, stream: bool) -> Result<Term, Rejected> {
    if let Some(excess) = limits::exceeded(source) {
        return Err(Rejected::Expression(excess));
    }
    let tree = atc_router::parser::parse(&without_old_name(source))
        .map_err(|error| Rejected::Expression(error.to_string()))?;
    tree.validate(schema(stream)).map_err(Rejected::Expression)?;
    term(&tree)
}

/// `net.port` is the old name of `net.dst.port`; it is replaced where an operator follows, as Kong
/// does.
fn without_old_name(source: &str) -> Cow<'_, str> {
    const OLD: &str = "net.port";
    if !source.contains(OLD) {
        return Cow::Borrowed(source);
    }
    let mut pieces = source.split(OLD);
    let mut renamed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let operator = piece.trim_start().starts_with(['=', '>', '<', '!']);
        renamed.push_str(if operator { "net.dst.port" } else { OLD });
        renamed.push_str(piece);
    }
    Cow::Owned(renamed)
}

fn term(tree: &ast::Expression) -> Result<Term, Rejected> {
    match tree {
        ast::Expression::Predicate(predicate) => compile_predicate(predicate),
        ast::Expression::Logical(logical) => match &**logical {
            LogicalExpression::Not(inner) => Ok(Term::Not(Box::new(term(inner)?))),
            LogicalExpression::And(..) => chain(tree, Operator::And).map(Term::All),
            LogicalExpression::Or(..) => chain(tree, Operator::Or).map(Term::Any),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    And,
    Or,
}

/// The terms of `a && b && c`, which the parser nests to the left, in their order.
fn chain(tree: &ast::Expression, operator: Operator) -> Result<Box<[Term]>, Rejected> {
    let mut terms = Vec::new();
    let mut rest = tree;
    while let Some((left, right)) = operands(rest, operator) {
        terms.push(term(right)?);
        rest = left;
    }
    terms.push(term(rest)?);
    terms.reverse();
    Ok(terms.into())
}

fn operands(
    tree: &ast::Expression,
    operator: Operator,
) -> Option<(&ast::Expression, &ast::Expression)> {
    let ast::Expression::Logical(logical) = tree else { return None };
    match (&**logical, operator) {
        (LogicalExpression::And(left, right), Operator::And)
        | (LogicalExpression::Or(left, right), Operator::Or) => Some((left, right)),
        _ => None,
    }
}

fn compile_predicate(predicate: &ast::Predicate) -> Result<Term, Rejected> {
    let field = Field::new(&predicate.lhs.var_name)
        .map_err(|reason| Rejected::Expression(reason.to_owned()))?;
    let (lower, any) = predicate.lhs.get_transformations();
    let comparison = Comparison::new(&predicate.op, &predicate.rhs, field.ignores_case())?;
    Ok(Term::Test(Box::new(Predicate { field, lower, any, comparison })))
}
