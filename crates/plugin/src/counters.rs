//! Counters that data planes share.

use std::future::Future;
use std::pin::Pin;

/// A change of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// The counter's name; one that is not there stands at 0.
    pub key: String,
    /// What is added; 0 reads, less than 0 takes back.
    pub by: i64,
    /// When the counter may be forgotten, in seconds since 1970.
    pub expires_at: u64,
}

/// Why counters elsewhere could not be changed or read: for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CountersError(pub String);

/// What comes of [`Counters::add`].
pub type Totals<'a> = Pin<Box<dyn Future<Output = Result<Vec<i64>, CountersError>> + Send + 'a>>;

/// Counters that are kept elsewhere, for all data planes: in the control plane's database, or
/// wherever a plugin keeps some.
pub trait Counters: Send + Sync + 'static {
    /// Adds to counters, each in one step, and answers with what each then stands at, in the same
    /// order. Bounds its own time. After an error each increment was made or not: nobody knows.
    fn add(&self, increments: Vec<Increment>) -> Totals<'_>;
}

/// No control plane: every call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCounters;

impl Counters for NoCounters {
    fn add(&self, _: Vec<Increment>) -> Totals<'_> {
        let error = CountersError("this data plane has no control plane to count with".to_owned());
        Box::pin(std::future::ready(Err(error)))
    }
}
