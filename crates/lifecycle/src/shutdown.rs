//! The two steps of stopping: drain, then leave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody asked to stop.
    Running,
    /// No new work is taken; what has begun may end.
    Draining,
    /// What has not ended is dropped.
    Forced,
}

/// Asks everything in the process to stop. Clones share the state.
///
/// Servers watch [`draining`](Shutdown::draining) to stop accepting and to finish what they have,
/// and [`forced`](Shutdown::forced) to let go of it.
#[derive(Clone)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// Running.
    pub fn new() -> Shutdown {
        let hard = CancellationToken::new();
        Shutdown { soft: hard.child_token(), hard, failed: Arc::default() }
    }

    /// A part of this whole: it stops when the whole does, and can be stopped alone. A failure of
    /// the part is a failure of the whole's exit code, too.
    pub fn part(&self) -> Shutdown {
        Shutdown {
            soft: self.soft.child_token(),
            hard: self.hard.child_token(),
            failed: self.failed.clone(),
        }
    }

    /// Begins the drain. Does nothing when it has begun.
    pub fn drain(&self) {
        self.soft.cancel();
    }

    /// Ends the drain: what is left is dropped.
    pub fn force(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Begins the drain because something broke: the process will exit with a failure.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.drain();
    }

    /// Whether something broke.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        if self.hard.is_cancelled() {
            Stage::Forced
        } else if self.soft.is_cancelled() {
            Stage::Draining
        } else {
            Stage::Running
        }
    }

    /// Waits for the drain to begin. Cancel-safe.
    pub async fn draining(&self) {
        self.soft.cancelled().await;
    }

    /// Waits for the drain's end. Cancel-safe.
    pub async fn forced(&self) {
        self.hard.cancelled().await;
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("stage", &self.stage())
            .field("failed", &self.has_failed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_follow_in_order() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.stage(), Stage::Running);
        shutdown.drain();
        assert_eq!(shutdown.stage(), Stage::Draining);
        shutdown.force();
        assert_eq!(shutdown.stage(), Stage::Forced);
        assert!(!shutdown.has_failed());
    }

    #[test]
    fn a_part_stops_with_the_whole_and_alone() {
        let whole = Shutdown::new();
        let (one, other) = (whole.part(), whole.part());
        one.force();
        assert_eq!(
            (one.stage(), other.stage(), whole.stage()),
            (Stage::Forced, Stage::Running, Stage::Running)
        );
        whole.drain();
        assert_eq!(other.stage(), Stage::Draining);
        whole.force();
        assert_eq!(other.stage(), Stage::Forced);
    }

    #[test]
    fn a_failed_part_fails_the_whole() {
        let whole = Shutdown::new();
        whole.part().fail();
        assert!(whole.has_failed());
        assert_eq!(whole.stage(), Stage::Running, "the owner of the whole decides whether to stop");
    }
}
