//! Releases that only some data planes get at first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::Kind;
use crate::typed::{self, BodyError};

/// An open rollout: what is written after it is released only to data planes with its labels,
/// until it is promoted (to all) or reverted.
///
/// It stands in the log, so that every control plane learns in order which revisions it holds
/// back. It is no entity of the Admin API, is in no export, and is not sent to data planes. There
/// is one at most.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rollout {
    /// Always [`Rollout::ID`], so that a second one is refused by the store.
    pub id: Uuid,
    /// What a data plane must be labelled with: all of them; never none.
    pub labels: BTreeMap<String, String>,
    /// When it was opened, in seconds since 1970.
    pub opened_at: i64,
}

impl Rollout {
    /// The kind of these rows.
    pub const KIND: Kind = Kind::known("rollouts");

    /// The primary key of the one that is open.
    pub const ID: Uuid = Uuid::from_u128(0x6f1d_0c5e_3a5b_4d0a_9c57_7b0e_7c5a_11d1);

    /// Whether a data plane with these labels is among the first.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    /// Whether entities of this kind are put back when a rollout is reverted. What an operator
    /// says of the cluster itself is not: a revoked certificate stays revoked.
    pub fn reverts(kind: &Kind) -> bool {
        crate::entity(kind.as_str()).is_some()
    }

    /// Reads a stored row.
    ///
    /// # Errors
    /// When it is not what this version writes.
    pub fn from_body(body: &str) -> Result<Rollout, BodyError> {
        typed::plain(Rollout::KIND, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_data_plane_is_among_the_first_when_it_has_all_labels() {
        let rollout = Rollout {
            id: Rollout::ID,
            labels: labels(&[("stage", "canary"), ("region", "eu")]),
            opened_at: 7,
        };
        assert!(rollout.matches(&labels(&[("region", "eu"), ("stage", "canary"), ("rack", "1")])));
        assert!(!rollout.matches(&labels(&[("stage", "canary")])));
        assert!(!rollout.matches(&labels(&[("stage", "canary"), ("region", "us")])));
        let body = serde_json::to_string(&rollout).unwrap();
        assert_eq!(Rollout::from_body(&body).unwrap(), rollout);
    }

    #[test]
    fn what_is_said_of_the_cluster_itself_is_not_put_back() {
        assert!(Rollout::reverts(&crate::Route::KIND));
        assert!(!Rollout::reverts(&crate::RevokedCertificate::KIND));
        assert!(!Rollout::reverts(&Rollout::KIND));
    }
}
