//! Every SQL statement, once.
//!
//! A statement is written once; what the two databases spell differently is a parameter of its
//! macro: where rows that are passed in come from (arrays on Postgres, a JSON document on SQLite),
//! row locks (SQLite has one writer), the clock. A test prepares all of them on both.
//!
//! - [`read`]: what the pools of both databases run.
//! - [`write`]: what a write transaction runs.
//! - [`state`]: the log's bookkeeping.
//! - [`counters`]: what is counted outside of the log.
//! - [`notices`]: what processes tell each other outside of the log.

pub(crate) mod counters;
pub(crate) mod notices;
pub(crate) mod read;
pub(crate) mod state;
pub(crate) mod write;

/// One statement in both dialects, with the same parameters in the same order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

impl Statement {
    /// A statement that both databases understand as it is.
    const fn common(text: &'static str) -> Statement {
        Statement { postgres: text, sqlite: text }
    }
}

/// The database's clock in microseconds since 1970, on Postgres. Not the transaction's start: it
/// runs on inside of a transaction.
macro_rules! postgres_now {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
    };
}

/// The same on SQLite, whose clock counts milliseconds.
macro_rules! sqlite_now {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000"
    };
}

use postgres_now;
use sqlite_now;
