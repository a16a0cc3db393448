use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::select;

use super::{check, escape, normalise};

/// Paths out of the pieces that normal forms are about, and of any bytes.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    let pieces = vec![
        "/", "//", ".", "..", "a", "%2e", "%2E", "%2f", "%2F", "%25", "%20", "%c3%b8", "ø", "%41",
        "%", "%0", ":", "~", " ", "\\", "%00",
    ];
    let piece = prop_oneof![
        8 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12)
        .prop_map(|pieces| [&b"/"[..], &pieces.concat()].concat())
}

proptest! {
    #[test]
    fn a_normal_form_is_one(path in paths()) {
        let normal = normalise(&path);
        prop_assert!(normal.starts_with(b"/"));
        let segments = normal[1..].split(|byte| *byte == b'/').collect::<Vec<_>>();
        prop_assert!(!segments.iter().any(|segment| matches!(*segment, b"." | b"..")));
        let empty = segments.iter().position(|segment| segment.is_empty());
        prop_assert!(empty.is_none_or(|at| at + 1 == segments.len()), "a slash behind a slash");
        let sent = escape(&normal);
        prop_assert!(sent.iter().all(|byte| byte.is_ascii_graphic()));
        // Whoever normalises again what is sent reads the same: nothing hides behind an escape.
        if check(&path).is_ok() {
            prop_assert_eq!(&*normalise(&sent), &*normal);
            prop_assert!(check(&sent).is_ok());
        }
    }
}
