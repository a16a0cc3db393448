//! Notices: outside of the log.

use super::{Statement, postgres_now, sqlite_now};

/// (author, round). SQLite: the first half of a post.
const SQLITE_SIGN: &str = concat!(
    "INSERT INTO notice_authors (author, posted_us, round) VALUES ($1, ",
    sqlite_now!(),
    ", $2) ON CONFLICT (author) DO UPDATE SET posted_us = excluded.posted_us, \
     round = excluded.round"
);

/// (author, round, notices as JSON: [[subject, part, age in microseconds, body], …]). SQLite: the
/// second half of a post.
const SQLITE_SAY: &str = concat!(
    "INSERT INTO notices (subject, part, author, round, said_us, body) \
     SELECT unhex(x.value ->> 0, '-'), x.value ->> 1, $1, $2, ",
    sqlite_now!(),
    " - (x.value ->> 2), x.value ->> 3 FROM json_each($3) x WHERE true \
     ON CONFLICT (subject, part, author) DO UPDATE SET round = excluded.round, \
     said_us = excluded.said_us, body = excluded.body"
);

/// The same on Postgres, in one statement.
const POSTGRES_POST: &str = concat!(
    "WITH now AS MATERIALIZED (SELECT ",
    postgres_now!(),
    " AS us), sign AS (INSERT INTO notice_authors (author, posted_us, round) \
       SELECT $1, now.us, $2 FROM now \
       ON CONFLICT (author) DO UPDATE SET posted_us = excluded.posted_us, \
       round = excluded.round) \
     INSERT INTO notices (subject, part, author, round, said_us, body) \
     SELECT CAST(x ->> 0 AS uuid), x ->> 1, $1, $2, now.us - CAST(x ->> 2 AS bigint), x ->> 3 \
     FROM now, jsonb_array_elements(CAST(CAST($3 AS text) AS jsonb)) x \
     ON CONFLICT (subject, part, author) DO UPDATE SET round = excluded.round, \
     said_us = excluded.said_us, body = excluded.body"
);

/// (author, round, and on Postgres the notices)
pub(crate) const SIGN: Statement = Statement { postgres: POSTGRES_POST, sqlite: SQLITE_SIGN };

/// (author, round, notices)
pub(crate) const SAY: Statement = Statement { postgres: POSTGRES_POST, sqlite: SQLITE_SAY };

/// ($1: rounds that are known as JSON: [[author, round], …]). A row per notice and one per author
/// without news; one with nulls where there is no author. One statement, so that an author's round
/// and what was said in it are of one snapshot.
macro_rules! read {
    ($now:expr, $known:expr) => {
        concat!(
            "SELECT now.us, a.author, a.posted_us, a.round, n.subject, n.part, n.said_us, n.body \
             FROM (SELECT ",
            $now,
            " AS us) now LEFT JOIN notice_authors a ON 1 = 1 \
             LEFT JOIN notices n ON n.author = a.author AND n.round > coalesce((",
            $known,
            "), -1) ORDER BY a.author"
        )
    };
}

pub(crate) const READ: Statement = Statement {
    postgres: read!(
        postgres_now!(),
        "SELECT CAST(x ->> 1 AS bigint) FROM \
         jsonb_array_elements(CAST(CAST($1 AS text) AS jsonb)) x \
         WHERE CAST(x ->> 0 AS uuid) = a.author"
    ),
    sqlite: read!(
        sqlite_now!(),
        "SELECT x.value ->> 1 FROM json_each($1) x WHERE unhex(x.value ->> 0, '-') = a.author"
    ),
};

/// (how long an author must be silent, how long notices are kept, both in microseconds)
macro_rules! clear {
    ($now:expr) => {
        concat!(
            "DELETE FROM notices WHERE (body IS NULL AND said_us <= ",
            $now,
            " - $2) OR (author IN (SELECT a.author FROM notice_authors a WHERE a.posted_us <= ",
            $now,
            " - $1) AND (said_us <= ",
            $now,
            " - $2 OR EXISTS (SELECT 1 FROM notices o WHERE o.subject = notices.subject \
               AND o.part = notices.part AND o.author <> notices.author \
               AND (o.said_us, o.author) > (notices.said_us, notices.author))))"
        )
    };
}

pub(crate) const CLEAR: Statement =
    Statement { postgres: clear!(postgres_now!()), sqlite: clear!(sqlite_now!()) };

/// (how long an author must be silent, in microseconds)
macro_rules! clear_authors {
    ($now:expr) => {
        concat!(
            "DELETE FROM notice_authors WHERE posted_us <= ",
            $now,
            " - $1 AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.author = notice_authors.author)"
        )
    };
}

pub(crate) const CLEAR_AUTHORS: Statement =
    Statement { postgres: clear_authors!(postgres_now!()), sqlite: clear_authors!(sqlite_now!()) };

/// All of them, for the test that prepares them.
#[cfg(test)]
pub(crate) const ALL: &[(&str, Statement)] = &[
    ("sign notices", SIGN),
    ("say notices", SAY),
    ("read notices", READ),
    ("clear notices", CLEAR),
    ("clear authors", CLEAR_AUTHORS),
];
