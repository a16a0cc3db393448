//! Credentials: by what consumers are known, and the groups they are in.

mod basic_auth;
mod jwt;
mod oauth2;

use schema::Field;
use uuid::Uuid;

use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

pub use basic_auth::{BasicAuthCredential, password_hash};
pub use jwt::{JwtAlgorithm, JwtSecret};
pub use oauth2::{ClientType, OAuth2Credential, OAuth2Token};

schema::record! {
    /// A key that a consumer sends.
    pub struct KeyAuthCredential in "keyauth_credentials" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Whose it is.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The unique key; generated when absent.
        pub key: Option<Secret> = Field::string().unique().auto(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
}

schema::record! {
    /// A secret that a consumer signs requests with.
    pub struct HmacAuthCredential in "hmacauth_credentials" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Whose it is.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The unique name by which requests refer to it.
        pub username: String = Field::string().required().unique(),
        /// The secret; generated when absent.
        pub secret: Option<Secret> = Field::string().auto(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
}

schema::record! {
    /// A group that a consumer is in.
    pub struct Acl in "acls" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Who is in the group.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The group.
        pub group: String = Field::string().required(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
}

#[cfg(test)]
mod tests;
