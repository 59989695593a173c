//! A file of SQLite, as `cdr_sqlite3_custom` and `cel_sqlite3_custom` write it.
//!
//! While somebody reads such a file Asterisk cannot write to it, and would wait with its calls: so each piece is a
//! short statement of its own, in the order in which the rows were written.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::super::sqlite::uri;
use super::{AT_ONCE, Cells, ForeignError, LONGEST, Row, Setting, Wanted, day_before, quoted, values};

/// How long a statement waits for Asterisk, which writes.
const BUSY: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON";

/// Names that SQLite has for the number of a row, of which a column may take one.
const NUMBERS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A file, opened to read.
pub struct File(SqliteConnection);

/// A table of it, read from row to row.
pub struct Pages {
    file: SqliteConnection,
    statement: String,
    first: i64,
    read: i64,
    last: i64,
}

#[derive(QueryableByName)]
struct Span {
    #[diesel(sql_type = Nullable<BigInt>)]
    first: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

impl File {
    pub(super) fn open(path: &Path) -> Result<File, ForeignError> {
        if !path.exists() {
            return Err(ForeignError::Open(format!("there is no file {}", path.display())));
        }
        let failed = |said: String| {
            ForeignError::Open(format!("{said}: may this user read it, and is it a file of SQLite?"))
        };
        let mut file = SqliteConnection::establish(&uri(path, "ro")).map_err(|e| failed(e.to_string()))?;
        file.batch_execute(BUSY).map_err(|e| failed(e.to_string()))?;
        // Here it is that SQLite first looks into it.
        diesel::sql_query("SELECT COUNT(*) AS first, 0 AS last FROM sqlite_master")
            .get_result::<Span>(&mut file)
            .map_err(|e| failed(e.to_string()))?;
        Ok(File(file))
    }

    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<String>, ForeignError> {
        diesel::sql_query("SELECT name AS value FROM pragma_table_info(?)")
            .bind::<Text, _>(table)
            .load::<Setting>(&mut self.0)
            .map(values)
            .map_err(said)
    }

    pub(super) fn tables(&mut self) -> Result<Vec<String>, ForeignError> {
        diesel::sql_query(
            "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
             ORDER BY name",
        )
        .load::<Setting>(&mut self.0)
        .map(values)
        .map_err(said)
    }

    pub(super) fn read(mut self, table: &str, wanted: &Wanted<'_>) -> Result<Pages, ForeignError> {
        let taken = self.columns(table)?;
        let is_free = |name: &&str| !taken.iter().any(|column| column.eq_ignore_ascii_case(name));
        let number = NUMBERS.into_iter().find(is_free).unwrap_or("rowid");
        let cell = |name: &&str| format!("substr(CAST({} AS BLOB), 1, {LONGEST})", quoted(name));
        let cells: Vec<String> = wanted.columns.iter().map(cell).collect();
        let time = quoted(wanted.time);
        // What is no such date may be seconds, or in words: who takes the rows sees.
        let since = wanted.since.map_or_else(String::new, |since| {
            format!(" AND ({time} NOT LIKE '____-__-__%' OR {time} >= '{}')", day_before(since))
        });
        let from = quoted(table);
        let span = format!("SELECT MIN({number}) AS first, MAX({number}) AS last FROM {from}");
        let span: Span = diesel::sql_query(span).get_result(&mut self.0).map_err(said)?;
        let (first, last) = (span.first.unwrap_or(0), span.last.unwrap_or(-1));
        Ok(Pages {
            file: self.0,
            statement: format!(
                "SELECT CAST({number} AS TEXT), {} FROM {from} WHERE {number} > ? AND {number} <= ?{since}
                 ORDER BY {number} LIMIT {AT_ONCE}",
                cells.join(", ")
            ),
            first,
            read: first.saturating_sub(1),
            last,
        })
    }
}

impl Pages {
    pub(super) fn more(&mut self) -> Result<Vec<Row>, ForeignError> {
        let page = diesel::sql_query(&self.statement)
            .bind::<BigInt, _>(self.read)
            .bind::<BigInt, _>(self.last)
            .load::<Cells>(&mut self.file)
            .map_err(said)?;
        let mut rows = Vec::with_capacity(page.len());
        for Cells(mut row) in page {
            let number = if row.is_empty() { None } else { row.remove(0) };
            let number = number.and_then(|number| String::from_utf8(number).ok()?.parse().ok());
            self.read = number.unwrap_or(self.last);
            rows.push(row);
        }
        if rows.is_empty() {
            self.read = self.last;
        }
        Ok(rows)
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        let steps = |to: i64| u64::try_from(to.saturating_sub(self.first).saturating_add(1)).unwrap_or(0);
        (steps(self.read), steps(self.last))
    }
}

fn said(e: diesel::result::Error) -> ForeignError {
    ForeignError::Said(e.to_string())
}
