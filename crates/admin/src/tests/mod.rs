//! The API as a client meets it, in process. What Kong answers to what is recorded elsewhere and
//! replayed against whole gateways; here is what such recordings cannot show.

pub(crate) mod support;

mod apis;
mod by_hand;
mod concurrency;
mod declarative;
mod down;
mod expiry;
mod pages;
mod rollouts;
mod waiting;
mod writes;
