-- While a rollout is open: the revision that opened it, and what the entities that were touched
-- since were before. Written with each change, so that it depends on no age of the log.
ALTER TABLE store_state ADD COLUMN rollout bigint;
CREATE TABLE rollout_before (
    kind text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    body text, -- canonical JSON; null when the entity was not there
    PRIMARY KEY (kind, id)
);
