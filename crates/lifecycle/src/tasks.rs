//! Tracked tasks: nothing runs that nobody waits for, and a crash is never silent.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;

use crate::Shutdown;

/// Why a task ended otherwise than it should: boxed, so that every crate brings its own.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The tasks of a process, or of a part of one. Clones share them.
///
/// A task that fails or panics is logged, and begins a [`Shutdown`] with a failing exit code: a
/// process that half works is worse than one that a supervisor restarts. Every task is dropped
/// when the shutdown is forced.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    first_failure: Arc<Mutex<Option<String>>>,
}

impl Tasks {
    /// Tasks that live under this shutdown.
    pub fn new(shutdown: Shutdown) -> Tasks {
        Tasks { tracker: TaskTracker::new(), shutdown, first_failure: Arc::default() }
    }

    /// What stops these tasks.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// How many tasks run that [`finish`](Tasks::finish) waits for.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Runs a task on the present runtime. [`finish`](Tasks::finish) waits for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Failure>,
    {
        let tasks = self.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = tasks.shutdown.forced() => {}
                ended = AssertUnwindSafe(task).catch_unwind() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tasks.fail(name, &chain(&*error.into())),
                    Err(panic) => tasks.fail(name, &format!("panicked: {}", panic_text(&*panic))),
                },
            }
        });
    }

    /// Runs a task that cannot fail and that nobody waits for: it is dropped when all others have
    /// ended.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn background<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        let closed = self.tracker.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = tasks.shutdown.forced() => {}
                () = closed.wait() => {}
                ended = AssertUnwindSafe(task).catch_unwind() => if let Err(panic) = ended {
                    tasks.fail(name, &format!("panicked: {}", panic_text(&*panic)));
                },
            }
        });
    }

    /// Notes that something that is no task (a thread) broke: logs it and begins the shutdown.
    pub fn fail(&self, name: &str, why: &str) {
        tracing::error!(task = name, error = why, "a part of the process broke; shutting down");
        self.first_failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| format!("{name}: {why}"));
        self.shutdown.fail();
    }

    /// Waits until the shutdown has begun and every task has ended (or was dropped by a forced
    /// shutdown). Answers with the first failure, if there was one.
    ///
    /// # Errors
    /// The name of the task that broke first, and why.
    pub async fn finish(&self) -> Result<(), String> {
        self.shutdown.draining().await;
        self.tracker.close();
        self.tracker.wait().await;
        match self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("running", &self.tracker.len())
            .field("shutdown", &self.shutdown)
            .finish_non_exhaustive()
    }
}

/// An error with its causes, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    fn tasks() -> Tasks {
        Tasks::new(Shutdown::new())
    }

    #[tokio::test]
    async fn drains_before_it_finishes() {
        let tasks = tasks();
        let (sent, received) = tokio::sync::oneshot::channel();
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("worker", async move {
            shutdown.draining().await;
            sent.send("finished its work").map_err(|_| "nobody listens")
        });
        tasks.shutdown().drain();
        assert_eq!(tasks.finish().await, Ok(()));
        assert_eq!(received.await, Ok("finished its work"));
    }

    #[tokio::test]
    async fn a_failure_shuts_down_and_is_told() {
        let tasks = tasks();
        tasks.spawn("reader", async { Err("the log is gone") });
        tasks.shutdown().draining().await;
        assert!(tasks.shutdown().has_failed());
        assert_eq!(tasks.finish().await, Err("reader: the log is gone".to_owned()));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let tasks = tasks();
        tasks.spawn("thinker", async {
            if true {
                panic!("cannot go on");
            }
            Ok::<(), Failure>(())
        });
        assert_eq!(tasks.finish().await, Err("thinker: panicked: cannot go on".to_owned()));
        assert_eq!(tasks.shutdown().stage(), Stage::Draining);
    }

    #[tokio::test]
    async fn force_drops_what_does_not_end() {
        let tasks = tasks();
        tasks.spawn("endless", std::future::pending::<Result<(), Failure>>());
        tasks.shutdown().drain();
        tasks.shutdown().force();
        assert_eq!(tasks.finish().await, Ok(()));
    }
}
