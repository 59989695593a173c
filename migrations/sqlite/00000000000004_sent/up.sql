-- How far the spool files of other hosts are taken in, in the same transaction as their events.
CREATE TABLE sent_marks (
    host    TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    head    TEXT   NOT NULL,
    taken   BIGINT NOT NULL,
    garbage BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    PRIMARY KEY (host, name, head)
) WITHOUT ROWID;
