//! Who waits for the log to grow.

use model::Cursor;
use tokio::sync::watch;

/// The newest position that this process knows of, from its own commits, from notifications, and
/// from whatever it reads.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    known: watch::Sender<Cursor>,
}

impl Growth {
    pub(crate) fn new(at: Cursor) -> Growth {
        Growth { known: watch::Sender::new(at) }
    }

    pub(crate) fn known(&self) -> Cursor {
        *self.known.borrow()
    }

    /// The log has reached this position.
    pub(crate) fn reached(&self, at: Cursor) {
        self.known.send_if_modified(|known| {
            let news = at.epoch != known.epoch || at.revision > known.revision;
            if news {
                *known = at;
            }
            news
        });
    }

    /// The log was read and stood here; `before` is what was known before the reading began. A log
    /// that stands behind that has been rewound, and nobody must be woken for what is not there
    /// any more.
    pub(crate) fn read(&self, before: Cursor, at: Cursor) {
        if at.epoch == before.epoch && at.revision < before.revision {
            self.known.send_if_modified(|known| {
                let rewound = *known == before;
                if rewound {
                    *known = at;
                }
                rewound
            });
        } else {
            self.reached(at);
        }
    }

    /// Waits until the log is known to be beyond `revision`.
    pub(crate) async fn beyond(&self, revision: u64) {
        let mut known = self.known.subscribe();
        // Fails only when the sender is gone, which `self` keeps.
        let _ = known.wait_for(|known| known.revision > revision).await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(epoch: u128, revision: u64) -> Cursor {
        Cursor { epoch: Uuid::from_u128(epoch), revision }
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_wake_for_what_is_new_and_only_for_that() {
        let growth = Growth::new(at(1, 5));
        growth.beyond(4).await;
        growth.reached(at(1, 3));
        assert_eq!(growth.known(), at(1, 5), "late news are no news");
        let waiting = growth.beyond(5);
        tokio::pin!(waiting);
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, waiting.as_mut()).await.is_err());
        growth.reached(at(1, 6));
        waiting.await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rewound_log_stops_waking() {
        let growth = Growth::new(at(1, 50));
        growth.read(at(1, 50), at(1, 20));
        assert_eq!(growth.known(), at(1, 20));
        // A reading that began before a commit and ended after its news proves nothing.
        growth.reached(at(1, 21));
        growth.read(at(1, 20), at(1, 20));
        assert_eq!(growth.known(), at(1, 21));
        growth.read(at(1, 21), at(2, 3));
        assert_eq!(growth.known(), at(2, 3), "another epoch does not compare");
    }
}
