//! Asterisk's own records of calls, read afterwards: its CDR and its channel event log (CEL), wherever it writes them.
//!
//! - [`row`]: a row by the names of its columns, to an event (pure)
//! - [`file`]: `Master.csv`, `cel-custom` and whatever else is CSV
//! - [`Source`]: which of them, from what was typed
//!
//! Rows come in portions of a bounded size, so that a year takes the memory of a minute.

pub mod file;
pub mod row;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use crate::event::Event;
use row::{Layout, Reading};

/// Rows that were read.
#[derive(Debug, Default)]
pub struct Portion {
    /// Those that are events.
    pub events: Vec<Event>,
    /// How many there were.
    pub rows: usize,
    /// How many of them are no events.
    pub unreadable: usize,
}

impl Portion {
    fn put(&mut self, layout: &Layout, cells: &[&[u8]], reading: &Reading) {
        self.rows += 1;
        match layout.event(cells, reading) {
            Ok(event) => self.events.push(event),
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
    /// Its columns are none of the arrangements that Asterisk has by itself.
    #[error(
        "its {0} columns are arranged in no way that is known: name them in their order, as in \
         --columns clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,start,answer,end,duration,billsec,\
         disposition,amaflags,accountcode,uniqueid,userfield,linkedid"
    )]
    Columns(usize),
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
    /// The rows that are wanted: from then on.
    pub since: Option<Timestamp>,
}

impl Place {
    /// Its name as it may be shown: of a URL without user and password.
    #[must_use]
    pub fn shown(&self) -> String {
        match (self.name.split_once("://"), self.name.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            _ => self.name.clone(),
        }
    }
}

/// Records that are being read.
pub enum Source {
    /// A file of CSV.
    Csv(file::Csv),
}

impl Source {
    /// Opens what `place` names. Blocks.
    ///
    /// # Errors
    /// [`Broken`], in words for who named it.
    pub fn open(place: &Place) -> Result<Source, Broken> {
        Ok(Source::Csv(file::Csv::open(Path::new(&place.name), place.columns.as_deref())?))
    }

    /// The next rows, `most` at most; `None` behind the last. Blocks.
    ///
    /// # Errors
    /// [`Broken`] where they cannot be read.
    pub fn next(&mut self, most: usize, reading: &Reading) -> Result<Option<Portion>, Broken> {
        match self {
            Source::Csv(csv) => csv.next(most, reading),
        }
    }

    /// How far it is read, and how far there is to go; in what does not matter.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Source::Csv(csv) => csv.progress(),
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
