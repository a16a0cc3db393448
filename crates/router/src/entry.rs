//! One place in the order: a route, or the part of it that ranks by itself.

use std::sync::Arc;

use model::Route;
use uuid::Uuid;

use crate::conditions::{Conditions, is_regex};
use crate::error::Rejected;
use crate::matched::Matched;
use crate::name::Name;
use crate::pattern::Pattern;
use crate::rank::Rank;
use crate::rule::{HeaderValue, Known, Paths, Prepared, Rule, Settled};
use crate::rules::Rules;

/// An entry of a table.
// In this order, what a lookup reads lies together: the memory of 100,000 routes is rarely near.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Entry<T> {
    pub(crate) rank: Rank,
    pub(crate) payload: T,
    /// How much of the path is matched, if being found in the index is all that it takes.
    pub(crate) settled: Option<Settled>,
    /// What the index says by itself wherever the entry is found.
    pub(crate) known: Known,
    /// The route's id.
    pub(crate) route: Uuid,
    /// Whether it is for connections that are not HTTP.
    pub(crate) stream: bool,
    pub(crate) rule: Rule,
}

/// Where in the index an entry stands: under each of the hosts, under each of the paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// `None`: under no host in particular.
    pub(crate) hosts: Vec<Option<Name>>,
    /// The empty path: under no path in particular.
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) known: Known,
}

/// How entries of one place are told apart further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facet {
    /// By the values of a header: the number of the header in the rule.
    Header(usize),
    /// By the name of the TLS handshake.
    Sni,
    /// By the port that was connected to.
    Port,
    /// Not at all.
    None,
}

/// More places than this for one entry are not worth it; it stands under its hosts only.
const MOST_PLACES: usize = 4096;

/// Paths are indexed by at most so many bytes, which bounds the depth of the index.
pub(crate) const LONGEST_KEY: usize = 512;

/// The entries of a route: one, unless its paths rank differently.
pub(crate) fn entries<T: Clone>(
    route: &Route,
    payload: &T,
    rules: Rules,
) -> Result<Vec<Arc<Entry<T>>>, Rejected> {
    let groups = groups(route, rules);
    let alone = groups.len() == 1;
    groups
        .iter()
        .zip(1_u32..)
        .map(|(paths, number)| {
            let id = if alone { route.id } else { part_id(route.id, number) };
            let rule = Rule::new(route, paths, rules)?;
            let known = Places::of(&rule).known;
            Ok(Arc::new(Entry {
                rank: Rank::of(route, paths, id, number, rules),
                payload: payload.clone(),
                settled: rule.settled(known),
                known,
                route: route.id,
                stream: Conditions(route).is_stream(),
                rule,
            }))
        })
        .collect()
}

/// Kong's id for a part of a route, so that ties are broken as there.
pub(crate) fn part_id(route: Uuid, number: u32) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x7f14_5bf9_0dce_4f91_98eb_debb_ce4b_9f6b);
    Uuid::new_v5(&NAMESPACE, format!("{route}#{number}").as_bytes())
}

/// The paths by their place in the order: one group per length, and one for all regular
/// expressions; in the `traditional` flavor every path alone.
pub(crate) fn groups(route: &Route, rules: Rules) -> Vec<Vec<&str>> {
    let paths = Conditions(route).paths();
    if paths.is_empty() || route.expression.is_some() {
        return vec![Vec::new()];
    }
    let sort = |path: &str| if is_regex(path) { 0 } else { path.len() };
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for path in paths {
        let same = groups.iter_mut().find(|group| {
            !rules.traditional() && group.first().is_some_and(|p| sort(p) == sort(path))
        });
        match same {
            Some(group) => group.push(path),
            None => groups.push(vec![path]),
        }
    }
    groups
}

