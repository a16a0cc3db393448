//! Private and public keys in PEM.

use std::fmt::Write;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The public half of a private key, as a DER SubjectPublicKeyInfo: of RSA keys from 2048 bits
/// on, of ECDSA keys on P-256 and P-384, of Ed25519 keys; in PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// What is wrong with the key, for a message.
pub(crate) fn public_half(private: &str) -> Result<Vec<u8>, String> {
    let der = PrivateKeyDer::from_pem_slice(private.as_bytes())
        .map_err(|error| format!("there is no PEM block of an unencrypted private key: {error}"))?;
    let key = any_supported_type(&der).map_err(|_| {
        "the key is not RSA (2048 bits or more), ECDSA (P-256 or P-384) or Ed25519".to_owned()
    })?;
    match key.public_key() {
        Some(public) => Ok(public.as_ref().to_vec()),
        None => Err("the public key cannot be found".to_owned()),
    }
}

/// A public key as a DER SubjectPublicKeyInfo. RSA keys may also stand in PKCS#1.
///
/// # Errors
/// What is wrong with it, for a message.
pub(crate) fn public(pem: &str) -> Result<Vec<u8>, String> {
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
        let (_, parsed) =
            SubjectPublicKeyInfo::from_der(key.as_ref()).map_err(|error| error.to_string())?;
        parsed.parsed().map_err(|error| error.to_string())?;
        return Ok(key.as_ref().to_vec());
    }
    let block = Pem::iter_from_buffer(pem.as_bytes())
        .filter_map(Result::ok)
        .find(|block| block.label == "RSA PUBLIC KEY")
        .ok_or_else(|| "there is no PEM block of a public key".to_owned())?;
    RSAPublicKey::from_der(&block.contents).map_err(|error| error.to_string())?;
    Ok(block.contents)
}

/// The rule of a field that holds the private key of a certificate.
pub(crate) fn check_private(pem: &str) -> Result<(), String> {
    public_half(pem).map(|_| ()).map_err(|reason| format!("invalid key: {reason}"))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
