//! The normal form of a path.

use std::borrow::Cow;

/// Bytes that mean something different escaped and unescaped, so that their escapes stay
/// (RFC 3986 §2.2 plus `%`).
const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";

/// The form of a request's path in which routes are compared with it, as Kong makes it
/// (RFC 3986 §6.2.2 and §5.2.4): escapes are decoded unless they stand for a reserved character,
/// those that stay are in upper case, dot segments are removed, slashes merged. A plain path of a
/// route must have it already. The result may hold any byte.
///
/// `path` is without its query.
pub fn normalise(path: &[u8]) -> Cow<'_, [u8]> {
    let decoded = decode(path);
    if !has_empty_or_dotted_segment(&decoded) {
        return decoded;
    }
    Cow::Owned(without_dot_segments(&decoded))
}

fn decode(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', path) else { return Cow::Borrowed(path) };
    let mut out = Vec::with_capacity(path.len());
    let (head, mut rest) = path.split_at(first);
    out.extend_from_slice(head);
    while let Some((&byte, tail)) = rest.split_first() {
        let Some((meant, tail)) = escaped(rest) else {
            out.push(byte);
            rest = tail;
            continue;
        };
        if RESERVED.contains(&meant) {
            out.extend(rest.iter().take(3).map(u8::to_ascii_uppercase));
        } else {
            out.push(meant);
        }
        rest = tail;
    }
    Cow::Owned(out)
}

/// The byte that an escape at the start of `text` stands for, and what is behind the escape.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, tail @ ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(*high)? << 4 | digit(*low)?, tail))
}

/// Whether [`without_dot_segments`] could change anything: a dot segment or an empty segment is
/// there. A relative first segment counts, since `mid/..` is one.
fn has_empty_or_dotted_segment(path: &[u8]) -> bool {
    matches!(path, [b'.', ..]) || path.windows(2).any(|pair| pair == b"//" || pair == b"/.")
}

/// RFC 3986 §5.2.4, with empty segments dropped.
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    // Each turn takes one segment with the slash before it; only the first may lack the slash.
    while !rest.is_empty() {
        let slash = rest[0] == b'/';
        let start = usize::from(slash);
        let end = memchr::memchr(b'/', &rest[start..]).map_or(rest.len(), |at| start + at);
        let (segment, tail) = (&rest[start..end], &rest[end..]);
        let last = tail.is_empty();
        match segment {
            b"." | b".." => {
                if segment == b".." && slash {
                    out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0));
                }
                if last && slash {
                    out.push(b'/');
                }
                // A relative dot segment goes with the slash behind it.
                rest = if slash || last { tail } else { &tail[1..] };
            }
            b"" if !last => rest = tail,
            _ => {
                out.extend_from_slice(&rest[..end]);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn kong_vectors() {
        for (raw, normal) in [
            ("/a//b//", "/a/b/"),
            ("/./.././../", "/"),
            ("/a/b/c/./../../g", "/a/g"),
            ("/%6B%6f%6e%67", "/kong"),
            ("/a%2fb%2Fc/", "/a%2Fb%2Fc/"),
            ("/%2E", "/"),
            ("/a%20b", "/a b"),
            ("/endel%C3%B8st", "/endeløst"),
            ("mid/content=5/../6", "mid/6"),
            ("", ""),
            ("/", "/"),
            ("//", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/./c/../d", "/a/b/d"),
            ("/a/b/...", "/a/b/..."),
            ("/a/b/.hidden", "/a/b/.hidden"),
            ("/a/b/..x/.", "/a/b/..x/"),
            ("/a%", "/a%"),
            ("/a%2", "/a%2"),
            ("/a%zz", "/a%zz"),
            ("/a%252e", "/a%252e"),
            ("/%3a%3B", "/%3A%3B"),
            ("/.a/..b", "/.a/..b"),
            (".", ""),
            ("..", ""),
            ("../a", "a"),
            ("./a/..", "/"),
            ("*", "*"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&normalise(raw.as_bytes())),
                normal,
                "normal form of {raw}"
            );
        }
    }

    #[test]
    fn keeps_bytes_that_are_no_text() {
        let raw = b"/%C3%A4/a/%2e./a%2E//a/%2e/./a/../a/%2e%2E/%5f%99%af%2f%2F";
        assert_eq!(&*normalise(raw), ["/ä/a./a/_".as_bytes(), &[0x99, 0xaf], b"%2F%2F"].concat());
    }

    #[test]
    fn borrows_what_is_normal() {
        assert!(matches!(normalise(b"/a/b.c/d"), std::borrow::Cow::Borrowed(_)));
    }
}
