//! Changes to arguments: of the query, and of a form in the body.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::changes::Changes;
use crate::query;

/// Arguments by name; one without a value is a flag. They are written sorted, as Kong does.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments(BTreeMap<String, Vec<Option<String>>>);

/// What nginx escapes in arguments: all but letters, digits and these.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Arguments {
    pub(super) fn read(text: &[u8]) -> Arguments {
        let mut arguments = Arguments::default();
        for (name, value) in query::arguments(Some(text)) {
            let values = arguments.0.entry(name.into_owned()).or_default();
            values.push(value.map(|value| value.into_owned()));
        }
        arguments
    }

    pub(super) fn write(&self) -> String {
        let mut text = String::new();
        for (name, value) in
            self.0.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        {
            if !text.is_empty() {
                text.push('&');
            }
            text.extend(utf8_percent_encode(name, ESCAPED));
            if let Some(value) = value {
                text.push('=');
                text.extend(utf8_percent_encode(value, ESCAPED));
            }
        }
        text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the values of others to those that are there.
    pub(super) fn extend(&mut self, others: Arguments) {
        for (name, mut values) in others.0 {
            self.0.entry(name).or_default().append(&mut values);
        }
    }

    pub(super) fn change(&mut self, changes: &Changes) {
        for name in &changes.remove {
            self.0.remove(name);
        }
        for (old, new) in &changes.rename {
            if let Some(values) = self.0.remove(old) {
                self.0.insert(new.clone(), values);
            }
        }
        for (name, value) in &changes.replace {
            if let (Some(values), Some(value)) = (self.0.get_mut(name), value) {
                *values = vec![Some(value.clone())];
            }
        }
        for (name, value) in &changes.add {
            if let Some(value) = value {
                self.0.entry(name.clone()).or_insert_with(|| vec![Some(value.clone())]);
            }
        }
        for (name, value) in &changes.append {
            let Some(value) = value else { continue };
            let values = self.0.entry(name.clone()).or_default();
            // A flag gives way, as in Kong.
            if values.len() == 1 && values[0].is_none() {
                values.clear();
            }
            values.push(Some(value.clone()));
        }
    }
}
