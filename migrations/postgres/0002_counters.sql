-- Counters that data planes share. They are no entities and have no revision.
CREATE TABLE counters (
    key text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL,
    expires_at bigint NOT NULL -- in seconds since 1970
) WITH (fillfactor = 50); -- room for updates to stay on the page
CREATE INDEX counters_by_expiry ON counters (expires_at);
