//! A JSON Web Token (RFC 7519) in its compact form, and whether its signature is good.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::JwtAlgorithm;
use ring::{hmac, signature};
use serde_json::{Map, Value};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

/// With or without padding, as Kong takes it.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A token whose signature was not verified yet.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: JwtAlgorithm,
    pub(super) header: Map<String, Value>,
    pub(super) claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What Kong says is wrong with it.
    pub(super) fn parse(text: &'t str) -> Result<Token<'t>, &'static str> {
        let invalid = "invalid JSON";
        let (signed, signature) = text.rsplit_once('.').ok_or(invalid)?;
        let (header, claims) = signed.split_once('.').ok_or(invalid)?;
        let json = |part: &str| -> Option<Value> {
            serde_json::from_slice(&BASE64_URL.decode(part).ok()?).ok()
        };
        let (header, claims) = (json(header).ok_or(invalid)?, json(claims).ok_or(invalid)?);
        let Value::Object(header) = header else { return Err("invalid alg") };
        let algorithm =
            header.get("alg").and_then(|name| serde_json::from_value(name.clone()).ok());
        let algorithm = algorithm.ok_or("invalid alg")?;
        let Value::Object(claims) = claims else { return Err("invalid claims") };
        let signature = BASE64_URL.decode(signature).map_err(|_| "invalid signature")?;
        Ok(Token { algorithm, header, claims, signed, signature })
    }

    /// Whether the token was signed with this key: the shared secret, or the other half of a public
    /// key in PEM.
    pub(super) fn is_signed_with(&self, key: &[u8]) -> bool {
        use JwtAlgorithm as A;
        match self.algorithm {
            A::Hs256 => self.has_code(hmac::HMAC_SHA256, key),
            A::Hs384 => self.has_code(hmac::HMAC_SHA384, key),
            A::Hs512 => self.has_code(hmac::HMAC_SHA512, key),
            A::Rs256 => self.has_signature(&signature::RSA_PKCS1_2048_8192_SHA256, key),
            A::Rs384 => self.has_signature(&signature::RSA_PKCS1_2048_8192_SHA384, key),
            A::Rs512 => self.has_signature(&signature::RSA_PKCS1_2048_8192_SHA512, key),
            A::Ps256 => self.has_signature(&signature::RSA_PSS_2048_8192_SHA256, key),
            A::Ps384 => self.has_signature(&signature::RSA_PSS_2048_8192_SHA384, key),
            A::Ps512 => self.has_signature(&signature::RSA_PSS_2048_8192_SHA512, key),
            A::Es256 => self.has_signature(&signature::ECDSA_P256_SHA256_FIXED, key),
            A::Es384 => self.has_signature(&signature::ECDSA_P384_SHA384_FIXED, key),
            A::EdDsa => self.has_signature(&signature::ED25519, key),
            A::Es512 => self.has_p521_signature(key),
        }
    }

    fn has_code(&self, algorithm: hmac::Algorithm, secret: &[u8]) -> bool {
        let key = hmac::Key::new(algorithm, secret);
        hmac::verify(&key, self.signed.as_bytes(), &self.signature).is_ok()
    }

    fn has_signature(&self, by: &'static dyn signature::VerificationAlgorithm, pem: &[u8]) -> bool {
        let Some(key) = public_key(pem) else { return false };
        let key = signature::UnparsedPublicKey::new(by, key);
        key.verify(self.signed.as_bytes(), &self.signature).is_ok()
    }

    fn has_p521_signature(&self, pem: &[u8]) -> bool {
        use p521::ecdsa::signature::Verifier;
        let verified = public_key(pem).and_then(|key| {
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&key).ok()?;
            let signature = p521::ecdsa::Signature::from_slice(&self.signature).ok()?;
            key.verify(self.signed.as_bytes(), &signature).ok()
        });
        verified.is_some()
    }
}

/// A secret that is kept as base64, of either alphabet.
pub(super) fn decode_secret(secret: &str) -> Option<Vec<u8>> {
    let url_safe = secret.replace('+', "-").replace('/', "_");
    BASE64_URL.decode(url_safe).ok()
}

/// The key within a `PUBLIC KEY` in PEM, in the form of its algorithm.
fn public_key(pem: &[u8]) -> Option<Vec<u8>> {
    let (pem, _) = Pem::read(std::io::Cursor::new(pem)).ok()?;
    let (_, key) = SubjectPublicKeyInfo::from_der(&pem.contents).ok()?;
    Some(key.subject_public_key.data.into_owned())
}
