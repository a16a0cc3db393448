//! Which plugins exist and how each is configured: what the control plane needs to know of them.

use std::fmt;

use schema::{Record, Subschema};

/// One plugin that can be configured.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Kong's name of it (`key-auth`).
    pub name: &'static str,
    /// Its version, as `GET /` tells it.
    pub version: &'static str,
    /// Plugins of a higher priority run first.
    pub priority: i32,
    /// What a `plugins` entity of this name must look like: `config`, `protocols`, and the scopes
    /// that it cannot have.
    pub schema: Subschema,
    /// The declaration of `config`, for its reference.
    pub config: &'static Record,
    /// An example for its reference, in Markdown: a configuration and exchanges that show what it
    /// does.
    pub example: &'static str,
}

/// The plugins that can be configured.
pub trait PluginCatalogue: fmt::Debug + Send + Sync + 'static {
    /// Their names, in alphabetical order.
    fn names(&self) -> Vec<&'static str>;

    /// The plugin of that name.
    fn find(&self, name: &str) -> Option<&Listing>;
}
