//! Names and passwords.

use ring::digest;
use schema::{Field, Object, Surroundings, Transformation, get};
use serde_json::Value;
use uuid::Uuid;

use crate::pki::key::hex;
use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

schema::record! {
    /// A name and a password of a consumer.
    pub struct BasicAuthCredential in "basicauth_credentials" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// Whose it is.
        pub consumer: Reference = Field::foreign("consumers").required().cascade(),
        /// The unique name.
        pub username: String = Field::string().required().unique(),
        /// The password; what is stored and shown is its hash.
        pub password: Secret = Field::string().required().encrypted(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| record.transformation(Transformation {
        inputs: &["password"],
        needs: &["consumer.id"],
        apply: hash_password,
    })
}

/// What is stored of a password: SHA-1 of it and the consumer's id, in lower-case hexadecimal
/// digits. Kong's hash, so that credentials can be moved here as they are stored there.
pub fn password_hash(password: &str, consumer: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(password.as_bytes());
    context.update(consumer.as_bytes());
    hex(context.finish().as_ref())
}

fn hash_password(credential: &mut Object, _: &dyn Surroundings) {
    let text = |path: &str| get(credential, path).and_then(Value::as_str);
    if let (Some(password), Some(consumer)) = (text("password"), text("consumer.id")) {
        let hash = password_hash(password, consumer);
        credential.insert("password".to_owned(), Value::from(hash));
    }
}
