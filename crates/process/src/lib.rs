//! What every process of ours has, whichever plane runs in it.
//!
//! Owns: the process's shared parts (clock, tasks, readiness, metrics, log), its allocator, its
//! node id and data directory, binding of listeners and their certificates, what is read anew at
//! SIGHUP, the status listener, memory figures, the exit code. It must
//! not know: entities, a store, the stream, Kong's other APIs.
#![forbid(unsafe_code)]

mod bind;
pub mod cluster;
mod directory;
mod exit;
mod machine;
mod reload;
pub mod status;
pub mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lifecycle::{Clock, Readiness, Shutdown, SystemClock, Tasks};
use settings::Settings;
use telemetry::logging::{self, Format, Level};
use telemetry::metrics::Registry;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// Cheaper than glibc's for memory beyond a kilobyte, of which each request takes some, and smaller with many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use bind::{BindError, bind, bind_all, plain};
pub use directory::{DirectoryError, node_id, prepare};
pub use exit::exit;
pub use machine::{hostname, resident_memory, total_memory};
pub use reload::Reload;

/// The parts that a plane shares with the process it runs in. Clones share them.
#[derive(Clone, Debug)]
pub struct Process {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What runs, and what stops it.
    pub tasks: Tasks,
    /// Whether traffic may come.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Registry,
    /// The level of the log.
    pub log: logging::Handle,
    /// What is read anew at a reload.
    reloads: reload::Reloads,
    /// Whether the node's own metrics are among the others.
    introduced: Arc<AtomicBool>,
}

impl Process {
    /// The parts of a process whose logging is started elsewhere: a test's, or an embedding
    /// program's.
    pub fn embedded() -> Process {
        Process::with(logging::Handle::detached(Level::Notice))
    }

    /// Starts logging as the settings say, and logs what is to be known about the settings.
    ///
    /// # Errors
    /// When logging was started before.
    pub fn start(loaded: &settings::Loaded) -> Result<Process, logging::StartError> {
        let process =
            Process::with(logging::start(level(&loaded.settings), format(&loaded.settings))?);
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        machine::register(&process.metrics);
        Ok(process)
    }

    /// Begins the drain at the first signal, ends it at the second or at `drain_timeout`; not
    /// ready from the drain's begin. SIGHUP reloads.
    ///
    /// # Errors
    /// When the operating system refuses to deliver signals.
    pub fn listen_for_signals(&self, settings: &Settings) -> io::Result<()> {
        let (shutdown, readiness) = (self.tasks.shutdown().clone(), self.readiness.clone());
        self.tasks.background("readiness", async move {
            shutdown.draining().await;
            readiness.close(DRAINING);
            std::future::pending().await
        });
        self.listen_for_reload()?;
        lifecycle::listen_for_signals(&self.tasks, settings.drain_timeout)
    }

    /// Calls this at every SIGUSR1: a log file was moved away, and must be opened anew (nginx's
    /// and Kong's convention).
    ///
    /// # Errors
    /// When the operating system refuses to deliver the signal.
    pub fn on_reopen_signal(&self, reopen: impl Fn() + Send + 'static) -> io::Result<()> {
        let mut asked = signal(SignalKind::user_defined1())?;
        self.tasks.background("log reopening", async move {
            while asked.recv().await.is_some() {
                tracing::info!("log files are opened anew");
                reopen();
            }
        });
        Ok(())
    }

    /// Tells in the metrics which node this is and how it does. The planes of one process both do:
    /// the second time changes nothing.
    pub fn introduce(&self, id: Uuid) {
        if !self.introduced.swap(true, Ordering::Relaxed) {
            machine::register_node(&self.metrics, id, self.tasks.clone());
        }
    }

    fn with(log: logging::Handle) -> Process {
        Process {
            clock: Arc::new(SystemClock),
            tasks: Tasks::new(Shutdown::new()),
            readiness: Readiness::new(),
            metrics: Registry::new(),
            log,
            reloads: reload::Reloads::default(),
            introduced: Arc::default(),
        }
    }
}

/// Why a process that stops is not ready; Kong's word.
const DRAINING: &str = "draining";

fn level(settings: &Settings) -> Level {
    // Both lists are Kong's levels; the process crate's test holds them together.
    settings.log_level.as_str().parse().unwrap_or(Level::Notice)
}

fn format(settings: &Settings) -> Format {
    match settings.log_format {
        settings::LogFormat::Text => Format::Text,
        settings::LogFormat::Json => Format::Json,
    }
}

#[cfg(test)]
mod tests {
    use settings::LogLevel;

    use super::Level;

    #[test]
    fn settings_and_log_know_the_same_levels() {
        for level in Level::ALL {
            let setting: LogLevel = level.name().parse().unwrap();
            assert_eq!(setting.as_str(), level.name());
        }
    }
}
