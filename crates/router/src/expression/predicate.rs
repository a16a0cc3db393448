//! One comparison of a field with a value.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::field::{Field, Value, lower};
use super::literal::{Comparison, TextOperator};
use crate::matched::Matched;
use crate::rule::Prepared;

/// `lower(any(field)) operator value`
#[derive(Clone, Debug)]
pub(super) struct Predicate {
    pub(super) field: Field,
    pub(super) lower: bool,
    /// One value that holds is enough; else all must.
    pub(super) any: bool,
    pub(super) comparison: Comparison,
}

impl Predicate {
    /// Does not hold for a field that the request does not have, not even `!=`.
    pub(super) fn holds<'t>(&'t self, request: &Prepared<'_>, matched: &mut Matched<'t>) -> bool {
        let mut present = false;
        let mut holds = !self.any;
        let mut see = |value: Value<'_>| {
            present = true;
            let held = self.holds_for(value, matched);
            if held == self.any {
                holds = held;
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        // Whether it broke says nothing that `holds` does not.
        let _: ControlFlow<()> = self.field.each(request, &mut see);
        present && holds
    }

    fn holds_for<'t>(&'t self, value: Value<'_>, matched: &mut Matched<'t>) -> bool {
        match (&self.comparison, value) {
            (Comparison::Text(operator, wanted), Value::Text(text)) => {
                let text = if self.lower { lower(text) } else { Cow::Borrowed(text) };
                let holds = operator.holds(&text, wanted);
                let begins = matches!(operator, TextOperator::Equals | TextOperator::Begins);
                if holds && begins && self.field == Field::Path {
                    *matched = Matched { prefix: Some(wanted.len()), pattern: None };
                }
                holds
            }
            (Comparison::Matches(pattern), Value::Text(text)) => {
                let text = if self.lower { lower(text) } else { Cow::Borrowed(text) };
                let Some(found) = pattern.find(&text) else { return false };
                if self.field == Field::Path {
                    // What was found elsewhere than at the start cannot be stripped.
                    let prefix = Some(found.end).filter(|_| found.start == 0);
                    *matched = Matched { prefix, pattern: Some(pattern) };
                }
                true
            }
            (Comparison::Number(operator, wanted), Value::Number(number)) => {
                operator.holds(number, *wanted)
            }
            (Comparison::Address(wanted), Value::Address(address)) => address == *wanted,
            (Comparison::NotAddress(wanted), Value::Address(address)) => address != *wanted,
            (Comparison::In(net), Value::Address(address)) => net.contains(&address),
            (Comparison::NotIn(net), Value::Address(address)) => !net.contains(&address),
            // Kong's type check left no other pairs.
            _ => false,
        }
    }
}
