//! Regular expressions of paths and headers.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, Look};

use crate::error::Rejected;

/// At most so many places in the index for one pattern.
const MOST_PREFIXES: usize = 16;

/// A path's pattern, anchored at the start whatever alternatives it has.
pub(crate) fn path(pattern: &str) -> Result<Regex, Rejected> {
    // Alone first: `a)(b` would become valid by the group around it.
    parse(pattern)?;
    build(pattern, &format!("^(?:{pattern})"), false)
}

/// A header's pattern: not anchored, without regard to case.
pub(crate) fn header(pattern: &str) -> Result<Regex, Rejected> {
    build(pattern, pattern, true)
}

/// A pattern of an expression: not anchored.
pub(crate) fn free(pattern: &str, ignore_case: bool) -> Result<Regex, Rejected> {
    build(pattern, pattern, ignore_case)
}

fn build(pattern: &str, source: &str, ignore_case: bool) -> Result<Regex, Rejected> {
    RegexBuilder::new(source)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|error| rejected(pattern, &error))
}

fn rejected(pattern: &str, reason: &dyn std::fmt::Display) -> Rejected {
    Rejected::Regex { pattern: pattern.to_owned(), reason: reason.to_string() }
}

fn parse(pattern: &str) -> Result<Hir, Rejected> {
    // The same syntax as `regex::bytes` reads.
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(pattern)
        .map_err(|error| rejected(pattern, &error))
}

/// Texts of which every path that the pattern matches has one as its beginning. `None` when there
/// is nothing to say, in particular when the pattern may match elsewhere than at the start.
pub(crate) fn prefixes(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = parse(pattern).ok()?;
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let found = Extractor::new().kind(ExtractKind::Prefix).extract(&hir);
    let literals = found.literals()?;
    if literals.len() <= MOST_PREFIXES {
        return Some(literals.iter().map(|l| l.as_bytes().to_vec()).collect());
    }
    found.longest_common_prefix().map(|common| vec![common.to_vec()])
}

#[cfg(test)]
mod tests {
    use super::{path, prefixes};

    #[test]
    fn every_alternative_is_anchored() {
        let regex = path("/a|/b").unwrap();
        assert!(regex.is_match(b"/b") && !regex.is_match(b"/x/b"));
        assert!(path("/a)(b").is_err());
        assert!(path("/(?=x)").is_err());
    }

    #[test]
    fn literal_prefixes() {
        for (pattern, expected) in [
            (r"^(?:/api/v\d/)", Some(&["/api/v"][..])),
            ("^(?:/api/(v1|v2)/.*)", Some(&["/api/v1/", "/api/v2/"])),
            ("^(?:/a|/b)", Some(&["/a", "/b"])),
            ("^/x$", Some(&["/x"])),
            ("^.*/x", None),
            ("/free", None),
            ("(?m)^/free", None),
            ("^/a|/b", None),
            ("^(?i)/ab", Some(&["/AB", "/Ab", "/aB", "/ab"])),
        ] {
            let found = prefixes(pattern);
            let found: Option<Vec<_>> =
                found.as_ref().map(|f| f.iter().map(|p| std::str::from_utf8(p).unwrap()).collect());
            match expected {
                Some(expected) => {
                    let found = found.unwrap();
                    assert!(
                        expected.iter().all(|e| found.iter().any(|f| f.starts_with(e)))
                            && found.iter().all(|f| expected.iter().any(|e| f.starts_with(e))),
                        "{pattern}: {found:?}"
                    );
                }
                None => assert!(found.is_none_or(|f| f.contains(&"")), "{pattern}"),
            }
        }
    }
}
