//! Judges of the table: Kong's own engine, and every route tried by its fields, one after another.
//!
//! Both read the [`model::Route`] itself and share nothing with the table but the order of the
//! routes, which has recorded numbers of its own.

mod kong;
mod plain;
mod translation;

pub use kong::Kong;
pub use plain::Plain;

use model::{Protocol, Route};
use uuid::Uuid;

/// What a judge finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The route.
    pub route: Uuid,
    /// How much of the path it matched, as [`crate::Match::prefix`]; for an expression that
    /// failed in one branch and held in another the judges see it differently than the table.
    pub prefix: Option<usize>,
}

/// A route without conditions, to build those on that the judges look at.
#[must_use]
pub fn route() -> Route {
    Route {
        id: Uuid::nil(),
        created_at: Some(0),
        updated_at: None,
        name: None,
        protocols: vec![Protocol::Http, Protocol::Https],
        https_redirect_status_code: 426,
        strip_path: true,
        preserve_host: false,
        request_buffering: true,
        response_buffering: true,
        tags: None,
        service: None,
        snis: None,
        sources: None,
        destinations: None,
        methods: None,
        hosts: None,
        paths: None,
        headers: None,
        regex_priority: Some(0),
        path_handling: None,
        expression: None,
        priority: None,
    }
}
