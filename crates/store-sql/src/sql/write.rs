//! What a write transaction runs: look and lock, apply, count.
//!
//! On Postgres each of the three is one statement, because a round trip costs more than the work.
//! SQLite has no round trips, and runs the parts of the second one by one.
//!
//! Rows come in as arrays (`unnest`) or as a JSON document (`json_each`); `CROSS JOIN … WHERE`
//! and row-value `IN` tell SQLite to go through what comes in and look up the tables, not the
//! other way round.

use super::{postgres_now, sqlite_now};

/// Looks at everything that judging a group of write sets needs to know, and on Postgres locks
/// it until the transaction ends.
///
/// Passed in: `named`, the entities (with how firmly each is held: 0 it must not go, 1 it is
/// written, 2 it may be deleted) and `claimed`, the keys that are to be taken, both sorted. The
/// locks are taken in that order (target lists are computed row by row in the order of a
/// materialized scan, and the branches of the union one after the other), so two transactions
/// cannot wait for each other here.
///
/// Rows: (part, kind, id, field, value, other, seen, held). A lock can have to wait, and then
/// `held` is newer than the rest of the answer, which shows the moment before the wait: when
/// `seen` and `held` differ, the caller begins anew, because looking again would lock what has
/// come meanwhile out of order.
macro_rules! look {
    ($named:expr, $claimed:expr, $version:expr, $stay:expr, $write:expr, $delete:expr) => {
        concat!(
            "WITH named AS MATERIALIZED (",
            $named,
            "), claimed AS MATERIALIZED (\
               SELECT k.kind, k.field, k.value FROM named n CROSS JOIN entity_keys k \
               WHERE k.id = n.id AND k.kind = n.kind AND n.hold > 0 \
               UNION ",
            $claimed,
            " ORDER BY 1, 2, 3) \
             SELECT 0 AS part, '' AS kind, s.epoch AS id, '' AS field, '' AS value, \
                    s.epoch AS other, s.revision AS seen, ",
            $version,
            " AS held FROM store_state s \
             UNION ALL \
             SELECT CASE n.hold WHEN 0 THEN 5 ELSE 1 END, n.kind, n.id, '', '', n.id, \
               coalesce((SELECT e.version FROM entities e \
                         WHERE e.kind = n.kind AND e.id = n.id), -1), \
               coalesce(CASE n.hold \
                 WHEN 0 THEN (SELECT e.version FROM entities e \
                              WHERE e.kind = n.kind AND e.id = n.id",
            $stay,
            ") WHEN 1 THEN (SELECT e.version FROM entities e \
                              WHERE e.kind = n.kind AND e.id = n.id",
            $write,
            ") ELSE (SELECT e.version FROM entities e \
                              WHERE e.kind = n.kind AND e.id = n.id",
            $delete,
            ") END, -1) \
             FROM named n \
             UNION ALL \
             SELECT 2, w.kind, \
               (SELECT k.id FROM entity_keys k \
                WHERE k.kind = w.kind AND k.field = w.field AND k.value = w.value",
            $delete,
            "), w.field, w.value, NULL, 0, 0 FROM claimed w \
             UNION ALL \
             SELECT 3, n.kind, n.id, r.field, r.to_kind, r.to_id, \
                    CASE r.on_delete WHEN 'cascade' THEN 1 ELSE 0 END, 0 \
             FROM named n CROSS JOIN entity_refs r \
             WHERE r.id = n.id AND r.kind = n.kind AND n.hold > 0 \
             UNION ALL \
             SELECT 4, n.kind, n.id, '', t.tag, n.id, 0, 0 \
             FROM named n CROSS JOIN entity_tags t \
             WHERE t.id = n.id AND t.kind = n.kind AND n.hold > 0"
        )
    };
}

/// (named: kinds, ids, holds; claimed: kinds, fields, values)
pub(crate) const POSTGRES_LOOK: &str = look!(
    "SELECT kind COLLATE \"C\" AS kind, id, hold \
     FROM unnest($1::text[], $2::uuid[], $3::int[]) AS n(kind, id, hold)",
    "SELECT kind COLLATE \"C\", field COLLATE \"C\", value COLLATE \"C\" \
     FROM unnest($4::text[], $5::text[], $6::text[]) AS c(kind, field, value)",
    "nextval('entity_versions')",
    " FOR KEY SHARE",
    " FOR NO KEY UPDATE",
    " FOR UPDATE"
);

/// (named: \[kind, id, hold\]…; claimed: \[kind, field, value\]…)
pub(crate) const SQLITE_LOOK: &str = look!(
    "SELECT value ->> 0 AS kind, unhex(value ->> 1, '-') AS id, value ->> 2 AS hold \
     FROM json_each($1)",
    "SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($2)",
    "s.revision + 1",
    "",
    "",
    ""
);

