//! What processing needs from outside: time, randomness, and other declarations.

use uuid::Uuid;

use crate::record::{Record, Subschema};

/// Clock, randomness and the declarations that a record refers to by name.
pub trait Surroundings {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// A fresh id for a new entity.
    fn new_id(&self) -> Uuid;

    /// A fresh secret for a field that is generated: 32 characters of `[0-9A-Za-z]`.
    fn random_string(&self) -> String;

    /// Fills a buffer with bytes that nobody can guess: salts.
    fn random_bytes(&self, buffer: &mut [u8]);

    /// The part of `record` that depends on the value of its subschema key: a plugin's
    /// configuration for `("plugins", "key-auth")`. `None`: there is none of that name.
    fn subschema(&self, record: &str, name: &str) -> Option<&Subschema>;

    /// The record of an entity that a foreign field refers to.
    fn entity(&self, name: &str) -> Option<&Record>;
}

/// Surroundings without a clock, randomness or other declarations: for records that generate
/// nothing and refer to nothing, such as a plugin's configuration looked at by itself.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Surroundings for Nothing {
    fn now_ms(&self) -> u64 {
        0
    }

    fn new_id(&self) -> Uuid {
        Uuid::nil()
    }

    fn random_string(&self) -> String {
        String::new()
    }

    fn random_bytes(&self, _: &mut [u8]) {}

    fn subschema(&self, _: &str, _: &str) -> Option<&Subschema> {
        None
    }

    fn entity(&self, _: &str) -> Option<&Record> {
        None
    }
}
