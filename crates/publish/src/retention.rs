//! Keeps the log, and what is counted, from growing for ever.

use std::time::Duration;

use lifecycle::Shutdown;

use crate::publisher::Shared;
use crate::settings::Retention;

/// How often the log is looked at.
const PERIOD: Duration = Duration::from_secs(600);

/// Compacts the log every [`PERIOD`] until the shutdown begins.
pub(crate) async fn run(shared: &Shared, shutdown: &Shutdown) {
    let mut failing = false;
    loop {
        let pause = shared.jittered(PERIOD);
        tokio::select! {
            () = shutdown.draining() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match compact(shared).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "the change log could not be compacted; trying again later");
            }
            Err(_) => {}
        }
    }
}

async fn compact(shared: &Shared) -> Result<(), store::Error> {
    shared.store.forget_counters().await?;
    let Retention { age, revisions } = shared.settings.retention;
    let head = shared.store.head().await?;
    let age_us = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    let by_age = shared.store.revision_at(head.now_us.saturating_sub(age_us)).await?;
    let upto = by_age.min(head.at.revision.saturating_sub(revisions));
    if upto > head.compacted {
        shared.store.compact(upto).await?;
        tracing::info!(upto, "compacted the change log");
    }
    Ok(())
}
