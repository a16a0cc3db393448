//! Declare fields once: coerce, validate, default, describe.
//!
//! A [`Record`] is an ordered list of [`Field`]s with the rules that hold between them. From that
//! one declaration come: the inference of types in form bodies ([`Record::coerce`]), defaults and
//! generated values ([`Record::fill`]), validation with Kong's error texts ([`Record::validate`]),
//! Kong's `/schemas` output ([`Record::describe`]) and an OpenAPI component
//! ([`Record::openapi`]). [`record!`] declares a typed struct and its record together.
//!
//! Owns: what a field can be, which rules exist, the order in which they run, the texts of their
//! violations. Must not know: which entities or plugins exist, HTTP, a store, a clock or
//! randomness (they come in through [`Surroundings`]).
//!
//! Objects are [`serde_json::Map`]s, whose keys are sorted: the text of a value is canonical.

#![forbid(unsafe_code)]

mod check;
mod choice;
mod coerce;
mod describe;
mod field;
mod fill;
pub mod lua;
mod openapi;
mod path;
mod record;
mod reference;
mod rule;
#[cfg(test)]
mod samples;
mod shorthand;
mod surroundings;
mod transformation;
mod unknown;
mod validate;
mod violations;

pub use check::{Check, Conditional, ConditionalAtLeastOneOf, CustomCheck};
pub use field::{DeleteRule, Field, Type};
pub use path::{get, set};
pub use record::{Record, Subschema, Subschemas};
pub use rule::Rule;
pub use shorthand::{Deprecation, Shorthand};
pub use surroundings::{Nothing, Surroundings};
pub use transformation::Transformation;
pub use validate::is_vault_reference;
pub use violations::{Violation, Violations};

/// A JSON object with sorted keys.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// What is done with an entity; decides which values are generated and how some texts read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A whole entity is given (POST, PUT): absent fields get their defaults.
    Insert,
    /// A part of an entity is given (PATCH): absent fields keep their stored values.
    Update,
}
