//! The request target and the Host field (RFC 9112 §3.2).

use std::ops::Range;

/// Why a target or host is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a path nor an `http:` or `https:` URL: `*`, `host:port`, a relative path.
    #[error("the request target is neither a path nor an http URL")]
    Form,
    /// A URL without a usable host, with user information, or with a bad port.
    #[error("the authority of the request target is not a host")]
    Authority,
    /// The Host field is no host name or address, or its port no port.
    #[error("the Host header is not a host")]
    Host,
}

/// A host and, if given, its port: the parts of a Host field or of a URL's authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a> {
    /// Name or address in the sender's spelling; an IPv6 address with its brackets.
    pub name: &'a str,
    /// The port, none where there was none or only a colon.
    pub port: Option<u16>,
}

/// Longest name that DNS can hold, and so the longest host that can mean anything.
const HOST_LIMIT: usize = 255;

impl<'a> Host<'a> {
    /// Reads a host with an optional port. Refuses what different recipients read differently: white space, control
    /// characters, `@`, `/`, `\`, `,`, an unbracketed IPv6 address, a port that is no number.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Host<'a>> {
        let (length, port) = take_apart(text)?;
        let name = std::str::from_utf8(text.get(..length)?).ok()?;
        Some(Host { name, port })
    }
}

/// The length of the name in a host with an optional port, and the port; see [`Host::parse`].
pub(crate) fn take_apart(text: &[u8]) -> Option<(usize, Option<u16>)> {
    let length = if text.first() == Some(&b'[') {
        let end = memchr::memchr(b']', text)?;
        let inner = text.get(1..end)?;
        let valid = inner.contains(&b':')
            && inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
        if !valid {
            return None;
        }
        end + 1
    } else {
        let mut end = 0;
        let mut before = 0;
        for byte in text.iter().take_while(|byte| HOST_BYTES[usize::from(**byte)]) {
            if *byte == b'.' && before == b'.' {
                return None;
            }
            before = *byte;
            end += 1;
        }
        end
    };
    if length == 0 || length > HOST_LIMIT || text.get(..length) == Some(b".") {
        return None;
    }
    // What stands behind it must be a port.
    match text.get(length..)? {
        [] | [b':'] => Some((length, None)),
        [b':', digits @ ..] => Some((length, Some(parse_port(digits)?))),
        _ => None,
    }
}

fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).ok()
}

/// [`is_host_byte`], to be looked up.
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_host_byte(byte as u8);
        byte += 1;
    }
    table
};

/// The characters of a registered name (RFC 3986 §3.2.2) but for the comma, by which some recipients join two Host
/// fields to one.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

/// Where the parts of a request target lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetParts {
    /// The authority of an absolute URL.
    pub(crate) authority: Option<Range<usize>>,
    /// The path; empty for a URL that has none.
    pub(crate) path: Range<usize>,
    /// The query without its question mark.
    pub(crate) query: Option<Range<usize>>,
}

/// Takes a target apart. A fragment, which has no place in a request, is left out.
///
/// # Errors
/// See [`TargetError`].
pub(crate) fn split(target: &[u8]) -> Result<TargetParts, TargetError> {
    let end = memchr::memchr(b'#', target).unwrap_or(target.len());
    let (authority, path_start) = match target.first() {
        Some(b'/') => (None, 0),
        _ => {
            let start = scheme_length(target).ok_or(TargetError::Form)?;
            let rest = target.get(start..end).unwrap_or_default();
            let length =
                rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let authority = rest.get(..length).unwrap_or_default();
            if Host::parse(authority).is_none() {
                return Err(TargetError::Authority);
            }
            (Some(start..start + length), start + length)
        }
    };
    let rest = target.get(path_start..end).unwrap_or_default();
    Ok(match memchr::memchr(b'?', rest) {
        Some(mark) => TargetParts {
            authority,
            path: path_start..path_start + mark,
            query: Some(path_start + mark + 1..end),
        },
        None => TargetParts { authority, path: path_start..end, query: None },
    })
}

fn scheme_length(target: &[u8]) -> Option<usize> {
    let begins = |scheme: &&[u8]| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    [b"http://".as_slice(), b"https://"].into_iter().find(begins).map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::{Host, TargetError, TargetParts, split};

    #[test]
    fn hosts() {
        let host =
            |text: &'static str| Host::parse(text.as_bytes()).map(|host| (host.name, host.port));
        assert_eq!(host("a.test"), Some(("a.test", None)));
        assert_eq!(host("A.Test:8080"), Some(("A.Test", Some(8080))));
        assert_eq!(host("a.test:"), Some(("a.test", None)));
        assert_eq!(host("a.test."), Some(("a.test.", None)));
        assert_eq!(host("under_score"), Some(("under_score", None)));
        assert_eq!(host("[::1]"), Some(("[::1]", None)));
        assert_eq!(host("[::ffff:1.2.3.4]:80"), Some(("[::ffff:1.2.3.4]", Some(80))));
        assert_eq!(host(&"a".repeat(255).leak()[..]).map(|host| host.0.len()), Some(255));
        for bad in [
            "", " ", "a b", "a\tb", "a\0b", ":80", "a:b", "a:-1", "a:65536", "a:000080", "a:1:2",
            "::1", "[::1", "[]", "[a]:1", "[::1]x", "[::1]80", "a/b", "a\\b", "a@b", "a,b", "a?b",
            "a#b", "a..b", ".", "é", "\"a\"", "<a>", "a|b", "a^b",
        ] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
        assert_eq!(Host::parse("a".repeat(256).as_bytes()), None);
    }

    #[test]
    fn targets() {
        let parts = |authority, path, query| Ok(TargetParts { authority, path, query });
        assert_eq!(split(b"/"), parts(None, 0..1, None));
        assert_eq!(split(b"/a?b?c"), parts(None, 0..2, Some(3..6)));
        assert_eq!(split(b"/a?"), parts(None, 0..2, Some(3..3)));
        assert_eq!(split(b"/a#b?c"), parts(None, 0..2, None));
        assert_eq!(split(b"/a?b#c"), parts(None, 0..2, Some(3..4)));
        assert_eq!(split(b"//a/b"), parts(None, 0..5, None));
        assert_eq!(split(b"http://h:1/p?q"), parts(Some(7..10), 10..12, Some(13..14)));
        assert_eq!(split(b"HTTPS://h"), parts(Some(8..9), 9..9, None));
        assert_eq!(split(b"http://h?q"), parts(Some(7..8), 8..8, Some(9..10)));
        for bad in ["", "*", "a/b", "h.test:443", "ftp://h/", "http:/h", "?a", "#"] {
            assert_eq!(split(bad.as_bytes()), Err(TargetError::Form), "{bad:?}");
        }
        for bad in
            ["http://", "http:///p", "http://u@h/", "http://h:x/", "http://a b/", "http://#h"]
        {
            assert_eq!(split(bad.as_bytes()), Err(TargetError::Authority), "{bad:?}");
        }
    }
}
