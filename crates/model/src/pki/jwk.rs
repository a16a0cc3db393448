//! JSON Web Keys (RFC 7517, 7518, 8037), as far as they are checked when they are written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The members of a key that say what it is. Of a private key there is `d` besides.
#[derive(Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "RSA")]
    Rsa { n: Number, e: Number, d: Option<Number> },
    #[serde(rename = "EC")]
    Ec { crv: Curve, x: Number, y: Number, d: Option<Number> },
    #[serde(rename = "OKP")]
    Okp { crv: EdwardsCurve, x: Number, d: Option<Number> },
}

#[derive(Clone, Copy, Deserialize)]
enum Curve {
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
    #[serde(rename = "P-521")]
    P521,
}

#[derive(Clone, Copy, Deserialize)]
enum EdwardsCurve {
    Ed25519,
    X25519,
    Ed448,
    X448,
}

/// Bytes in base64url without padding.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Number(Vec<u8>);

impl TryFrom<String> for Number {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Number, base64::DecodeError> {
        URL_SAFE_NO_PAD.decode(text).map(Number)
    }
}

/// Whether the text is an asymmetric key with all of its members, of the right lengths.
pub(crate) fn is_key(text: &str) -> bool {
    let filled = |number: &Option<Number>| number.as_ref().is_none_or(|n| !n.0.is_empty());
    match serde_json::from_str::<Jwk>(text) {
        Ok(Jwk::Rsa { n, e, d }) => !n.0.is_empty() && !e.0.is_empty() && filled(&d),
        Ok(Jwk::Ec { crv, x, y, d }) => {
            let size = match crv {
                Curve::P256 => 32,
                Curve::P384 => 48,
                Curve::P521 => 66,
            };
            x.0.len() == size && y.0.len() == size && d.is_none_or(|d| d.0.len() == size)
        }
        Ok(Jwk::Okp { crv, x, d }) => {
            let size = match crv {
                EdwardsCurve::Ed25519 | EdwardsCurve::X25519 => 32,
                EdwardsCurve::Ed448 => 57,
                EdwardsCurve::X448 => 56,
            };
            x.0.len() == size && d.is_none_or(|d| d.0.len() == size)
        }
        Err(_) => false,
    }
}
