//! A tree over byte strings whose clones share what does not change.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::list::Enough;

/// What may be nothing, so that the tree can drop it.
pub(crate) trait Vacant {
    fn is_vacant(&self) -> bool;
}

/// Values by key. A change copies the way to its key as far as another clone has it, and nothing
/// else.
///
/// It is a radix tree whose ends are short sorted lists: looking through one that lies in one
/// piece is faster than following a pointer for every byte that keys differ in.
///
/// The depth is at most the length of the longest key; callers bound that, since changes and the
/// final drop recurse.
#[derive(Clone, Debug)]
pub(crate) struct Tree<V>(Option<Edge<V>>);

/// What keys go on with, and what comes then.
#[derive(Clone, Debug)]
struct Edge<V> {
    label: Text,
    target: Target<V>,
}

#[derive(Clone, Debug)]
enum Target<V> {
    Branch(Arc<Branch<V>>),
    /// In the order of the suffixes; not empty. The first and the last suffix share no beginning.
    List(Arc<[Item<V>]>),
}

/// Has two edges, or a value and one.
#[derive(Clone, Debug, Default)]
struct Branch<V> {
    value: V,
    /// The first byte of each edge's label, ascending.
    firsts: SmallVec<[u8; 24]>,
    edges: Vec<Edge<V>>,
}

#[derive(Clone, Debug)]
struct Item<V> {
    suffix: Text,
    value: V,
}

type Text = SmallVec<[u8; 24]>;

/// A list with more items becomes a branch.
const LONGEST_LIST: usize = 16;

impl<V> Default for Tree<V> {
    fn default() -> Tree<V> {
        Tree(None)
    }
}

impl<V> Vacant for Tree<V> {
    fn is_vacant(&self) -> bool {
        self.0.is_none()
    }
}

impl<V> Tree<V> {
    /// Calls `see` with the value of every key that `text` begins with, shortest first.
    pub(crate) fn prefixes_of<'t>(&'t self, text: &[u8], mut see: impl FnMut(&'t V)) {
        let mut rest = text;
        let mut next = self.0.as_ref();
        while let Some(edge) = next {
            let Some(behind) = rest.strip_prefix(&edge.label[..]) else { return };
            rest = behind;
            match &edge.target {
                Target::List(items) => {
                    for item in items.iter().filter(|item| begins_with(rest, &item.suffix)) {
                        see(&item.value);
                    }
                    return;
                }
                Target::Branch(branch) => {
                    see(&branch.value);
                    next = branch.edge(rest);
                }
            }
        }
    }
}

impl<V> Tree<V> {
    /// Calls `see` with the value of every key that begins with `prefix` until it has seen enough.
    pub(crate) fn under<'t>(
        &'t self,
        prefix: &[u8],
        see: &mut dyn FnMut(&'t V) -> Enough,
    ) -> Enough {
        let (mut rest, mut next) = (prefix, self.0.as_ref());
        while let Some(edge) = next {
            let common = common_beginning(&edge.label, rest);
            rest = &rest[common..];
            if rest.is_empty() {
                return edge.all(see);
            }
            if common < edge.label.len() {
                return Enough::No;
            }
            match &edge.target {
                Target::List(items) => {
                    let mut found = items.iter().filter(|item| item.suffix.starts_with(rest));
                    return Enough::from(found.any(|item| see(&item.value) == Enough::Yes));
                }
                Target::Branch(branch) => next = branch.edge(rest),
            }
        }
        Enough::No
    }
}

impl<V> Edge<V> {
    /// Calls `see` with every value behind it until it has seen enough.
    fn all<'t>(&'t self, see: &mut dyn FnMut(&'t V) -> Enough) -> Enough {
        match &self.target {
            Target::List(items) => {
                Enough::from(items.iter().any(|item| see(&item.value) == Enough::Yes))
            }
            Target::Branch(branch) => Enough::from(
                see(&branch.value) == Enough::Yes
                    || branch.edges.iter().any(|edge| edge.all(see) == Enough::Yes),
            ),
        }
    }
}

impl<V> Branch<V> {
    /// The edge that `text` goes on by.
    fn edge(&self, text: &[u8]) -> Option<&Edge<V>> {
        let at = memchr::memchr(*text.first()?, &self.firsts)?;
        self.edges.get(at)
    }
}

impl<V: Clone + Default + Vacant> Tree<V> {
    /// Changes the value of a key, which is the default one if there is none. A value that is
    /// left vacant is dropped.
    pub(crate) fn change(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        self.0 = match self.0.take() {
            None => Edge::list(Text::new(), Vec::new(), key, change),
            Some(edge) => edge.change(key, change),
        };
    }
}

impl<V: Clone + Default + Vacant> Item<V> {
    fn new(suffix: &[u8]) -> Item<V> {
        Item { suffix: suffix.into(), value: V::default() }
    }
}

