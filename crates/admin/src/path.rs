//! A request's path as segments.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// One segment of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// As it stands in the URL.
    pub(crate) raw: &'a str,
    /// Decoded; the position of the first bad byte, counted from 1, when that is not UTF-8.
    pub(crate) text: Result<Cow<'a, str>, usize>,
}

impl Segment<'_> {
    /// The decoded text; empty when it is not UTF-8, which is the name of nothing.
    pub(crate) fn name(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// Cuts a path into decoded segments. One slash at its end does not count. A `+` means a blank,
/// as in Kong, whose clients write a real one as `%2B`.
///
/// # Errors
/// A percent sign that two hexadecimal digits do not follow.
pub(crate) fn segments(path: &str) -> Result<Vec<Segment<'_>>, String> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    inner.split('/').map(|raw| Ok(Segment { raw, text: decode(raw)? })).collect()
}

fn decode(raw: &str) -> Result<Result<Cow<'_, str>, usize>, String> {
    if let Some(bad) = bad_triplet(raw) {
        return Err(format!(
            "the path has a malformed percent-encoding: '{bad}' (write a percent sign as '%25')"
        ));
    }
    if !raw.contains(['%', '+']) {
        return Ok(Ok(Cow::Borrowed(raw)));
    }
    let blanks = raw.replace('+', " ");
    Ok(String::from_utf8(percent_decode_str(&blanks).collect())
        .map(Cow::Owned)
        .map_err(|e| e.utf8_error().valid_up_to() + 1))
}

fn bad_triplet(raw: &str) -> Option<&str> {
    let bytes = raw.as_bytes();
    let at = (0..bytes.len()).find(|&at| {
        bytes[at] == b'%'
            && !bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })?;
    // Up to two characters after the sign: what its writer will recognise.
    let end = raw[at..].char_indices().nth(3).map_or(raw.len(), |(length, _)| at + length);
    Some(&raw[at..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &str) -> Vec<String> {
        segments(path).unwrap().iter().map(|s| s.name().to_owned()).collect()
    }

    #[test]
    fn slashes_and_escapes() {
        assert_eq!(names("/"), Vec::<String>::new());
        assert_eq!(names("/services/"), ["services"]);
        assert_eq!(names("/services//x"), ["services", "", "x"]);
        assert_eq!(names("/consumers/a+b/acls/a%2Bb"), ["consumers", "a b", "acls", "a+b"]);
        assert_eq!(names("/tags/%E9%9B%AA"), ["tags", "雪"]);
    }

    #[test]
    fn bad_bytes_are_told_by_position() {
        let found = segments("/services/ab%FF").unwrap();
        assert_eq!(found[1].text, Err(3));
        assert_eq!(found[1].name(), "");
    }

    #[test]
    fn malformed_triplets_are_refused() {
        for (path, bad) in
            [("/a/%", "'%'"), ("/a/%2", "'%2'"), ("/%zz1", "'%zz'"), ("/%雪a", "'%雪a'")]
        {
            let error = segments(path).unwrap_err();
            assert!(error.contains(bad), "{error}");
        }
    }

    proptest! {
        #[test]
        fn encoded_names_come_back(name in "\\PC{1,20}") {
            let encoded =
                percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
            prop_assert_eq!(names(&format!("/tags/{encoded}/")), vec!["tags".to_owned(), name]);
        }

        #[test]
        fn any_path_is_cut_or_refused(path in "/[ -~]{0,40}") {
            let _ = segments(&path);
        }
    }
}
