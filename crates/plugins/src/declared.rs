//! How the plugins of this crate are declared.

use std::any::Any;
use std::sync::Arc;

use model::{PluginProtocols, Scope};
use plugin::{BuildError, Definition, Instance, Listing, Phases, Plugin};
use schema::{Field, Record, Subschema};

/// What is known of a plugin before it runs, and how an instance comes to life. The type is the
/// running instance.
pub(crate) trait Declared: Plugin + Sized {
    /// Kong's name of it.
    const NAME: &str;
    /// Plugins of a higher priority run first.
    const PRIORITY: i32;
    /// The protocols that it can be set up for.
    const PROTOCOLS: PluginProtocols = PluginProtocols::Http;
    /// What it cannot be restricted to.
    const WITHOUT: &[Scope] = &[];
    /// The phases that it takes part in.
    const PHASES: Phases;
    /// The example of its reference: a configuration and exchanges that show what it does.
    const EXAMPLE: &str;

    /// The declaration of its configuration.
    fn config() -> &'static Record;

    /// Adds rules between the fields of its entities.
    fn rules(subschema: Subschema) -> Subschema {
        subschema
    }

    /// Makes a running instance. `previous` is the one that it replaces, whose state it may take
    /// over.
    fn build(instance: &Instance<'_>, previous: Option<&Self>) -> Result<Self, BuildError>;
}

/// The plugin's entry in the list.
pub(crate) fn definition<P: Declared>() -> Definition {
    let config = P::config();
    let field = Field::record(config.clone());
    Definition {
        listing: Listing {
            name: P::NAME,
            version: crate::VERSION,
            priority: P::PRIORITY,
            schema: P::rules(model::Plugin::subschema(field, P::PROTOCOLS, P::WITHOUT)),
            config,
            example: P::EXAMPLE,
        },
        phases: P::PHASES,
        build: build::<P>,
    }
}

fn build<P: Declared>(instance: &Instance<'_>) -> Result<Arc<dyn Plugin>, BuildError> {
    let previous = instance.previous.and_then(|previous| {
        let previous: &dyn Any = &**previous;
        previous.downcast_ref::<P>()
    });
    Ok(Arc::new(P::build(instance, previous)?))
}
