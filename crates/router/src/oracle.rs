//! Judges of the table: Kong's own engine, and every route tried by its fields, one after another.
//!
//! Both read the [`model::Route`] itself and share nothing with the table but the order of the
//! routes, which has recorded numbers of its own.

mod kong;
mod plain;
mod translation;

pub use kong::Kong;
pub use plain::Plain;

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
