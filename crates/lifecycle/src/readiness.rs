//! Whether a process should be given traffic, and if not, why.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ready when no guard is held. Clones share the state.
///
/// Whatever must happen before the first request takes a [`Guard`] with the reason that a
/// readiness probe should read, and drops it when it happened. A state that comes and goes (the
/// database is reachable) takes and drops one each time.
#[derive(Clone, Default)]
pub struct Readiness {
    held: Arc<Mutex<BTreeMap<u64, String>>>,
}

impl Readiness {
    /// Ready, until somebody takes a guard.
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// Not ready, for this reason, until the guard is dropped. The reason is shown to the
    /// operator (`/status/ready`), so it says what is missing.
    #[must_use = "dropping the guard means ready"]
    pub fn hold(&self, reason: impl Into<String>) -> Guard {
        let mut held = self.lock();
        let id = held.last_key_value().map_or(0, |(last, _)| last + 1);
        held.insert(id, reason.into());
        Guard { readiness: self.clone(), id }
    }

    /// Not ready any more, for ever: the process drains.
    pub fn close(&self, reason: impl Into<String>) {
        self.lock().insert(u64::MAX >> 1, reason.into());
    }

    /// Whether traffic may come.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    /// Why it is not ready: the reasons in the order in which they were given; none when ready.
    pub fn reasons(&self) -> Vec<String> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("waiting_for", &self.reasons()).finish()
    }
}

/// Holds a process back from being ready; dropping it releases.
#[derive(Debug)]
pub struct Guard {
    readiness: Readiness,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.readiness.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_guard_is_gone() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let first = readiness.hold("no configuration available");
        let second = readiness.hold("resolver not started");
        assert_eq!(readiness.reasons(), ["no configuration available", "resolver not started"]);
        drop(first);
        assert!(!readiness.is_ready());
        drop(second);
        assert!(readiness.is_ready());
    }

    #[test]
    fn closed_stays_closed() {
        let readiness = Readiness::new();
        readiness.close("draining");
        drop(readiness.hold("failed to connect to database"));
        assert_eq!(readiness.reasons(), ["draining"]);
    }
}
