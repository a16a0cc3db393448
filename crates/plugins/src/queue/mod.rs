//! The queue between the requests and what is told of them elsewhere (Kong, `kong/tools/queue.lua`):
//! bounded, in batches, tried again with back-off, off the request path.
//!
//! Entries wait in memory. When the queue is full the oldest one gives way. When its last owner
//! lets it go, or the process falls quiet, what waits is delivered before the task ends; a receiver
//! that does not answer gets [`LAST`] more then.

mod config;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lifecycle::Backoff;
use plugin::Node;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

pub(crate) use config::{Config, field};

/// How much longer entries are tried once nobody can add any.
const LAST: Duration = Duration::from_secs(10);

/// What a queue is bounded by, and how it delivers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    /// Entries that are delivered together.
    pub(crate) batch: usize,
    /// How long the first entry of a batch waits for others.
    pub(crate) delay: Duration,
    /// Entries that wait or are on their way; the oldest waiting one gives way to a new one.
    pub(crate) entries: usize,
    /// Their bytes, likewise; a single longer entry is refused.
    pub(crate) bytes: Option<usize>,
    /// How long a batch is tried before it is lost; none for one try.
    pub(crate) retry: Option<Duration>,
    /// The first wait before another try is at most this, and each further one at most twice the
    /// one before.
    pub(crate) first_wait: Duration,
    /// No wait is longer than this.
    pub(crate) longest_wait: Duration,
    /// Whether each entry goes out at once, beside others that are on their way.
    pub(crate) at_once: bool,
}

/// How a batch is delivered. Fails with the reason.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Delivers these entries, in their order.
    fn deliver(&self, batch: &[Bytes]) -> impl Future<Output = Result<(), String>> + Send;
}

/// A queue and its task. Dropping it closes the queue.
pub(crate) struct Queue(Arc<Shared>);

impl Queue {
    /// Starts a queue; `name` is for the log.
    pub(crate) fn start(name: &str, limits: Limits, node: &Node, to: impl Deliver) -> Queue {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            limits,
            state: Mutex::default(),
            wake: Notify::new(),
            closing: watch::Sender::new(false),
        });
        let quiet = node.quiet();
        node.spawn("log queue", run(Arc::clone(&shared), to, quiet));
        Queue(shared)
    }

    /// Adds an entry. Never waits.
    pub(crate) fn push(&self, entry: Bytes) {
        self.0.push(entry);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.0.name).finish_non_exhaustive()
    }
}

struct Shared {
    name: String,
    limits: Limits,
    state: Mutex<State>,
    wake: Notify,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Bytes, Instant)>,
    /// Entries on their way, and their bytes.
    sent: usize,
    sent_bytes: usize,
    waiting_bytes: usize,
    /// Entries that gave way since the queue was last below its bounds.
    lost: u64,
    is_nearly_full: bool,
}

impl Shared {
    fn push(&self, entry: Bytes) {
        let Limits { entries, bytes, .. } = self.limits;
        if bytes.is_some_and(|most| entry.len() > most) {
            let length = entry.len();
            tracing::error!(
                queue = self.name,
                length,
                "an entry is longer than max_bytes: it is lost"
            );
            return;
        }
        let mut state = self.lock();
        let mut lost = 0;
        while state.waiting.len() + state.sent >= entries
            || bytes.is_some_and(|most| state.waiting_bytes + state.sent_bytes + entry.len() > most)
        {
            // All of the room is taken by what is on its way: then it is the new one that is lost.
            let Some((oldest, _)) = state.waiting.pop_front() else {
                self.note_loss(&mut state, 1);
                return;
            };
            state.waiting_bytes -= oldest.len();
            lost += 1;
        }
        self.note_loss(&mut state, lost);
        state.waiting_bytes += entry.len();
        state.waiting.push_back((entry, Instant::now()));
        let length = state.waiting.len() + state.sent;
        if length * 5 >= entries * 4 && !state.is_nearly_full {
            state.is_nearly_full = true;
            tracing::warn!(queue = self.name, length, most = entries, "the queue is 80 % full");
        }
        let waiting = state.waiting.len();
        drop(state);
        // Whoever waits for the queue looks at it before; in between it sleeps until the first entry is due.
        if waiting == 1 || waiting == self.limits.batch {
            self.wake.notify_one();
        }
    }

