//! From a stored body to its typed struct.

use std::fmt;

use schema::{Nothing, Object, Record};
use serde::de::DeserializeOwned;

use crate::change::Kind;
use crate::entity::EXPIRES_AT;

/// What is set in a body that this version does not know: a newer one wrote it, or an older one
/// whose field is gone. Dotted paths; as text for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown(Vec<String>);

/// More are not named.
const NAMED: usize = 10;

impl Unknown {
    /// What is set in a stored entity beyond the declaration of its kind.
    pub fn of(record: &Record, entity: &Object) -> Unknown {
        let mut found = record.unknown(entity);
        found.retain(|path| path != EXPIRES_AT);
        Unknown(found)
    }

    /// What is set in a plugin's `config` beyond its declaration.
    pub fn of_config(declared: &schema::Field, config: &Object) -> Unknown {
        Unknown(declared.unknown("config", config))
    }

    /// Whether there is nothing of that kind, which is the rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().take(NAMED).enumerate() {
            write!(f, "{}'{path}'", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// A body that is not what its kind declares. Names the field and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("not a valid entity of {kind}: {reason}")]
pub struct BodyError {
    kind: Kind,
    reason: serde_json::Error,
}

/// Reads a body. One that an older version stored lacks the fields that were added since: they
/// get their defaults. Members that this version does not know are passed over, and told.
pub(crate) fn read<T: DeserializeOwned>(
    kind: Kind,
    record: &Record,
    body: &str,
) -> Result<(T, Unknown), BodyError> {
    let mut passed_over = false;
    let mut input = serde_json::Deserializer::from_str(body);
    let as_it_stands = serde_ignored::deserialize(&mut input, |_| passed_over = true)
        .and_then(|entity| input.end().map(|()| entity));
    match as_it_stands {
        Ok(entity) if !passed_over => Ok((entity, Unknown::default())),
        Ok(entity) => {
            let object: Object =
                serde_json::from_str(body).map_err(|reason| BodyError { kind, reason })?;
            Ok((entity, Unknown::of(record, &object)))
        }
        Err(reason) => {
            let completed = || {
                let mut object: Object = serde_json::from_str(body).ok()?;
                let unknown = Unknown::of(record, &object);
                record.complete(&mut object, &Nothing);
                Some((serde_json::from_value(object.into()).ok()?, unknown))
            };
            completed().ok_or(BodyError { kind, reason })
        }
    }
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
                    Self::read(body).map(|(entity, _)| entity)
                }

                /// The same, with what is set in the body and not known to this version.
                ///
                /// # Errors
                /// As [`from_body`](Self::from_body).
                pub fn read(body: &str) -> Result<(Self, $crate::Unknown), $crate::BodyError> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Service, Target};

    fn unknown(body: serde_json::Value) -> Vec<String> {
        Service::read(&body.to_string()).unwrap().1.0
    }

    #[test]
    fn what_another_version_set_is_told_and_what_says_nothing_is_not() {
        let mut body = json!({
            "id": "00000000-0000-0000-0000-000000000001", "host": "a", "expires_at": 5,
        });
        // As it was stored by an older version, and as this one completes it.
        assert_eq!(unknown(body.clone()), [""; 0]);
        let whole = serde_json::to_value(Service::from_body(&body.to_string()).unwrap()).unwrap();
        assert_eq!(unknown(whole), [""; 0]);
        body["quantum"] = json!({"on": false});
        assert_eq!(unknown(body.clone()), [""; 0]);
        body["quantum"] = json!({"on": true});
        body["warp"] = json!(9);
        assert_eq!(unknown(body.clone()), ["quantum", "warp"]);
        let mut whole =
            serde_json::to_value(Service::from_body(&body.to_string()).unwrap()).unwrap();
        whole["warp"] = json!(9);
        assert_eq!(unknown(whole), ["warp"]);
    }

    #[test]
    fn what_is_no_entity_is_still_refused() {
        for body in ["", "7", "{} {}", r#"{"id": "x"}"#] {
            assert!(Target::from_body(body).is_err(), "{body}");
        }
    }
}
