-- Receivers that made themselves known over HTTP, how each receiver stands, and what was tried with it.
CREATE TABLE endpoints (
    name       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    doc        TEXT COLLATE "C"   NOT NULL,
    created_us BIGINT NOT NULL
);

CREATE TABLE endpoint_states (
    name     TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    state    TEXT COLLATE "C"   NOT NULL,
    since_us BIGINT NOT NULL,
    reason   TEXT COLLATE "C"   NOT NULL
);

CREATE TABLE endpoint_marks (
    endpoint TEXT COLLATE "C" NOT NULL,
    call_id  TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    value    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (endpoint, call_id, name)
);
CREATE INDEX endpoint_marks_call ON endpoint_marks (call_id);

CREATE TABLE attempts (
    notice_id TEXT COLLATE "C"    NOT NULL,
    endpoint  TEXT COLLATE "C"    NOT NULL,
    n         INTEGER NOT NULL,
    at_us     BIGINT  NOT NULL,
    took_us   BIGINT  NOT NULL,
    outcome   TEXT COLLATE "C"    NOT NULL,
    status    INTEGER,
    detail    TEXT COLLATE "C"    NOT NULL,
    answer    TEXT COLLATE "C"    NOT NULL,
    PRIMARY KEY (notice_id, endpoint, n)
);

DROP INDEX deliveries_due;
-- In the order in which they are sent, so that the next one is found however many wait.
CREATE INDEX deliveries_due ON deliveries (endpoint, due_us, created_us) WHERE done_us IS NULL;
