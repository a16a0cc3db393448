//! From text to something that can be evaluated.

use std::borrow::Cow;
use std::sync::LazyLock;

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

/// `net.port` is the old name of `net.dst.port`.
fn without_old_name(source: &str) -> Cow<'_, str> {
    static OLD: LazyLock<Option<regex::Regex>> =
        LazyLock::new(|| regex::Regex::new(r"net\.port(\s*[=><!])").ok());
    match &*OLD {
        Some(old) if source.contains("net.port") => old.replace_all(source, "net.dst.port$1"),
        _ => Cow::Borrowed(source),
    }
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
