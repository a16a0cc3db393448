//! Hosts of requests and of routes.

use std::borrow::Cow;

/// Splits the value of a `Host` header (or an authority) into host and port.
///
/// A port is a decimal number from 0 to 65535 behind the last colon; an IPv6 address has one only
/// when it stands in brackets, which stay part of the host here. What is no port stays part of
/// the host (`localhost:23h`), except that an empty one is dropped (`localhost:`), as Kong does.
pub fn split(authority: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = authority.rsplit_once(':') else { return (authority, None) };
    let bare_ipv6 = host.contains(':') && !host.ends_with(']');
    if bare_ipv6 {
        return (authority, None);
    }
    if port.is_empty() {
        return (host, None);
    }
    // `parse` alone would take a sign.
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return (authority, None);
    }
    match port.parse() {
        Ok(port) => (host, Some(port)),
        Err(_) => (authority, None),
    }
}

/// The host without the brackets of an IPv6 address.
pub fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

/// Host names in the form in which they are compared: without brackets, in lower case
/// (RFC 9110 §4.2.3, RFC 4343).
pub(crate) fn comparable(host: &str) -> Cow<'_, str> {
    let host = without_brackets(host);
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[cfg(test)]
mod tests {
    use super::{comparable, split};

    #[test]
    fn splits_as_kong_does() {
        for (authority, host, port) in [
            ("localhost", "localhost", None),
            ("localhost:", "localhost", None),
            ("localhost:80", "localhost", Some(80)),
            ("localhost:23h", "localhost:23h", None),
            ("localhost:+23", "localhost:+23", None),
            ("localhost:65536", "localhost:65536", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
            ("::1", "::1", None),
            ("::1:80", "::1:80", None),
            ("", "", None),
            (":80", "", Some(80)),
        ] {
            assert_eq!(split(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn compares_without_case_and_brackets() {
        assert_eq!(comparable("[::1]"), "::1");
        assert_eq!(comparable("EXAMPLE.com"), "example.com");
        assert_eq!(comparable("[broken"), "[broken");
    }
}
