-- The layout of a store. The tables know nothing of what the entities are: a new kind of entity
-- needs no migration. migrations/postgres has the same tables with Postgres's types.

-- One row: which history this is, how far it has come, how far back the log reaches.
CREATE TABLE store_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BLOB NOT NULL,
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL
) STRICT;
INSERT INTO store_state (id, epoch, revision, compacted) VALUES (1, randomblob(16), 0, 0);

CREATE TABLE entities (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    body TEXT NOT NULL, -- canonical JSON
    version INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

-- Uniqueness: the primary key.
CREATE TABLE entity_keys (
    kind TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (kind, field, value),
    FOREIGN KEY (kind, id) REFERENCES entities
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_keys_by_entity ON entity_keys (id, kind);

-- Referential integrity: what refers, what is referred to.
CREATE TABLE entity_refs (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    field TEXT NOT NULL,
    to_kind TEXT NOT NULL,
    to_id BLOB NOT NULL,
    on_delete TEXT NOT NULL CHECK (on_delete IN ('restrict', 'cascade')),
    PRIMARY KEY (id, kind, field, to_kind, to_id),
    FOREIGN KEY (kind, id) REFERENCES entities,
    FOREIGN KEY (to_kind, to_id) REFERENCES entities
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_refs_by_target ON entity_refs (to_id, kind, field, id, to_kind);

CREATE TABLE entity_tags (
    tag TEXT NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (tag, kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entity_tags_by_entity ON entity_tags (id, kind);

-- The log. A transaction's changes are written under its version number while it runs; the row in
-- revisions, its last, gives that version its place in the order.
CREATE TABLE changes (
    version INTEGER NOT NULL,
    ord INTEGER NOT NULL,
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    body TEXT, -- null when the entity was deleted
    PRIMARY KEY (version, ord)
) STRICT;

CREATE TABLE revisions (
    revision INTEGER PRIMARY KEY,
    version INTEGER NOT NULL UNIQUE,
    committed_us INTEGER NOT NULL, -- by the database's clock
    size INTEGER NOT NULL -- how many changes
) STRICT;