/// Everything that refers to some entities, and to what would be deleted with them.
/// Rows: (kind, id, field, cascade, to_kind, to_id).
macro_rules! edges {
    ($roots:expr) => {
        concat!(
            "WITH RECURSIVE doomed(kind, id) AS (",
            $roots,
            " UNION SELECT r.kind, r.id FROM doomed d CROSS JOIN entity_refs r \
              WHERE r.to_id = d.id AND r.to_kind = d.kind AND r.on_delete = 'cascade') \
             SELECT r.kind, r.id, r.field, CASE r.on_delete WHEN 'cascade' THEN 1 ELSE 0 END, \
                    r.to_kind, r.to_id \
             FROM doomed d CROSS JOIN entity_refs r WHERE r.to_id = d.id AND r.to_kind = d.kind"
        )
    };
}

/// (kinds, ids)
pub(crate) const POSTGRES_EDGES: &str =
    edges!("SELECT kind COLLATE \"C\", id FROM unnest($1::text[], $2::uuid[]) AS r(kind, id)");

/// (\[kind, id\]…)
pub(crate) const SQLITE_EDGES: &str =
    edges!("SELECT value ->> 0, unhex(value ->> 1, '-') FROM json_each($1)");

// The parts of applying a plan. `touched` has a row per changed entity (ord, mode, kind, id, body)
// with mode 0 insert, 1 update, 2 delete; the parts are in the order in which foreign keys allow
// them. No two parts touch the same row, so Postgres may run them in one statement, where their
// order is not defined and foreign keys are checked at the end.

macro_rules! insert_entities {
    () => {
        "INSERT INTO entities (kind, id, body, version) \
         SELECT kind, id, body, CAST($1 AS bigint) FROM touched WHERE mode = 0"
    };
}

macro_rules! update_entities {
    () => {
        "UPDATE entities AS e SET body = t.body, version = CAST($1 AS bigint) FROM touched t \
         WHERE t.mode = 1 AND e.kind = t.kind AND e.id = t.id"
    };
}

/// While a rollout is open, what is touched for the first time is kept as it was. Reads the
/// entities as they were before the other parts.
macro_rules! keep_before {
    () => {
        "INSERT INTO rollout_before (kind, id, body) \
         SELECT t.kind, t.id, e.body FROM touched t \
         LEFT JOIN entities e ON e.kind = t.kind AND e.id = t.id \
         WHERE EXISTS (SELECT 1 FROM store_state WHERE rollout IS NOT NULL) \
         ON CONFLICT (kind, id) DO NOTHING"
    };
}

macro_rules! insert_changes {
    () => {
        "INSERT INTO changes (version, ord, kind, id, body) \
         SELECT CAST($1 AS bigint), ord, kind, id, body FROM touched"
    };
}

macro_rules! drop_keys {
    () => {
        "DELETE FROM entity_keys WHERE (kind, field, value) IN \
         (SELECT kind, field, value FROM dropped_keys)"
    };
}

/// A key that passes from one entity to another stays where it is: an update cannot collide.
macro_rules! move_keys {
    () => {
        "UPDATE entity_keys AS k SET id = m.id FROM moved_keys m \
         WHERE k.kind = m.kind AND k.field = m.field AND k.value = m.value"
    };
}

macro_rules! add_keys {
    () => {
        "INSERT INTO entity_keys (kind, field, value, id) \
         SELECT kind, field, value, id FROM added_keys"
    };
}

macro_rules! drop_refs {
    () => {
        "DELETE FROM entity_refs WHERE (id, kind, field, to_kind, to_id) IN \
         (SELECT id, kind, field, to_kind, to_id FROM dropped_refs)"
    };
}

/// Adding a reference that is there changes its rule. (`WHERE` because SQLite would otherwise read
/// `ON` as a join's.)
macro_rules! add_refs {
    () => {
        "INSERT INTO entity_refs (kind, id, field, to_kind, to_id, on_delete) \
         SELECT kind, id, field, to_kind, to_id, on_delete FROM added_refs WHERE 1 = 1 \
         ON CONFLICT (id, kind, field, to_kind, to_id) \
         DO UPDATE SET on_delete = excluded.on_delete"
    };
}

macro_rules! drop_tags {
    () => {
        "DELETE FROM entity_tags WHERE (tag, kind, id) IN \
         (SELECT tag, kind, id FROM dropped_tags)"
    };
}

macro_rules! add_tags {
    () => {
        "INSERT INTO entity_tags (tag, kind, id) SELECT tag, kind, id FROM added_tags"
    };
}

