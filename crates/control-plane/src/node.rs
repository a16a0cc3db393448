//! What the Admin API sees of this process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use admin::{Connections, Counters, Object};
use process::Process;
use serde_json::Value;
use settings::{Settings, Shown};
use telemetry::logging::Level;
use tokio::task::AbortHandle;

use crate::local::LocalDataPlane;

/// This process as the Admin API sees it.
pub(crate) struct Node {
    process: Process,
    admin: Arc<Counters>,
    local: Option<Arc<dyn LocalDataPlane>>,
    /// Takes a log level that was set for a time back.
    reverting: Mutex<Option<AbortHandle>>,
}

impl Node {
    pub(crate) fn new(
        process: Process,
        admin: Arc<Counters>,
        local: Option<Arc<dyn LocalDataPlane>>,
    ) -> Node {
        Node { process, admin, local, reverting: Mutex::default() }
    }
}

impl admin::Node for Node {
    fn connections(&self) -> Connections {
        let ours = self.admin.read();
        let Some(theirs) = self.local.as_ref().map(|local| local.connections()) else {
            return ours;
        };
        Connections {
            accepted: ours.accepted + theirs.accepted,
            handled: ours.handled + theirs.handled,
            active: ours.active + theirs.active,
            reading: ours.reading + theirs.reading,
            writing: ours.writing + theirs.writing,
            waiting: ours.waiting + theirs.waiting,
            requests: ours.requests + theirs.requests,
        }
    }

    fn resident_memory(&self) -> u64 {
        process::resident_memory()
    }

    fn metrics(&self) -> String {
        self.process.metrics.render()
    }

    fn log_level(&self) -> Level {
        self.process.log.level()
    }

    fn set_log_level(&self, level: Level, during: Option<Duration>) -> Result<(), String> {
        let mut reverting = self.reverting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = reverting.take() {
            earlier.abort();
        }
        let before = self.process.log.level();
        self.process.log.set_level(level);
        tracing::info!(%level, ?during, "the log level was changed");
        if let Some(during) = during {
            let log = self.process.log.clone();
            let revert = tokio::spawn(async move {
                tokio::time::sleep(during).await;
                log.set_level(before);
                tracing::info!(level = %before, "the log level is as it was before");
            });
            *reverting = Some(revert.abort_handle());
        }
        Ok(())
    }
}

/// The settings as `GET /` shows them.
pub(crate) fn configuration(settings: &Settings) -> Object {
    let value = |shown| match shown {
        Shown::Nothing => Value::Null,
        Shown::Bool(value) => value.into(),
        // Whole numbers as such: clients read ports and counts as integers.
        Shown::Number(value) if value.fract() == 0.0 && value.abs() < 9e15 => (value as i64).into(),
        Shown::Number(value) => value.into(),
        Shown::Text(value) => value.into(),
        Shown::List(value) => value.into(),
    };
    let shown = settings.shown().into_iter().map(|(name, shown)| (name.to_owned(), value(shown)));
    // Kong's name for the data directory, which its clients look for.
    let prefix = ("prefix".to_owned(), settings.data_dir.display().to_string().into());
    shown.chain([prefix]).collect()
}
