-- What is known of each feed of each pbx: when it was heard, how it stands, what was told of that.
CREATE TABLE feeds (
    pbx  TEXT NOT NULL,
    feed TEXT NOT NULL,
    doc  TEXT NOT NULL,
    PRIMARY KEY (pbx, feed)
) WITHOUT ROWID;
