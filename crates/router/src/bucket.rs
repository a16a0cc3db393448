//! The entries of one place in the index, told apart once more where that spares trying them.

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::entry::{Entry, Facet};
use crate::list::List;
use crate::map::Map;
use crate::name::Name;
use crate::rule::{HeaderValue, Prepared};
use crate::tree::Vacant;

/// Entries of one host and path.
#[derive(Clone, Debug)]
pub(crate) struct Bucket<T> {
    plain: List<T>,
    facets: Option<Arc<Facets<T>>>,
}

/// Entries by the value of a header, in lower case.
type ByValue<T> = Map<Box<[u8]>, List<T>>;

/// Entries that one more look at the request finds without trying the others.
#[derive(Clone, Debug)]
struct Facets<T> {
    /// By name.
    headers: Vec<(Box<str>, ByValue<T>)>,
    snis: Map<Box<str>, List<T>>,
    /// All that are in `snis`: a request without TLS meets each of them.
    all_snis: List<T>,
    ports: Map<u16, List<T>>,
}

impl<T> Default for Bucket<T> {
    fn default() -> Bucket<T> {
        Bucket { plain: List::default(), facets: None }
    }
}

impl<T> Default for Facets<T> {
    fn default() -> Facets<T> {
        Facets {
            headers: Vec::new(),
            snis: Map::default(),
            all_snis: List::default(),
            ports: Map::default(),
        }
    }
}

impl<T> Vacant for Bucket<T> {
    fn is_vacant(&self) -> bool {
        self.plain.is_empty() && self.facets.is_none()
    }
}

impl<T> Bucket<T> {
    /// Calls `see` with the lists that hold every entry which the request could meet.
    pub(crate) fn visit<'t>(&'t self, request: &Prepared<'_>, see: &mut impl FnMut(&'t List<T>)) {
        see(&self.plain);
        if let Some(facets) = &self.facets {
            facets.visit(request, see);
        }
    }

    /// Calls `see` with all lists; an entry may be in several.
    pub(crate) fn visit_all<'t>(&'t self, see: &mut impl FnMut(&'t List<T>)) {
        see(&self.plain);
        if let Some(facets) = &self.facets {
            facets.headers.iter().flat_map(|(_, values)| values.values()).for_each(&mut *see);
            see(&facets.all_snis);
            facets.ports.values().for_each(see);
        }
    }
}

impl<T: Clone> Bucket<T> {
    pub(crate) fn insert(&mut self, entry: &Arc<Entry<T>>) {
        match entry.facet() {
            Facet::None => self.plain.insert(entry),
            facet => Arc::make_mut(self.facets.get_or_insert_default()).insert(facet, entry),
        }
    }

    pub(crate) fn remove(&mut self, entry: &Entry<T>) {
        match entry.facet() {
            Facet::None => self.plain.remove(entry.rank),
            facet => {
                if let Some(facets) = &mut self.facets {
                    let facets = Arc::make_mut(facets);
                    facets.remove(facet, entry);
                    if facets.is_empty() {
                        self.facets = None;
                    }
                }
            }
        }
    }
}

impl<T> Facets<T> {
    fn visit<'t>(&'t self, request: &Prepared<'_>, see: &mut impl FnMut(&'t List<T>)) {
        for (name, values) in &self.headers {
            let _: ControlFlow<()> = request.request.headers.each(name, &mut |value| {
                let value: SmallVec<[u8; 64]> = value.iter().map(u8::to_ascii_lowercase).collect();
                if let Some(list) = values.get(&value[..]) {
                    see(list);
                }
                ControlFlow::Continue(())
            });
        }
        if !request.request.scheme.is_tls() {
            see(&self.all_snis);
        } else if let Some(list) = request.sni.as_deref().and_then(|sni| self.snis.get(sni)) {
            see(list);
        }
        if let Some(list) = request.port().and_then(|port| self.ports.get(&port)) {
            see(list);
        }
    }
}

impl<T: Clone> Facets<T> {
    fn insert(&mut self, facet: Facet, entry: &Arc<Entry<T>>) {
        self.each_list(facet, entry, |list| list.insert(entry));
    }

    fn remove(&mut self, facet: Facet, entry: &Entry<T>) {
        self.each_list(facet, entry, |list| list.remove(entry.rank));
        self.headers.retain(|(_, values)| !values.is_empty());
    }

    /// Calls `change` with every list that the entry belongs to and drops those left empty.
    fn each_list(&mut self, facet: Facet, entry: &Entry<T>, change: impl Fn(&mut List<T>)) {
        match facet {
            Facet::Header(number) => {
                let Some(header) = entry.rule.headers.get(number) else { return };
                let found = self.headers.iter().position(|(name, _)| *name == header.name);
                let at = found.unwrap_or_else(|| {
                    self.headers.push((header.name.clone(), Map::default()));
                    self.headers.len() - 1
                });
                for value in &header.values {
                    if let HeaderValue::Exact(value) = value {
                        change_in(&mut self.headers[at].1, value, &change);
                    }
                }
            }
            Facet::Sni => {
                change(&mut self.all_snis);
                for sni in &entry.rule.snis {
                    if let Name::Exact(name) = sni {
                        change_in(&mut self.snis, name, &change);
                    }
                }
            }
            Facet::Port => {
                for port in entry.rule.destinations.iter().filter_map(|d| d.port()) {
                    change_in(&mut self.ports, &port, &change);
                }
            }
            Facet::None => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.all_snis.is_empty() && self.ports.is_empty()
    }
}

fn change_in<K: Clone + Eq + std::hash::Hash, T: Clone>(
    map: &mut Map<K, List<T>>,
    key: &K,
    change: &impl Fn(&mut List<T>),
) {
    let list = map.entry(key.clone()).or_default();
    change(list);
    if list.is_empty() {
        map.remove(key);
    }
}