impl<V: Clone + Default + Vacant> Edge<V> {
    /// The edge after a change to `key`, which goes on from where the edge begins; `None` if
    /// nothing is left.
    fn change(self, key: &[u8], change: impl FnOnce(&mut V)) -> Option<Edge<V>> {
        let common = common_beginning(&self.label, key);
        let (kept, rest) = self.label.split_at(common);
        match self.target {
            Target::List(items) => {
                let items = items.iter().map(|item| item.behind(rest)).collect();
                Edge::list(kept.into(), items, &key[common..], change)
            }
            Target::Branch(branch) if rest.is_empty() => {
                let mut branch = branch;
                Arc::make_mut(&mut branch).change(&key[common..], change);
                Branch::tidied(kept.into(), branch)
            }
            Target::Branch(branch) => {
                let lower = Edge { label: rest.into(), target: Target::Branch(branch) };
                let mut upper = Branch::default();
                upper.add(lower);
                upper.change(&key[common..], change);
                Branch::tidied(kept.into(), Arc::new(upper))
            }
        }
    }

    /// A list after a change to one of its suffixes, or the branch that it becomes.
    fn list(
        mut label: Text,
        mut items: Vec<Item<V>>,
        suffix: &[u8],
        change: impl FnOnce(&mut V),
    ) -> Option<Edge<V>> {
        let place = items.binary_search_by(|item| item.suffix[..].cmp(suffix));
        let at = place.unwrap_or_else(|at| {
            items.insert(at, Item::new(suffix));
            at
        });
        change(&mut items[at].value);
        if items[at].value.is_vacant() {
            items.remove(at);
        }
        let (first, last) = (items.first()?, items.last()?);
        let common = common_beginning(&first.suffix, &last.suffix);
        label.extend_from_slice(&first.suffix[..common]);
        for item in &mut items {
            item.suffix.drain(..common);
        }
        let target = if items.len() > LONGEST_LIST {
            Target::Branch(Arc::new(Branch::of(items)))
        } else {
            Target::List(items.into())
        };
        Some(Edge { label, target })
    }
}

impl<V: Clone> Item<V> {
    /// The same with `text` before its suffix.
    fn behind(&self, text: &[u8]) -> Item<V> {
        let mut suffix = Text::from_slice(text);
        suffix.extend_from_slice(&self.suffix);
        Item { suffix, value: self.value.clone() }
    }
}

impl<V: Clone + Default + Vacant> Branch<V> {
    /// A branch of the items of a list that is too long.
    fn of(items: Vec<Item<V>>) -> Branch<V> {
        let mut branch = Branch::default();
        let mut items = items.into_iter().peekable();
        while let Some(mut item) = items.next() {
            let Some(first) = item.suffix.first().copied() else {
                branch.value = item.value;
                continue;
            };
            let mut group = Vec::new();
            while let Some(next) = items.next_if(|next| next.suffix.first() == Some(&first)) {
                group.push(next);
            }
            let value = std::mem::take(&mut item.value);
            let edge = Edge::list(Text::new(), group, &item.suffix, |new| *new = value);
            edge.into_iter().for_each(|edge| branch.add(edge));
        }
        branch
    }

    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        let Some(first) = key.first() else { return change(&mut self.value) };
        match self.firsts.binary_search(first) {
            Err(_) => {
                let edge = Edge::list(Text::new(), Vec::new(), key, change);
                edge.into_iter().for_each(|edge| self.add(edge));
            }
            Ok(at) => {
                self.firsts.remove(at);
                let edge = self.edges.remove(at).change(key, change);
                edge.into_iter().for_each(|edge| self.add(edge));
            }
        }
    }

    fn add(&mut self, edge: Edge<V>) {
        let Some(first) = edge.label.first().copied() else { return };
        let at = self.firsts.partition_point(|other| *other < first);
        self.firsts.insert(at, first);
        self.edges.insert(at, edge);
    }

    /// An edge to a branch, or to what is left of one.
    fn tidied(mut label: Text, mut branch: Arc<Branch<V>>) -> Option<Edge<V>> {
        match (branch.value.is_vacant(), &branch.edges[..]) {
            (true, []) => None,
            (false, []) => {
                let value = branch.value.clone();
                Edge::list(label, Vec::new(), &[], |new| *new = value)
            }
            (true, [_]) => {
                let edge = Arc::make_mut(&mut branch).edges.pop()?;
                label.extend_from_slice(&edge.label);
                Some(Edge { label, target: edge.target })
            }
            _ => Some(Edge { label, target: Target::Branch(branch) }),
        }
    }
}

/// `starts_with` that looks at the last byte first, where the items of a list differ most often.
fn begins_with(text: &[u8], beginning: &[u8]) -> bool {
    match beginning.split_last() {
        None => true,
        Some((last, others)) => text.get(others.len()) == Some(last) && text.starts_with(others),
    }
}

fn common_beginning(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests;
