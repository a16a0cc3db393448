//! Certificates that do not belong to the cluster any more.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::change::Kind;
use crate::typed::{self, BodyError};

/// A data plane's certificate that no control plane takes any more.
///
/// It stands in the log, so that every control plane on the store hears of it. It is no entity of
/// the Admin API: it is written by `/clustering/revocations`, and is in no export.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RevokedCertificate {
    /// Follows from the fingerprint; see [`RevokedCertificate::id_of`].
    pub id: Uuid,
    /// SHA-256 of the certificate, 64 hexadecimal digits in lower case.
    pub fingerprint: String,
    /// The data plane that showed it, if that was known.
    pub data_plane: Option<Uuid>,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: i64,
}

impl RevokedCertificate {
    /// The kind of these rows.
    pub const KIND: Kind = Kind::known("revoked_certificates");

    /// The primary key of the certificate with this fingerprint.
    pub fn id_of(fingerprint: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, fingerprint.as_bytes())
    }

    /// Reads a stored row.
    ///
    /// # Errors
    /// When it is not what this version writes.
    pub fn from_body(body: &str) -> Result<RevokedCertificate, BodyError> {
        typed::plain(RevokedCertificate::KIND, body)
    }
}
