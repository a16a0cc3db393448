//! Changing what was written before it is stored.

use serde_json::Value;

use crate::check::is_empty;
use crate::rule::quoted;
use crate::surroundings::Surroundings;
use crate::violations::Violations;
use crate::{Object, get};

/// What is stored of some fields is not what was written: a password's hash. It is made when one
/// of the inputs is written. What it needs besides may stand in the store already; but when that
/// changes, the inputs must be written anew.
#[derive(Clone, Copy, Debug)]
pub struct Transformation {
    /// The fields that are transformed when they are written.
    pub inputs: &'static [&'static str],
    /// Further fields that the transformation depends on.
    pub needs: &'static [&'static str],
    /// Does it. Runs on a valid object that has all of the fields.
    pub apply: fn(&mut Object, &dyn Surroundings),
}

impl Transformation {
    /// Notes which fields are missing for it. `written` is what the client sent, `object` what
    /// becomes of it, `stored` what it replaces.
    pub(crate) fn check(
        &self,
        written: &Object,
        object: &Object,
        stored: Option<&Object>,
        violations: &mut Violations,
    ) {
        let is_set = |object: &Object, name: &str| get(object, name).is_some_and(|v| !is_empty(v));
        let given = self.inputs.iter().any(|name| is_set(written, name));
        let changed = stored.is_some_and(|stored| {
            self.needs
                .iter()
                .any(|name| is_set(written, name) && get(written, name) != get(stored, name))
        });
        if !given && !changed {
            return;
        }
        let all = [self.inputs, self.needs].concat();
        let asked = if changed { written } else { object };
        let complete = all.iter().all(|name| is_set(asked, name))
            && self.inputs.iter().all(|name| is_set(written, name));
        if !complete {
            let names = quoted(&all);
            violations.entity.push(format!("all or none of these fields must be set: {names}"));
        }
    }

    /// Applies it if its inputs were written.
    pub(crate) fn run(&self, written: &Object, object: &mut Object, around: &dyn Surroundings) {
        let given = |name: &&str| get(written, name).is_some_and(|v: &Value| !is_empty(v));
        if self.inputs.iter().all(given) {
            (self.apply)(object, around);
        }
    }
}
