//! The normal form of a path, beside one that is written as plainly as RFC 3986 says it.

use router::path::{check as refuse, escape, normalise, upstream};

/// Takes the first byte as where the route's path ends, and the rest as a path.
pub fn check(input: &[u8]) {
    let Some((&cut, path)) = input.split_first() else { return };
    // The request line has a target without these, and with a slash at its start.
    if path.first() != Some(&b'/') || path.contains(&b'?') {
        return;
    }
    let normal = normalise(path);
    assert_eq!(
        String::from_utf8_lossy(&normal),
        String::from_utf8_lossy(&plainly(path)),
        "the normal form"
    );
    let sent = escape(&normal);
    assert!(sent.iter().all(u8::is_ascii_graphic), "what is sent: {sent:?}");
    if refuse(path).is_err() {
        return;
    }
    assert_eq!(*normalise(&sent), *normal, "whoever normalises what is sent");
    assert_eq!(refuse(&sent), Ok(()), "what is sent is itself refused");
    let matched = Some(usize::from(cut)).filter(|cut| (1..=normal.len()).contains(cut));
    for strip in [true, false] {
        let joined = upstream(b"/base", model::PathHandling::V0, strip, matched, &normal);
        assert!(joined.starts_with(b"/base"), "it left the service's path: {joined:?}");
        if !strip {
            let outside = normalise(&escape(&joined)).into_owned();
            assert!(
                outside.starts_with(b"/base"),
                "it climbs out of the service's path: {outside:?}"
            );
        }
    }
}

/// Decode what is not reserved, take the segments one by one, drop the empty and the dotted ones.
fn plainly(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let digits = path.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let meant = digits
            .filter(|two| path[at] == b'%' && two.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match meant {
            Some(byte) if b"!*'();:@&=+$,/?%#[]".contains(&byte) => {
                decoded.extend(format!("%{byte:02X}").bytes());
                at += 3;
            }
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_in_slash = false;
    for segment in decoded.split(|byte| *byte == b'/').skip(1) {
        ends_in_slash = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let mut out: Vec<u8> = kept.iter().flat_map(|name| [b"/", *name].concat()).collect();
    if ends_in_slash {
        out.push(b'/');
    }
    out
}
