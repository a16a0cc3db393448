//! Fields by names that come from a configuration.

use std::borrow::Cow;

use http1::Fields;

/// Removes all fields of that name, whatever the case.
pub(crate) fn remove(fields: &mut Fields, name: &str) {
    fields.remove_named(name.as_bytes());
}

/// Replaces all fields of that name by one.
pub(crate) fn set(fields: &mut Fields, name: &str, value: &str) {
    remove(fields, name);
    add(fields, name, value);
}

/// Adds one more field of that name.
pub(crate) fn add(fields: &mut Fields, name: &str, value: &str) {
    fields.push(name.as_bytes(), on_one_line(value).as_bytes());
}

/// Whether there is a field of that name.
pub(crate) fn contains(fields: &Fields, name: &str) -> bool {
    fields.named(name.as_bytes()).next().is_some()
}

/// Values of configurations and entities are free text; what would end the field line is written
/// as nginx does.
fn on_one_line(value: &str) -> Cow<'_, str> {
    if !value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
        return value.into();
    }
    value.replace('\r', "%0D").replace('\n', "%0A").replace('\0', "%00").into()
}

/// The value of the first field of that name, if it is text.
pub(crate) fn first<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.named(name.as_bytes()).next().and_then(|value| std::str::from_utf8(value).ok())
}
