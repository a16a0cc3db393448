//! Certificates and keys as far as their entities are checked. What passes here, rustls can use.

pub(crate) mod certificate;
pub(crate) mod jwk;
pub(crate) mod key;
