-- Receivers that made themselves known over HTTP, how each receiver stands, and what was tried with it.
CREATE TABLE endpoints (
    name       TEXT   NOT NULL PRIMARY KEY,
    doc        TEXT   NOT NULL,
    created_us BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE endpoint_states (
    name     TEXT   NOT NULL PRIMARY KEY,
    state    TEXT   NOT NULL,
    since_us BIGINT NOT NULL,
    reason   TEXT   NOT NULL
) WITHOUT ROWID;

CREATE TABLE endpoint_marks (
    endpoint TEXT NOT NULL,
    call_id  TEXT NOT NULL,
    name     TEXT NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (endpoint, call_id, name)
) WITHOUT ROWID;
CREATE INDEX endpoint_marks_call ON endpoint_marks (call_id);

CREATE TABLE attempts (
    notice_id TEXT    NOT NULL,
    endpoint  TEXT    NOT NULL,
    n         INTEGER NOT NULL,
    at_us     BIGINT  NOT NULL,
    took_us   BIGINT  NOT NULL,
    outcome   TEXT    NOT NULL,
    status    INTEGER,
    detail    TEXT    NOT NULL,
    answer    TEXT    NOT NULL,
    PRIMARY KEY (notice_id, endpoint, n)
) WITHOUT ROWID;

DROP INDEX deliveries_due;
-- In the order in which they are sent, so that the next one is found however many wait.
CREATE INDEX deliveries_due ON deliveries (endpoint, due_us, created_us) WHERE done_us IS NULL;
