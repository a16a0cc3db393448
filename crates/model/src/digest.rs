//! A digest of a set of entities that is updated in constant time per change.

use std::fmt;

use crate::change::Kind;
use uuid::Uuid;

/// XOR over all entities of a 128-bit hash of (kind, id, canonical body).
///
/// Two planes that hold the same set have the same digest, whatever the order of the changes that
/// led there. It detects lost changes, not attackers. Zero for the empty set; its text has the
/// shape of Kong's `config_hash` (32 hexadecimal digits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Adds an entity that is not in the set, or removes one that is.
    pub fn toggle(&mut self, kind: &Kind, id: Uuid, body: &str) {
        let mut hash = blake3::Hasher::new();
        hash.update(kind.as_str().as_bytes());
        hash.update(&[0]);
        hash.update(id.as_bytes());
        hash.update(body.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize().as_bytes()[..16]);
        self.0 ^= u128::from_be_bytes(half);
    }

    /// As it travels: 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// From a message; `None` unless it is 16 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Digest> {
        bytes.try_into().ok().map(|b| Digest(u128::from_be_bytes(b)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
