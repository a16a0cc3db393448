//! Which plugins exist and how each is configured: what the control plane needs to know of them.

use std::fmt;

use schema::Subschema;

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
}

/// The plugins that can be configured.
pub trait PluginCatalogue: fmt::Debug + Send + Sync + 'static {
    /// Their names, in alphabetical order.
    fn names(&self) -> Vec<&'static str>;

    /// The plugin of that name.
    fn find(&self, name: &str) -> Option<&Listing>;
}
