//! Making a path fit for a request line.

use std::borrow::Cow;

/// Escapes every byte of a normal path that may not stand in a request, as Kong does: all but
/// letters, digits and ``!#$&'()*+,/:;=?@[]-_.~%``.
pub fn escape(path: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = path.iter().position(|&b| !is_plain(b)) else { return Cow::Borrowed(path) };
    let mut out = Vec::with_capacity(path.len() + 2 * (path.len() - first));
    let (head, rest) = path.split_at(first);
    out.extend_from_slice(head);
    for &byte in rest {
        if is_plain(byte) {
            out.push(byte);
        } else {
            push_escaped(&mut out, byte);
        }
    }
    Cow::Owned(out)
}

pub(super) fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn is_plain(byte: u8) -> bool {
    static PLAIN: [bool; 256] = {
        let others = b"!#$&'()*+,/:;=?@[]-_.~%";
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut place = 0;
        while place < others.len() {
            table[others[place] as usize] = true;
            place += 1;
        }
        table
    };
    PLAIN[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn recorded_vectors() {
        for (path, escaped) in [
            ("/a b", "/a%20b"),
            ("/endeløst", "/endel%C3%B8st"),
            ("/pre/{x}|\\^`", "/pre/%7Bx%7D%7C%5C%5E%60"),
            ("/pre/:@!$&'()*,;=", "/pre/:@!$&'()*,;="),
            ("/[x]%2F~", "/[x]%2F~"),
        ] {
            assert_eq!(String::from_utf8_lossy(&escape(path.as_bytes())), escaped);
        }
    }
}
