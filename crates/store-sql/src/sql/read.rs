//! What is read, on a connection of the pool.

use super::{Statement, postgres_now, sqlite_now};

macro_rules! entity {
    () => {
        "SELECT e.kind, e.id, e.body, e.version FROM "
    };
}

/// (kind, id)
pub(crate) const GET: Statement =
    Statement::common(concat!(entity!(), "entities e WHERE e.kind = $1 AND e.id = $2"));

/// (kind, field, value)
pub(crate) const FIND: Statement = Statement::common(concat!(
    entity!(),
    "entity_keys k JOIN entities e ON e.kind = k.kind AND e.id = k.id \
     WHERE k.kind = $1 AND k.field = $2 AND k.value = $3"
));

/// (kind, field, before, limit)
pub(crate) const KEYED_BEFORE: Statement = Statement::common(concat!(
    entity!(),
    "entity_keys k JOIN entities e ON e.kind = k.kind AND e.id = k.id \
     WHERE k.kind = $1 AND k.field = $2 AND k.value < $3 ORDER BY k.value LIMIT $4"
));

/// (to_kind, to_id)
pub(crate) const REFERRERS: Statement = Statement::common(concat!(
    entity!(),
    "entities e WHERE (e.kind, e.id) IN \
     (SELECT r.kind, r.id FROM entity_refs r WHERE r.to_kind = $1 AND r.to_id = $2) \
     ORDER BY e.kind, e.id"
));

/// (kind, first id, limit)
pub(crate) const LIST: Statement = Statement::common(concat!(
    entity!(),
    "entities e WHERE e.kind = $1 AND e.id >= $2 ORDER BY e.id LIMIT $3"
));

/// (kind, first id, limit, tags, how many of them an entity must have, field, to_id). Goes
/// through the referring entities in order and counts their tags.
macro_rules! list_referring {
    ($tags:expr) => {
        concat!(
            entity!(),
            "entity_refs r JOIN entities e ON e.kind = r.kind AND e.id = r.id \
             WHERE r.to_id = $7 AND r.kind = $1 AND r.field = $6 AND r.id >= $2 AND $5 <= \
             (SELECT count(*) FROM entity_tags t \
              WHERE t.id = r.id AND t.kind = r.kind AND t.tag IN (",
            $tags,
            ")) ORDER BY r.id LIMIT $3"
        )
    };
}

/// (kind, first id, limit, tags, how many of them an entity must have, one of the tags). Goes
/// through the entities of one tag in order, so a page of a common tag costs a page.
macro_rules! list_all_tags {
    ($tags:expr) => {
        concat!(
            entity!(),
            "entity_tags f JOIN entities e ON e.kind = f.kind AND e.id = f.id \
             WHERE f.tag = $6 AND f.kind = $1 AND f.id >= $2 AND $5 <= \
             (SELECT count(*) FROM entity_tags t \
              WHERE t.id = f.id AND t.kind = f.kind AND t.tag IN (",
            $tags,
            ")) ORDER BY f.id LIMIT $3"
        )
    };
}

/// (kind, first id, limit, tags)
macro_rules! list_any_tag {
    ($tags:expr) => {
        concat!(
            entity!(),
            "(SELECT DISTINCT t.id FROM entity_tags t WHERE t.kind = $1 AND t.id >= $2 \
              AND t.tag IN (",
            $tags,
            ") ORDER BY t.id LIMIT $3) f \
             JOIN entities e ON e.kind = $1 AND e.id = f.id ORDER BY e.id"
        )
    };
}

macro_rules! postgres_tags {
    () => {
        "SELECT unnest($4::text[])"
    };
}

macro_rules! sqlite_tags {
    () => {
        "SELECT j.value FROM json_each($4) j"
    };
}

pub(crate) const LIST_REFERRING: Statement = Statement {
    postgres: list_referring!(postgres_tags!()),
    sqlite: list_referring!(sqlite_tags!()),
};

pub(crate) const LIST_ALL_TAGS: Statement = Statement {
    postgres: list_all_tags!(postgres_tags!()),
    sqlite: list_all_tags!(sqlite_tags!()),
};

