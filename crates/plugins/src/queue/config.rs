//! The setting `queue` that plugins share (Kong, `kong/tools/queue_schema.lua`).

use std::time::Duration;

use schema::Field;
use serde_json::Number;

use super::Limits;

schema::record! {
    /// How entries wait to be sent, and are sent.
    pub(crate) struct Config {
        /// Entries that are sent together.
        pub(crate) max_batch_size: Option<u32> =
            Field::integer().between(1, 1_000_000).default(1),
        /// Seconds that the first entry of a batch waits for others.
        pub(crate) max_coalescing_delay: Option<f64> =
            Field::number().between(0, 3600).default(1),
        /// Entries that may wait; the oldest gives way when there are more.
        pub(crate) max_entries: Option<u32> =
            Field::integer().between(1, 1_000_000).default(10_000),
        /// Bytes that may wait; a longer entry is lost.
        pub(crate) max_bytes: Option<i64> = Field::integer(),
        /// Seconds after which a batch that cannot be sent is lost; -1: after one try.
        pub(crate) max_retry_time: Option<f64> = Field::number().default(60),
        /// Seconds before the second try, at most; the wait doubles with each, with jitter.
        pub(crate) initial_retry_delay: Option<f64> =
            Field::number().between(thousandth(), 1_000_000).default(0.01),
        /// Seconds between tries, at most.
        pub(crate) max_retry_delay: Option<f64> =
            Field::number().between(thousandth(), 1_000_000).default(60),
        /// How many batches are sent at a time: 1, or -1 for each entry at once.
        pub(crate) concurrency_limit: Option<i64> =
            Field::integer().one_of([-1, 1]).default(1),
    }
}

/// The field `queue`.
pub(crate) fn field() -> Field {
    Field::record(Config::record().clone())
}

impl Config {
    /// The bounds; a setting that was taken away counts as its default.
    pub(crate) fn limits(&self) -> Limits {
        let seconds = |seconds: Option<f64>, usual: f64| {
            Duration::try_from_secs_f64(seconds.unwrap_or(usual)).unwrap_or(Duration::MAX)
        };
        let at_once = self.concurrency_limit == Some(-1);
        let retry = self.max_retry_time.unwrap_or(60.0);
        // Longer than a year is for ever; times beyond the clock's range are not.
        let longest = Duration::from_secs(365 * 24 * 3600);
        Limits {
            batch: if at_once { 1 } else { self.max_batch_size.unwrap_or(1) as usize },
            delay: seconds(self.max_coalescing_delay, 1.0),
            entries: self.max_entries.unwrap_or(10_000) as usize,
            bytes: self.max_bytes.and_then(|most| usize::try_from(most).ok()),
            retry: (retry >= 0.0).then(|| seconds(Some(retry), 60.0).min(longest)),
            first_wait: seconds(self.initial_retry_delay, 0.01),
            longest_wait: seconds(self.max_retry_delay, 60.0),
            at_once,
        }
    }
}

fn thousandth() -> Number {
    Number::from_f64(0.001).unwrap_or_else(|| 0.into())
}
