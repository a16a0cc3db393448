//! Plugins: must be able to run for what they are scoped to.

use model::{Kind, Plugin, Scope};

use crate::error::Refusal;
use crate::find;
use crate::scan::scan;
use crate::state::{Object, State};

/// Refuses a plugin without a protocol in common with its route, or with any route of its
/// service. What does not exist is found by the store.
pub(crate) async fn check_protocols(state: &State, plugin: &Object) -> Result<(), Refusal> {
    if let Some(id) = find::referred(plugin, "route")
        && let Some(route) = state.store.get("routes", id).await?
    {
        Plugin::check_protocols(plugin, Scope::Route, &[find::object(&route)?])?;
    }
    if let Some(id) = find::referred(plugin, "service") {
        let mut worst = Ok(());
        scan(state, Kind::known("routes"), Some(("service", id)), |route| {
            if let Ok(route) = find::object(route) {
                worst = Plugin::check_protocols(plugin, Scope::Service, &[route]);
            }
            // One that fits is enough.
            worst.is_err()
        })
        .await?;
        worst?;
    }
    Ok(())
}
