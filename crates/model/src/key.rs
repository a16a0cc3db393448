//! Keys, and sets of them.

use schema::{CustomCheck, Field, Object, Surroundings, Violation, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::pki::{jwk, key};
use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

schema::record! {
    /// A set of keys.
    pub struct KeySet in "key_sets" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// A unique name.
        pub name: Option<String> = Field::string().unique(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
    }
}

schema::record! {
    /// A pair of keys in PEM, or one of them.
    pub struct KeyPair {
        /// The private key.
        pub private_key: Option<Secret> = Field::string().referenceable().encrypted(),
        /// The public key.
        pub public_key: Option<String> = Field::string().referenceable(),
    }
    rules |record| record.at_least_one_of(&["private_key", "public_key"])
}

schema::record! {
    /// A key, as JSON Web Key or in PEM.
    pub struct Key in "keys" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// The set that it is in.
        pub set: Option<Reference> = Field::foreign("key_sets").cascade(),
        /// A unique name.
        pub name: Option<String> = Field::string().unique(),
        /// The name by which tokens refer to it; unique in its set.
        pub kid: String = Field::string().required(),
        /// The key as JSON Web Key, in a text.
        pub jwk: Option<Secret> = Field::string().referenceable().encrypted(),
        /// The key in PEM.
        pub pem: Option<KeyPair> =
            Field::record(KeyPair::record().clone()).optional().check_value(check_pair),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
    }
    rules |record| record
        .mutually_exclusive(&["jwk", "pem"])
        .at_least_one_of(&["jwk", "pem"])
        .check(CustomCheck {
            fields: &["jwk", "pem", "kid"],
            with_invalid_fields: false,
            check: check_jwk,
        })
}

fn check_pair(pair: &Value) -> Result<(), Violation> {
    let given = |name: &str| pair.get(name).and_then(Value::as_str);
    let (private, public) = (given("private_key"), given("public_key"));
    if private.into_iter().chain(public).any(schema::is_vault_reference) {
        return Ok(());
    }
    let public = public
        .map(key::public)
        .transpose()
        .map_err(|_| Violation::from("could not load public key"))?;
    let private = private
        .map(key::public_half)
        .transpose()
        .map_err(|reason| Violation::from(format!("could not load private key: {reason}")))?;
    match (private, public) {
        (Some(private), Some(public)) if private != public => {
            Err("public key does not match private key".into())
        }
        _ => Ok(()),
    }
}

fn check_jwk(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let Some(text) = entity.get("jwk").and_then(Value::as_str) else { return Ok(()) };
    let fail = |reason: &str| Err(Violations::of_entity(reason));
    let Ok(jwk) = serde_json::from_str::<Value>(text) else {
        return fail("could not json decode jwk string");
    };
    if jwk.get("kid") != entity.get("kid") {
        return fail("kid in jwk.kid must be equal to keys.kid");
    }
    if !jwk::is_key(text) {
        return fail("could not load JWK, likely not a valid key");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
