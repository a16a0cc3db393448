//! Which paths are refused before anything is matched.

/// Why a path is answered with 400, as Kong's listener does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// A `%` without two hexadecimal digits behind it.
    #[error("a percent sign in the path is not followed by two hexadecimal digits")]
    Escape,
    /// A zero byte, escaped or not.
    #[error("the path contains a zero byte")]
    Zero,
    /// More `..` segments than there are segments before them.
    #[error("the path climbs above the root")]
    AboveRoot,
}

/// Looks for what Kong's listener refuses in a path as sent (without its query).
///
/// Unlike [`super::normalise`] it reads an escaped slash or dot as what it stands for, since a
/// backend might do so, too.
pub fn check(path: &[u8]) -> Result<(), BadPath> {
    let mut depth = 0_usize;
    let mut segment = Segment::Empty;
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let (meant, tail) = if byte == b'%' { decode(tail)? } else { (byte, tail) };
        rest = tail;
        match meant {
            0 => return Err(BadPath::Zero),
            b'/' => {
                depth = segment.close(depth)?;
                segment = Segment::Empty;
            }
            _ => segment = segment.with(meant),
        }
    }
    segment.close(depth).map(|_| ())
}

/// As much of a segment as decides what it does to the depth.
#[derive(Clone, Copy)]
enum Segment {
    Empty,
    Dot,
    DotDot,
    Name,
}

impl Segment {
    fn with(self, byte: u8) -> Segment {
        match (self, byte) {
            (Segment::Empty, b'.') => Segment::Dot,
            (Segment::Dot, b'.') => Segment::DotDot,
            _ => Segment::Name,
        }
    }

    fn close(self, depth: usize) -> Result<usize, BadPath> {
        match self {
            Segment::Empty | Segment::Dot => Ok(depth),
            Segment::DotDot => depth.checked_sub(1).ok_or(BadPath::AboveRoot),
            Segment::Name => Ok(depth + 1),
        }
    }
}

fn decode(behind_percent: &[u8]) -> Result<(u8, &[u8]), BadPath> {
    let [high, low, tail @ ..] = behind_percent else { return Err(BadPath::Escape) };
    let (Some(high), Some(low)) = (super::escape::hex(*high), super::escape::hex(*low)) else {
        return Err(BadPath::Escape);
    };
    Ok((high << 4 | low, tail))
}

#[cfg(test)]
mod tests {
    use super::{BadPath, check};

    #[test]
    fn refuses_what_was_recorded() {
        for (path, outcome) in [
            ("/a/b", Ok(())),
            ("/a/../b", Ok(())),
            ("/a//../b", Ok(())),
            ("/../a/b", Err(BadPath::AboveRoot)),
            ("/../../etc", Err(BadPath::AboveRoot)),
            ("/a/../..", Err(BadPath::AboveRoot)),
            ("//..", Err(BadPath::AboveRoot)),
            ("/%2e%2E/a", Err(BadPath::AboveRoot)),
            ("/a%2F..%2f../x", Err(BadPath::AboveRoot)),
            ("/pre/a%00b", Err(BadPath::Zero)),
            ("/pre/a\0b", Err(BadPath::Zero)),
            ("/pre/%zz", Err(BadPath::Escape)),
            ("/pre/a%", Err(BadPath::Escape)),
            ("/a/...", Ok(())),
            ("/%252e%252e/", Ok(())),
        ] {
            assert_eq!(check(path.as_bytes()), outcome, "{path}");
        }
    }
}