macro_rules! delete_entities {
    () => {
        "DELETE FROM entities WHERE (kind, id) IN \
         (SELECT kind, id FROM touched WHERE mode = 2)"
    };
}

/// (version; touched: ords, modes, kinds, ids, bodies; dropped keys: kinds, fields, values;
/// moved keys and added keys: the same and ids; dropped references: kinds, ids, fields, to_kinds,
/// to_ids; added references: the same and delete rules; dropped tags and added tags: tags, kinds,
/// ids)
pub(crate) const POSTGRES_APPLY: &str = concat!(
    "WITH touched AS MATERIALIZED (\
       SELECT ord, mode, kind COLLATE \"C\" AS kind, id, body \
       FROM unnest($2::int[], $3::int[], $4::text[], $5::uuid[], $6::text[]) \
            AS t(ord, mode, kind, id, body)), \
     dropped_keys AS (\
       SELECT kind COLLATE \"C\" AS kind, field COLLATE \"C\" AS field, value COLLATE \"C\" AS value \
       FROM unnest($7::text[], $8::text[], $9::text[]) AS t(kind, field, value)), \
     moved_keys AS (\
       SELECT kind COLLATE \"C\" AS kind, field COLLATE \"C\" AS field, \
              value COLLATE \"C\" AS value, id \
       FROM unnest($10::text[], $11::text[], $12::text[], $13::uuid[]) \
            AS t(kind, field, value, id)), \
     added_keys AS (\
       SELECT kind, field, value, id \
       FROM unnest($14::text[], $15::text[], $16::text[], $17::uuid[]) \
            AS t(kind, field, value, id)), \
     dropped_refs AS (\
       SELECT kind COLLATE \"C\" AS kind, id, field COLLATE \"C\" AS field, \
              to_kind COLLATE \"C\" AS to_kind, to_id \
       FROM unnest($18::text[], $19::uuid[], $20::text[], $21::text[], $22::uuid[]) \
            AS t(kind, id, field, to_kind, to_id)), \
     added_refs AS (\
       SELECT kind, id, field, to_kind, to_id, on_delete \
       FROM unnest($23::text[], $24::uuid[], $25::text[], $26::text[], $27::uuid[], $28::text[]) \
            AS t(kind, id, field, to_kind, to_id, on_delete)), \
     dropped_tags AS (\
       SELECT tag COLLATE \"C\" AS tag, kind COLLATE \"C\" AS kind, id \
       FROM unnest($29::text[], $30::text[], $31::uuid[]) AS t(tag, kind, id)), \
     added_tags AS (\
       SELECT tag, kind, id \
       FROM unnest($32::text[], $33::text[], $34::uuid[]) AS t(tag, kind, id)), \
     before_kept AS (",
    keep_before!(),
    "), inserted AS (",
    insert_entities!(),
    "), updated AS (",
    update_entities!(),
    "), keys_dropped AS (",
    drop_keys!(),
    "), keys_moved AS (",
    move_keys!(),
    "), keys_added AS (",
    add_keys!(),
    "), refs_dropped AS (",
    drop_refs!(),
    "), refs_added AS (",
    add_refs!(),
    "), tags_dropped AS (",
    drop_tags!(),
    "), tags_added AS (",
    add_tags!(),
    "), deleted AS (",
    delete_entities!(),
    ") ",
    insert_changes!()
);

macro_rules! sqlite_touched {
    () => {
        "WITH touched AS (SELECT value ->> 0 AS ord, value ->> 1 AS mode, value ->> 2 AS kind, \
           unhex(value ->> 3, '-') AS id, value ->> 4 AS body FROM json_each($2)) "
    };
}

macro_rules! sqlite_keys {
    ($name:expr) => {
        concat!(
            "WITH ",
            $name,
            " AS (SELECT value ->> 0 AS kind, value ->> 1 AS field, value ->> 2 AS value, \
               unhex(value ->> 3, '-') AS id FROM json_each($1)) "
        )
    };
}

macro_rules! sqlite_refs {
    ($name:expr) => {
        concat!(
            "WITH ",
            $name,
            " AS (SELECT value ->> 0 AS kind, unhex(value ->> 1, '-') AS id, \
               value ->> 2 AS field, value ->> 3 AS to_kind, unhex(value ->> 4, '-') AS to_id, \
               value ->> 5 AS on_delete FROM json_each($1)) "
        )
    };
}

macro_rules! sqlite_tags {
    ($name:expr) => {
        concat!(
            "WITH ",
            $name,
            " AS (SELECT value ->> 0 AS tag, value ->> 1 AS kind, unhex(value ->> 2, '-') AS id \
               FROM json_each($1)) "
        )
    };
}

