-- Times are microseconds of the Unix epoch, in columns that end in _us; ids and JSON are text.
-- See ../../README.md for what each table is for. Small rows that are looked up by their key lie in the key's own tree
-- (WITHOUT ROWID): one tree less to write for each.

CREATE TABLE events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    pbx         TEXT    NOT NULL,
    token       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    feed        TEXT    NOT NULL,
    uid         TEXT    NOT NULL,
    linkedid    TEXT    NOT NULL,
    root        TEXT,
    seq         BIGINT,
    at_us       BIGINT  NOT NULL,
    timed       BOOLEAN NOT NULL,
    received_us BIGINT  NOT NULL,
    channel     TEXT    NOT NULL,
    facts       TEXT    NOT NULL,
    agi         TEXT,
    call_id     TEXT,
    note        TEXT,
    settled     BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE (pbx, token)
);
-- With `settled` in it, what waits can be counted from the index alone.
CREATE INDEX events_unsettled ON events (received_us, id, settled) WHERE NOT settled;
CREATE INDEX events_call ON events (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX events_unsettled_uid ON events (uid, pbx) WHERE NOT settled;

CREATE TABLE members (
    pbx     TEXT NOT NULL,
    channel TEXT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (pbx, channel)
) WITHOUT ROWID;
CREATE INDEX members_call ON members (call_id);
CREATE INDEX members_channel ON members (channel);

CREATE TABLE calls (
    id             TEXT    NOT NULL PRIMARY KEY,
    pbx            TEXT    NOT NULL,
    linkedid       TEXT    NOT NULL,
    call_key       TEXT,
    state          TEXT    NOT NULL,
    direction      TEXT    NOT NULL,
    org            TEXT,
    trunk          TEXT,
    src            TEXT,
    src_name       TEXT,
    dst            TEXT,
    started_us     BIGINT  NOT NULL,
    answered_us    BIGINT,
    ended_us       BIGINT,
    end_time_known BOOLEAN NOT NULL,
    answered_by    TEXT,
    disposition    TEXT    NOT NULL,
    hung_up_by     TEXT,
    cause          INTEGER,
    wait_ms        BIGINT,
    talk_ms        BIGINT  NOT NULL,
    abandoned      BOOLEAN NOT NULL,
    doc            TEXT    NOT NULL,
    due_us         BIGINT,
    told_print     TEXT,
    corrections    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX calls_started ON calls (started_us, id);
CREATE INDEX calls_due ON calls (due_us) WHERE due_us IS NOT NULL;
CREATE INDEX calls_key ON calls (call_key);

CREATE TABLE call_aliases (
    alias   TEXT NOT NULL PRIMARY KEY,
    call_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX call_aliases_call ON call_aliases (call_id);

CREATE TABLE set_aside (
    call_id TEXT   NOT NULL PRIMARY KEY,
    reason  TEXT   NOT NULL,
    at_us   BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE legs (
    call_id     TEXT    NOT NULL,
    n           INTEGER NOT NULL,
    uniqueid    TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    number      TEXT,
    name        TEXT,
    role        TEXT    NOT NULL,
    outcome     TEXT    NOT NULL,
    started_us  BIGINT  NOT NULL,
    answered_us BIGINT,
    ended_us    BIGINT,
    cause       INTEGER,
    ring_ms     BIGINT,
    talk_ms     BIGINT  NOT NULL,
    PRIMARY KEY (call_id, n)
) WITHOUT ROWID;

CREATE TABLE cdr (
    call_id     TEXT    NOT NULL,
    n           INTEGER NOT NULL,
    calldate    TEXT    NOT NULL,
    clid        TEXT    NOT NULL,
    src         TEXT    NOT NULL,
    dst         TEXT    NOT NULL,
    dcontext    TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    dstchannel  TEXT    NOT NULL,
    lastapp     TEXT    NOT NULL,
    lastdata    TEXT    NOT NULL,
    duration    BIGINT  NOT NULL,
    billsec     BIGINT  NOT NULL,
    disposition TEXT    NOT NULL,
    amaflags    INTEGER NOT NULL,
    accountcode TEXT    NOT NULL,
    uniqueid    TEXT    NOT NULL,
    userfield   TEXT    NOT NULL,
    peeraccount TEXT    NOT NULL,
    linkedid    TEXT    NOT NULL,
    sequence    INTEGER NOT NULL,
    calldate_us BIGINT  NOT NULL,
    PRIMARY KEY (call_id, n)
) WITHOUT ROWID;
CREATE INDEX cdr_calldate ON cdr (calldate_us);

CREATE TABLE endings (
    pbx       TEXT NOT NULL,
    linkedid  TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    PRIMARY KEY (pbx, linkedid)
) WITHOUT ROWID;

CREATE TABLE guests (
    pbx     TEXT NOT NULL,
    host    TEXT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (pbx, host, call_id)
) WITHOUT ROWID;
CREATE INDEX guests_call ON guests (call_id);

CREATE TABLE notices (
    id         TEXT   NOT NULL PRIMARY KEY,
    call_id    TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    created_us BIGINT NOT NULL,
    body       TEXT   NOT NULL
);
CREATE INDEX notices_call ON notices (call_id);

CREATE TABLE deliveries (
    notice_id      TEXT    NOT NULL,
    endpoint       TEXT    NOT NULL,
    created_us     BIGINT  NOT NULL,
    due_us         BIGINT  NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0,
    lease_token    TEXT,
    lease_until_us BIGINT  NOT NULL DEFAULT 0,
    done_us        BIGINT,
    outcome        TEXT,
    detail         TEXT,
    PRIMARY KEY (notice_id, endpoint)
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (due_us) WHERE done_us IS NULL;

CREATE TABLE spool_marks (
    device  TEXT   NOT NULL,
    inode   TEXT   NOT NULL,
    offset_bytes BIGINT NOT NULL,
    head    TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    seen_us BIGINT NOT NULL,
    garbage BIGINT NOT NULL,
    PRIMARY KEY (device, inode)
) WITHOUT ROWID;
