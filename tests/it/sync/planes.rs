//! Control planes, data planes and the wires between them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lifecycle::{Shutdown, SystemClock};
use model::{Change, Cursor, Digest, Transaction};
use publish::Publisher;
use subscribe::{Apply, Client, Dial, Endpoint, Io, Rejection, State, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::Entities;

use super::store::FaultyStore;

pub(super) const FREQUENCY: Duration = Duration::from_secs(5);

/// Longer than anything takes that is to happen at once.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// A publisher with its tasks.
pub(super) struct ControlPlane {
    pub(super) publisher: Publisher,
    pub(super) dialer: wire::Dialer,
    /// Cancelled when it crashed: its connections end with it.
    dead: CancellationToken,
    shutdown: Shutdown,
    tasks: Vec<JoinHandle<()>>,
}

impl ControlPlane {
    pub(super) fn start(store: &Arc<FaultyStore>) -> ControlPlane {
        ControlPlane::with(store, settings())
    }

    pub(super) fn with(store: &Arc<FaultyStore>, settings: publish::Settings) -> ControlPlane {
        let publisher = Publisher::new(store.clone(), Arc::new(SystemClock), settings);
        let (dialer, listener) = wire::pipe();
        let shutdown = Shutdown::new();
        let (tailing, serving) = (publisher.clone(), publisher.clone());
        let (until, until_too) = (shutdown.clone(), shutdown.clone());
        static NAMES: AtomicU64 = AtomicU64::new(1);
        let name = Uuid::from_u128(u128::from(NAMES.fetch_add(1, Ordering::Relaxed)));
        let tasks = vec![
            tokio::spawn(publisher.share(name, &shutdown)),
            tokio::spawn(async move { tailing.tail(&until).await }),
            tokio::spawn(async move {
                serving.serve_pipe(listener, &until_too).await.expect("a pipe cannot fail");
            }),
        ];
        ControlPlane { publisher, dialer, dead: CancellationToken::new(), shutdown, tasks }
    }

    /// Stops in good order, and waits for it.
    pub(super) async fn stop(self) {
        self.shutdown.drain();
        for task in self.tasks {
            task.await.expect("no panic");
        }
    }

    /// Is gone from one moment to the next.
    pub(super) fn crash(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.dead.cancel();
    }
}

pub(super) fn settings() -> publish::Settings {
    publish::Settings { frequency: FREQUENCY, ..publish::Settings::default() }
}

/// The wire between a data plane and one control plane.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    to: Arc<Mutex<Option<(wire::Dialer, CancellationToken)>>>,
    mode: Arc<watch::Sender<Mode>>,
    delay: Arc<watch::Sender<Duration>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Up,
    Cut,
    Silent,
}

impl Wire {
    pub(super) fn to(control_plane: &ControlPlane) -> Wire {
        let wire = Wire::to_nobody();
        wire.plug(control_plane);
        wire
    }

    pub(super) fn to_nobody() -> Wire {
        let mode = Arc::new(watch::Sender::new(Mode::Up));
        Wire { to: Arc::default(), mode, delay: Arc::default() }
    }

    /// Leads to this control plane from now on.
    pub(super) fn plug(&self, control_plane: &ControlPlane) {
        *self.to.lock().expect("no panic") =
            Some((control_plane.dialer.clone(), control_plane.dead.clone()));
    }

    /// Ends all connections, and refuses new ones until it is mended.
    pub(super) fn cut(&self) {
        self.switch(Mode::Cut);
    }

    /// Takes everything and brings nothing, without a sign.
    pub(super) fn silence(&self) {
        self.switch(Mode::Silent);
    }

    /// Brings what it takes later by so much, and no more than a buffer of it in that time.
    pub(super) fn slow(&self, delay: Duration) {
        self.delay.send_replace(delay);
    }

    pub(super) fn mend(&self) {
        self.switch(Mode::Up);
        self.slow(Duration::ZERO);
    }

    fn switch(&self, to: Mode) {
        self.mode.send_if_modified(|mode| std::mem::replace(mode, to) != to);
    }

