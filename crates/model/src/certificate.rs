//! Certificates: what is presented to clients and upstreams; and the server names they are for.

use schema::{CustomCheck, Field, Object, Record, Surroundings, Violations};
use serde_json::Value;
use uuid::Uuid;

use crate::pki::{certificate, key};
use crate::reference::Reference;
use crate::secret::Secret;
use crate::types;

schema::record! {
    /// A certificate with its private key; and another of a different type, so that old clients
    /// get RSA and others ECDSA.
    pub struct Certificate in "certificates" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// The certificate and its chain, in PEM.
        pub cert: String = types::certificate().required().referenceable(),
        /// The private key, in PEM.
        pub key: Secret = types::key().required().referenceable().encrypted(),
        /// The other certificate and its chain, in PEM.
        pub cert_alt: Option<String> = types::certificate().referenceable(),
        /// The other private key, in PEM.
        pub key_alt: Option<Secret> = types::key().referenceable().encrypted(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| rules(record)
}

schema::record! {
    /// A server name of TLS and the certificate that is presented for it.
    pub struct Sni in "snis" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// The server name; its first or last character may be `*`.
        pub name: String = types::wildcard_host().required().unique(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
        /// The certificate.
        pub certificate: Reference = Field::foreign("certificates").required().cascade(),
    }
}

schema::record! {
    /// A certificate that others are verified with.
    pub struct CaCertificate in "ca_certificates" {
        /// The primary key.
        pub id: Uuid = types::id(),
        /// When it was made, in seconds since 1970.
        pub created_at: Option<i64> = types::created_at(),
        /// When it was last written, in seconds since 1970.
        pub updated_at: Option<i64> = types::updated_at(),
        /// The certificate, in PEM.
        pub cert: String = types::certificate().required(),
        /// SHA-256 of the certificate, in lower-case hexadecimal digits; computed.
        pub cert_digest: Option<String> = Field::string().unique(),
        /// Words to find it by.
        pub tags: Option<Vec<String>> = types::tags(),
    }
    rules |record| record
        .check(CustomCheck { fields: &["cert"], with_invalid_fields: false, check: check_ca })
        .settle(settle_ca)
}

fn rules(record: Record) -> Record {
    let check = |fields, check| CustomCheck { fields, with_invalid_fields: false, check };
    record
        // Stored as entities of their own; here so that they can be written together.
        .field("snis", Field::array(types::wildcard_host()).about("The server names it is for."))
        .mutually_required(&["cert_alt", "key_alt"])
        .check(check(&["cert", "key"], check_pair))
        .check(check(&["cert_alt", "key_alt"], check_alternative_pair))
        .check(check(&["cert", "cert_alt"], check_types))
}

fn check_pair(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    match belong_together(entity, "cert", "key") {
        Some(false) => Err(Violations::of_entity("certificate does not match key")),
        _ => Ok(()),
    }
}

fn check_alternative_pair(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    match belong_together(entity, "cert_alt", "key_alt") {
        Some(false) => Err(Violations::of_entity("alternative certificate does not match key")),
        _ => Ok(()),
    }
}

/// `None` when one of them is absent.
fn belong_together(entity: &Object, cert: &str, key: &str) -> Option<bool> {
    let cert = certificate::read(text(entity, cert)?).ok()?;
    let key = key::public_half(text(entity, key)?).ok()?;
    Some(cert.public_key == key)
}

fn check_types(entity: &Object, _: &dyn Surroundings) -> Result<(), Violations> {
    let key_type = |name| certificate::read(text(entity, name)?).ok().map(|cert| cert.key_type);
    match (key_type("cert"), key_type("cert_alt")) {
        (Some(one), Some(other)) if one == other => Err(Violations::of_entity(
            "certificate and alternative certificate need to have different type (e.g. RSA and \
             ECDSA), the provided certificates were both of the same type",
        )),
        _ => Ok(()),
    }
}

fn check_ca(entity: &Object, around: &dyn Surroundings) -> Result<(), Violations> {
    let Some(pem) = text(entity, "cert") else { return Ok(()) };
    if certificate::count(pem) > 1 {
        return Err(Violations::of_entity("please submit only one certificate at a time"));
    }
    let Ok(certificate) = certificate::read(pem) else { return Ok(()) };
    if certificate.not_after < i64::try_from(around.now_ms() / 1000).unwrap_or(i64::MAX) {
        return Err(Violations::of_entity(
            "certificate expired, \"Not After\" time is in the past",
        ));
    }
    if !certificate.is_ca {
        return Err(Violations::of_entity(
            "certificate does not appear to be a CA because it is missing the \"CA\" basic \
             constraint",
        ));
    }
    Ok(())
}

fn settle_ca(entity: &mut Object) {
    if let Some(certificate) = text(entity, "cert").and_then(|pem| certificate::read(pem).ok()) {
        entity.insert("cert_digest".to_owned(), Value::from(certificate.digest));
    }
}

fn text<'a>(entity: &'a Object, name: &str) -> Option<&'a str> {
    entity.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
