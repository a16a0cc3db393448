//! The whole configuration in frames, made once for everybody who needs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Cursor, Digest};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tonic::Status;
use wire::{Entities, v1};

use crate::publisher::Shared;

/// How many data planes take a snapshot at the same time.
const STREAMS: usize = 64;

/// How long others wait for their turn, in their order. Shorter than data planes wait for an answer; to be refused at
/// once costs a thousand that start together more than to stand in a line.
const QUEUE: Duration = Duration::from_secs(10);

/// A snapshot this young is handed out although the configuration has changed: who takes it
/// catches up by the log, and a storm of data planes does not make one snapshot per change.
const YOUNG: Duration = Duration::from_secs(5);

/// A snapshot as frames, with the right to send it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) snapshot: Arc<Encoded>,
    /// Counts the stream; dropped with it.
    _permit: OwnedSemaphorePermit,
}

/// A snapshot as frames.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) at: Cursor,
    pub(crate) frames: Vec<Bytes>,
    made: Instant,
}

/// The last one that was made.
type Slot = Mutex<Option<Arc<Encoded>>>;

#[derive(Debug)]
pub(crate) struct Snapshots {
    newest: Slot,
    /// For those that a rollout holds back.
    held: Slot,
    streams: Arc<Semaphore>,
}

impl Snapshots {
    pub(crate) fn new() -> Snapshots {
        Snapshots {
            newest: Mutex::default(),
            held: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// A snapshot for who has these labels and holds `from`.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when too many are being sent for too long, `FAILED_PRECONDITION` when `from` is
    /// ahead of what is released.
    pub(crate) async fn take(
        &self,
        shared: &Shared,
        labels: &BTreeMap<String, String>,
        from: Option<Cursor>,
    ) -> Result<Taken, Status> {
        let turn = timeout(QUEUE, self.streams.clone().acquire_owned()).await;
        let permit = turn.ok().and_then(Result::ok).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "{STREAMS} data planes have been taking a snapshot for {} s; try again in a moment",
                QUEUE.as_secs()
            ))
        })?;
        let holds = || shared.feeds().as_ref().is_some_and(|feeds| feeds.holds(labels, from));
        // Locked while one is made, so that those who come meanwhile share it.
        let mut slot = if holds() { &self.held } else { &self.newest }.lock().await;
        let (at, floor, entities) = match shared.feeds().as_mut() {
            Some(feeds) => {
                let feed = feeds.of(labels, from);
                (feed.released().at, feed.floor().max(feed.sealed()), feed.entities())
            }
            None => return Err(Status::unavailable("there is no configuration yet")),
        };
        let needed = from.filter(|from| from.epoch == at.epoch).map_or(0, |from| from.revision);
        if needed > at.revision {
            return Err(Status::failed_precondition(format!(
                "revision {needed} is ahead of this control plane, which is at {}",
                at.revision
            )));
        }
        if let Some(ready) = slot.as_ref()
            && ready.at.epoch == at.epoch
            && (ready.at.revision == at.revision || ready.made.elapsed() < YOUNG)
            && (floor.max(needed)..=at.revision).contains(&ready.at.revision)
        {
            return Ok(Taken { snapshot: ready.clone(), _permit: permit });
        }
        // Off the runtime: 100,000 entities take 0.1 s.
        let frames = tokio::task::spawn_blocking(move || encode(at, &entities))
            .await
            .map_err(|error| Status::internal(format!("the snapshot was not made: {error}")))?
            .map_err(|error| Status::internal(format!("the snapshot was not made: {error}")))?;
        let snapshot = Arc::new(Encoded { at, frames, made: Instant::now() });
        *slot = Some(snapshot.clone());
        Ok(Taken { snapshot, _permit: permit })
    }
}

fn encode(at: Cursor, entities: &Entities) -> std::io::Result<Vec<Bytes>> {
    let blocks = wire::pack(entities)?;
    let total = u32::try_from(blocks.len()).map_err(std::io::Error::other)?;
    let digest: Digest = entities.digest();
    let frames = (0..).zip(blocks).map(|(index, block)| {
        wire::frame(&v1::SnapshotChunk {
            at: Some(wire::cursor_to(at)),
            index,
            total,
            zstd: block.zstd,
            raw_len: block.raw_len,
            digest: Bytes::copy_from_slice(&digest.to_bytes()),
            entities: entities.len() as u64,
        })
    });
    Ok(frames.collect())
}
