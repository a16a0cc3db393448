//! Following the store's log.
//!
//! Two halves with a bounded queue between them: one reads the log and stamps what it finds with
//! the moment of its release, the other waits for that moment and releases. So a store that hangs
//! does not hold back what has been read, and a long `db_update_propagation` costs no memory but
//! the queue's.

use std::time::Duration;

use lifecycle::{Backoff, Shutdown};
use model::{Cursor, Rollout, Transaction};
use store::Store;
use tokio::sync::mpsc;
use tokio::time::Instant;
use wire::Entities;

use crate::feeds::{Feeds, is_turn};
use crate::publisher::Shared;
use crate::recent::Recent;
use crate::visibility::Visibility;

/// How many transactions may be read before they are released.
const AHEAD: usize = 1_024;
/// About how many changes are read at once.
const PAGE: usize = 1_000;
/// How far back the log is read at the start at most, in revisions, so that data planes that were
/// connected before a restart need no snapshot.
const LOOK_BACK: u64 = 10_000;
/// The log is not read more often than this: under a stream of writes, data planes get one frame
/// per pause instead of one per write. A write after a quiet moment does not wait.
const PACE: Duration = Duration::from_millis(5);

/// Something that was read, and when it is released.
#[derive(Debug)]
struct Step {
    what: What,
    release_at: Instant,
}

#[derive(Debug)]
enum What {
    /// The next transaction of the log.
    Transaction(Transaction),
    /// The whole set: at the start, after an epoch change, or when the log had a gap.
    Whole {
        at: Cursor,
        committed_us: i64,
        entities: Entities,
        recent: Recent,
        open: Option<store::OpenRollout>,
    },
}

/// Follows the log until the shutdown begins.
pub(crate) async fn run(shared: &Shared, shutdown: &Shutdown) {
    let (found, steps) = mpsc::channel(AHEAD);
    let reader = Reader {
        shared,
        found,
        read: None,
        visibility: Visibility::new(shared.settings.propagation),
        backoff: Backoff::new(Duration::from_millis(100), shared.settings.frequency),
        failing: false,
    };
    tokio::select! {
        () = shutdown.draining() => {}
        () = reader.run() => {}
        () = release(shared, steps) => {}
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    found: mpsc::Sender<Step>,
    /// How far the log has been read; `None` makes a new start from the whole set.
    read: Option<Cursor>,
    visibility: Visibility,
    backoff: Backoff,
    failing: bool,
}

impl Reader<'_> {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            match self.read_all().await {
                Ok(Some(read)) => {
                    self.recovered();
                    let wait = self.shared.jittered(self.shared.settings.frequency);
                    // Late or lost notifications cost this wait, nothing else.
                    let _ =
                        tokio::time::timeout(wait, self.shared.store.grown(read.revision)).await;
                    tokio::time::sleep_until(began + PACE).await;
                }
                Ok(None) => self.pause().await,
                Err(error) => {
                    self.failed(&error);
                    self.pause().await;
                }
            }
        }
    }

    async fn pause(&mut self) {
        let pause = self.shared.draw(|random| self.backoff.next_delay(random));
        tokio::time::sleep(pause.max(PACE)).await;
    }

    fn recovered(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.failing) {
            tracing::info!("the store can be read again");
        }
    }

    fn failed(&mut self, error: &store::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                %error,
                "the store cannot be read; data planes keep their streams and get no changes \
                 until it can"
            );
        }
    }

    /// Reads to the end of the log. `None`: what was found asks for a new start.
    async fn read_all(&mut self) -> Result<Option<Cursor>, store::Error> {
        let mut read = match self.read {
            Some(read) => read,
            None => match self.read_whole().await? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        loop {
            let log = self.shared.store.log_after(read.revision, PAGE).await?;
            let (head, now) = (log.head, Instant::now());
            if head.at.epoch != read.epoch {
                tracing::warn!(was = %read, is = %head.at, "the store has a new epoch");
                return Ok(self.start_anew());
            }
            if head.at.revision < read.revision {
                self.shared.suspect_rewind(read).await?;
                return Ok(self.start_anew());
            }
            for transaction in log.transactions {
                if transaction.prev > read.revision || transaction.revision <= read.revision {
                    tracing::error!(
                        read = read.revision,
                        prev = transaction.prev,
                        revision = transaction.revision,
                        "the change log does not continue where it was read to; reading \
                         everything anew"
                    );
                    return Ok(self.start_anew());
                }
                read.revision = transaction.revision;
                let release_at = self.visibility.stamp(transaction.committed_us, head.now_us, now);
                self.found(Step { what: What::Transaction(transaction), release_at }).await;
                self.read = Some(read);
            }
            if read.revision == head.at.revision {
                return Ok(Some(read));
            }
            if head.compacted > read.revision {
                tracing::warn!(
                    read = read.revision,
                    compacted = head.compacted,
                    "the change log was compacted beyond what was read; reading everything anew"
                );
                return Ok(self.start_anew());
            }
        }
    }

    fn start_anew(&mut self) -> Option<Cursor> {
        self.read = None;
        None
    }

    /// Reads everything that is stored, and how the newest part of it came about. `None`: a
    /// rollout ended meanwhile, and it is to be read anew.
    async fn read_whole(&mut self) -> Result<Option<Cursor>, store::Error> {
        let store = &*self.shared.store;
        let (at, entities) = store.snapshot().await?;
        // After it: an entity that was touched between the two was before as the snapshot shows it.
        let open = store.rollout().await?.filter(|open| open.opened <= at.revision);
        let entities: Entities = entities
            .into_iter()
            .filter(|entity| fits(&entity.body, entity.kind.as_str(), entity.id))
            .map(|entity| (entity.kind, entity.id, entity.body))
            .collect();
        if entities.get(&Rollout::KIND, Rollout::ID).is_some() != open.is_some() {
            return Ok(self.start_anew());
        }
        let (recent, committed_us, database_us) = look_back(store, at).await?;
        let release_at = self.visibility.stamp(committed_us, database_us, Instant::now());
        let what = What::Whole { at, committed_us, entities, recent, open };
        self.found(Step { what, release_at }).await;
        self.read = Some(at);
        Ok(Some(at))
    }

    async fn found(&self, step: Step) {
        // The other half ends only together with this one.
        let _ = self.found.send(step).await;
    }
}

