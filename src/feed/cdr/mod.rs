//! Asterisk's own records of calls, read afterwards: its CDR and its channel event log (CEL), wherever it writes them.
//!
//! - [`row`]: a row by the names of its columns, to an event (pure)
//! - [`rotated`]: a file that was put aside, and the one that was begun in its place
//! - [`file`]: `Master.csv`, `cel-custom` and whatever else is CSV
//! - `packed`: the same, compressed
//! - [`database`]: the tables `cdr` and `cel`, in whatever database Asterisk was told to write to
//! - [`charset`]: text that went into it over a connection which called itself latin1
//! - [`Source`]: which of them, from what was typed
//!
//! Rows come in portions of a bounded size, so that a year takes the memory of a minute.

mod charset;
pub mod database;
pub mod file;
mod packed;
pub mod rotated;
pub mod row;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, Token};
use row::{Layout, Reading, Unreadable};

/// Rows that were read.
#[derive(Debug, Default)]
pub struct Portion {
    /// Those that are events.
    pub events: Vec<Event>,
    /// How many there were.
    pub rows: usize,
    /// How many of them are no events.
    pub unreadable: usize,
    /// What else the rows say that have one token.
    alike: HashMap<Token, Vec<u64>>,
}

impl Portion {
    fn put(&mut self, layout: &Layout, cells: &[&[u8]], reading: &Reading) {
        self.count(layout.event(cells, reading), layout.more(cells));
    }

    /// A row, and a print of what it says beside what its token comes from. Two rows that differ in that alone are two: a
    /// phone's keys of one second, a channel that goes from one bridge to the next. The first of them has the token, which
    /// is that of any row by itself, and the next ones have theirs by their place.
    fn count(&mut self, read: Result<Event, Unreadable>, more: u64) {
        self.rows += 1;
        match read {
            Ok(mut event) => {
                let alike = self.alike.entry(event.token.clone()).or_default();
                let place = alike.iter().position(|known| *known == more).unwrap_or(alike.len());
                if place == alike.len() {
                    alike.push(more);
                }
                if place > 0 {
                    event.token = row::next_of(&event.token, place + 1);
                }
                self.events.push(event);
            }
            Err(_) => self.unreadable += 1,
        }
    }
}

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// It is compressed, and not as it should be.
    #[error(
        "it is compressed and cannot be unpacked to its end ({0}): what came before counts; if it is still being \
         compressed, try again, else `gzip -t` says the same"
    )]
    Packed(std::io::Error),
    /// Its columns are none of the arrangements that Asterisk has by itself.
    #[error(
        "its {0} columns are arranged in no way that is known: name them in their order, as in \
         --columns clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,start,answer,end,duration,billsec,\
         disposition,amaflags,accountcode,uniqueid,userfield,linkedid"
    )]
    Columns(usize),
    /// Columns were named for a database.
    #[error("--columns is for files: the columns of a table have names, and are known by them")]
    NamedColumns,
    /// Tables were named for a file.
    #[error("--table is for databases, and this is a file")]
    NamedTables,
    /// The database cannot be read.
    #[error("{0}")]
    Database(String),
}

/// Where records are.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// A file, or the URL of a database.
    pub name: String,
    /// The names of a file's columns, where they are arranged as an administrator wanted.
    pub columns: Option<Vec<String>>,
    /// The tables of a database; where none is named, `cdr` and `cel`, whichever there are.
    pub tables: Vec<String>,
    /// Somebody said in which zone its times were written: those that a database keeps with a zone are then read as
    /// they were written, since it is the database that put the zone to them.
    pub zone_is_named: bool,
    /// The rows that are wanted: from then on.
    pub since: Option<Timestamp>,
    /// A file that Asterisk appends to, whose rows therefore come in the order of time: of a large one, what lies
    /// more than a day before `since` is passed over unread.
    pub grows: bool,
}

impl Place {
    /// Its name as it may be shown: of a URL without user and password, nor parameters, which may hold one too.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.name.split_once("://").filter(|(scheme, _)| *scheme != "sqlite")
        else {
            return self.name.clone();
        };
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        if login.contains('?') {
            return format!("{scheme}://…");
        }
        format!("{scheme}://{}", place.split('?').next().unwrap_or_default())
    }

    /// Whether it is read from a database.
    #[must_use]
    pub fn is_database(&self) -> bool {
        const SQLITE: &[u8] = b"SQLite format 3\0";
        let mut begins = [0; SQLITE.len()];
        let read = File::open(&self.name).and_then(|mut file| file.read_exact(&mut begins));
        self.name.contains("://") || (read.is_ok() && begins == SQLITE)
    }
}

/// Records that are being read.
pub enum Source {
    /// A file of CSV.
    Csv(Box<file::Csv>),
    /// Tables of a database.
    Database(database::Tables),
}

