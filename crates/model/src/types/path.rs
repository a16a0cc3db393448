//! Paths of services and routes.

mod normal;

use regex::bytes::Regex;
use schema::Field;

pub use normal::normalise;

/// A path that is sent to an upstream: `/…` of the characters that RFC 3986 has for paths.
pub fn path() -> Field {
    Field::string()
        .starts_with("/")
        .matches_none(&[("//", "must not have empty segments")])
        .check(check_path)
}

/// A path of a route: `/…` is a prefix in normal form, `~/…` a regular expression.
pub fn router_path() -> Field {
    Field::string()
        .matches_none(&[("//", "must not have empty segments")])
        .matches_all(&[("^~?/", "should start with: / (fixed path) or ~/ (regex path)")])
        .check(check_router_path)
}

fn check_path(path: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b);
    if !path.bytes().all(allowed) {
        return Err(format!(
            "invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)"
        ));
    }
    check_triplets(path)
}

fn check_router_path(path: &str) -> Result<(), String> {
    if let Some(pattern) = path.strip_prefix('~') {
        check_triplets(path)?;
        // Kong's text, which its clients know; what follows is our own engine's reason.
        return Regex::new(pattern)
            .map(|_| ())
            .map_err(|error| format!("invalid regex: '{pattern}' (PCRE returned: {error})"));
    }
    check_triplets(path)?;
    let normal = normalise(path.as_bytes());
    if *normal == *path.as_bytes() {
        return Ok(());
    }
    let normal = String::from_utf8_lossy(&normal);
    Err(format!("non-normalized path, consider use '{normal}' instead"))
}

/// Every `%` begins a triplet with two hexadecimal digits.
fn check_triplets(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let triplet: String = path.get(at..).unwrap_or_default().chars().take(3).collect();
        let valid = triplet.len() == 3 && triplet.bytes().skip(1).all(|b| b.is_ascii_hexdigit());
        if !valid {
            return Err(format!("invalid url-encoded value: '{triplet}'"));
        }
    }
    Ok(())
}