    pub(super) fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::dialled(name, Arc::new(self.clone()))
    }
}

impl Dial for Wire {
    fn dial(&self) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let wire = self.clone();
        async move {
            let mut mode = wire.mode.subscribe();
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            if *mode.borrow_and_update() == Mode::Cut {
                return Err(refused());
            }
            let (dialer, dead) = wire.to.lock().expect("no panic").clone().ok_or_else(refused)?;
            let far = dialer.dial().await?;
            let (near, middle) = tokio::io::duplex(64 << 10);
            let delay = wire.delay.subscribe();
            tokio::spawn(async move {
                let (mut near, mut far) = (tokio::io::split(middle), tokio::io::split(far));
                if *mode.borrow() == Mode::Up {
                    let there = pass(&mut near.0, &mut far.1, &delay);
                    let back = pass(&mut far.0, &mut near.1, &delay);
                    tokio::select! {
                        _ = async { tokio::join!(there, back) } => return,
                        () = dead.cancelled() => return,
                        _ = mode.changed() => {}
                    }
                }
                // What was on its way is lost, so that the connection is good for nothing more.
                let _ = mode.wait_for(|mode| *mode != Mode::Silent).await;
            });
            Ok(Box::new(near) as Box<dyn Io>)
        }
        .boxed()
    }
}

/// Passes on what comes, until that ends.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    delay: &watch::Receiver<Duration>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let delay = *delay.borrow();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// What a data plane serves: refuses bodies that begin with `bad`.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) entities: Entities,
    /// Where it has been, in order, and what it served there.
    pub(super) way: Vec<(Cursor, Digest)>,
    /// How often everything was replaced.
    pub(super) replaced: usize,
    bad: BTreeMap<Uuid, String>,
}

/// A data plane that keeps nothing on disk.
pub(super) fn follower(id: u128, endpoints: Vec<Endpoint>) -> subscribe::Settings {
    subscribe::Settings {
        endpoints,
        node: subscribe::Node {
            id: Uuid::from_u128(id),
            hostname: format!("dp-{id}"),
            version: "1.2.3".to_owned(),
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            plugins: BTreeMap::new(),
        },
        frequency: FREQUENCY,
        cache_ttl: None,
        data_dir: None,
        snapshot_key: None,
        seed: id as u64,
    }
}

/// What the client drives.
pub(super) struct Served(Arc<Mutex<Mirror>>);

impl Apply for Served {
    fn replace(&mut self, at: Cursor, entities: Vec<Change>) -> Vec<Rejection> {
        let mut mirror = self.0.lock().expect("no panic");
        mirror.replaced += 1;
        let stays: Entities =
            entities.iter().filter_map(|e| Some((e.kind.clone(), e.id, e.body.clone()?))).collect();
        let gone = |entity: &Change| stays.get(&entity.kind, entity.id).is_none();
        let gone = mirror.entities.to_changes().into_iter().filter(gone);
        let gone: Vec<Change> = gone.map(|entity| Change { body: None, ..entity }).collect();
        mirror.entities.apply(&gone);
        mirror.bad.clear();
        let rejections = mirror.take(&entities);
        let digest = mirror.entities.digest();
        mirror.way.push((at, digest));
        rejections
    }

    fn apply(&mut self, transactions: &[Transaction]) -> Vec<Rejection> {
        let mut mirror = self.0.lock().expect("no panic");
        let mut rejections = Vec::new();
        for transaction in transactions {
            let (at, _) = *mirror.way.last().expect("a replacement came before");
            assert!(
                transaction.prev <= at.revision && at.revision <= transaction.revision,
                "{transaction:?} at {at}"
            );
            rejections = mirror.take(&transaction.changes);
            let digest = mirror.entities.digest();
            mirror.way.push((Cursor { revision: transaction.revision, ..at }, digest));
        }
        rejections
    }
}

