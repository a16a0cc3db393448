//! Fields by names that come from a configuration.

use http1::Fields;

/// Removes all fields of that name, whatever the case.
pub(crate) fn remove(fields: &mut Fields, name: &str) {
    fields.retain(|field| !field.name.eq_ignore_ascii_case(name.as_bytes()));
}

/// Replaces all fields of that name by one.
pub(crate) fn set(fields: &mut Fields, name: &str, value: &str) {
    remove(fields, name);
    fields.push(name.as_bytes(), value.as_bytes());
}

/// The value of the first field of that name, if it is text.
pub(crate) fn first<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.named(name.as_bytes()).next().and_then(|value| std::str::from_utf8(value).ok())
}
