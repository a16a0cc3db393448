//! What a field is compared with.

use std::cmp::Ordering;
use std::net::IpAddr;

use atc_router::ast::{BinaryOperator, Value as Given};
use ipnet::IpNet;

use crate::error::Rejected;
use crate::pattern::Pattern;

/// An operator with its right-hand side.
#[derive(Clone, Debug)]
pub(super) enum Comparison {
    Text(TextOperator, Box<[u8]>),
    Matches(Pattern),
    Number(NumberOperator, i64),
    Address(IpAddr),
    NotAddress(IpAddr),
    In(IpNet),
    NotIn(IpNet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextOperator {
    Equals,
    Differs,
    Begins,
    Ends,
    Contains,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberOperator {
    Equals,
    Differs,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    /// From a predicate that passed Kong's type check.
    pub(super) fn new(
        operator: &BinaryOperator,
        given: &Given,
        ignore_case: bool,
    ) -> Result<Comparison, Rejected> {
        let comparison = match given {
            Given::Regex(regex) => {
                Comparison::Matches(Pattern::of_expression(regex.as_str(), ignore_case)?)
            }
            Given::String(text) => {
                let text = if ignore_case { text.to_ascii_lowercase() } else { text.clone() };
                Comparison::Text(text_operator(operator)?, text.into_bytes().into())
            }
            Given::Int(number) => Comparison::Number(number_operator(operator)?, *number),
            Given::IpAddr(address) => match operator {
                BinaryOperator::Equals => Comparison::Address(*address),
                BinaryOperator::NotEquals => Comparison::NotAddress(*address),
                _ => return Err(unusable()),
            },
            Given::IpCidr(net) => {
                let net = IpNet::new(net.first_address(), net.network_length())
                    .map_err(|error| Rejected::Expression(error.to_string()))?;
                match operator {
                    BinaryOperator::In => Comparison::In(net),
                    BinaryOperator::NotIn => Comparison::NotIn(net),
                    _ => return Err(unusable()),
                }
            }
        };
        Ok(comparison)
    }
}

fn text_operator(operator: &BinaryOperator) -> Result<TextOperator, Rejected> {
    Ok(match operator {
        BinaryOperator::Equals => TextOperator::Equals,
        BinaryOperator::NotEquals => TextOperator::Differs,
        BinaryOperator::Prefix => TextOperator::Begins,
        BinaryOperator::Postfix => TextOperator::Ends,
        BinaryOperator::Contains => TextOperator::Contains,
        _ => return Err(unusable()),
    })
}

fn number_operator(operator: &BinaryOperator) -> Result<NumberOperator, Rejected> {
    Ok(match operator {
        BinaryOperator::Equals => NumberOperator::Equals,
        BinaryOperator::NotEquals => NumberOperator::Differs,
        BinaryOperator::Greater => NumberOperator::Greater,
        BinaryOperator::GreaterOrEqual => NumberOperator::GreaterOrEqual,
        BinaryOperator::Less => NumberOperator::Less,
        BinaryOperator::LessOrEqual => NumberOperator::LessOrEqual,
        _ => return Err(unusable()),
    })
}

fn unusable() -> Rejected {
    Rejected::Expression("the operator does not fit the value behind it".to_owned())
}

impl TextOperator {
    pub(super) fn holds(self, text: &[u8], wanted: &[u8]) -> bool {
        match self {
            TextOperator::Equals => text == wanted,
            TextOperator::Differs => text != wanted,
            TextOperator::Begins => text.starts_with(wanted),
            TextOperator::Ends => text.ends_with(wanted),
            TextOperator::Contains => memchr::memmem::find(text, wanted).is_some(),
        }
    }
}

impl NumberOperator {
    pub(super) fn holds(self, number: i64, wanted: i64) -> bool {
        let order = number.cmp(&wanted);
        match self {
            NumberOperator::Equals => order == Ordering::Equal,
            NumberOperator::Differs => order != Ordering::Equal,
            NumberOperator::Greater => order == Ordering::Greater,
            NumberOperator::GreaterOrEqual => order != Ordering::Less,
            NumberOperator::Less => order == Ordering::Less,
            NumberOperator::LessOrEqual => order != Ordering::Greater,
        }
    }
}
