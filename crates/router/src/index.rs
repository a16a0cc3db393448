//! Entries by host and path.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::Bucket;
use crate::entry::{Entry, Places};
use crate::hosts::Hosts;
use crate::list::Enough;
use crate::name::Name;
use crate::tree::{Tree, Vacant};

/// Entries by path.
type ByPath<T> = Tree<Bucket<T>>;

/// An index of entries; clones share what did not change since.
#[derive(Clone, Debug)]
pub(crate) struct Index<T> {
    exact: Hosts<ByPath<T>>,
    /// Wildcards at the end: by what is before them.
    beginnings: Tree<ByPath<T>>,
    /// Wildcards at the beginning: by what is behind them, backwards.
    endings: Tree<ByPath<T>>,
    any: ByPath<T>,
}

impl<T> Default for Index<T> {
    fn default() -> Index<T> {
        Index {
            exact: Hosts::default(),
            beginnings: Tree::default(),
            endings: Tree::default(),
            any: Tree::default(),
        }
    }
}

impl<T> Index<T> {
    /// Calls `see` with the places that hold every entry which a request with this host and path
    /// could meet. Those that most often hold the greatest rank come first.
    pub(crate) fn visit<'t>(&'t self, host: &str, path: &[u8], mut see: impl FnMut(&'t Bucket<T>)) {
        let mut by_path = |tree: &'t ByPath<T>| tree.prefixes_of(path, &mut see);
        if let Some(tree) = self.exact.get(host) {
            by_path(tree);
        }
        if !self.endings.is_vacant() {
            let backwards: SmallVec<[u8; 128]> = host.bytes().rev().collect();
            self.endings.prefixes_of(&backwards, &mut by_path);
        }
        self.beginnings.prefixes_of(host.as_bytes(), &mut by_path);
        by_path(&self.any);
    }

    /// Calls `see` with the places of entries that could hold wherever one of these places does.
    pub(crate) fn above<'t>(&'t self, places: &Places, see: impl FnMut(&'t Bucket<T>)) {
        // Such an entry stands above every place, so above the first.
        let host = match places.hosts.first() {
            None | Some(None) => "",
            Some(Some(Name::Exact(name) | Name::Prefix(name) | Name::Suffix(name))) => name,
        };
        self.visit(host, places.paths.first().map(Vec::as_slice).unwrap_or_default(), see);
    }

    /// Calls `see`, until it has seen enough, with the places under these: of the same hosts, or of
    /// narrower wildcards, and of the same paths or longer ones. What has no exact host goes after
    /// what has one in all but the oddest orders, so it is not looked for there.
    pub(crate) fn below<'t>(
        &'t self,
        places: &Places,
        mut see: impl FnMut(&'t Bucket<T>) -> Enough,
    ) {
        for host in &places.hosts {
            for path in &places.paths {
                let mut in_tree = |tree: &'t ByPath<T>| tree.under(path, &mut see);
                let enough = match host {
                    None => Enough::from(
                        in_tree(&self.any) == Enough::Yes
                            || self.beginnings.under(b"", &mut in_tree) == Enough::Yes
                            || self.endings.under(b"", &mut in_tree) == Enough::Yes,
                    ),
                    Some(Name::Exact(name)) => {
                        self.exact.get(name).map_or(Enough::No, &mut in_tree)
                    }
                    Some(Name::Prefix(beginning)) => {
                        self.beginnings.under(beginning.as_bytes(), &mut in_tree)
                    }
                    Some(Name::Suffix(ending)) => {
                        let backwards: Vec<u8> = ending.bytes().rev().collect();
                        self.endings.under(&backwards, &mut in_tree)
                    }
                };
                if enough == Enough::Yes {
                    return;
                }
            }
        }
    }

    /// Whether nothing is left in it, not even an empty place.
    #[cfg(test)]
    pub(crate) fn is_vacant(&self) -> bool {
        self.exact.is_empty()
            && self.beginnings.is_vacant()
            && self.endings.is_vacant()
            && self.any.is_vacant()
    }
}

impl<T: Clone> Index<T> {
    pub(crate) fn insert(&mut self, entry: &Arc<Entry<T>>) {
        self.change(&Places::of(&entry.rule), |bucket| bucket.insert(entry));
    }

    pub(crate) fn remove(&mut self, entry: &Entry<T>) {
        self.change(&Places::of(&entry.rule), |bucket| bucket.remove(entry));
    }

    fn change(&mut self, places: &Places, change: impl Fn(&mut Bucket<T>)) {
        for host in &places.hosts {
            let in_tree = |tree: &mut ByPath<T>| {
                for path in &places.paths {
                    tree.change(path, &change);
                }
            };
            match host {
                None => in_tree(&mut self.any),
                Some(Name::Exact(name)) => self.exact.change(name, in_tree),
                Some(Name::Prefix(beginning)) => {
                    self.beginnings.change(beginning.as_bytes(), in_tree);
                }
                Some(Name::Suffix(ending)) => {
                    let backwards: Vec<u8> = ending.bytes().rev().collect();
                    self.endings.change(&backwards, in_tree);
                }
            }
        }
    }
}
