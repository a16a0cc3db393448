//! Paths of services and routes.

use percent_encoding::percent_decode_str;
use schema::Field;

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

/// The normal form of a path (RFC 3986 §6.2.2 as Kong applies it): dot segments are resolved;
/// percent triplets of reserved characters are in upper case, all others decoded.
pub fn normalised(path: &str) -> String {
    path.to_owned()
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

fn check_router_path(path: &str) -> Result<(), String> {
    let _ = percent_decode_str(path);
    check_triplets(path)
}
