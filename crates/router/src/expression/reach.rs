//! Which hosts and paths a request must have to meet an expression.

use super::Term;
use super::field::Field;
use super::literal::{Comparison, TextOperator};
use super::predicate::Predicate;
use crate::name::Name;

/// What an expression implies. `None`: nothing is known, so any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The host is one of these.
    pub(crate) hosts: Option<Vec<Name>>,
    /// The path begins with one of these.
    pub(crate) paths: Option<Vec<Vec<u8>>>,
}

impl Reach {
    pub(super) fn of(term: &Term) -> Reach {
        match term {
            // What holds for all of several terms holds for the narrowest, too.
            Term::All(terms) => {
                terms.iter().map(Reach::of).fold(Reach::default(), |all, term| Reach {
                    hosts: narrower(all.hosts, term.hosts),
                    paths: narrower(all.paths, term.paths),
                })
            }
            Term::Any(terms) => terms
                .iter()
                .map(Reach::of)
                .reduce(|all, term| Reach {
                    hosts: both(all.hosts, term.hosts),
                    paths: both(all.paths, term.paths),
                })
                .unwrap_or_default(),
            Term::Not(_) => Reach::default(),
            Term::Test(predicate) => Reach::of_predicate(predicate),
        }
    }

    fn of_predicate(predicate: &Predicate) -> Reach {
        match (&predicate.field, &predicate.comparison) {
            (Field::Host, Comparison::Text(operator, text)) => {
                let Ok(text) = std::str::from_utf8(text) else { return Reach::default() };
                let name = match operator {
                    TextOperator::Equals => Name::Exact(text.into()),
                    TextOperator::Begins => Name::Prefix(text.into()),
                    TextOperator::Ends => Name::Suffix(text.into()),
                    TextOperator::Differs | TextOperator::Contains => return Reach::default(),
                };
                Reach { hosts: Some(vec![name]), paths: None }
            }
            (Field::Path, Comparison::Text(TextOperator::Equals | TextOperator::Begins, text))
                if !predicate.lower =>
            {
                Reach { hosts: None, paths: Some(vec![text.to_vec()]) }
            }
            (Field::Path, Comparison::Matches(pattern)) if !predicate.lower => {
                Reach { hosts: None, paths: pattern.prefixes() }
            }
            _ => Reach::default(),
        }
    }
}

/// Of two statements that both hold, the one that leaves fewer places.
fn narrower<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.len() < a.len() { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Of two statements of which one holds, all that is left.
fn both<T>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
    let (mut a, b) = (a?, b?);
    a.extend(b);
    Some(a)
}
