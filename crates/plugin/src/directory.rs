//! Who a credential belongs to: the data plane's own copy of consumers and credentials.

use std::fmt;
use std::sync::Arc;

use model::Consumer;
use uuid::Uuid;

/// The kinds of credentials, by the collection that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// `keyauth_credentials`, found by `key`.
    KeyAuth,
    /// `basicauth_credentials`, found by `username`.
    BasicAuth,
    /// `jwt_secrets`, found by `key`.
    Jwt,
    /// `hmacauth_credentials`, found by `username`.
    HmacAuth,
    /// `oauth2_credentials`, found by `client_id`.
    Oauth2,
}

impl CredentialKind {
    /// All of them, each at its own place.
    pub const ALL: [CredentialKind; 5] = [
        CredentialKind::KeyAuth,
        CredentialKind::BasicAuth,
        CredentialKind::Jwt,
        CredentialKind::HmacAuth,
        CredentialKind::Oauth2,
    ];
}

/// A credential as a plugin needs it.
#[derive(Clone)]
pub struct Credential {
    /// Its primary key.
    pub id: Uuid,
    /// The consumer that it belongs to.
    pub consumer: Uuid,
    /// When it stops being valid, in seconds since 1970; `None` for never.
    pub expires_at: Option<u64>,
    /// The entity, for the fields that only its plugin knows.
    pub entity: Arc<schema::Object>,
}

impl fmt::Debug for Credential {
    /// Leaves out the entity, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .finish()
    }
}

/// Looks up consumers and credentials in the snapshot that the request is served from.
pub trait Directory {
    /// The credential of that key.
    fn credential(&self, kind: CredentialKind, key: &str) -> Option<&Credential>;

    /// The consumer of that id.
    fn consumer(&self, id: Uuid) -> Option<&Arc<Consumer>>;

    /// The consumer of that id or username: how `anonymous` names one.
    fn consumer_named(&self, id_or_username: &str) -> Option<&Arc<Consumer>>;

    /// The names of the groups that a consumer belongs to (`acls`), sorted.
    fn groups(&self, consumer: Uuid) -> &[Arc<str>];
}
