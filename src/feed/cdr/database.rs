//! CDR and CEL in the tables of a database: SQLite's `master.db`, PostgreSQL, and what FreePBX keeps.
//!
//! Knows which tables and columns are wanted; how a database is read is the store's to know
//! ([`crate::store::foreign`]). Two tables are read side by side, by the time of their rows, so that what the CDR and
//! CEL tell of a call comes together.

use std::collections::VecDeque;

use super::charset::mended;
use super::row::{Layout, Reading, Unreadable};
use super::{Broken, Place, Portion};
use crate::event::Event;
use crate::store::foreign::{Database, ForeignError, Rows, Wanted};

/// What Asterisk calls its tables where nobody says otherwise.
const USUAL: [&str; 2] = ["cdr", "cel"];

/// Tables that are being read.
pub struct Tables(Vec<Table>);

struct Table {
    rows: Rows,
    layout: Layout,
    /// What is read and not yet taken.
    ahead: VecDeque<(Result<Event, Unreadable>, u64)>,
}

impl Tables {
    /// Opens the tables of `place`, or those of Asterisk's that it has. Blocks.
    ///
    /// # Errors
    /// [`Broken::Database`], in words for who named it.
    pub fn open(place: &Place) -> Result<Tables, Broken> {
        let mut tables = Vec::new();
        if place.tables.is_empty() {
            for name in USUAL {
                tables.extend(Table::open(place, name)?);
            }
            if tables.is_empty() {
                return Err(Database::open(&place.name)?.missing("cdr").into());
            }
        }
        for name in &place.tables {
            match Table::open(place, name)? {
                Some(table) => tables.push(table),
                None => return Err(Database::open(&place.name)?.missing(name).into()),
            }
        }
        Ok(Tables(tables))
    }

    /// The next rows, `most` at most; `None` behind the last. Blocks.
    ///
    /// # Errors
    /// [`Broken::Database`].
    pub fn next(&mut self, most: usize, reading: &Reading) -> Result<Option<Portion>, Broken> {
        let mut portion = Portion::default();
        while portion.rows < most {
            for table in &mut self.0 {
                table.fill(reading)?;
            }
            // A row without a time goes first: it keeps nobody waiting.
            let at =
                |table: &Table| table.ahead.front().map(|(row, _)| row.as_ref().ok().map(|event| event.at));
            let next =
                self.0.iter_mut().filter(|table| !table.ahead.is_empty()).min_by_key(|table| at(table));
            match next.and_then(|table| table.ahead.pop_front()) {
                Some((row, more)) => portion.count(row, more),
                None => break,
            }
        }
        Ok((portion.rows > 0).then_some(portion))
    }

    /// How far they are read, and how far there is to go; in what does not matter.
    pub fn progress(&self) -> (u64, u64) {
        self.0
            .iter()
            .map(|table| table.rows.progress())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl Table {
    /// `None` where there is no such table.
    fn open(place: &Place, name: &str) -> Result<Option<Table>, Broken> {
        let mut database = Database::open(&place.name)?;
        let columns = database.columns(name)?;
        if columns.is_empty() {
            return Ok(None);
        }
        let used: Vec<&str> = columns.iter().map(String::as_str).filter(|name| Layout::uses(name)).collect();
        let Some((layout, time)) =
            Layout::of(&used).and_then(|layout| Some((layout.clone(), layout.time()?)))
        else {
            return Err(Broken::Database(format!(
                "the table {name} holds neither CDR (it needs calldate or start, and channel) nor CEL (eventtype, \
                 eventtime and uniqueid): its columns are {}",
                columns.join(", ")
            )));
        };
        let time = used.get(time).copied().unwrap_or_default();
        let wanted = Wanted { time, since: place.since, as_written: place.zone_is_named, columns: used };
        Ok(Some(Table { rows: database.read(name, &wanted)?, layout, ahead: VecDeque::new() }))
    }

    /// Reads on where nothing is left of what was read.
    fn fill(&mut self, reading: &Reading) -> Result<(), Broken> {
        if self.ahead.is_empty() {
            for row in self.rows.more()? {
                let cells: Vec<Vec<u8>> =
                    row.into_iter().map(|cell| mended(cell.unwrap_or_default())).collect();
                let cells: Vec<&[u8]> = cells.iter().map(Vec::as_slice).collect();
                self.ahead.push_back((self.layout.event(&cells, reading), self.layout.more(&cells)));
            }
        }
        Ok(())
    }
}

impl From<ForeignError> for Broken {
    fn from(e: ForeignError) -> Broken {
        Broken::Database(e.to_string())
    }
}
