//! Every plugin, one folder each, and the list of them.
//!
//! A folder holds a plugin's configuration with its documentation, its behaviour and its tests.
//! This crate owns what the plugins do; it must not know how a request reaches them, which
//! instances apply to it, where state is kept beyond one data plane, or how to reach anybody: all of
//! that comes in through the `plugin` crate.
#![forbid(unsafe_code)]

mod acl;
mod authentication;
mod basic_auth;
mod correlation_id;
mod cors;
mod declared;
mod fields;
mod file_log;
mod hmac_auth;
mod http_log;
mod ip_restriction;
mod jwt;
mod key_auth;
mod log;
mod lua;
mod pairs;
mod prometheus;
mod query;
mod queue;
mod rate_limiting;
mod request_size_limiting;
mod request_termination;
mod request_transformer;
mod response_transformer;
mod settings;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use prometheus::tells_upstream_health;

use plugin::{Definition, Listing, PluginCatalogue, Registry};

use declared::definition;

/// What `GET /` says of a plugin: the version of Kong whose plugin it is.
const VERSION: &str = "3.9.3";

/// The plugins that are part of Weir, in the order in which they run.
#[derive(Debug)]
pub struct Bundled {
    definitions: Vec<Definition>,
    by_name: BTreeMap<&'static str, usize>,
}

/// The list. The order is Kong's: highest priority first.
pub fn bundled() -> &'static Bundled {
    static BUNDLED: LazyLock<Bundled> = LazyLock::new(|| {
        let definitions = vec![
            definition::<correlation_id::CorrelationId>(),
            definition::<cors::Cors>(),
            definition::<jwt::Jwt>(),
            definition::<key_auth::KeyAuth>(),
            definition::<basic_auth::BasicAuth>(),
            definition::<hmac_auth::HmacAuth>(),
            definition::<ip_restriction::IpRestriction>(),
            definition::<request_size_limiting::RequestSizeLimiting>(),
            definition::<acl::Acl>(),
            definition::<rate_limiting::RateLimiting>(),
            definition::<request_transformer::RequestTransformer>(),
            definition::<response_transformer::ResponseTransformer>(),
            definition::<prometheus::Prometheus>(),
            definition::<http_log::HttpLog>(),
            definition::<file_log::FileLog>(),
            definition::<request_termination::RequestTermination>(),
        ];
        let named = definitions.iter().enumerate();
        let by_name = named.map(|(at, definition)| (definition.listing.name, at)).collect();
        Bundled { definitions, by_name }
    });
    &BUNDLED
}

impl Registry for Bundled {
    fn definitions(&self) -> &[Definition] {
        &self.definitions
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl PluginCatalogue for Bundled {
    fn names(&self) -> Vec<&'static str> {
        self.by_name.keys().copied().collect()
    }

    fn find(&self, name: &str) -> Option<&Listing> {
        self.position(name).map(|at| &self.definitions[at].listing)
    }
}

#[cfg(test)]
mod tests;
