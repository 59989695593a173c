-- What is known of each feed of each pbx: when it was heard, how it stands, what was told of that.
CREATE TABLE feeds (
    pbx  TEXT COLLATE "C" NOT NULL,
    feed TEXT COLLATE "C" NOT NULL,
    doc  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (pbx, feed)
);