impl Places {
    pub(crate) fn of(rule: &Rule) -> Places {
        if let Some(expression) = &rule.expression {
            let reach = expression.reach();
            return Places::new(reach.hosts, reach.paths, Known::default());
        }
        let hosts = (!rule.hosts.is_empty())
            .then(|| rule.hosts.iter().map(|host| host.name.clone()).collect());
        let (paths, plain) = match &rule.paths {
            Paths::Any => (None, true),
            Paths::Prefixes(prefixes) => {
                let short = prefixes.iter().all(|p| p.len() <= LONGEST_KEY);
                (Some(prefixes.iter().map(|p| p.to_vec()).collect()), short)
            }
            Paths::Regexes(regexes) => {
                let prefixes = regexes
                    .iter()
                    .map(Pattern::prefixes)
                    .collect::<Option<Vec<_>>>()
                    .map(|found| found.into_iter().flatten().collect());
                (prefixes, false)
            }
        };
        Places::new(hosts, paths, Known { hosts: rule.hosts_are_names_only(), paths: plain })
    }

    fn new(hosts: Option<Vec<Name>>, paths: Option<Vec<Vec<u8>>>, mut known: Known) -> Places {
        let mut hosts: Vec<_> = match hosts {
            Some(hosts) => hosts.into_iter().map(Some).collect(),
            None => vec![None],
        };
        hosts.sort_unstable();
        hosts.dedup();
        let mut paths = paths.unwrap_or_else(|| vec![Vec::new()]);
        for path in &mut paths {
            path.truncate(LONGEST_KEY);
        }
        paths.sort_unstable();
        // What stands under a path is found under all that go on from there.
        paths.dedup_by(|longer, shorter| longer.starts_with(shorter));
        if hosts.len().saturating_mul(paths.len()) > MOST_PLACES {
            paths = vec![Vec::new()];
            known.paths = false;
        }
        Places { hosts, paths, known }
    }
}

impl<T> Entry<T> {
    /// What of the path matches if the request, which found the entry in the index, meets all.
    pub(crate) fn meets<'t>(&'t self, request: &Prepared<'_>) -> Option<Matched<'t>> {
        match self.settled {
            Some(settled) => Some(settled.matched()),
            None => self.rule.evaluate(request, self.known).ok(),
        }
    }

    /// How it is told apart from others of its place.
    pub(crate) fn facet(&self) -> Facet {
        let exact = self.rule.headers.iter().position(|header| {
            header.values.iter().all(|value| matches!(value, HeaderValue::Exact(_)))
        });
        if let Some(header) = exact {
            return Facet::Header(header);
        }
        let snis = &self.rule.snis;
        if !snis.is_empty() && snis.iter().all(|sni| matches!(sni, Name::Exact(_))) {
            return Facet::Sni;
        }
        let destinations = &self.rule.destinations;
        if !destinations.is_empty() && destinations.iter().all(|d| d.port().is_some()) {
            return Facet::Port;
        }
        Facet::None
    }
}

#[cfg(test)]
mod tests {
    use model::RouterFlavor;
    use uuid::Uuid;

    use super::{entries, groups, part_id};
    use crate::rules::Rules;
    use crate::testing::paths;

    #[test]
    fn groups_of_paths() {
        let route = paths(&["~/regex.*$", "/long-path", "/one", "/two", "/three", "~/.*"]);
        assert_eq!(
            groups(&route, Rules::default()),
            [vec!["~/regex.*$", "~/.*"], vec!["/long-path"], vec!["/one", "/two"], vec!["/three"]]
        );
        let traditional = Rules { flavor: RouterFlavor::Traditional, ..Rules::default() };
        assert_eq!(groups(&route, traditional).len(), 6);
    }

    #[test]
    fn ids_of_parts() {
        // RFC 9562 §5.5 with Kong's namespace.
        let id = part_id(Uuid::nil(), 1);
        assert_eq!(id.get_version_num(), 5);
        assert_ne!(id, part_id(Uuid::nil(), 2));
        assert_eq!(entries(&paths(&["/a", "/b"]), &(), Rules::default()).unwrap().len(), 1);
    }
}
