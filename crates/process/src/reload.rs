//! What is read anew while the process runs: certificates and keys, at SIGHUP, as `kong reload`
//! has it. What cannot be read leaves in place what is there.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use crate::Process;
use crate::tls::TlsError;

/// Reads something anew, and puts it in the place of what is in use; clones do the same.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Result<(), TlsError> + Send + Sync>);

/// What is read anew, by the settings that name it. Clones share the list.
#[derive(Clone, Default)]
pub(crate) struct Reloads(Arc<Mutex<Vec<(&'static str, Reload)>>>);

impl Reload {
    /// What `reload` does. It must leave what is in use as it is when it fails.
    pub fn new(reload: impl Fn() -> Result<(), TlsError> + Send + Sync + 'static) -> Reload {
        Reload(Arc::new(reload))
    }

    /// Does it.
    ///
    /// # Errors
    /// When what is to be read cannot be used; what was in use stays.
    pub fn run(&self) -> Result<(), TlsError> {
        (self.0)()
    }
}

impl Process {
    /// From now on this is read anew at every reload; `settings` says what, for the log.
    pub fn on_reload(&self, settings: &'static str, reload: Reload) {
        let mut list = self.reloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push((settings, reload));
    }

    /// Reads everything anew that can be: what [`Process::on_reload`] was told of. Reads files.
    pub fn reload(&self) {
        let list = self.reloads.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (settings, reload) in list {
            match reload.run() {
                Ok(()) => tracing::info!(settings, "read anew; new connections use it"),
                Err(error) => tracing::error!(
                    settings,
                    %error,
                    "cannot be read anew; what is in use stays"
                ),
            }
        }
    }

    /// Reloads at every SIGHUP, which ends nothing from now on.
    ///
    /// # Errors
    /// When the operating system refuses to deliver the signal.
    pub(crate) fn listen_for_reload(&self) -> io::Result<()> {
        let mut asked = signal(SignalKind::hangup())?;
        let process = self.clone();
        self.tasks.background("reload", async move {
            while asked.recv().await.is_some() {
                tracing::info!("certificates and keys are read anew");
                let process = process.clone();
                // Files may lie on a disk that does not answer.
                if let Err(error) = tokio::task::spawn_blocking(move || process.reload()).await {
                    tracing::error!(%error, "the reload crashed");
                }
            }
        });
        Ok(())
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_list().entries(list.iter().map(|(settings, _)| settings)).finish()
    }
}