/// (version, which it does not need; touched: \[ord, mode, kind, id, body\]…). First of all.
pub(crate) const SQLITE_KEEP_BEFORE: &str = concat!(sqlite_touched!(), keep_before!());

/// (version; touched: \[ord, mode, kind, id, body\]…)
pub(crate) const SQLITE_INSERT_ENTITIES: &str = concat!(sqlite_touched!(), insert_entities!());
/// (version; touched)
pub(crate) const SQLITE_UPDATE_ENTITIES: &str = concat!(sqlite_touched!(), update_entities!());
/// (version; touched)
pub(crate) const SQLITE_INSERT_CHANGES: &str = concat!(sqlite_touched!(), insert_changes!());
/// (version, not used; touched)
pub(crate) const SQLITE_DELETE_ENTITIES: &str = concat!(sqlite_touched!(), delete_entities!());
/// (\[kind, field, value, id\]…)
pub(crate) const SQLITE_DROP_KEYS: &str = concat!(sqlite_keys!("dropped_keys"), drop_keys!());
/// (\[kind, field, value, id\]…)
pub(crate) const SQLITE_MOVE_KEYS: &str = concat!(sqlite_keys!("moved_keys"), move_keys!());
/// (\[kind, field, value, id\]…)
pub(crate) const SQLITE_ADD_KEYS: &str = concat!(sqlite_keys!("added_keys"), add_keys!());
/// (\[kind, id, field, to_kind, to_id, delete rule\]…)
pub(crate) const SQLITE_DROP_REFS: &str = concat!(sqlite_refs!("dropped_refs"), drop_refs!());
/// (\[kind, id, field, to_kind, to_id, delete rule\]…)
pub(crate) const SQLITE_ADD_REFS: &str = concat!(sqlite_refs!("added_refs"), add_refs!());
/// (\[tag, kind, id\]…)
pub(crate) const SQLITE_DROP_TAGS: &str = concat!(sqlite_tags!("dropped_tags"), drop_tags!());
/// (\[tag, kind, id\]…)
pub(crate) const SQLITE_ADD_TAGS: &str = concat!(sqlite_tags!("added_tags"), add_tags!());

macro_rules! next_revision {
    () => {
        "UPDATE store_state SET revision = revision + 1 RETURNING epoch, revision"
    };
}

macro_rules! append_revision {
    ($now:expr, $counter:expr) => {
        concat!(
            "INSERT INTO revisions (revision, version, committed_us, size) \
             SELECT revision, CAST($1 AS bigint), ",
            $now,
            ", CAST($2 AS int) FROM ",
            $counter
        )
    };
}

/// (version, size). The last lock of a transaction: everybody else's revision waits for its
/// commit, so nothing may come between. Answers (epoch, revision).
pub(crate) const POSTGRES_COUNT: &str = concat!(
    "WITH counter AS (",
    next_revision!(),
    "), appended AS (",
    append_revision!(postgres_now!(), "counter"),
    ") SELECT epoch, revision FROM counter"
);

/// (). Answers (epoch, revision).
pub(crate) const SQLITE_NEXT_REVISION: &str = next_revision!();
/// (version, size)
pub(crate) const SQLITE_APPEND_REVISION: &str = append_revision!(sqlite_now!(), "store_state");

/// What Postgres runs, for the test that prepares it.
#[cfg(test)]
pub(crate) const POSTGRES: &[(&str, &str)] = &[
    ("look", POSTGRES_LOOK),
    ("edges", POSTGRES_EDGES),
    ("apply", POSTGRES_APPLY),
    ("count", POSTGRES_COUNT),
];

/// What SQLite runs, for the test that prepares it.
#[cfg(test)]
pub(crate) const SQLITE: &[(&str, &str)] = &[
    ("look", SQLITE_LOOK),
    ("edges", SQLITE_EDGES),
    ("keep before", SQLITE_KEEP_BEFORE),
    ("insert entities", SQLITE_INSERT_ENTITIES),
    ("update entities", SQLITE_UPDATE_ENTITIES),
    ("insert changes", SQLITE_INSERT_CHANGES),
    ("delete entities", SQLITE_DELETE_ENTITIES),
    ("drop keys", SQLITE_DROP_KEYS),
    ("move keys", SQLITE_MOVE_KEYS),
    ("add keys", SQLITE_ADD_KEYS),
    ("drop references", SQLITE_DROP_REFS),
    ("add references", SQLITE_ADD_REFS),
    ("drop tags", SQLITE_DROP_TAGS),
    ("add tags", SQLITE_ADD_TAGS),
    ("next revision", SQLITE_NEXT_REVISION),
    ("append revision", SQLITE_APPEND_REVISION),
];
