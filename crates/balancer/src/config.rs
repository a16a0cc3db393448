//! What an upstream asks for, in the form that the engines use.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::ejection::Ejection;
use crate::health::{Limits, Rules};
use crate::peer::Peer;
use crate::retry::Retry;

/// The configuration of one upstream, checked and unpacked.
///
/// Made from a `model::Upstream`, or by [`Config::implicit`] for a service whose host names no
/// upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The upstream entity's id, or for an implicit upstream the one that the caller chose.
    pub id: Uuid,
    /// The upstream's name; for an implicit upstream the service's host.
    pub name: Arc<str>,
    /// Whether an upstream entity stands behind it. Decides which [`NoPeer`](crate::NoPeer) tells
    /// of a name that does not resolve.
    pub origin: Origin,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    /// Where the hash key comes from; only read by [`Algorithm::ConsistentHashing`].
    pub hash_on: HashOn,
    /// Where it comes from when a request has no value for `hash_on`.
    pub hash_fallback: HashOn,
    /// The path attribute of the cookie that `hash_on: cookie` issues.
    pub hash_on_cookie_path: Arc<str>,
    /// The cookie that holds a client's target; only read by [`Algorithm::StickySessions`].
    pub sticky_cookie: Arc<str>,
    /// The path attribute of that cookie.
    pub sticky_cookie_path: Arc<str>,
    /// Percentage of the weight that must be exceeded by what is available, 0 to 100.
    pub threshold: f64,
    /// The probes.
    pub active: ActiveChecks,
    /// How answers to traffic count.
    pub passive: Rules,
    /// How a peer that traffic found unhealthy comes back by itself; `None`: it does not, as in
    /// Kong.
    pub ejection: Option<Ejection>,
    /// In which a peer that is new or has come back grows to its share; zero: at once, as in Kong.
    /// Only read by algorithms that no key decides.
    pub slow_start: Duration,
    /// What becomes of requests when too little of the weight is available.
    pub panic: PanicPolicy,
    /// How requests are tried again beyond the service's `retries`; `None`: as Kong does.
    pub retry: Option<Arc<Retry>>,
    /// The `Host` that targets get instead of their own name.
    pub host_header: Option<Arc<str>>,
    /// The certificate shown to targets that ask for one.
    pub client_certificate: Option<Uuid>,
    /// Whether the name inside an SRV record becomes the `Host`, instead of the target's name.
    pub use_srv_name: bool,
}

impl Config {
    /// The host that a peer is asked for, without port: `host_header`, the target's name, or the
    /// service's host when that is what was resolved.
    pub fn host_for<'a>(&'a self, peer: &'a Peer) -> &'a str {
        if self.origin == Origin::ServiceHost {
            return &self.name;
        }
        if let Some(host) = &self.host_header {
            return host;
        }
        let named = peer.srv_name().filter(|_| self.use_srv_name);
        named.unwrap_or(peer.host())
    }

    /// A service's own host as the only target: round-robin over its addresses, no health checks.
    pub fn implicit(id: Uuid, host: &str) -> Config {
        Config {
            id,
            name: host.into(),
            origin: Origin::ServiceHost,
            algorithm: Algorithm::RoundRobin,
            hash_on: HashOn::None,
            hash_fallback: HashOn::None,
            hash_on_cookie_path: "/".into(),
            sticky_cookie: "".into(),
            sticky_cookie_path: "/".into(),
            threshold: 0.0,
            active: ActiveChecks::off(),
            passive: Rules::off(),
            ejection: None,
            slow_start: Duration::ZERO,
            panic: PanicPolicy::FailClosed,
            retry: None,
            host_header: None,
            client_certificate: None,
            use_srv_name: false,
        }
    }

    /// Whether any health check is on, as Kong counts it: an active interval or a passive limit
    /// for failures. Without, health is shown as `HEALTHCHECKS_OFF` and cannot be set by hand.
    pub fn checks_on(&self) -> bool {
        let Limits { http_failures, tcp_failures, timeouts, .. } = self.passive.limits;
        self.active.is_on() || http_failures > 0 || tcp_failures > 0 || timeouts > 0
    }
}

/// Where an upstream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An upstream entity.
    Entity,
    /// The host of a service, no upstream having its name.
    ServiceHost,
}

/// What becomes of requests when too little of the weight is available (`panic_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicPolicy {
    /// They are refused, as by Kong.
    FailClosed,
    /// They go to all peers with a weight, healthy or not.
    FailOpen,
}

/// How a target is chosen, by Kong's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `round-robin`: weighted, smooth, exact over every turn.
    RoundRobin,
    /// `consistent-hashing`: the same key goes to the same target while it is there.
    ConsistentHashing,
    /// `least-connections`: fewest requests in flight for its weight.
    LeastConnections,
    /// `latency`: shortest expected wait by a moving average that peaks fast and decays.
    Latency,
    /// `sticky-sessions` (Kong 3.11): a cookie names the target.
    StickySessions,
}

/// Where a hash key comes from (`hash_on`, `hash_fallback`), with the name it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// Nothing to hash.
    None,
    /// The authenticated consumer, else the credential.
    Consumer,
    /// The client's address.
    Ip,
    /// This request header.
    Header(Arc<str>),
    /// This cookie, issued when absent.
    Cookie(Arc<str>),
    /// The normalised path.
    Path,
    /// This query argument.
    QueryArg(Arc<str>),
    /// This capture of the route's path, by name or number.
    UriCapture(Arc<str>),
}

/// The probes of an upstream (`healthchecks.active`).
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveChecks {
    /// What a probe speaks.
    pub protocol: ProbeProtocol,
    /// Longest wait for a connection, a handshake, an answer, each.
    pub timeout: Duration,
    /// Probes of this upstream that may be under way at once, at least 1.
    pub concurrency: usize,
    /// The path that an HTTP probe asks for.
    pub http_path: Arc<str>,
    /// The server name for TLS; `None` takes the `Host` of the probe.
    pub https_sni: Option<Arc<str>>,
    /// Whether the certificate of a TLS target is verified.
    pub https_verify_certificate: bool,
    /// Additional request headers.
    pub headers: Vec<ProbeHeader>,
    /// Between two probes of a healthy target; zero is never.
    pub healthy_interval: Duration,
    /// Between two probes of an unhealthy target; zero is never.
    pub unhealthy_interval: Duration,
    /// How the outcomes count.
    pub rules: Rules,
}

impl ActiveChecks {
    /// No probes.
    pub fn off() -> ActiveChecks {
        ActiveChecks {
            protocol: ProbeProtocol::Http,
            timeout: Duration::from_secs(1),
            concurrency: 10,
            http_path: "/".into(),
            https_sni: None,
            https_verify_certificate: true,
            headers: Vec::new(),
            healthy_interval: Duration::ZERO,
            unhealthy_interval: Duration::ZERO,
            rules: Rules::off(),
        }
    }

    /// Whether healthy or unhealthy targets are probed.
    pub fn is_on(&self) -> bool {
        !self.healthy_interval.is_zero() || !self.unhealthy_interval.is_zero()
    }
}

/// A request header of an HTTP probe, sent once for each value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeHeader {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Vec<String>,
}

/// What a probe speaks (`healthchecks.active.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeProtocol {
    /// Connects.
    Tcp,
    /// Asks for a path and judges the status.
    Http,
    /// The same over TLS.
    Https,
    /// Asks `grpc.health.v1.Health/Check` over cleartext HTTP/2.
    Grpc,
    /// The same over TLS.
    Grpcs,
}
