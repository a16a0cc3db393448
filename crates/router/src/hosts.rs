//! What belongs to each host.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::map::Map;
use crate::tree::Vacant;

/// A map from the names of hosts. A name lies beside its value, so that a lookup follows one
/// pointer for both.
#[derive(Clone, Debug)]
pub(crate) struct Hosts<V>(Map<Host<V>, ()>);

#[derive(Clone, Debug)]
struct Host<V>(Arc<Named<V>>);

#[derive(Clone, Debug)]
struct Named<V> {
    name: SmallVec<[u8; 32]>,
    value: V,
}

impl<V> Default for Hosts<V> {
    fn default() -> Hosts<V> {
        Hosts(Map::default())
    }
}

impl<V> Hosts<V> {
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.0.get_key_value(name.as_bytes()).map(|(host, ())| &host.0.value)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Clone + Default + Vacant> Hosts<V> {
    /// Changes the value of a host, which is the default one if there is none. A value that is
    /// left vacant is dropped.
    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut V)) {
        let former = self.0.remove_with_key(name.as_bytes()).map(|(host, ())| host);
        let mut host = former.unwrap_or_else(|| {
            Host(Arc::new(Named { name: name.as_bytes().into(), value: V::default() }))
        });
        change(&mut Arc::make_mut(&mut host.0).value);
        if !host.0.value.is_vacant() {
            self.0.insert(host, ());
        }
    }
}

impl<V> Borrow<[u8]> for Host<V> {
    fn borrow(&self) -> &[u8] {
        &self.0.name
    }
}

impl<V> PartialEq for Host<V> {
    fn eq(&self, other: &Host<V>) -> bool {
        self.0.name == other.0.name
    }
}

impl<V> Eq for Host<V> {}

impl<V> Hash for Host<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name[..].hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;
    use crate::tree::Vacant;

    impl Vacant for u32 {
        fn is_vacant(&self) -> bool {
            *self == 0
        }
    }

    #[test]
    fn clones_do_not_change() {
        let mut hosts = Hosts::default();
        hosts.change("a", |n| *n = 1);
        let before = hosts.clone();
        hosts.change("a", |n| *n += 1);
        hosts.change("b", |n| *n = 3);
        hosts.change("c", |_| {});
        assert_eq!((hosts.get("a"), hosts.get("b"), hosts.get("c")), (Some(&2), Some(&3), None));
        assert_eq!((before.get("a"), before.get("b")), (Some(&1), None));
        hosts.change("a", |n| *n = 0);
        hosts.change("b", |n| *n = 0);
        assert!(hosts.is_empty());
    }
}