/// What led to `at`, as far as the log and [`LOOK_BACK`] reach: the changed keys, when `at` was
/// committed, and the database's clock.
async fn look_back(store: &dyn Store, at: Cursor) -> Result<(Recent, i64, i64), store::Error> {
    let head = store.head().await?;
    let mut reached = head.compacted.max(at.revision.saturating_sub(LOOK_BACK));
    let mut recent = Recent::since(reached);
    // What the log does not reach back to was committed long ago.
    let mut committed_us = 0;
    while reached < at.revision {
        let log = store.log_after(reached, PAGE).await?;
        if log.head.at.epoch != at.epoch || log.transactions.is_empty() {
            // Compacted or set back meanwhile: the reading of the log will find out.
            recent = Recent::since(at.revision);
            break;
        }
        for mut transaction in log.transactions {
            if transaction.revision <= at.revision {
                // What data planes are not told of.
                transaction.changes.retain(|change| change.kind != Rollout::KIND);
                recent.note(transaction.revision, &transaction.changes);
                committed_us = transaction.committed_us;
            }
            reached = transaction.revision;
        }
    }
    Ok((recent, committed_us, head.now_us))
}

/// Releases what has been read, each at its moment.
async fn release(shared: &Shared, mut steps: mpsc::Receiver<Step>) {
    let mut next = None;
    loop {
        let step = match next.take() {
            Some(step) => step,
            None => match steps.recv().await {
                Some(step) => step,
                None => return,
            },
        };
        tokio::time::sleep_until(step.release_at).await;
        match step.what {
            What::Whole { at, committed_us, entities, recent, open } => {
                tracing::info!(%at, entities = entities.len(), "read the whole configuration");
                // The difference to the set before would not do for data planes: one that is
                // between the two, by another control plane, could not apply it.
                let anew = Feeds::new(at, committed_us, entities, recent, open.as_ref());
                shared.change_feeds(|feeds| *feeds = Some(anew));
            }
            What::Transaction(first) => {
                let mut size = size(&first);
                let alone = is_turn(&first);
                let mut batch = vec![first];
                // What else is due goes into the same frame, as long as it is one message.
                while !alone && let Ok(step) = steps.try_recv() {
                    match step {
                        Step { what: What::Transaction(transaction), release_at }
                            if release_at <= Instant::now()
                                && !is_turn(&transaction)
                                && size + self::size(&transaction) <= wire::PART =>
                        {
                            size += self::size(&transaction);
                            batch.push(transaction);
                        }
                        other => {
                            next = Some(other);
                            break;
                        }
                    }
                }
                let Some(mut transaction) = wire::merge(batch) else { continue };
                transaction.changes.retain(|change| {
                    change
                        .body
                        .as_deref()
                        .is_none_or(|body| fits(body, change.kind.as_str(), change.id))
                });
                shared.change_feeds(|feeds| {
                    if let Some(feeds) = feeds {
                        feeds.release(&mut transaction);
                    }
                });
            }
        }
    }
}

fn size(transaction: &Transaction) -> usize {
    transaction.changes.iter().map(wire::change_size).sum::<usize>()
}

/// Whether an entity can travel. One that cannot keeps its former version everywhere, instead of
/// holding up all others.
fn fits(body: &str, kind: &str, id: uuid::Uuid) -> bool {
    let fits = body.len() <= wire::MAX_BODY;
    if !fits {
        tracing::error!(
            kind,
            %id,
            bytes = body.len(),
            limit = wire::MAX_BODY,
            "an entity is too large to be sent to a data plane; its former version stays in force"
        );
    }
    fits
}
