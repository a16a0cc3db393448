//! Tests of the table as a whole.

mod arbitrary;
mod properties;
mod recorded;
mod stream;

pub(crate) use arbitrary::http_route;
