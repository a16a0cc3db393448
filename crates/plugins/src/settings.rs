//! From a validated configuration to a plugin's own type.

use plugin::{BuildError, Instance};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The configuration of `instance` as the type that it was declared with.
pub(crate) fn read<T: DeserializeOwned>(instance: &Instance<'_>) -> Result<T, BuildError> {
    serde_json::from_value(Value::Object(instance.config.clone()))
        .map_err(|error| BuildError(format!("the configuration cannot be read: {error}")))
}