pub(crate) const LIST_ANY_TAG: Statement =
    Statement { postgres: list_any_tag!(postgres_tags!()), sqlite: list_any_tag!(sqlite_tags!()) };

/// (tag, kind, id, limit)
pub(crate) const TAGS: Statement = Statement::common(
    "SELECT tag, kind, id FROM entity_tags WHERE (tag, kind, id) > ($1, $2, $3) \
     ORDER BY tag, kind, id LIMIT $4",
);

/// (tag, kind, id, limit)
pub(crate) const TAGGED: Statement = Statement::common(
    "SELECT tag, kind, id FROM entity_tags WHERE tag = $1 AND (kind, id) > ($2, $3) \
     ORDER BY tag, kind, id LIMIT $4",
);

macro_rules! head {
    ($now:expr) => {
        concat!("SELECT epoch, revision, compacted, ", $now, " FROM store_state")
    };
}

/// ()
pub(crate) const HEAD: Statement =
    Statement { postgres: head!(postgres_now!()), sqlite: head!(sqlite_now!()) };

/// (after, limit). One row per change, and one with nulls when there is none: head and rows in
/// one statement are of one snapshot. Cut behind the transaction that reaches the limit.
macro_rules! log_after {
    ($now:expr) => {
        concat!(
            "SELECT s.epoch, s.revision, s.compacted, ",
            $now,
            ", l.revision, l.committed_us, l.kind, l.id, l.body \
             FROM store_state s LEFT JOIN \
             (SELECT p.revision, p.committed_us, c.ord, c.kind, c.id, c.body \
              FROM (SELECT revision, version, committed_us, size, \
                           sum(size) OVER (ORDER BY revision) AS total \
                    FROM (SELECT revision, version, committed_us, size FROM revisions \
                          WHERE revision > $1 ORDER BY revision LIMIT $2) newer) p \
              JOIN changes c ON c.version = p.version \
              WHERE p.total - p.size < $2) l \
             ON s.compacted <= $1 \
             ORDER BY l.revision, l.ord"
        )
    };
}

pub(crate) const LOG_AFTER: Statement =
    Statement { postgres: log_after!(postgres_now!()), sqlite: log_after!(sqlite_now!()) };

/// (). One row per entity, and one with nulls when there is none.
pub(crate) const SNAPSHOT: Statement = Statement::common(
    "SELECT s.epoch, s.revision, e.kind, e.id, e.body, e.version \
     FROM store_state s LEFT JOIN entities e ON 1 = 1",
);

/// (). One row per entity that was touched since the rollout was opened, one with nulls when there
/// is none, and no row when no rollout is open.
pub(crate) const ROLLOUT: Statement = Statement::common(
    "SELECT s.rollout, b.kind, b.id, b.body \
     FROM store_state s LEFT JOIN rollout_before b ON 1 = 1 \
     WHERE s.rollout IS NOT NULL ORDER BY b.kind, b.id",
);

/// (microseconds). Revisions are in order of their time but for steps of the clock, so this looks
/// from the old end for the first that is too new.
pub(crate) const REVISION_AT: Statement = Statement::common(
    "SELECT coalesce(\
       (SELECT r.revision - 1 FROM revisions r WHERE r.committed_us > $1 \
        ORDER BY r.revision LIMIT 1), s.revision) \
     FROM store_state s",
);

/// All of them, for the test that prepares them.
#[cfg(test)]
pub(crate) const ALL: &[(&str, Statement)] = &[
    ("get", GET),
    ("find", FIND),
    ("keyed before", KEYED_BEFORE),
    ("referrers", REFERRERS),
    ("list", LIST),
    ("list referring", LIST_REFERRING),
    ("list all tags", LIST_ALL_TAGS),
    ("list any tag", LIST_ANY_TAG),
    ("tags", TAGS),
    ("tagged", TAGGED),
    ("head", HEAD),
    ("log after", LOG_AFTER),
    ("snapshot", SNAPSHOT),
    ("rollout", ROLLOUT),
    ("revision at", REVISION_AT),
];
