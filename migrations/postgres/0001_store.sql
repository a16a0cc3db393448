-- The layout of a store. The tables know nothing of what the entities are: a new kind of entity
-- needs no migration. migrations/sqlite has the same tables with SQLite's types.

-- One row: which history this is, how far it has come, how far back the log reaches.
CREATE TABLE store_state (
    id smallint PRIMARY KEY CHECK (id = 1),
    epoch uuid NOT NULL,
    revision bigint NOT NULL,
    compacted bigint NOT NULL
) WITH (fillfactor = 10); -- room for the updates of every write to stay on the page
INSERT INTO store_state (id, epoch, revision, compacted) VALUES (1, gen_random_uuid(), 0, 0);

-- Numbers that name a version of an entity. They are drawn before the revision is known, so that
-- taking the revision can be the last thing that a transaction does.
CREATE SEQUENCE entity_versions;

CREATE TABLE entities (
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    body text NOT NULL, -- canonical JSON
    version bigint NOT NULL,
    PRIMARY KEY (kind, id)
);

-- Uniqueness: the primary key.
CREATE TABLE entity_keys (
    kind text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (kind, field, value),
    FOREIGN KEY (kind, id) REFERENCES entities
);
CREATE INDEX entity_keys_by_entity ON entity_keys (id, kind);

-- Referential integrity: what refers, what is referred to.
CREATE TABLE entity_refs (
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    field text COLLATE "C" NOT NULL,
    to_kind text COLLATE "C" NOT NULL,
    to_id uuid NOT NULL,
    on_delete text COLLATE "C" NOT NULL CHECK (on_delete IN ('restrict', 'cascade')),
    PRIMARY KEY (id, kind, field, to_kind, to_id),
    FOREIGN KEY (kind, id) REFERENCES entities,
    FOREIGN KEY (to_kind, to_id) REFERENCES entities
);
CREATE INDEX entity_refs_by_target ON entity_refs (to_id, kind, field, id, to_kind);

CREATE TABLE entity_tags (
    tag text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    PRIMARY KEY (tag, kind, id)
);
CREATE INDEX entity_tags_by_entity ON entity_tags (id, kind);

-- The log. A transaction's changes are written under its version number while it runs; the row in
-- revisions, its last, gives that version its place in the order.
CREATE TABLE changes (
    version bigint NOT NULL,
    ord integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    body text, -- null when the entity was deleted
    PRIMARY KEY (version, ord)
);

CREATE TABLE revisions (
    revision bigint PRIMARY KEY,
    version bigint NOT NULL UNIQUE,
    committed_us bigint NOT NULL, -- by the database's clock
    size integer NOT NULL -- how many changes
);
