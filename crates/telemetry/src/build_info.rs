//! Which build this is.

/// Weir's version (semantic versioning).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Kong Gateway whose contract this build answers with, as its clients see it
/// (`GET /` on the Admin API, the `Server` and `Via` headers).
pub const KONG_VERSION: &str = "3.9.3";
