//! OAuth 2.0 applications and their tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::pbkdf2;
use schema::{Field, Object, Surroundings, Transformation};
use serde_json::Value;
use std::num::NonZeroU32;
use uuid::Uuid;

use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

schema::choice! {
    /// Whether an application can keep a secret (RFC 6749 §2.1).
    pub enum ClientType {
        /// It can.
        Confidential = "confidential",
        /// It cannot.
        Public = "public",
    }
}

schema::record! {
    /// An application of a consumer.
    pub struct OAuth2Credential in "oauth2_credentials" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Whose it is.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The name of the application.
        pub name: String = Field::string().required(),
        /// The unique name by which requests refer to it; generated when absent.
        pub client_id: Option<String> = Field::string().unique().auto(),
        /// The secret; generated when absent.
        pub client_secret: Option<Secret> = Field::string().auto().encrypted(),
        /// Whether a hash of the secret is stored in its place.
        pub hash_secret: bool = Field::boolean().required().default(false),
        /// Where users may be sent with a code or token.
        pub redirect_uris: Option<Vec<String>> = Field::array(Field::string().check(check_uri)),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// Whether it can keep a secret.
        pub client_type: ClientType =
            Field::string().required().one_of(ClientType::WORDS).default("confidential"),
    }
    rules |record| record.transformation(Transformation {
        inputs: &["client_secret"],
        needs: &["hash_secret"],
        apply: hash_secret,
    })
}

schema::record! {
    /// A token of an application.
    pub struct OAuth2Token in "oauth2_tokens" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// The service that it is for; null: any.
        pub service: Option<Reference> = Field::foreign("services").cascade().default(Value::Null),
        /// The application.
        pub credential: Reference = Field::foreign("oauth2_credentials").required().cascade(),
        /// The type of the token (RFC 6749 §7.1).
        pub token_type: String = Field::string().required().one_of(["bearer"]).default("bearer"),
        /// Seconds from its making until it expires.
        pub expires_in: i64 = Field::integer().required(),
        /// The unique token; generated when absent.
        pub access_token: Option<Secret> = Field::string().unique().auto(),
        /// The unique token to get a new one with.
        pub refresh_token: Option<Secret> = Field::string().unique(),
        /// The user who gave it.
        pub authenticated_userid: Option<String> = Field::string(),
        /// What it allows.
        pub scope: Option<String> = Field::string(),
    }
}

/// An absolute URI without a fragment (RFC 6749 §3.1.2).
fn check_uri(uri: &str) -> Result<(), String> {
    let invalid = || format!("cannot parse '{uri}'");
    let (scheme, rest) = uri.split_once("://").ok_or_else(invalid)?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !is_scheme || host.is_empty() {
        return Err(invalid());
    }
    if uri.contains('#') {
        return Err(format!("fragment not allowed in '{uri}'"));
    }
    Ok(())
}

/// Puts the secret's hash in its place: PBKDF2 in the PHC format, as Kong stores it.
fn hash_secret(credential: &mut Object, around: &dyn Surroundings) {
    const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();
    if credential.get("hash_secret") != Some(&Value::Bool(true)) {
        return;
    }
    if let Some(secret) = credential.get("client_secret").and_then(Value::as_str) {
        let mut salt = [0; 16];
        around.random_bytes(&mut salt);
        let mut hash = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(algorithm, ROUNDS, &salt, secret.as_bytes(), &mut hash);
        let text = format!(
            "$pbkdf2-sha512$i={ROUNDS},l={}${}${}",
            hash.len(),
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(hash)
        );
        credential.insert("client_secret".to_owned(), Value::from(text));
    }
}
