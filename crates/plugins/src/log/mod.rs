//! What logging plugins say of a request: Kong's record (`kong/pdk/log.lua`), and the fields that
//! a configuration adds to it, changes in it or takes from it.

mod api;
mod custom;
mod record;

use bytes::Bytes;
use plugin::{Answered, Outcome};

pub(crate) use custom::{CustomFields, field as custom_fields};

/// The record of a request, as one line of JSON. The custom fields of a plugin are also in the
/// records of the plugins that log after it.
pub(crate) fn record(
    exchange: &mut Answered<'_>,
    outcome: &Outcome<'_>,
    custom: &CustomFields,
) -> Bytes {
    custom.note(exchange, outcome);
    let mut record = record::of(exchange, outcome);
    custom::apply(exchange, &mut record);
    // Keys are text, and numbers are finite: this cannot fail.
    Bytes::from(serde_json::to_vec(&record).unwrap_or_default())
}
