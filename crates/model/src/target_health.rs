//! What an operator says about the health of a target.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::Kind;
use crate::reference::Reference;
use crate::typed::{self, BodyError};

/// The last word of an operator on the health of a target, or of one of its addresses.
///
/// It travels with the configuration, so that every data plane of every control plane hears of it,
/// in order, also when it connects later. It is no entity of the Admin API: it is written by
/// `…/targets/{t}/healthy` and `/unhealthy`, goes with its target, and is in no list or export.
///
/// It sets the health once, where it is new; what checks see afterwards counts as ever.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TargetHealth {
    /// Follows from the target and the address; see [`TargetHealth::id_of`].
    pub id: Uuid,
    /// The upstream of the target.
    pub upstream: Reference,
    /// The target.
    pub target: Reference,
    /// The one address that is meant; all that the target has, when absent.
    pub address: Option<SocketAddr>,
    /// What it is set to.
    pub healthy: bool,
    /// When it was said, in microseconds since 1970: makes the same word, said again, a new one.
    pub said_us: i64,
}

impl TargetHealth {
    /// The kind of these rows.
    pub const KIND: Kind = Kind::known("target_health");

    /// The primary key of the word on a target, or on one address of it: a new word replaces the
    /// one before.
    pub fn id_of(target: Uuid, address: Option<SocketAddr>) -> Uuid {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        Uuid::new_v5(&target, address.as_bytes())
    }

    /// Reads a stored row.
    ///
    /// # Errors
    /// When it is not what this version writes.
    pub fn from_body(body: &str) -> Result<TargetHealth, BodyError> {
        typed::plain(TargetHealth::KIND, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_was_written() {
        let target = Uuid::from_u128(7);
        let address = "[::1]:80".parse().ok();
        let word = TargetHealth {
            id: TargetHealth::id_of(target, address),
            upstream: Reference { id: Uuid::from_u128(8) },
            target: Reference { id: target },
            address,
            healthy: false,
            said_us: 9,
        };
        let body = serde_json::to_string(&word).unwrap();
        assert_eq!(TargetHealth::from_body(&body).unwrap(), word);
        assert_ne!(word.id, TargetHealth::id_of(target, None));
        let error = TargetHealth::from_body("{}").unwrap_err().to_string();
        assert!(error.contains("target_health"), "{error}");
    }
}
