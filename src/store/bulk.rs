//! Statements of PostgreSQL that take many rows at once, since there each statement costs a round trip.
//!
//! A column comes as an array, or all rows as JSON; so the text is always the same, and is prepared once for each
//! connection. SQLite is in this process and takes its rows one by one, which is faster there.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};

/// A statement by its text, where each `?` is the next of its binds.
macro_rules! statement {
    ($name:ident { $($bind:ident: $rust:ty = $sql:ty),+ $(,)? } answers $answer:ty, $text:expr) => {
        pub(super) struct $name<'a> {
            $(pub(super) $bind: $rust,)+
        }

        impl QueryId for $name<'_> {
            type QueryId = $name<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl QueryFragment<Pg> for $name<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                let mut pieces = $text.split('?');
                $(
                    out.push_sql(pieces.next().unwrap_or_default());
                    out.push_bind_param::<$sql, _>(&self.$bind)?;
                )+
                pieces.for_each(|piece| out.push_sql(piece));
                Ok(())
            }
        }

        impl Query for $name<'_> {
            type SqlType = $answer;
        }

        impl<C> RunQueryDsl<C> for $name<'_> {}
    };
}

statement! {
    // What is there is left out before: to insert it would wait for whoever settles it just now. Places in the log follow
    // the order of the arrays; rows are written in the order of their key, as by every
    // other node, so that two nodes that are told the same never wait for each other in a circle.
    Append {
        pbx: Vec<&'a str> = Array<Text>,
        token: Vec<&'a str> = Array<Text>,
        kind: Vec<&'a str> = Array<Text>,
        feed: Vec<&'a str> = Array<Text>,
        uid: Vec<&'a str> = Array<Text>,
        linkedid: Vec<&'a str> = Array<Text>,
        root: Vec<Option<&'a str>> = Array<Nullable<Text>>,
        seq: Vec<Option<i64>> = Array<Nullable<BigInt>>,
        at_us: Vec<i64> = Array<BigInt>,
        timed: Vec<bool> = Array<Bool>,
        received_us: Vec<i64> = Array<BigInt>,
        channel: Vec<&'a str> = Array<Text>,
        facts: Vec<&'a str> = Array<Text>,
        agi: Vec<Option<&'a str>> = Array<Nullable<Text>>,
        call_id: Vec<Option<&'a str>> = Array<Nullable<Text>>,
        note: Vec<Option<&'a str>> = Array<Nullable<Text>>,
        settled: Vec<bool> = Array<Bool>,
    } answers (Text, Text),
    "INSERT INTO events (id, pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, channel,
                         facts, agi, call_id, note, settled)
     SELECT id, pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, channel, facts, agi,
            call_id, note, settled
     FROM (SELECT nextval('events_id_seq') AS id, told.*
           FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WITH ORDINALITY
             AS told (pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, channel, facts,
                      agi, call_id, note, settled, place)
           WHERE (SELECT events.id FROM events
                  WHERE events.pbx = told.pbx COLLATE \"C\" AND events.token = told.token COLLATE \"C\" LIMIT 1) IS NULL
           ORDER BY place) AS placed
     ORDER BY pbx COLLATE \"C\", token COLLATE \"C\", place
     ON CONFLICT DO NOTHING RETURNING pbx, token"
}

statement! {
    Settle {
        call: Option<&'a str> = Nullable<Text>,
        ids: Vec<i64> = Array<BigInt>,
        notes: Vec<&'a str> = Array<Text>,
    } answers (),
    "UPDATE events SET call_id = ?, note = done.note, settled = TRUE
     FROM unnest(?, ?) AS done (id, note) WHERE events.id = done.id"
}

statement! {
    Join {
        pbx: &'a str = Text,
        call: &'a str = Text,
        channels: Vec<&'a str> = Array<Text>,
    } answers (),
    "INSERT INTO members (pbx, call_id, channel) SELECT ?, ?, channel FROM unnest(?) AS named (channel)
     ON CONFLICT DO NOTHING"
}

statement! {
    // By the key of each: with `= ANY` it may be that all rows of the pbx are read.
    Homes {
        channels: Vec<&'a str> = Array<Text>,
        pbx: &'a str = Text,
    } answers (Text, Text),
    "SELECT named.channel, home.call_id FROM unnest(?) AS named (channel)
     CROSS JOIN LATERAL (SELECT call_id FROM members
                         WHERE pbx = ? AND channel = named.channel COLLATE \"C\" LIMIT 1) AS home"
}

statement! {
    Lead {
        call: &'a str = Text,
        aliases: Vec<&'a str> = Array<Text>,
    } answers (),
    "INSERT INTO call_aliases (call_id, alias) SELECT ?, alias FROM unnest(?) AS named (alias)
     ON CONFLICT (alias) DO UPDATE SET call_id = excluded.call_id
     WHERE call_aliases.call_id <> excluded.call_id"
}

statement! {
    Claim {
        pbx: &'a str = Text,
        notice: &'a str = Text,
        linkedids: Vec<&'a str> = Array<Text>,
    } answers (),
    "INSERT INTO endings (pbx, notice_id, linkedid) SELECT ?, ?, linkedid FROM unnest(?) AS named (linkedid)
     ON CONFLICT DO NOTHING"
}

/// Rows of a whole table, as JSON.
macro_rules! rows {
    ($($name:ident of $table:literal),+ $(,)?) => {
        $(statement! {
            $name { rows: &'a str = Text } answers (),
            concat!("INSERT INTO ", $table, " SELECT * FROM json_populate_recordset(NULL::", $table, ", ?::json)")
        })+
    };
}

rows! { Calls of "calls", Members of "members", Endings of "endings", Legs of "legs", Cdr of "cdr" }

statement! {
    // Advisory locks have two numbers; the first is ours (the letters `cj`, and not the one of the schema).
    Hold {
        slots: &'a [i32] = Array<Integer>,
    } answers Integer,
    "SELECT slot FROM unnest(?) AS wanted (slot) WHERE pg_try_advisory_xact_lock(25451, slot)"
}
