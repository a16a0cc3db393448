use proptest::prelude::*;

use super::normalised;

#[test]
fn paths_have_a_normal_form() {
    for (path, normal) in [
        ("/", "/"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/./.././../", "/"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/..", "/a/"),
        ("/.a/..b", "/.a/..b"),
        ("/%6B%6f%6e%67", "/kong"),
        ("/a%2fb%2Fc/", "/a%2Fb%2Fc/"),
        ("/%2E", "/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a%20b", "/a b"),
        ("/endel%C3%B8st", "/endeløst"),
        ("/100%", "/100%"),
        ("/%3a%3B", "/%3A%3B"),
    ] {
        assert_eq!(String::from_utf8_lossy(&normalised(path)), normal, "{path}");
    }
}

proptest! {
    #[test]
    fn the_normal_form_of_a_path_without_escapes_is_normal(path in "(/[a-c.]{0,3}){1,5}") {
        let once = String::from_utf8(normalised(&path)).expect("text");
        prop_assert_eq!(normalised(&once), once.as_bytes());
        let no_dots = once.split('/').all(|segment| segment != "." && segment != "..");
        prop_assert!(no_dots, "{}", once);
    }
}
