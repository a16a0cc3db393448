//! Secrets and keys of JSON Web Tokens.

use schema::Field;
use uuid::Uuid;

use crate::pki::key;
use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

schema::choice! {
    /// How a token is signed (RFC 7518, RFC 8037).
    pub enum JwtAlgorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSA with SHA-256.
        Rs256 = "RS256",
        /// RSA with SHA-384.
        Rs384 = "RS384",
        /// RSA with SHA-512.
        Rs512 = "RS512",
        /// ECDSA on P-256.
        Es256 = "ES256",
        /// ECDSA on P-384.
        Es384 = "ES384",
        /// ECDSA on P-521.
        Es512 = "ES512",
        /// RSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

schema::record! {
    /// What a consumer signs tokens with.
    pub struct JwtSecret in "jwt_secrets" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Whose it is.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The unique name by which tokens refer to it; generated when absent.
        pub key: Option<String> = Field::string().unique().auto(),
        /// The secret of the HMAC algorithms; generated when absent.
        pub secret: Option<Secret> = Field::string().auto(),
        /// The public key of the other algorithms, in PEM.
        pub rsa_public_key: Option<String> = Field::string(),
        /// How tokens are signed.
        pub algorithm: Option<JwtAlgorithm> =
            Field::string().one_of(JwtAlgorithm::WORDS).default("HS256"),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| record.conditional(
        "algorithm",
        |f| f.one_of(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]),
        "rsa_public_key",
        |f| f.required().check(|pem| match key::public(pem) {
            Ok(_) => Ok(()),
            Err(_) => Err("invalid key".to_owned()),
        }),
    )
}
