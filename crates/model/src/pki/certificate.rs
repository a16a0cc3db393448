//! Certificates in PEM.

use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::X509Version;

use super::key::hex;

/// What the checks of entities ask of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Its public key, as a DER SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
    /// The object identifier of the public key's algorithm.
    pub(crate) key_type: String,
    /// The last second at which it is valid, since 1970.
    pub(crate) not_after: i64,
    /// Whether it may sign others (basic constraint `CA`).
    pub(crate) is_ca: bool,
    /// SHA-256 of the DER, in lower-case hexadecimal digits.
    pub(crate) digest: String,
}

/// Reads the first certificate of a PEM text, and checks that the others are certificates, too.
///
/// # Errors
/// What is wrong with it, for a message after `invalid certificate: `.
pub(crate) fn read(pem: &str) -> Result<Certificate, String> {
    let mut first = None;
    for (at, der) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let der = der.map_err(|error| format!("not PEM: {error}"))?;
        let certificate = from_der(&der).map_err(|reason| match at {
            0 => reason,
            _ => format!("certificate {} of the chain: {reason}", at + 1),
        })?;
        first.get_or_insert(certificate);
    }
    first.ok_or_else(|| "there is no PEM block of a certificate".to_owned())
}

/// The rule of a field that holds a certificate.
pub(crate) fn check(pem: &str) -> Result<(), String> {
    read(pem).map(|_| ()).map_err(|reason| format!("invalid certificate: {reason}"))
}

/// How many certificates the text has.
pub(crate) fn count(pem: &str) -> usize {
    pem.matches("-----BEGIN CERTIFICATE-----").count()
}

fn from_der(der: &[u8]) -> Result<Certificate, String> {
    let (_, parsed) = parse_x509_certificate(der).map_err(|error| error.to_string())?;
    let constraints = parsed.basic_constraints().map_err(|error| error.to_string())?;
    // Certificates of version 1 have no extensions that could say what they are for.
    let is_ca = constraints.is_some_and(|c| c.value.ca) && parsed.version() == X509Version::V3;
    Ok(Certificate {
        public_key: parsed.public_key().raw.to_vec(),
        key_type: parsed.public_key().algorithm.algorithm.to_id_string(),
        not_after: parsed.validity().not_after.timestamp(),
        is_ca,
        digest: hex(digest::digest(&digest::SHA256, der).as_ref()),
    })
}
