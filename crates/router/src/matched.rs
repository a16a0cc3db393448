//! What a found route matched.

use std::fmt;

use regex_automata::util::captures;

use crate::pattern::Pattern;

/// The part of a path that a rule matched; what `strip_path` and `X-Forwarded-Prefix` go by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Matched<'t> {
    /// Bytes from the start; `None` without a condition on the path.
    pub(crate) prefix: Option<usize>,
    /// The regular expression that matched.
    pub(crate) pattern: Option<&'t Pattern>,
}

/// The route that a request belongs to.
#[derive(Clone, Copy)]
pub struct Match<'t, 'r, T> {
    /// What was given with the route.
    pub payload: &'t T,
    /// How many bytes at the start of the path the route's path matched; `None` when the route
    /// has no condition on the path.
    pub prefix: Option<usize>,
    pub(crate) pattern: Option<&'t Pattern>,
    pub(crate) path: &'r [u8],
}

impl<'t, 'r, T> Match<'t, 'r, T> {
    /// The groups of the regular expression that matched the path; `None` when it has none (or
    /// the path was matched otherwise). It is matched again for this, so ask only when needed.
    pub fn captures(&self) -> Option<Captures<'t, 'r>> {
        let pattern = self.pattern.filter(|pattern| pattern.has_groups())?;
        let groups = pattern.captures(self.path)?;
        Some(Captures { pattern, groups, path: self.path })
    }
}

impl<T: fmt::Debug> fmt::Debug for Match<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("payload", self.payload)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The groups that a path's regular expression captured: Kong's `uri_captures`.
#[derive(Debug)]
pub struct Captures<'t, 'r> {
    pattern: &'t Pattern,
    groups: captures::Captures,
    path: &'r [u8],
}

impl<'t, 'r> Captures<'t, 'r> {
    /// A group by its number, 0 being the whole match. `None` if there is no such group or it
    /// took no part in the match.
    pub fn get(&self, number: usize) -> Option<&'r [u8]> {
        self.path.get(self.groups.get_group(number)?.range())
    }

    /// A group by its name.
    pub fn named(&self, name: &str) -> Option<&'r [u8]> {
        self.path.get(self.groups.get_group_by_name(name)?.range())
    }

    /// All groups in the order of their numbers, with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&'t str>, Option<&'r [u8]>)> + '_ {
        self.pattern.group_names().enumerate().map(|(number, name)| (name, self.get(number)))
    }
}
