//! Counters beside the entities.

/// A change of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// The counter's name; one that is not there stands at 0.
    pub key: String,
    /// What is added; less than 0 takes away.
    pub by: i64,
    /// When the counter may be forgotten, in seconds since 1970.
    pub expires_at: u64,
}
