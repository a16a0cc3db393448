//! What the tests of this crate give the Admin API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use lifecycle::ManualClock;
use model::{Cursor, Entity, Rollout, RouterFlavor};
use plugin::{Listing, PluginCatalogue};
use serde_json::Value;
use store::{Committed, Error, Head, Key, ListQuery, Log, Page, Store, TaggedEntity, WriteSet};
use telemetry::logging::Level;
use uuid::Uuid;

use crate::{
    About, Api, Barrier, Connections, DataPlane, Fleet, FleetHealth, Node, Random, RejectedBy,
    Role, Served, State, Wanted,
};

/// Kong's default.
pub(crate) const LARGEST_BODY: usize = 10 << 20;

/// 2023-11-14T22:13:20Z, in microseconds.
pub(crate) const NOW_US: i64 = 1_700_000_000_000_000;

/// A state on this store, everything else at rest: no data plane, no plugin, a clock that stands.
pub(crate) fn state(store: Arc<dyn Store>) -> State {
    State {
        store,
        clock: Arc::new(ManualClock::at(NOW_US)),
        random: Arc::new(Sequence::default()),
        plugins: Arc::new(NoPlugins),
        barrier: Arc::new(Nobody),
        fleet: Arc::new(Nobody),
        node: Arc::new(Nobody),
        explain: None,
        declarative: None,
        about: Arc::new(About {
            node_id: Uuid::from_u128(1),
            workspace_id: Uuid::from_u128(2),
            hostname: "test".to_owned(),
            role: Role::Traditional,
            router_flavor: RouterFlavor::TraditionalCompatible,
            configuration: crate::Object::new(),
            gui_origins: Vec::new(),
            largest_body: LARGEST_BODY,
            largest_entity: 16 << 20,
            default_wait: None,
        }),
    }
}

/// The Admin API on a store of its own.
pub(crate) struct Stored {
    pub(crate) api: Api,
    pub(crate) state: State,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    /// Where a file is, if it is one; gone with the test.
    _directory: Option<tempfile::TempDir>,
}

impl Stored {
    /// On SQLite.
    pub(crate) async fn sqlite() -> Stored {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let store = store_sql::open_sqlite(&store_sql::SqliteOptions { path }).await.unwrap();
        Stored::on(store, Some(directory))
    }

    /// On Postgres.
    pub(crate) async fn postgres() -> Stored {
        let options = store_sql::testing::Server::shared().database().await;
        let database = store_sql::Database::Postgres(options);
        Stored::on(store_sql::open(&database).await.unwrap(), None)
    }

    fn on(store: Arc<dyn Store>, directory: Option<tempfile::TempDir>) -> Stored {
        let clock = Arc::new(ManualClock::at(NOW_US));
        let mut state = state(store.clone());
        state.clock = clock.clone();
        Stored { api: Api::new(state.clone()), state, store, clock, _directory: directory }
    }

    /// The id of the entity that was answered.
    pub(crate) fn id(&self, answer: &Answered) -> Uuid {
        answer.json["id"].as_str().unwrap().parse().unwrap()
    }
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when there is no body.
    pub(crate) json: Value,
}

/// Sends a request with a JSON body, if one is given.
pub(crate) async fn send(api: &Api, method: &str, path: &str, body: Option<Value>) -> Answered {
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    answered(api, request.body(Full::new(Bytes::from(body))).unwrap()).await
}

/// Sends any request.
pub(crate) async fn answered(api: &Api, request: Request<Full<Bytes>>) -> Answered {
    let (parts, body) = api.handle(request, "http").await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answered { status: parts.status, headers: parts.headers, json }
}

/// Bytes that never repeat.
#[derive(Debug, Default)]
struct Sequence(AtomicU64);

impl Random for Sequence {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for (byte, value) in chunk.iter_mut().zip(next.to_le_bytes()) {
                *byte = value;
            }
        }
    }
}

#[derive(Debug)]
struct NoPlugins;

impl PluginCatalogue for NoPlugins {
    fn names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn find(&self, _: &str) -> Option<&Listing> {
        None
    }
}

