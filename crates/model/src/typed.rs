//! From a stored body to its typed struct.

use schema::{Nothing, Object, Record};
use serde::de::DeserializeOwned;

use crate::change::Kind;

/// A body that is not what its kind declares. Names the field and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("not a valid entity of {kind}: {reason}")]
pub struct BodyError {
    kind: Kind,
    reason: serde_json::Error,
}

/// Reads a body. One that an older version stored lacks the fields that were added since: they
/// get their defaults. Members that this version does not know are passed over.
pub(crate) fn read<T: DeserializeOwned>(
    kind: Kind,
    record: &Record,
    body: &str,
) -> Result<T, BodyError> {
    let as_it_stands = match serde_json::from_str(body) {
        Ok(entity) => return Ok(entity),
        Err(reason) => reason,
    };
    let completed = || {
        let mut object: Object = serde_json::from_str(body).ok()?;
        record.complete(&mut object, &Nothing);
        serde_json::from_value(object.into()).ok()
    };
    completed().ok_or(BodyError { kind, reason: as_it_stands })
}

/// Reads the body of a kind that is no entity of the Admin API.
pub(crate) fn plain<T: DeserializeOwned>(kind: Kind, body: &str) -> Result<T, BodyError> {
    serde_json::from_str(body).map_err(|reason| BodyError { kind, reason })
}

/// Gives typed structs their kind and the reading of stored bodies.
macro_rules! typed {
    ($($name:ident: $kind:literal),+ $(,)?) => {
        $(
            impl $crate::$name {
                /// The kind of these entities.
                pub const KIND: $crate::Kind = $crate::Kind::known($kind);

                /// Reads the body of a stored entity.
                ///
                /// # Errors
                /// When it is not JSON or not an entity of this kind.
                pub fn from_body(body: &str) -> Result<Self, $crate::BodyError> {
                    $crate::typed::read(Self::KIND, Self::record(), body)
                }
            }
        )+
    };
}

typed! {
    Acl: "acls",
    BasicAuthCredential: "basicauth_credentials",
    CaCertificate: "ca_certificates",
    Certificate: "certificates",
    Consumer: "consumers",
    HmacAuthCredential: "hmacauth_credentials",
    JwtSecret: "jwt_secrets",
    Key: "keys",
    KeyAuthCredential: "keyauth_credentials",
    KeySet: "key_sets",
    OAuth2Credential: "oauth2_credentials",
    OAuth2Token: "oauth2_tokens",
    Plugin: "plugins",
    Route: "routes",
    Service: "services",
    Sni: "snis",
    Target: "targets",
    Upstream: "upstreams",
    Vault: "vaults",
}
