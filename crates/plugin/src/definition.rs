//! How a plugin is described, and how one configuration of it comes to life.

use std::fmt;
use std::sync::Arc;

use schema::Object;
use uuid::Uuid;

use crate::catalogue::Listing;
use crate::node::Node;
use crate::phase::{Phases, Plugin};

/// A plugin of the list: what it is called, how it is configured, when it runs.
#[derive(Debug)]
pub struct Definition {
    /// Name, version, priority and the declaration of its configuration.
    pub listing: Listing,
    /// The phases that it takes part in; the others are never called.
    pub phases: Phases,
    /// Makes a running instance of a valid configuration.
    pub build: fn(&Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError>,
}

/// One `plugins` entity that is to run: a configuration and where it applies.
pub struct Instance<'a> {
    /// The entity's id: what its counters, caches and batches are kept under.
    pub id: Uuid,
    /// Where it applies.
    pub scope: Scope,
    /// The validated `config`, every field present.
    pub config: &'a Object,
    /// The running instance that this one replaces, if the entity was there before: state that
    /// should survive a change of configuration is taken over from it.
    pub previous: Option<&'a Arc<dyn Plugin>>,
    /// The data plane that it is to run on.
    pub node: &'a Node,
}

impl fmt::Debug for Instance<'_> {
    /// Leaves out the configuration, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("id", &self.id).field("scope", &self.scope).finish()
    }
}

/// What an instance is scoped to; all `None` is a global instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Only requests of this route.
    pub route: Option<Uuid>,
    /// Only requests of this service.
    pub service: Option<Uuid>,
    /// Only requests of this consumer.
    pub consumer: Option<Uuid>,
}

/// Why a valid configuration cannot run on this data plane (an unreadable certificate, a regular
/// expression that is too large…). The instance's last good version stays; the reason is reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(pub String);

/// The plugins that this build can run, in the order in which they run.
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// All of them: highest priority first.
    fn definitions(&self) -> &[Definition];

    /// The place in [`Registry::definitions`] of the plugin of that name.
    fn position(&self, name: &str) -> Option<usize>;
}
