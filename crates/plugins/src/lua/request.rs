//! The parts of a request as Kong shows them to Lua.

use std::borrow::Cow;

use http1::Fields;

use super::value::Value;
use crate::query;

/// The fields of that name, in any case and with `_` for `-`: nothing, a text, or a list of them.
pub(crate) fn header<'v>(fields: &'v Fields, name: &[u8]) -> Value<'v> {
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    Value::one_or_list(fields.named(&name).map(Value::text).collect())
}

/// The arguments of that name in a query: nothing, a text, true for one without a value, or a list
/// of them.
pub(crate) fn argument<'v>(query: Option<&'v [u8]>, name: &[u8]) -> Value<'v> {
    let values = query::arguments(query).filter(|(key, _)| key.as_bytes() == name);
    let values = values.map(|(_, value)| match value {
        Some(Cow::Borrowed(value)) => Value::text(value),
        Some(Cow::Owned(value)) => Value::Text(Cow::Owned(value.into_bytes())),
        None => Value::Boolean(true),
    });
    Value::one_or_list(values.collect())
}
