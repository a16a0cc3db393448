//! The API as a client meets it, in process.

pub(crate) mod support;

mod down;
