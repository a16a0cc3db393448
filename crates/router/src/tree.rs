//! A radix tree over byte strings whose clones share their nodes.

use std::sync::Arc;

use smallvec::SmallVec;

/// What may be nothing, so that the tree can drop it.
pub(crate) trait Vacant {
    fn is_vacant(&self) -> bool;
}

/// Values by key. A change copies the nodes on the way to its key if another clone has them, and
/// nothing else.
///
/// The depth is at most the length of the longest key; callers bound that, since changes and the
/// final drop recurse.
#[derive(Clone, Debug)]
pub(crate) struct Tree<V>(Option<Arc<Node<V>>>);

/// Every node but the root has a value, or two children at least.
#[derive(Clone, Debug)]
struct Node<V> {
    /// What the key goes on with, from the parent to here.
    label: Label,
    value: V,
    /// The first byte of each child's label, ascending.
    firsts: SmallVec<[u8; 16]>,
    children: Vec<Arc<Node<V>>>,
}

type Label = SmallVec<[u8; 24]>;

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
        while let Some(node) = next {
            let Some(behind) = rest.strip_prefix(&node.label[..]) else { return };
            see(&node.value);
            rest = behind;
            next = rest
                .first()
                .and_then(|first| memchr::memchr(*first, &node.firsts))
                .and_then(|at| node.children.get(at));
        }
    }
}

impl<V: Clone + Default + Vacant> Tree<V> {
    /// Changes the value of a key, which is the default one if there is none. A value that is
    /// left vacant is dropped.
    pub(crate) fn change(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        match &mut self.0 {
            None => {
                let mut leaf = Node::leaf(key);
                change(&mut leaf.value);
                self.0 = Some(Arc::new(leaf)).filter(|leaf| !leaf.value.is_vacant());
            }
            Some(root) => {
                if Node::change(root, key, change) == Left::Nothing {
                    self.0 = None;
                }
            }
        }
    }
}

/// What a change left of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Something,
    Nothing,
}

impl<V: Clone + Default + Vacant> Node<V> {
    fn leaf(label: &[u8]) -> Node<V> {
        Node {
            label: label.into(),
            value: V::default(),
            firsts: SmallVec::new(),
            children: Vec::new(),
        }
    }

    fn change(this: &mut Arc<Node<V>>, key: &[u8], change: impl FnOnce(&mut V)) -> Left {
        let common = this.label.iter().zip(key).take_while(|(a, b)| a == b).count();
        let node = Arc::make_mut(this);
        if common < node.label.len() {
            node.split(common);
        }
        let rest = key.get(common..).unwrap_or_default();
        match rest.first() {
            None => change(&mut node.value),
            Some(first) => match node.firsts.binary_search(first) {
                Ok(at) => {
                    if Node::change(&mut node.children[at], rest, change) == Left::Nothing {
                        node.firsts.remove(at);
                        node.children.remove(at);
                    }
                }
                Err(at) => {
                    let mut leaf = Node::leaf(rest);
                    change(&mut leaf.value);
                    if !leaf.value.is_vacant() {
                        node.firsts.insert(at, *first);
                        node.children.insert(at, Arc::new(leaf));
                    }
                }
            },
        }
        if !node.value.is_vacant() {
            return Left::Something;
        }
        match node.children.len() {
            0 => Left::Nothing,
            1 => {
                node.join();
                Left::Something
            }
            _ => Left::Something,
        }
    }

    /// Makes the node end after `length` bytes of its label, with the rest of it as its child.
    fn split(&mut self, length: usize) {
        let rest: Label = self.label[length..].into();
        self.label.truncate(length);
        let first = rest[0];
        let below = Node {
            label: rest,
            value: std::mem::take(&mut self.value),
            firsts: std::mem::take(&mut self.firsts),
            children: std::mem::take(&mut self.children),
        };
        self.firsts.push(first);
        self.children.push(Arc::new(below));
    }

    /// Takes the place of its only child.
    fn join(&mut self) {
        let Some(child) = self.children.pop() else { return };
        let child = Arc::unwrap_or_clone(child);
        self.label.extend_from_slice(&child.label);
        self.value = child.value;
        self.firsts = child.firsts;
        self.children = child.children;
    }
}

#[cfg(test)]
mod tests;
