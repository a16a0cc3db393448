//! One stream: a cursor that pulls from the feed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lifecycle::Shutdown;
use model::Cursor;
use rand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;
use wire::v1::resync::Reason;

use crate::feed::{Next, Released};
use crate::fleet::Attached;
use crate::frames;
use crate::publisher::Shared;

/// How often a stream shows a sign of life.
const BOOKMARK: Duration = Duration::from_secs(10);

/// How long the wave of reconnects lasts after a shutdown: so long per data plane…
const SPREAD_EACH: Duration = Duration::from_millis(10);
/// …and never longer than this.
const SPREAD_MAX: Duration = Duration::from_secs(10);

/// One data plane's stream.
pub(crate) struct Session {
    shared: Arc<Shared>,
    shutdown: Shutdown,
    released: watch::Receiver<Option<Released>>,
    /// Says that the data plane is connected for as long as the stream lives.
    attached: Attached,
    /// What the operator calls the data plane by: decides what it is entitled to.
    labels: BTreeMap<String, String>,
    epoch: Uuid,
    /// What has been put into `ready`.
    at: u64,
    ready: VecDeque<Bytes>,
    /// Nothing follows what is ready.
    ended: bool,
    bookmark_at: Instant,
}

impl Session {
    /// A stream for who holds `from`, greeted or refused by its first frame.
    pub(crate) fn open(
        shared: Arc<Shared>,
        shutdown: Shutdown,
        attached: Attached,
        labels: BTreeMap<String, String>,
        from: Option<Cursor>,
        head: Cursor,
    ) -> Session {
        let mut session = Session {
            released: shared.follow(),
            shared,
            shutdown,
            attached,
            labels,
            epoch: head.epoch,
            at: head.revision,
            ready: VecDeque::new(),
            ended: false,
            // The first bookmark comes with what is ready now: it says that the stream is current.
            bookmark_at: Instant::now(),
        };
        let judged = session.shared.feeds().as_mut().map(|feeds| {
            let feed = feeds.of(&session.labels, from);
            (feed.released().at, feed.floor(), feed.judge(from))
        });
        match judged {
            Some((head, floor, Ok(at))) => {
                session.epoch = head.epoch;
                session.at = at;
                let bookmark_ms = BOOKMARK.as_millis() as u32;
                session.ready.push_back(frames::hello(head, floor, bookmark_ms));
            }
            Some((head, _, Err(reason))) => session.refuse(reason, head),
            None => session.refuse(Reason::Unspecified, head),
        }
        session
    }

    /// The next frame; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            self.released.borrow_and_update();
            if self.pull() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.shutdown.draining() => self.say_goodbye(),
                // The publisher lives as long as this does: a closed channel cannot be.
                _ = self.released.changed() => {}
                () = tokio::time::sleep_until(self.bookmark_at) => {}
            }
        }
    }

    /// Makes frames ready; `false` when there is nothing to say now.
    fn pull(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut feeds = shared.feeds();
        let Some(feeds) = feeds.as_mut() else { return false };
        if self.attached.is_revoked(feeds.newest().entities_ref()) {
            // Its calls are refused from now on; this one it learns of by its end.
            self.attached.expel();
            self.ended = true;
            return true;
        }
        let at = Cursor { epoch: self.epoch, revision: self.at };
        let feed = feeds.of(&self.labels, Some(at));
        let Released { at: head, digest, .. } = feed.released();
        if head.epoch != self.epoch {
            self.refuse(Reason::Epoch, head);
            return true;
        }
        match feed.next(self.at) {
            Next::Frames { frames, to } => {
                self.ready.extend(frames);
                self.at = to;
                true
            }
            Next::Resync(reason) => {
                self.refuse(reason, head);
                true
            }
            Next::UpToDate if Instant::now() >= self.bookmark_at => {
                self.ready.push_back(frames::bookmark(head.revision, digest));
                self.bookmark_at = Instant::now() + BOOKMARK;
                true
            }
            Next::UpToDate => false,
        }
    }

    fn refuse(&mut self, reason: Reason, head: Cursor) {
        self.ready.push_back(frames::resync(reason, head));
        self.ended = true;
    }

    fn say_goodbye(&mut self) {
        let streams = u32::try_from(self.attached.streams()).unwrap_or(u32::MAX);
        let spread = SPREAD_EACH.saturating_mul(streams).min(SPREAD_MAX).as_millis() as u32;
        let retry_after = self.shared.draw(|random| random.random_range(0..=spread));
        self.ready.push_back(frames::goodbye(retry_after));
        self.ended = true;
    }
}
