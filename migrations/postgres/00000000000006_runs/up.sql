-- When work that comes again was begun last.
CREATE TABLE runs (
    name     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    begun_us BIGINT NOT NULL
);
