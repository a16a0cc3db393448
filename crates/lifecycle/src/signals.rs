//! What the operating system asks for.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Shutdown, Tasks};

/// Follows SIGTERM, SIGINT and SIGQUIT until the process is forced to leave: the first begins the
/// drain, a second one or the `deadline` ends it. A drain that begins otherwise (a crash) has the
/// same deadline.
///
/// # Errors
/// When the operating system refuses to deliver signals.
pub fn listen(tasks: &Tasks, deadline: Duration) -> io::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        quit: signal(SignalKind::quit())?,
    };
    let shutdown = tasks.shutdown().clone();
    tasks.background("signals", async move {
        follow(&shutdown, deadline, &mut signals).await;
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

async fn follow(shutdown: &Shutdown, deadline: Duration, signals: &mut Signals) {
    tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, deadline_s = deadline.as_secs(), "draining; a second signal ends it at once");
            shutdown.drain();
        }
        () = shutdown.draining() => {}
    }
    tokio::select! {
        name = signals.next() => tracing::warn!(signal = name, "second signal: leaving at once"),
        () = tokio::time::sleep(deadline) => {
            tracing::warn!(deadline_s = deadline.as_secs(), "drain deadline passed: dropping what is left");
        }
    }
    shutdown.force();
}