/// Nobody to wait for, nobody who reports, nothing that runs.
struct Nobody;

#[async_trait]
impl Barrier for Nobody {
    async fn wait_served(&self, _: Cursor, wanted: Wanted, _: Duration) -> Served {
        Served { reached: !matches!(wanted, Wanted::AtLeast(1..)), ..Served::default() }
    }
}

impl Fleet for Nobody {
    fn upstream_health(&self, _: Uuid) -> FleetHealth {
        FleetHealth::default()
    }

    fn data_planes(&self) -> Vec<DataPlane> {
        Vec::new()
    }

    fn rollout(&self) -> Option<Rollout> {
        None
    }

    fn rejected_by(&self, _: &str, _: Uuid) -> Vec<RejectedBy> {
        Vec::new()
    }

    fn forget(&self, _: Uuid) {}
}

impl Node for Nobody {
    fn metrics(&self) -> String {
        "# no metrics\n".to_owned()
    }

    fn connections(&self) -> Connections {
        Connections::default()
    }

    fn resident_memory(&self) -> u64 {
        0
    }

    fn log_level(&self) -> Level {
        Level::Notice
    }

    fn set_log_level(&self, _: Level, _: Option<Duration>) -> Result<(), String> {
        Ok(())
    }
}

/// A store that cannot be reached.
#[derive(Debug)]
pub(crate) struct Down;

impl Down {
    fn refuse<T>() -> Result<T, Error> {
        Err(Error::Unavailable("connection refused".to_owned()))
    }
}

#[async_trait]
impl Store for Down {
    async fn get(&self, _: &str, _: Uuid) -> Result<Option<Entity>, Error> {
        Down::refuse()
    }

    async fn find(&self, _: &str, _: &Key) -> Result<Option<Entity>, Error> {
        Down::refuse()
    }

    async fn keyed_before(&self, _: &str, _: &str, _: &str, _: u32) -> Result<Vec<Entity>, Error> {
        Down::refuse()
    }

    async fn list(&self, _: &ListQuery) -> Result<Page, Error> {
        Down::refuse()
    }

    async fn tags(
        &self,
        _: Option<&str>,
        _: Option<&TaggedEntity>,
        _: u32,
    ) -> Result<Vec<TaggedEntity>, Error> {
        Down::refuse()
    }

    async fn referrers(&self, _: &str, _: Uuid) -> Result<Vec<Entity>, Error> {
        Down::refuse()
    }

    async fn write(&self, _: WriteSet) -> Result<Committed, Error> {
        Down::refuse()
    }

    async fn head(&self) -> Result<Head, Error> {
        Down::refuse()
    }

    async fn log_after(&self, _: u64, _: usize) -> Result<Log, Error> {
        Down::refuse()
    }

    async fn snapshot(&self) -> Result<(Cursor, Vec<Entity>), Error> {
        Down::refuse()
    }

    async fn rollout(&self) -> Result<Option<store::OpenRollout>, Error> {
        Down::refuse()
    }

    async fn grown(&self, _: u64) {}

    async fn compact(&self, _: u64) -> Result<(), Error> {
        Down::refuse()
    }

    async fn revision_at(&self, _: i64) -> Result<u64, Error> {
        Down::refuse()
    }

    async fn renew_epoch(&self, _: Cursor) -> Result<Cursor, Error> {
        Down::refuse()
    }

    async fn count(&self, _: &[store::Increment]) -> Result<Vec<i64>, Error> {
        Down::refuse()
    }

    async fn forget_counters(&self) -> Result<(), Error> {
        Down::refuse()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn post(&self, _: Uuid, _: u64, _: &[store::Notice]) -> Result<(), Error> {
        Down::refuse()
    }

    async fn notices(&self, _: &[(Uuid, u64)]) -> Result<store::Notices, Error> {
        Down::refuse()
    }

    async fn noticed(&self) {}

    async fn clear_notices(&self, _: Duration, _: Duration) -> Result<(), Error> {
        Down::refuse()
    }
}
