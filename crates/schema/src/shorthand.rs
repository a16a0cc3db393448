//! Inputs that are no fields and stand for fields.

use serde_json::Value;

use crate::Object;
use crate::field::Field;

/// An input that is translated to fields and never stored: `url` of a service, `redis_host` of a
/// rate limit.
#[derive(Clone, Debug)]
pub struct Shorthand {
    pub(crate) name: &'static str,
    pub(crate) field: Field,
    pub(crate) expand: fn(Value) -> Object,
    pub(crate) deprecation: Option<Deprecation>,
}

/// Why an input should not be used any more, and what to use.
#[derive(Clone, Debug)]
pub struct Deprecation {
    /// Kong's text.
    pub message: &'static str,
    /// The version that will not know it (`4.0`).
    pub removal_in_version: &'static str,
    /// The fields that took its place, as paths within the same record; the first one is also
    /// what the input shows as in answers.
    pub replaced_with: Vec<&'static str>,
}

impl Shorthand {
    /// An input whose translation wins over the fields that it stands for.
    pub fn new(name: &'static str, field: Field, expand: fn(Value) -> Object) -> Shorthand {
        Shorthand { name, field, expand, deprecation: None }
    }

    /// An input of former times: fields that are given win over its translation, but both with
    /// different values are refused; and it is shown in answers beside what replaced it.
    pub fn deprecated(mut self, deprecation: Deprecation) -> Shorthand {
        self.deprecation = Some(deprecation);
        self
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Why it should not be used.
    pub fn deprecation(&self) -> Option<&Deprecation> {
        self.deprecation.as_ref()
    }
}
