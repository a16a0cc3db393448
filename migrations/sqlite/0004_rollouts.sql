-- While a rollout is open: the revision that opened it, and what the entities that were touched
-- since were before. Written with each change, so that it depends on no age of the log.
ALTER TABLE store_state ADD COLUMN rollout INTEGER;
CREATE TABLE rollout_before (
    kind TEXT NOT NULL,
    id BLOB NOT NULL,
    body TEXT, -- canonical JSON; null when the entity was not there
    PRIMARY KEY (kind, id)
) STRICT;
