//! The publisher: what its parts share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle::{Clock, Shutdown};
use model::Cursor;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::Store;
use tokio::sync::watch;
use uuid::Uuid;

use crate::connection::{Certificate, Connection};
use crate::feed::Released;
use crate::feeds::Feeds;
use crate::fleet::Fleet;
use crate::settings::Settings;
use crate::snapshots::Snapshots;
use crate::stalled::Stalled;
use crate::tls::{self, Tls};
use crate::{retention, serve, sharing, tail};

/// Publishes what a store's log says. Clones are the same publisher.
#[derive(Clone)]
pub struct Publisher {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settings: Settings,
    pub(crate) fleet: Fleet,
    pub(crate) snapshots: Snapshots,
    pub(crate) stalled: Stalled,
    feeds: Mutex<Option<Feeds>>,
    released: watch::Sender<Option<Released>>,
    random: Mutex<StdRng>,
}

impl Publisher {
    /// A publisher of this store's log. Nothing happens before [`tail`](Publisher::tail) runs.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, settings: Settings) -> Publisher {
        let random = Mutex::new(StdRng::seed_from_u64(settings.seed));
        Publisher {
            shared: Arc::new(Shared {
                store,
                settings,
                fleet: Fleet::new(clock),
                snapshots: Snapshots::new(),
                stalled: Stalled::new(),
                feeds: Mutex::default(),
                released: watch::Sender::new(None),
                random,
            }),
        }
    }

    /// The data planes.
    pub fn fleet(&self) -> &Fleet {
        &self.shared.fleet
    }

    /// What has been released; `None` until the store was read for the first time.
    pub fn released(&self) -> watch::Receiver<Option<Released>> {
        self.shared.released.subscribe()
    }

    /// Follows the store's log until the shutdown begins. Run it once; a store that is not there
    /// is waited for.
    pub async fn tail(&self, shutdown: &Shutdown) {
        tail::run(&self.shared, shutdown).await;
    }

    /// Tells the other control planes on the same store of the data planes here, and hears of
    /// theirs, until the shutdown begins: the [`fleet`](Publisher::fleet) is that of all of them,
    /// and no wait for all of it ends before they were heard. `name` is this control plane's, a new
    /// one for each start.
    pub fn share(
        &self,
        name: Uuid,
        shutdown: &Shutdown,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.shared.fleet.lock().deaf = true;
        let (shared, shutdown) = (self.shared.clone(), shutdown.clone());
        async move { sharing::run(&shared, name, &shutdown).await }
    }

    /// Keeps the store's log to [`Settings::retention`] until the shutdown begins. Any number of
    /// control planes may do so on one store.
    pub async fn compact(&self, shutdown: &Shutdown) {
        retention::run(&self.shared, shutdown).await;
    }

    /// Serves data planes on these connections until the shutdown begins, then says goodbye and
    /// waits for the streams to end. Run it once per listener.
    ///
    /// # Errors
    /// When accepting fails for good.
    pub async fn serve_with_incoming<I>(
        &self,
        incoming: I,
        shutdown: &Shutdown,
    ) -> Result<(), tonic::transport::Error>
    where
        I: futures_util::Stream<Item = std::io::Result<Connection>>,
    {
        serve::run(&self.shared, incoming, shutdown).await
    }

    /// As [`serve_with_incoming`](Publisher::serve_with_incoming), on a socket.
    ///
    /// # Errors
    /// When accepting fails for good.
    pub async fn serve_tcp(
        &self,
        listener: tokio::net::TcpListener,
        shutdown: &Shutdown,
    ) -> Result<(), tonic::transport::Error> {
        serve::run(&self.shared, serve::tcp(listener), shutdown).await
    }

    /// As [`serve_with_incoming`](Publisher::serve_with_incoming), on a socket, by TLS.
    ///
    /// # Errors
    /// When accepting fails for good.
    pub async fn serve_tls(
        &self,
        listener: tokio::net::TcpListener,
        tls: Tls,
        shutdown: &Shutdown,
    ) -> Result<(), tonic::transport::Error> {
        serve::run(&self.shared, tls::tls(listener, tls), shutdown).await
    }

    /// As [`serve_with_incoming`](Publisher::serve_with_incoming), inside this process.
    ///
    /// # Errors
    /// When accepting fails for good.
    pub async fn serve_pipe(
        &self,
        listener: wire::Listener,
        shutdown: &Shutdown,
    ) -> Result<(), tonic::transport::Error> {
        serve::run(&self.shared, serve::piped(listener), shutdown).await
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("released", &*self.shared.released.borrow())
            .field("connected", &self.shared.fleet.connected())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Looks at what is released, if there is something yet. Never held over an await.
    pub(crate) fn feeds(&self) -> MutexGuard<'_, Option<Feeds>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is released, and tells everybody who follows it.
    pub(crate) fn change_feeds(&self, change: impl FnOnce(&mut Option<Feeds>)) {
        let mut feeds = self.feeds();
        change(&mut feeds);
        let released = feeds.as_ref().map(|feeds| feeds.newest().released());
        let open = feeds.as_ref().and_then(|feeds| feeds.open().cloned());
        drop(feeds);
        if let Some(released) = released {
            self.fleet.released(released.at, open);
        }
        self.released.send_replace(released);
    }

    /// Follows what is released.
    pub(crate) fn follow(&self) -> watch::Receiver<Option<Released>> {
        self.released.subscribe()
    }

    /// Whether this certificate does not belong to the cluster any more.
    pub(crate) fn is_revoked(&self, certificate: &Certificate) -> bool {
        let feeds = self.feeds();
        feeds.as_ref().is_some_and(|feeds| certificate.is_revoked(feeds.newest().entities_ref()))
    }

    /// Waits until the store was read for the first time, for `patience` at most.
    pub(crate) async fn loaded(&self, patience: Duration) -> Result<Released, tonic::Status> {
        let mut released = self.follow();
        let loaded = tokio::time::timeout(patience, released.wait_for(Option::is_some)).await;
        match loaded {
            Ok(Ok(released)) => (*released)
                .ok_or_else(|| tonic::Status::internal("what is released was taken away")),
            Ok(Err(_)) | Err(_) => Err(tonic::Status::unavailable(
                "the control plane has not read the configuration from its database yet",
            )),
        }
    }

    /// Draws from the publisher's randomness.
    pub(crate) fn draw<T>(&self, from: impl FnOnce(&mut StdRng) -> T) -> T {
        from(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `span`, ten per cent more or less.
    pub(crate) fn jittered(&self, span: Duration) -> Duration {
        span.mul_f64(self.draw(|random| random.random_range(0.9..=1.1)))
    }

    /// Somebody has seen `seen`, and we do not reach it. If the store does not, either, it was
    /// set back, and needs a new epoch before anybody builds on what it says now.
    pub(crate) async fn suspect_rewind(&self, seen: Cursor) -> Result<(), store::Error> {
        let now = self.store.renew_epoch(seen).await?;
        if now.epoch != seen.epoch {
            tracing::error!(
                %seen,
                store = %now,
                "the store was set back behind a revision that has been seen (restored from a \
                 backup, or failed over to a standby that lagged); it has a new epoch, and every \
                 data plane takes a snapshot"
            );
        }
        Ok(())
    }
}