impl Mirror {
    fn take(&mut self, changes: &[Change]) -> Vec<Rejection> {
        for change in changes {
            match change.body.as_deref().filter(|body| body.starts_with("bad")) {
                Some(body) => {
                    self.bad.insert(change.id, body.to_owned());
                }
                None => {
                    self.bad.remove(&change.id);
                    self.entities.apply(std::slice::from_ref(change));
                }
            }
        }
        let rejection = |(id, body): (&Uuid, &String)| Rejection {
            kind: super::store::SERVICES,
            id: *id,
            reason: format!("cannot serve {body:?}"),
            in_part: false,
        };
        self.bad.iter().map(rejection).collect()
    }

    pub(super) fn body(&self, id: u128) -> Option<&str> {
        self.entities.get(&super::store::SERVICES, Uuid::from_u128(id)).map(|body| &**body)
    }
}

/// A client with what it serves.
pub(super) struct DataPlane {
    pub(super) id: Uuid,
    pub(super) status: watch::Receiver<Status>,
    mirror: Arc<Mutex<Mirror>>,
    shutdown: Shutdown,
    task: JoinHandle<()>,
}

impl DataPlane {
    pub(super) fn start(id: u128, endpoints: Vec<Endpoint>) -> DataPlane {
        DataPlane::with(id, endpoints, None, None)
    }

    pub(super) fn with(
        id: u128,
        endpoints: Vec<Endpoint>,
        data_dir: Option<PathBuf>,
        cache_ttl: Option<Duration>,
    ) -> DataPlane {
        let settings = subscribe::Settings { data_dir, cache_ttl, ..follower(id, endpoints) };
        DataPlane::following(settings, |served| served)
    }

    /// One that is called by a label, with something between what it follows and what it serves.
    pub(super) fn labelled<A: Apply + Sync>(
        stage: &str,
        mut settings: subscribe::Settings,
        between: impl FnOnce(Served) -> A,
    ) -> DataPlane {
        settings.node.labels = BTreeMap::from([("stage".to_owned(), stage.to_owned())]);
        DataPlane::following(settings, between)
    }

    /// One with these settings, with something between what it follows and what it serves.
    pub(super) fn following<A: Apply + Sync>(
        settings: subscribe::Settings,
        between: impl FnOnce(Served) -> A,
    ) -> DataPlane {
        let id = settings.node.id;
        let client = Client::new(settings);
        let status = client.status();
        let mirror = Arc::new(Mutex::new(Mirror::default()));
        let shutdown = Shutdown::new();
        let (served, until) = (between(Served(mirror.clone())), shutdown.clone());
        let task = tokio::spawn(async move {
            client.run(served, &until).await.expect("no panic");
        });
        DataPlane { id, status, mirror, shutdown, task }
    }

    pub(super) fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().expect("no panic")
    }

    pub(super) fn state(&self) -> State {
        self.status.borrow().state
    }

    /// Waits until the status is as wanted; says how long that took.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        what: impl Fn(&Status) -> bool,
    ) -> Duration {
        let began = Instant::now();
        let waited = tokio::time::timeout(limit, self.status.wait_for(|status| what(status)));
        if waited.await.is_err() {
            panic!("not within {limit:?}: {:?}", self.status.borrow());
        }
        began.elapsed()
    }

    /// Waits until it serves what is stored now.
    pub(super) async fn current(&mut self, store: &FaultyStore, limit: Duration) -> Duration {
        let (at, entities) = store.now();
        let took = self.until(limit, |status| status.serving == Some(at)).await;
        assert_eq!(self.mirror().entities.to_changes(), entities.to_changes());
        took
    }

    /// Waits until it has the stream.
    pub(super) async fn streaming(&mut self, limit: Duration) -> Duration {
        self.until(limit, |status| status.state == State::Streaming).await
    }

    /// Stops in good order, and waits for it.
    pub(super) async fn stop(self) {
        self.shutdown.drain();
        self.task.await.expect("no panic");
    }

    /// Is gone from one moment to the next.
    pub(super) fn crash(self) {
        self.task.abort();
    }

    /// What it serves, also when it is gone.
    pub(super) fn served(&self) -> Arc<Mutex<Mirror>> {
        self.mirror.clone()
    }
}
