//! `weir migrate`.

use anyhow::{Context, Result};
use process::Process;
use settings::Loaded;

use super::say;

pub(super) fn run(loaded: Loaded) -> Result<()> {
    Process::start(&loaded)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let applied = runtime.block_on(control_plane::migrate(&loaded.settings))?;
    match applied.as_slice() {
        [] => say("The database has the form that this version needs; nothing was to be done."),
        names => say(&format!("Migrated: {}.", names.join(", "))),
    }
}
