//! The conditions of a route as the operator wrote them.

use std::collections::BTreeMap;

use model::{Endpoint, Protocol, Route};

/// Reads a route's conditions; a condition that is null and one that is empty are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions<'a>(pub(crate) &'a Route);

impl<'a> Conditions<'a> {
    pub(crate) fn methods(self) -> &'a [String] {
        some(&self.0.methods)
    }

    pub(crate) fn hosts(self) -> &'a [String] {
        some(&self.0.hosts)
    }

    pub(crate) fn paths(self) -> &'a [String] {
        some(&self.0.paths)
    }

    pub(crate) fn snis(self) -> &'a [String] {
        some(&self.0.snis)
    }

    pub(crate) fn sources(self) -> &'a [Endpoint] {
        some(&self.0.sources)
    }

    pub(crate) fn destinations(self) -> &'a [Endpoint] {
        some(&self.0.destinations)
    }

    pub(crate) fn headers(self) -> Option<&'a BTreeMap<String, Vec<String>>> {
        self.0.headers.as_ref().filter(|headers| !headers.is_empty())
    }

    pub(crate) fn header_count(self) -> usize {
        self.headers().map_or(0, BTreeMap::len)
    }

    /// Whether it is for connections that are not HTTP. Protocols of both sorts do not mix.
    pub(crate) fn is_stream(self) -> bool {
        self.0.protocols.first().is_some_and(|p| {
            matches!(p, Protocol::Tcp | Protocol::Tls | Protocol::TlsPassthrough | Protocol::Udp)
        })
    }

    pub(crate) fn none(self) -> bool {
        self.methods().is_empty()
            && self.hosts().is_empty()
            && self.paths().is_empty()
            && self.headers().is_none()
            && self.snis().is_empty()
            && self.sources().is_empty()
            && self.destinations().is_empty()
    }
}

/// Whether a configured path is a regular expression.
pub(crate) fn is_regex(path: &str) -> bool {
    path.starts_with('~')
}

fn some<T>(list: &Option<Vec<T>>) -> &[T] {
    list.as_deref().unwrap_or_default()
}
