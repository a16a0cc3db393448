//! Counters that the data planes of a cluster share.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

/// What is counted: who asked, in which window of time, for which plugin scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterKey {
    /// Who, or what, requests are counted for.
    pub identifier: Arc<str>,
    /// Kong's name of the period (`minute`).
    pub period: &'static str,
    /// When the window began, in seconds since 1970.
    pub start: u64,
    /// When it may be forgotten, in seconds since 1970.
    pub end: u64,
    /// The service that the plugin is configured on.
    pub service: Option<Uuid>,
    /// The route that the plugin is configured on.
    pub route: Option<Uuid>,
}

/// Why counters elsewhere could not be changed or read: for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CountersError(pub String);

/// What comes of [`ClusterCounters::add`].
pub type Totals<'a> = Pin<Box<dyn Future<Output = Result<Vec<u64>, CountersError>> + Send + 'a>>;

/// The counters in the control plane's database (Kong's `ratelimiting_metrics`).
pub trait ClusterCounters: Send + Sync + 'static {
    /// Adds to counters, in one step with those of all other data planes, and answers with what
    /// each then stands at, in the same order; adding 0 reads. Bounds its own time.
    fn add(&self, increments: Vec<(CounterKey, i64)>) -> Totals<'_>;
}

/// No control plane: every call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClusterCounters;

impl ClusterCounters for NoClusterCounters {
    fn add(&self, _: Vec<(CounterKey, i64)>) -> Totals<'_> {
        let error = CountersError("this data plane has no control plane to count with".to_owned());
        Box::pin(std::future::ready(Err(error)))
    }
}
