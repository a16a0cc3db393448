//! Whether one rule holds wherever another does.

use crate::name::Name;
use crate::network::Place;
use crate::rule::{Header, HeaderValue, Host, Paths, Rule};

impl Rule {
    /// Whether every request that meets `other` meets this one. `false` when that cannot be told.
    pub(crate) fn covers(&self, other: &Rule) -> bool {
        self.expression.is_none()
            && other.expression.is_none()
            && self.covers_protocols_of(other)
            && all_covered(&self.hosts, &other.hosts, Host::covers)
            && (self.methods.is_empty()
                || (!other.methods.is_empty() && self.methods.cover(&other.methods)))
            && all_covered(&self.snis, &other.snis, Name::covers)
            && (self.snis.is_empty() || self.snis_of_plain() || !other.snis_of_plain())
            && all_covered(&self.sources, &other.sources, Place::covers)
            && all_covered(&self.destinations, &other.destinations, Place::covers)
            && self.paths.cover(&other.paths)
            && self.headers.iter().all(|own| other.headers.iter().any(|other| own.covers(other)))
    }
}

/// No condition covers all; a choice covers another if each of the other's is covered.
fn all_covered<T>(own: &[T], other: &[T], covers: fn(&T, &T) -> bool) -> bool {
    own.is_empty()
        || (!other.is_empty() && other.iter().all(|other| own.iter().any(|own| covers(own, other))))
}

impl Host {
    fn covers(&self, other: &Host) -> bool {
        self.name.covers(&other.name) && (self.port.is_none() || self.port == other.port)
    }
}

impl Paths {
    fn cover(&self, other: &Paths) -> bool {
        match (self, other) {
            (Paths::Any, _) => true,
            (_, Paths::Any) => false,
            (Paths::Prefixes(own), Paths::Prefixes(other)) => {
                other.iter().all(|other| own.iter().any(|own| other.starts_with(own)))
            }
            (Paths::Prefixes(own), Paths::Regexes(other)) => other.iter().all(|pattern| {
                pattern.prefixes().is_some_and(|prefixes| {
                    prefixes.iter().all(|prefix| own.iter().any(|own| prefix.starts_with(own)))
                })
            }),
            (Paths::Regexes(own), Paths::Regexes(other)) => {
                other.iter().all(|other| own.iter().any(|own| own.source() == other.source()))
            }
            (Paths::Regexes(_), Paths::Prefixes(_)) => false,
        }
    }
}

impl Header {
    fn covers(&self, other: &Header) -> bool {
        self.name == other.name
            && other.values.iter().all(|other| self.values.iter().any(|own| own.covers(other)))
    }
}

impl HeaderValue {
    fn covers(&self, other: &HeaderValue) -> bool {
        match (self, other) {
            (_, HeaderValue::Exact(value)) => self.matches(value),
            (HeaderValue::Regex(own), HeaderValue::Regex(other)) => own.source() == other.source(),
            (HeaderValue::Exact(_), HeaderValue::Regex(_)) => false,
        }
    }
}
