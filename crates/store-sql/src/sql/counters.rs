//! Counters: outside of the log, each statement in a transaction of its own.

use super::{Statement, postgres_now, sqlite_now};

/// (increments as JSON: [[key, by, expires at in seconds], …], each key once). Adds, and tells what
/// each counter then stands at. In the order of the keys, so that two writers never wait for each
/// other.
pub(crate) const ADD: Statement = Statement {
    postgres: "INSERT INTO counters AS c (key, value, expires_at) \
               SELECT x ->> 0, CAST(x ->> 1 AS bigint), CAST(x ->> 2 AS bigint) \
               FROM jsonb_array_elements(CAST(CAST($1 AS text) AS jsonb)) x \
               ORDER BY (x ->> 0) COLLATE \"C\" \
               ON CONFLICT (key) DO UPDATE SET value = c.value + excluded.value, \
               expires_at = greatest(c.expires_at, excluded.expires_at) \
               RETURNING c.key, c.value",
    sqlite: "INSERT INTO counters (key, value, expires_at) \
             SELECT x.value ->> 0, x.value ->> 1, x.value ->> 2 FROM json_each($1) x WHERE true \
             ON CONFLICT (key) DO UPDATE SET value = counters.value + excluded.value, \
             expires_at = max(counters.expires_at, excluded.expires_at) \
             RETURNING key, value",
};

/// Forgets the counters that have expired.
pub(crate) const FORGET: Statement = Statement {
    postgres: concat!("DELETE FROM counters WHERE expires_at < ", postgres_now!(), " / 1000000"),
    sqlite: concat!("DELETE FROM counters WHERE expires_at < ", sqlite_now!(), " / 1000000"),
};

/// All of them, for the test that prepares them.
#[cfg(test)]
pub(crate) const ALL: &[(&str, Statement)] =
    &[("add to counters", ADD), ("forget counters", FORGET)];
