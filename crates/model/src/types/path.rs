//! Paths of services and routes.

use regex::bytes::Regex;
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
    let normal = normalised(path);
    if normal == path.as_bytes() {
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

/// The normal form of a path, as requests are brought into before they are matched: percent
/// triplets are decoded, but those of reserved characters, which get upper-case digits; then dot
/// segments are resolved (RFC 3986 §5.2.4).
fn normalised(path: &str) -> Vec<u8> {
    without_dot_segments(&decoded(path.as_bytes()))
}

fn decoded(path: &[u8]) -> Vec<u8> {
    const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        let triplet = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        rest = match triplet {
            None => {
                out.push(*first);
                tail
            }
            Some((high, low)) => {
                let byte = high << 4 | low;
                if RESERVED.contains(&byte) {
                    out.extend(format!("%{byte:02X}").bytes());
                } else {
                    out.push(byte);
                }
                tail.get(2..).unwrap_or_default()
            }
        };
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut parts = path.split(|b| *b == b'/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            b"." | b".." => {
                if part == b".." {
                    segments.pop();
                }
                if last {
                    segments.push(b"");
                }
            }
            part => segments.push(part),
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in segments {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    out
}

#[cfg(test)]
mod tests;
