//! A signature as a client sends it, and what it signs.

use std::sync::LazyLock;

use http1::{RequestHead, Version};
use regex::Regex;
use ring::hmac;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::fields;

/// What a header holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) username: String,
    pub(super) algorithm: String,
    /// The names of what is signed, as the client writes them.
    pub(super) signed: Vec<String>,
    signature: String,
}

impl Claim {
    /// The parameters in their fixed order, as Kong takes them.
    pub(super) fn parse(value: &str) -> Option<Claim> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                "\\s*[Hh]mac\\s*username=\"(.+)\",\\s*algorithm=\"(.+)\",\\s*headers=\"(.+)\",\
                 \\s*signature=\"(.+)\"",
            )
            .ok()
        });
        let found = FORM.as_ref()?.captures(value)?;
        let part = |at| found.get(at).map_or("", |part: regex::Match<'_>| part.as_str());
        Some(Claim {
            username: part(1).to_owned(),
            algorithm: part(2).to_owned(),
            signed: part(3).split_whitespace().map(str::to_owned).collect(),
            signature: part(4).to_owned(),
        })
    }

    /// Whether the signature is of this request, by this secret.
    pub(super) fn fits(&self, request: &RequestHead, secret: &str) -> bool {
        let Some(algorithm) = algorithm(&self.algorithm) else { return false };
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        let key = hmac::Key::new(algorithm, secret.as_bytes());
        hmac::verify(&key, &self.signed_text(request), &signature).is_ok()
    }

    fn signed_text(&self, request: &RequestHead) -> Vec<u8> {
        let mut text = Vec::new();
        for (at, name) in self.signed.iter().enumerate() {
            if at > 0 {
                text.push(b'\n');
            }
            write_line(&mut text, request, name);
        }
        text
    }
}

fn write_line(text: &mut Vec<u8>, request: &RequestHead, name: &str) {
    let target = request.received_target();
    if let Some(value) = request.fields.named(name.as_bytes()).next() {
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
    } else if name == "@request-target" {
        text.extend_from_slice(b"@request-target: ");
        text.extend_from_slice(&request.received_method().to_ascii_lowercase());
        text.push(b' ');
        text.extend_from_slice(target);
    } else if name == "request-line" {
        text.extend_from_slice(request.received_method());
        text.push(b' ');
        text.extend_from_slice(target);
        text.extend_from_slice(match request.version() {
            Version::Http10 => b" HTTP/1.0",
            Version::Http11 => b" HTTP/1.1",
            Version::Http2 => b" HTTP/2.0",
        });
    } else {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
    }
}

fn algorithm(name: &str) -> Option<hmac::Algorithm> {
    Some(match name {
        "hmac-sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "hmac-sha256" => hmac::HMAC_SHA256,
        "hmac-sha384" => hmac::HMAC_SHA384,
        "hmac-sha512" => hmac::HMAC_SHA512,
        _ => return None,
    })
}

/// Whether a field holds a date that is at most `skew` seconds from `now`.
pub(super) fn is_timely(request: &RequestHead, field: &str, now: u64, skew: f64) -> bool {
    let date =
        fields::first(&request.fields, field).and_then(|date| httpdate::parse_http_date(date).ok());
    let since = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    since.is_some_and(|since| now.abs_diff(since.as_secs()) as f64 <= skew)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

    fn check(algorithm: &str, signed: &str, signature: &str, expected: bool) {
        let mut request = RequestHead::default();
        request.begin(b"GET", b"/request?name=foo", Version::Http11);
        request.fields.push(b"Date", DATE.as_bytes());
        request.fields.push(b"Content-MD5", b"md5");
        let header = format!(
            "hmac username=\"bob\", algorithm=\"{algorithm}\", headers=\"{signed}\", \
             signature=\"{signature}\""
        );
        let claim = Claim::parse(&header).unwrap();
        assert_eq!(claim.fits(&request, "secret"), expected, "{header}");
    }

    #[test]
    fn signatures_of_kong_fit() {
        let date = "abja6ALTd8EIhnoscMh6Xz9l9OIBJ1oNsjTYOHfy/C8=";
        check("hmac-sha256", "date", date, true);
        check("hmac-sha256", "date content-md5", date, false);
        check("hmac-sha512", "date", date, false);
        check("hmac-md5", "date", date, false);
        check("hmac-sha256", "date", "not base64", false);
        check("hmac-sha1", "date content-md5 request-line", "E0mabQHFDaZCpVyhMVoqRSuKydw=", true);
        check(
            "hmac-sha256",
            "date @request-target",
            "rA/dV2RtNUBa89ze1I/VHxbP5x4WZAc1qGTqhM/meDA=",
            true,
        );
        check(
            "hmac-sha256",
            "date x-missing",
            "O2iy3mH36coBg7cv2e62/NvK1sUOcfzYS5Ft1AFLrBU=",
            true,
        );
    }

    #[test]
    fn what_lacks_a_parameter_is_no_claim() {
        assert_eq!(Claim::parse("hmac username=\"bob\""), None);
        assert_eq!(Claim::parse("Basic Ym9iOmtvbmc="), None);
    }

    #[test]
    fn a_date_is_timely_within_the_skew_on_both_sides() {
        let mut request = RequestHead::default();
        request.fields.push(b"Date", DATE.as_bytes());
        let check = |now, expected| {
            assert_eq!(is_timely(&request, "date", now, 300.0), expected, "{now}");
        };
        check(1_767_225_600, true);
        check(1_767_225_900, true);
        check(1_767_225_300, true);
        check(1_767_225_901, false);
        check(1_767_225_299, false);
        assert!(!is_timely(&request, "x-date", 1_767_225_600, 300.0));
    }
}
