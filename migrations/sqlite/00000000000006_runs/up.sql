-- When work that comes again was begun last.
CREATE TABLE runs (
    name     TEXT   NOT NULL PRIMARY KEY,
    begun_us BIGINT NOT NULL
) WITHOUT ROWID;
