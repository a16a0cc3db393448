//! What the Admin API is given: the store and everything else that it must not own.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lifecycle::Clock;
use model::{Cursor, Rollout, RouterFlavor};
use plugin::PluginCatalogue;
use serde_json::{Map, Value};
use store::Store;
use telemetry::logging::Level;
use uuid::Uuid;

use crate::declarative::Current;

/// A JSON object; its keys are sorted, so its text is canonical.
pub type Object = Map<String, Value>;

/// What the Admin API works with. The binaries fill it in.
#[derive(Clone)]
pub struct State {
    /// Where entities are read and written.
    pub store: Arc<dyn Store>,
    /// The time, for `created_at`, `updated_at` and the latency header.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for ids and generated credentials.
    pub random: Arc<dyn Random>,
    /// The plugins that may be configured.
    pub plugins: Arc<dyn PluginCatalogue>,
    /// Who serves which revision.
    pub barrier: Arc<dyn Barrier>,
    /// What the data planes report.
    pub fleet: Arc<dyn Fleet>,
    /// What this process knows of itself while it runs.
    pub node: Arc<dyn Node>,
    /// Who serves requests in this process, if somebody does.
    pub explain: Option<Arc<dyn Explain>>,
    /// Set when there is no database (`database = off`): entities come from a file or `/config`,
    /// and are read only.
    pub declarative: Option<Arc<Current>>,
    /// What does not change while it runs.
    pub about: Arc<About>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("about", &self.about).finish_non_exhaustive()
    }
}

/// Facts about this process that stay as they are.
#[derive(Clone, Debug)]
pub struct About {
    /// Identifies this process to clients; a new one per start, as Kong does.
    pub node_id: Uuid,
    /// Identifies the workspace `default`, which clients ask for; stays the same.
    pub workspace_id: Uuid,
    /// The machine's name.
    pub hostname: String,
    /// Kong's `role`.
    pub role: Role,
    /// Decides which fields a route has.
    pub router_flavor: RouterFlavor,
    /// Kong's `configuration` of `GET /`: every effective setting, secrets already replaced.
    pub configuration: Object,
    /// Origins of Kong Manager (`admin_gui_url`); empty allows every origin.
    pub gui_origins: Vec<String>,
    /// The most that is read of a request's body, in bytes (Kong:
    /// `nginx_admin_client_max_body_size`).
    pub largest_body: usize,
    /// The largest entity that data planes take, in bytes of its JSON.
    pub largest_entity: usize,
    /// Whether writes are answered only when they are served, when the caller does not say
    /// (`?wait=`). On time-out such a write is answered as if it had not waited.
    pub default_wait: Option<Wait>,
}

/// Kong's `role`, as far as the Admin API differs by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Control and data plane in one process.
    Traditional,
    /// A control plane for separate data planes.
    ControlPlane,
}

/// Until when a write's answer is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many data planes must serve the write.
    pub wanted: Wanted,
    /// At most this long.
    pub within: Duration,
}

/// How many data planes must serve a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every one that is connected to any control plane on the same store.
    All,
    /// Every one that is connected to this control plane.
    Here,
    /// More than half of those that are connected to any.
    Quorum,
    /// At least this many.
    AtLeast(u32),
}

/// What came of waiting for a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Whether as many as wanted serve it.
    pub reached: bool,
    /// How many serve it.
    pub serving: u32,
    /// Those that are connected and do not serve it yet.
    pub laggards: Vec<Laggard>,
    /// How many are connected that an open rollout holds back: they are not to serve it yet, and
    /// are not waited for.
    pub held: u32,
}

/// A data plane that does not serve a revision yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Laggard {
    /// The name by which operators know it (its host name, else its id).
    pub node: String,
    /// The revision that it serves; `None` when it has served nothing yet.
    pub serving: Option<u64>,
}

/// Waits for data planes. `publish` knows them.
#[async_trait]
pub trait Barrier: Send + Sync + 'static {
    /// Waits until as many data planes as wanted serve the revision (or a later one), at most
    /// `within`. With none connected, `All`, `Here` and `Quorum` are reached at once.
    async fn wait_served(&self, at: Cursor, wanted: Wanted, within: Duration) -> Served;
}

/// What the data planes report to this control plane, and to the others on the same store.
pub trait Fleet: Send + Sync + 'static {
    /// The health of an upstream as the connected data planes see it.
    fn upstream_health(&self, upstream: Uuid) -> FleetHealth;

    /// The data planes that are connected, or were (Kong: until `cluster_data_plane_purge_delay`).
    fn data_planes(&self) -> Vec<DataPlane>;

    /// The connected data planes that could not apply an entity as it is, by hostname.
    fn rejected_by(&self, kind: &str, id: Uuid) -> Vec<RejectedBy>;

    /// The rollout that is open: which data planes get what is written now.
    fn rollout(&self) -> Option<Rollout>;

    /// Takes a data plane off that list, on every control plane, until it comes back.
    fn forget(&self, id: Uuid);
}

/// The health of an upstream as the data planes see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetHealth {
    /// How many data planes are connected. Those that report nothing of the upstream never found
    /// anything wrong with it.
    pub connected: usize,
    /// How many of them have too much to report, so that something may be missing.
    pub incomplete: usize,
    /// What is reported, by hostname.
    pub reports: Vec<NodeHealth>,
}

/// The health of an upstream as one data plane sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeHealth {
    /// The data plane's id.
    pub id: Uuid,
    /// The name of its machine.
    pub hostname: String,
    /// What it sees.
    pub health: UpstreamHealth,
}

/// The health of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamHealth {
    /// Whether any active or passive check is configured.
    pub checked: bool,
    /// Whether enough weight is available for the upstream to take requests.
    pub healthy: bool,
    /// The targets that it balances over, in no particular order.
    pub targets: Vec<TargetHealth>,
}

