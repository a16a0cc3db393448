//! The log's bookkeeping, each in a transaction of its own or as its last statement.

use super::Statement;

/// (revision)
pub(crate) const COMPACT_CHANGES: Statement = Statement::common(
    "DELETE FROM changes WHERE version IN (SELECT version FROM revisions WHERE revision <= $1)",
);

/// (revision)
pub(crate) const COMPACT_REVISIONS: Statement =
    Statement::common("DELETE FROM revisions WHERE revision <= $1");

/// (revision). Last in its transaction, because every write waits for this row.
pub(crate) const COMPACTED: Statement =
    Statement::common("UPDATE store_state SET compacted = $1 WHERE compacted < $1");

/// (revision, size). The next revision up to which compacting drops about `size` changes.
pub(crate) const COMPACT_STEP: Statement = Statement::common(
    "SELECT coalesce(\
       (SELECT min(revision) FROM \
         (SELECT revision, sum(size) OVER (ORDER BY revision) AS total FROM \
           (SELECT revision, size FROM revisions WHERE revision <= $1 \
            ORDER BY revision LIMIT $2) oldest) counted \
        WHERE total >= $2), $1)",
);

/// (new epoch, seen epoch, seen revision)
pub(crate) const RENEW_EPOCH: Statement =
    Statement::common("UPDATE store_state SET epoch = $1 WHERE epoch = $2 AND revision < $3");

/// (). The last statement of the transaction whose revision opens a rollout.
pub(crate) const OPEN_ROLLOUT: Statement =
    Statement::common("UPDATE store_state SET rollout = revision");

/// ()
pub(crate) const END_ROLLOUT: Statement =
    Statement::common("UPDATE store_state SET rollout = NULL");

/// ()
pub(crate) const FORGET_BEFORE: Statement = Statement::common("DELETE FROM rollout_before");

/// (). Answers (the revision that opened the rollout, how many entities were touched since); no
/// row when none is open.
pub(crate) const OPENED: Statement = Statement::common(
    "SELECT rollout, (SELECT count(*) FROM rollout_before) FROM store_state \
     WHERE rollout IS NOT NULL",
);

/// All of them, for the test that prepares them.
#[cfg(test)]
pub(crate) const ALL: &[(&str, Statement)] = &[
    ("compact changes", COMPACT_CHANGES),
    ("compact revisions", COMPACT_REVISIONS),
    ("compacted", COMPACTED),
    ("compact step", COMPACT_STEP),
    ("renew epoch", RENEW_EPOCH),
    ("open rollout", OPEN_ROLLOUT),
    ("end rollout", END_ROLLOUT),
    ("forget before", FORGET_BEFORE),
    ("opened", OPENED),
];
