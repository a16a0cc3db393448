//! Expressions: Kong's language for routes, evaluated without building anything per request.

mod compile;
mod field;
mod limits;
mod literal;
mod predicate;
mod reach;
mod schema;

use crate::error::Rejected;
use crate::matched::Matched;
use crate::rule::Prepared;

pub(crate) use reach::Reach;

use predicate::Predicate;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Term);

/// `&&` and `||` hold any number of terms, so that a long chain is not deep.
#[derive(Clone, Debug)]
enum Term {
    All(Box<[Term]>),
    Any(Box<[Term]>),
    Not(Box<Term>),
    Test(Box<Predicate>),
}

impl Expression {
    /// Parses and checks `source` with Kong's own parser and rules. The fields of streams are
    /// fewer than those of HTTP.
    pub(crate) fn new(source: &str, stream: bool) -> Result<Expression, Rejected> {
        compile::compile(source, stream).map(Expression)
    }

    /// Whether the request meets it. `matched` gets what of the path matched: the last comparison
    /// of `http.path` that the outcome rests on.
    pub(crate) fn evaluate<'t>(
        &'t self,
        request: &Prepared<'_>,
        matched: &mut Matched<'t>,
    ) -> bool {
        self.0.holds(request, matched)
    }

    /// Where requests that meet it can be found in the index.
    pub(crate) fn reach(&self) -> Reach {
        Reach::of(&self.0)
    }
}

impl Term {
    fn holds<'t>(&'t self, request: &Prepared<'_>, matched: &mut Matched<'t>) -> bool {
        let before = *matched;
        let holds = match self {
            Term::All(terms) => terms.iter().all(|term| term.holds(request, matched)),
            Term::Any(terms) => terms.iter().any(|term| term.holds(request, matched)),
            Term::Not(term) => {
                let holds = !term.holds(request, matched);
                *matched = before;
                holds
            }
            Term::Test(predicate) => predicate.holds(request, matched),
        };
        if !holds {
            *matched = before;
        }
        holds
    }
}

#[cfg(test)]
mod tests;