/// The health of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetHealth {
    /// The target as stored, `host:port`.
    pub target: String,
    /// The kind of DNS record that the addresses came from: `A`, `AAAA`, `SRV`; `A` for an
    /// address literal, as Kong says. `ERROR` when the name resolves to nothing.
    pub dns: String,
    /// Its addresses; empty when the name resolves to nothing.
    pub addresses: Vec<AddressHealth>,
}

/// The health of one address of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHealth {
    /// Where requests go.
    pub address: SocketAddr,
    /// Its share of the target's weight.
    pub weight: u32,
    /// Whether it is given requests.
    pub healthy: bool,
    /// What made it so, in words.
    pub cause: String,
    /// Since when, in microseconds since 1970; `None` since it is known.
    pub since_us: Option<i64>,
    /// When it is tried again without anybody's doing, in microseconds since 1970; `None` when
    /// that depends on checks or on an operator.
    pub until_us: Option<i64>,
}

/// A data plane as Kong's `clustering_data_planes` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPlane {
    /// Its node id.
    pub id: Uuid,
    /// Its host name.
    pub hostname: String,
    /// The address from which it connected.
    pub ip: String,
    /// Its version.
    pub version: String,
    /// The digest of what it serves, 32 hexadecimal digits.
    pub config_hash: String,
    /// Kong's `sync_status`: `normal`, `unknown`…
    pub sync_status: String,
    /// When it was heard last, in seconds since 1970.
    pub last_seen: i64,
    /// The revision that it serves; `None` before the first.
    pub serving: Option<u64>,
    /// The revision that it is to serve: the newest, or the one that an open rollout holds it back
    /// at. `None` when that is not known yet.
    pub target: Option<u64>,
    /// What the operator calls it by (`cluster_dp_labels`).
    pub labels: BTreeMap<String, String>,
    /// Whether it has a stream to any control plane, or was heard of a moment ago.
    pub connected: bool,
    /// What it showed; `None` without TLS.
    pub certificate: Option<Certificate>,
    /// What it could not apply as it is, up to 1,000.
    pub rejected: Vec<Rejected>,
    /// How many there are.
    pub rejected_total: u64,
}

/// An entity that a data plane could not apply as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The collection, by Kong's name.
    pub kind: String,
    /// The primary key.
    pub id: Uuid,
    /// The revision that brought it.
    pub revision: u64,
    /// Why, for the operator.
    pub reason: String,
    /// Whether it is in force all the same, without the parts that the reason names; else its last
    /// good version is, or, where there is none, what it guards answers an error.
    pub in_part: bool,
}

/// A data plane that could not apply an entity as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedBy {
    /// The name by which operators know the data plane (its host name, else its id).
    pub node: String,
    /// Which entity, since when and why.
    pub rejected: Rejected,
}

/// A data plane's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of it, 64 hexadecimal digits in lower case.
    pub fingerprint: String,
    /// When it runs out, in seconds since 1970.
    pub expires: i64,
    /// Whether no other data plane shows the same.
    pub individual: bool,
}

/// What becomes of requests: asked of whoever serves them, with what they are served by.
#[async_trait]
pub trait Explain: Send + Sync + 'static {
    /// What would become of the request that is described.
    ///
    /// # Errors
    /// See [`Unexplained`].
    async fn explain(&self, described: &Object) -> Result<Value, Unexplained>;

    /// The routes that hide the route of this id from all requests or from some, and those that it
    /// hides. Costs no look at all routes; one that it misses is not wrong, only not told.
    fn shadows(&self, route: Uuid) -> Vec<Shadow>;
}

/// Why nothing can be told of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexplained {
    /// What is wrong with a field of the description.
    Field {
        /// The field's name.
        field: String,
        /// What is wrong, for the operator.
        reason: String,
    },
    /// The revision that it is asked for is not served.
    NotServed {
        /// In a sentence for the operator.
        reason: String,
    },
}

/// Two routes of which one is tried before the other and takes all that the other matches, or all
/// that some of its paths match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The id of the other route: not the one that was asked about.
    pub other: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// Whether the other one is hidden; else it hides the one that was asked about.
    pub is_hidden: bool,
    /// Whether nothing of the hidden one is reached any more.
    pub whole: bool,
}

/// What this process knows of itself while it runs.
pub trait Node: Send + Sync + 'static {
    /// Connections and requests of this process, all listeners together.
    fn connections(&self) -> Connections;

    /// Resident memory of this process in bytes.
    fn resident_memory(&self) -> u64;

    /// What this process counts, in Prometheus's text format.
    fn metrics(&self) -> String;

    /// The level from which on messages are logged.
    fn log_level(&self) -> Level;

    /// Changes the level, for a time or until it is changed again (`None`).
    ///
    /// # Errors
    /// A sentence for the operator.
    fn set_log_level(&self, level: Level, during: Option<Duration>) -> Result<(), String>;
}

/// Counts since the start (`accepted`, `handled`, `requests`) and of this moment (the others).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that were not refused by a limit.
    pub handled: u64,
    /// Connections that are open.
    pub active: u64,
    /// Of those, the ones whose request is being read.
    pub reading: u64,
    /// Of those, the ones that are being answered.
    pub writing: u64,
    /// Of those, the ones that wait for a request.
    pub waiting: u64,
    /// Requests.
    pub requests: u64,
}

/// Where randomness comes from.
pub trait Random: Send + Sync + 'static {
    /// Fills the bytes with unpredictable ones: credentials are made of them.
    fn fill(&self, bytes: &mut [u8]);
}

/// The process's generator, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws real randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rng(), bytes);
    }
}
