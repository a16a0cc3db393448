-- What the control planes tell each other. It is no entity and has no revision.
CREATE TABLE notice_authors (
    author uuid PRIMARY KEY, -- one start of one process
    posted_us bigint NOT NULL, -- by the database's clock
    round bigint NOT NULL
) WITH (fillfactor = 50); -- room for updates to stay on the page
CREATE TABLE notices (
    subject uuid NOT NULL,
    part text COLLATE "C" NOT NULL,
    author uuid NOT NULL,
    round bigint NOT NULL,
    said_us bigint NOT NULL, -- by the database's clock
    body text, -- null when it was taken back
    PRIMARY KEY (subject, part, author)
) WITH (fillfactor = 70);
CREATE INDEX notices_by_round ON notices (author, round);