    fn note_loss(&self, state: &mut State, lost: u64) {
        if lost > 0 && state.lost == 0 {
            tracing::error!(
                queue = self.name,
                "the queue is full: old entries are lost until its receiver takes them again"
            );
        }
        state.lost += lost;
    }

    /// The next batch, when it is due; none when the queue is closed and empty. Cancel-safe.
    async fn next(&self) -> Option<Vec<Bytes>> {
        let mut closing = self.closing.subscribe();
        loop {
            let closed = *closing.borrow_and_update();
            let due = {
                let mut state = self.lock();
                let due = state.waiting.front().map(|(_, since)| *since + self.limits.delay);
                let is_full = state.waiting.len() >= self.limits.batch;
                match due {
                    Some(due) if is_full || closed || due <= Instant::now() => {
                        return Some(state.take(self.limits.batch));
                    }
                    None if closed => return None,
                    due => due,
                }
            };
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                // Its sender is in `self`.
                _ = closing.changed() => {}
                () = wait => {}
            }
        }
    }

    async fn send(&self, to: &impl Deliver, batch: Vec<Bytes>) {
        let limits = &self.limits;
        let begun = Instant::now();
        let mut random = StdRng::from_os_rng();
        let mut backoff = Backoff::new(limits.first_wait, limits.longest_wait);
        let mut closing = self.closing.subscribe();
        let mut until = limits.retry.map(|longest| begun + longest);
        let mut closed = *closing.borrow_and_update();
        if closed {
            until = until.map(|until| until.min(begun + LAST));
        }
        loop {
            let Err(reason) = to.deliver(&batch).await else { break };
            let wait = backoff.next_delay(&mut random);
            let Some(until) = until.as_mut().filter(|until| Instant::now() + wait < **until) else {
                tracing::error!(
                    queue = self.name,
                    entries = batch.len(),
                    tries = backoff.failures(),
                    reason,
                    "a batch could not be delivered: it is lost"
                );
                break;
            };
            if backoff.failures() == 1 {
                tracing::warn!(
                    queue = self.name,
                    entries = batch.len(),
                    reason,
                    "a batch could not be delivered; it is tried again"
                );
            }
            tokio::select! {
                () = sleep_until(Instant::now() + wait) => {}
                _ = closing.changed(), if !closed => {
                    closed = true;
                    *until = (*until).min(Instant::now() + LAST);
                }
            }
        }
        self.delivered(&batch);
    }

    fn delivered(&self, batch: &[Bytes]) {
        let mut state = self.lock();
        state.sent -= batch.len();
        state.sent_bytes -= batch.iter().map(Bytes::len).sum::<usize>();
        if (state.waiting.len() + state.sent) * 5 < self.limits.entries * 4 {
            state.is_nearly_full = false;
            if state.lost > 0 {
                let lost = std::mem::take(&mut state.lost);
                tracing::warn!(queue = self.name, lost, "the queue has room again");
            }
        }
    }

    fn close(&self) {
        self.closing.send_replace(true);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, most: usize) -> Vec<Bytes> {
        let count = most.min(self.waiting.len());
        let batch: Vec<Bytes> = self.waiting.drain(..count).map(|(entry, _)| entry).collect();
        let bytes = batch.iter().map(Bytes::len).sum::<usize>();
        self.sent += count;
        self.sent_bytes += bytes;
        self.waiting_bytes -= bytes;
        batch
    }
}

async fn run(shared: Arc<Shared>, to: impl Deliver, quiet: impl Future<Output = ()> + Send) {
    let most = if shared.limits.at_once { shared.limits.entries } else { 1 };
    let mut sending: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send + '_>>> =
        FuturesUnordered::new();
    let mut quiet = pin!(quiet);
    let mut is_quiet = false;
    loop {
        tokio::select! {
            batch = shared.next(), if sending.len() < most => match batch {
                Some(batch) => sending.push(Box::pin(shared.send(&to, batch))),
                None => break,
            },
            Some(()) = sending.next(), if !sending.is_empty() => {}
            () = &mut quiet, if !is_quiet => {
                is_quiet = true;
                shared.close();
            }
        }
    }
    while sending.next().await.is_some() {}
}

#[cfg(test)]
mod tests;
