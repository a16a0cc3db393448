-- What the control planes tell each other. It is no entity and has no revision.
CREATE TABLE notice_authors (
    author BLOB PRIMARY KEY NOT NULL, -- one start of one process
    posted_us INTEGER NOT NULL, -- by the database's clock
    round INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE notices (
    subject BLOB NOT NULL,
    part TEXT NOT NULL,
    author BLOB NOT NULL,
    round INTEGER NOT NULL,
    said_us INTEGER NOT NULL, -- by the database's clock
    body TEXT, -- null when it was taken back
    PRIMARY KEY (subject, part, author)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_by_round ON notices (author, round);