impl Source {
    /// Opens what `place` names. Blocks.
    ///
    /// # Errors
    /// [`Broken`], in words for who named it.
    pub fn open(place: &Place) -> Result<Source, Broken> {
        if place.is_database() {
            if place.columns.is_some() {
                return Err(Broken::NamedColumns);
            }
            return database::Tables::open(place).map(Source::Database);
        }
        if !place.tables.is_empty() {
            return Err(Broken::NamedTables);
        }
        let mut csv = file::Csv::open(Path::new(&place.name), place.columns.as_deref())?;
        if let (true, Some(since)) = (place.grows, place.since) {
            csv.pass_over(since);
        }
        Ok(Source::Csv(Box::new(csv)))
    }

    /// The next rows, `most` at most; `None` behind the last. Blocks.
    ///
    /// # Errors
    /// [`Broken`] where they cannot be read.
    pub fn next(&mut self, most: usize, reading: &Reading) -> Result<Option<Portion>, Broken> {
        match self {
            Source::Csv(csv) => csv.next(most, reading),
            Source::Database(tables) => tables.next(most, reading),
        }
    }

    /// How far it is read, and how far there is to go; in what does not matter.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Source::Csv(csv) => csv.progress(),
            Source::Database(tables) => tables.progress(),
        }
    }
}

/// By how much the times of rows are off, in quarters of an hour, where nearly all of them are: they were read in
/// another zone than they were written in. A channel's uniqueid begins with the second in which it was made.
#[must_use]
pub fn shifted(events: &[Event]) -> Option<SignedDuration> {
    const QUARTER: i64 = 900;
    let born = |event: &Event| Some(event.at.as_second() - crate::event::born(&event.uid)?.as_second());
    let mut off: Vec<i64> =
        events.iter().filter(|event| !event.uid.starts_with("cdr-")).filter_map(born).collect();
    off.sort_unstable();
    let middle = *off.get(off.len() / 2)?;
    let quarters = (middle + QUARTER / 2).div_euclid(QUARTER);
    (quarters != 0).then(|| SignedDuration::from_secs(quarters * QUARTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    /// The tokens of rows of CEL that have these times and say this beside it.
    fn tokens(rows: &[(&str, &str)]) -> Vec<String> {
        let layout =
            Layout::of(["eventtype", "eventtime", "channame", "uniqueid", "linkedid", "extra"]).unwrap();
        let at = Timestamp::from_second(1_795_652_800).unwrap();
        let reading = Reading { pbx: "a".into(), zone: TimeZone::UTC, at };
        let mut portion = Portion::default();
        for (time, extra) in rows {
            let cells = ["DTMF", *time, "PJSIP/101-43", "1795652718.67", "1795652718.66", *extra];
            portion.put(&layout, &cells.map(str::as_bytes), &reading);
        }
        portion.events.iter().map(|event| event.token.to_string()).collect()
    }

    #[test]
    fn rows_of_one_channel_in_one_second_that_say_something_else_are_two_events() {
        let (star, three) = ("{\"digit\":\"*\"}", "{\"digit\":\"3\"}");
        let told = tokens(&[("1795652720.419122", star), ("1795652720.627166", three)]);
        let [first, second] = &told[..] else { panic!("{told:?}") };
        assert_ne!(first, second);
        // The same from a database, which has no fraction; and the first one twice.
        assert_eq!(
            tokens(&[("1795652720", star), ("1795652720", three), ("1795652720", star)]),
            [first.clone(), second.clone(), first.clone()]
        );
        // Each by itself is what it was when it was read before.
        assert_eq!(tokens(&[("1795652720.627166", three)]), std::slice::from_ref(first));
        assert_eq!(tokens(&[("1795652720", ""), ("1795652720", "")]), [first.clone(), first.clone()]);
    }

    #[test]
    fn a_url_is_shown_without_user_password_and_parameters() {
        for (name, shown) in [
            ("postgres://asterisk:geheim@db/asterisk", "postgres://db/asterisk"),
            ("postgres://asterisk:ge?heim@db/asterisk", "postgres://…"),
            ("postgres://db/asterisk?password=geheim", "postgres://db/asterisk"),
            ("postgres://u:p@db/asterisk?password=ge@heim", "postgres://…"),
            ("mysql://asterisk:geheim@db/asteriskcdrdb", "mysql://db/asteriskcdrdb"),
            ("sqlite:///var/log/a@b.db", "sqlite:///var/log/a@b.db"),
            ("/var/log/a?b@c.csv", "/var/log/a?b@c.csv"),
        ] {
            let place = Place { name: name.to_owned(), ..Place::default() };
            assert_eq!(place.shown(), shown);
        }
    }
}
