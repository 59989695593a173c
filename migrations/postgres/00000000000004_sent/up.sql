-- How far the spool files of other hosts are taken in, in the same transaction as their events.
CREATE TABLE sent_marks (
    host    TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    head    TEXT COLLATE "C" NOT NULL,
    taken   BIGINT NOT NULL,
    garbage BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (host, name, head)
);
