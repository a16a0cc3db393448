//! Regular expressions of paths, headers and expressions.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::util::captures;
use regex_automata::{Anchored, Input, PatternID};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, Look};

use crate::error::Rejected;

/// A compiled regular expression, of the dialect of the `regex` crate, over bytes.
///
/// Paths and header values are short, and there may be thousands of patterns: short texts are
/// matched by backtracking with bounds, which needs 14 kB a pattern where the lazy DFA with its
/// one-pass companion needs 90 kB. Long texts, where backtracking is slow, get the DFA when the
/// first one comes.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    source: Box<str>,
    /// Only matches at the start count, whatever alternatives the pattern has.
    anchored: bool,
    ignore_case: bool,
    short: meta::Regex,
    long: Arc<OnceLock<meta::Regex>>,
}

/// At most so many places in the index for one pattern.
const MOST_PREFIXES: usize = 16;

/// The longest text that is short.
const SHORT: usize = 256;

/// What a pattern may need when compiled, in bytes; the limit of the `regex` crate.
const LARGEST: usize = 10 << 20;

impl Pattern {
    /// A path's pattern.
    pub(crate) fn of_path(source: &str) -> Result<Pattern, Rejected> {
        Pattern::new(source, true, false)
    }

    /// A header's pattern: not anchored, without regard to case.
    pub(crate) fn of_header(source: &str) -> Result<Pattern, Rejected> {
        Pattern::new(source, false, true)
    }

    /// A pattern of an expression: not anchored.
    pub(crate) fn of_expression(source: &str, ignore_case: bool) -> Result<Pattern, Rejected> {
        Pattern::new(source, false, ignore_case)
    }

    fn new(source: &str, anchored: bool, ignore_case: bool) -> Result<Pattern, Rejected> {
        let rejected = |reason: String| Rejected::Regex { pattern: source.to_owned(), reason };
        let hir = parse(source, ignore_case).map_err(|error| rejected(error.to_string()))?;
        let short = meta::Regex::builder()
            .configure(configuration().onepass(false).hybrid(false))
            .build_from_hir(&hir)
            .map_err(|error| rejected(error.to_string()))?;
        Ok(Pattern { source: source.into(), anchored, ignore_case, short, long: Arc::default() })
    }

    /// The pattern as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Where it matches first.
    pub(crate) fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        self.engine(text).search(&self.input(text)).map(|found| found.range())
    }

    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.engine(text).is_match(self.input(text))
    }

    /// Whether it captures anything besides the whole match.
    pub(crate) fn has_groups(&self) -> bool {
        self.short.captures_len() > 1
    }

    /// What it captures where it matches first.
    pub(crate) fn captures(&self, text: &[u8]) -> Option<captures::Captures> {
        let engine = self.engine(text);
        let mut captures = engine.create_captures();
        engine.search_captures(&self.input(text), &mut captures);
        captures.is_match().then_some(captures)
    }

    /// The names of the groups in the order of their numbers, from 0.
    pub(crate) fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.short.group_info().pattern_names(PatternID::ZERO)
    }

    /// Texts of which every path that it matches has one as its beginning. `None` when there is
    /// nothing to say, in particular when it may match elsewhere than at the start.
    pub(crate) fn prefixes(&self) -> Option<Vec<Vec<u8>>> {
        let hir = parse(&self.source, self.ignore_case).ok()?;
        if !self.anchored && !hir.properties().look_set_prefix().contains(Look::Start) {
            return None;
        }
        let found = Extractor::new().kind(ExtractKind::Prefix).extract(&hir);
        let literals = found.literals()?;
        if literals.len() <= MOST_PREFIXES {
            return Some(literals.iter().map(|l| l.as_bytes().to_vec()).collect());
        }
        found.longest_common_prefix().map(|common| vec![common.to_vec()])
    }

    fn input<'t>(&self, text: &'t [u8]) -> Input<'t> {
        Input::new(text).anchored(if self.anchored { Anchored::Yes } else { Anchored::No })
    }

    fn engine(&self, text: &[u8]) -> &meta::Regex {
        if text.len() <= SHORT {
            return &self.short;
        }
        self.long.get_or_init(|| {
            // What compiled once does so again; if not, the other engine gives the same answers.
            parse(&self.source, self.ignore_case)
                .ok()
                .and_then(|hir| {
                    meta::Regex::builder()
                        .configure(configuration().onepass(false))
                        .build_from_hir(&hir)
                        .ok()
                })
                .unwrap_or_else(|| self.short.clone())
        })
    }
}

fn configuration() -> meta::Config {
    meta::Config::new().utf8_empty(false).nfa_size_limit(Some(LARGEST))
}

fn parse(source: &str, ignore_case: bool) -> Result<Hir, Box<regex_syntax::Error>> {
    regex_syntax::ParserBuilder::new()
        .utf8(false)
        .case_insensitive(ignore_case)
        .build()
        .parse(source)
        .map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::{Pattern, SHORT};

    #[test]
    fn every_alternative_of_a_path_is_anchored() {
        let pattern = Pattern::of_path("/a|/b").unwrap();
        assert!(pattern.is_match(b"/b") && !pattern.is_match(b"/x/b"));
        assert!(Pattern::of_path("/a)(b").is_err());
        assert!(Pattern::of_path("/(?=x)").is_err());
    }

    #[test]
    fn long_texts_are_matched_alike() {
        let pattern = Pattern::of_path(r"/(?<name>[^/]+)(/x)?(\d+)$").unwrap();
        for length in [1, SHORT - 4, SHORT, 4 * SHORT] {
            let text = format!("/{}/x42", "a".repeat(length));
            assert_eq!(pattern.find(text.as_bytes()), Some(0..text.len()), "{length}");
            let captures = pattern.captures(text.as_bytes()).unwrap();
            assert_eq!(captures.get_group_by_name("name").unwrap().len(), length);
            assert!(!pattern.is_match(format!("x{text}").as_bytes()));
        }
        assert_eq!(pattern.group_names().collect::<Vec<_>>(), [None, Some("name"), None, None]);
    }

    #[test]
    fn literal_prefixes() {
        let ends_in_any =
            |pattern: &str, expected: Option<&[&str]>, found: Option<Vec<Vec<u8>>>| {
                let found: Option<Vec<String>> = found.map(|found| {
                    found.into_iter().map(|prefix| String::from_utf8(prefix).unwrap()).collect()
                });
                let Some(expected) = expected else {
                    return assert!(found.is_none_or(|f| f.contains(&String::new())), "{pattern}");
                };
                let found = found.unwrap();
                assert!(
                    expected.iter().all(|e| found.iter().any(|f| f.starts_with(e)))
                        && found.iter().all(|f| expected.iter().any(|e| f.starts_with(e))),
                    "{pattern}: {found:?}"
                );
            };
        for (pattern, expected) in [
            (r"/api/v\d/", Some(&["/api/v"][..])),
            ("/api/(v1|v2)/.*", Some(&["/api/v1/", "/api/v2/"])),
            ("/a|/b", Some(&["/a", "/b"])),
            ("/x$", Some(&["/x"])),
            (".*/x", None),
            ("(?i)/ab", Some(&["/AB", "/Ab", "/aB", "/ab"])),
        ] {
            ends_in_any(pattern, expected, Pattern::of_path(pattern).unwrap().prefixes());
        }
        for (pattern, expected) in [
            ("^/free", Some(&["/free"][..])),
            ("/free", None),
            ("(?m)^/free", None),
            ("^/a|/b", None),
        ] {
            let free = Pattern::of_expression(pattern, false).unwrap();
            ends_in_any(pattern, expected, free.prefixes());
        }
    }
}
