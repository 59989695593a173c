//! Tables of somebody else's: read by the names of their columns, in pieces, and never changed.
//!
//! - [`sqlite`]: a file
//! - [`postgres`]: a server
//! - [`mysql`]: a server, of MariaDB or of MySQL
//!
//! Knows how to read a table without being in the way of who writes it, and nothing of what its rows mean. A cell
//! comes as the bytes of its text, cut at [`LONGEST`]: what it was (a number, a time, text) is for the reader to see.
//! Which tables and columns there are is asked first, and only such names, quoted, are put into a statement.

mod mysql;
mod postgres;
mod sqlite;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::row::NamedRow;
use diesel::sql_types::{Binary, Nullable};
use jiff::{SignedDuration, Timestamp};

use super::db::Setting;
use super::{Place, StoreError};

/// Of a cell no more is fetched: characters, or bytes where they are not text.
pub const LONGEST: usize = 4096;

/// Rows that are fetched at once: of the largest cells some ten megabytes.
pub const AT_ONCE: usize = 200;

/// How many tables are named to who asked for one that is not there.
const NAMED: usize = 20;

/// The cells of a row in the order in which their columns were asked for; `None` is NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// Why somebody else's table cannot be read, and what to do about it. No password is ever in it.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// Not a database that can be read.
    #[error(
        "this is no database that can be read: write sqlite:///var/log/asterisk/master.db, \
         mysql://user:password@host/asteriskcdrdb or postgres://user:password@host/database, where special \
         characters of the password are percent-encoded (@ as %40)"
    )]
    Url,
    /// There is no way in.
    #[error("it cannot be opened: {0}")]
    Open(String),
    /// It has no table of this name.
    #[error("it has no table {asked}; {}", seen(.there))]
    NoTable {
        /// The name that was asked for.
        asked: String,
        /// What tables it has.
        there: Vec<String>,
    },
    /// The database refuses to tell.
    #[error("{0}")]
    Said(String),
}

fn seen(tables: &[String]) -> String {
    match tables {
        [] => "this user sees no tables in it: is it the right database, and may the user read it (GRANT SELECT)?"
            .to_owned(),
        _ => {
            let more = if tables.len() > NAMED { ", …" } else { "" };
            let named: Vec<&str> = tables.iter().take(NAMED).map(String::as_str).collect();
            format!("it has {}{more}: name one of them with --table", named.join(", "))
        }
    }
}

/// Which rows of a table, and how.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The columns, by the names that the table has for them.
    pub columns: Vec<&'a str>,
    /// The one of them that has the time of a row.
    pub time: &'a str,
    /// Rows from then on: a day of earlier ones may come too, since the zone of their times is not known here.
    pub since: Option<Timestamp>,
    /// Times that the database keeps with their zone are told as they were written, without it. Else they are
    /// told as what they are, in UTC and with it.
    pub as_written: bool,
}

/// A connection that reads.
pub enum Database {
    /// A file of SQLite.
    Sqlite(sqlite::File),
    /// A PostgreSQL server.
    Postgres(postgres::Server),
    /// A MariaDB or MySQL server.
    Mysql(mysql::Server),
}

impl Database {
    /// Connects to what `url` names; a bare path is a file of SQLite. Blocks.
    ///
    /// # Errors
    /// [`ForeignError::Url`] and [`ForeignError::Open`].
    pub fn open(url: &str) -> Result<Database, ForeignError> {
        if let Some(("mysql" | "mariadb", rest)) = url.split_once("://") {
            return mysql::Server::open(rest).map(Database::Mysql);
        }
        match Place::of(url).map_err(|_| ForeignError::Url)? {
            Place::File(path) => sqlite::File::open(&path).map(Database::Sqlite),
            Place::Server(server) => postgres::Server::open(&server).map(Database::Postgres),
        }
    }

    /// The names of a table's columns; none where there is no such table. Blocks.
    ///
    /// # Errors
    /// [`ForeignError::Said`].
    pub fn columns(&mut self, table: &str) -> Result<Vec<String>, ForeignError> {
        match self {
            Database::Sqlite(file) => file.columns(table),
            Database::Postgres(server) => server.columns(table),
            Database::Mysql(server) => server.columns(table),
        }
    }

    /// That there is no such table, with those that there are. Blocks.
    pub fn missing(&mut self, table: &str) -> ForeignError {
        let there = match self {
            Database::Sqlite(file) => file.tables(),
            Database::Postgres(server) => server.tables(),
            Database::Mysql(server) => server.tables(),
        };
        match there {
            Ok(there) => ForeignError::NoTable { asked: table.to_owned(), there },
            Err(e) => e,
        }
    }

    /// Begins to read `table`, about in the order of time. Blocks.
    ///
    /// # Errors
    /// [`ForeignError::Said`].
    pub fn read(self, table: &str, wanted: &Wanted<'_>) -> Result<Rows, ForeignError> {
        Ok(match self {
            Database::Sqlite(file) => Rows::Sqlite(file.read(table, wanted)?),
            Database::Postgres(server) => Rows::Postgres(server.read(table, wanted)?),
            Database::Mysql(server) => Rows::Mysql(server.read(table, wanted)?),
        })
    }
}

/// Rows that are being read.
pub enum Rows {
    /// Of a file of SQLite.
    Sqlite(sqlite::Pages),
    /// Of a PostgreSQL server.
    Postgres(postgres::Cursor),
    /// Of a MariaDB or MySQL server.
    Mysql(mysql::Pages),
}

impl Rows {
    /// The next ones, [`AT_ONCE`] at most; none behind the last. Blocks.
    ///
    /// # Errors
    /// [`ForeignError::Said`].
    pub fn more(&mut self) -> Result<Vec<Row>, ForeignError> {
        match self {
            Rows::Sqlite(pages) => pages.more(),
            Rows::Postgres(cursor) => cursor.more(),
            Rows::Mysql(pages) => pages.more(),
        }
    }

    /// How far it is read, and how far there is to go; in what does not matter.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Rows::Sqlite(pages) => pages.progress(),
            Rows::Postgres(cursor) => cursor.progress(),
            Rows::Mysql(pages) => pages.progress(),
        }
    }
}

/// A row of whatever columns.
struct Cells(Row);

impl<DB: Backend> QueryableByName<DB> for Cells
where
    Vec<u8>: FromSql<Binary, DB>,
{
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        (0..row.field_count())
            .map(|at| row.get_value::<Nullable<Binary>, Option<Vec<u8>>, usize>(at))
            .collect::<Result<_, _>>()
            .map(Cells)
    }
}

fn values(settings: Vec<Setting>) -> Vec<String> {
    settings.into_iter().map(|setting| setting.value).collect()
}

/// A day before `since`, as a time without a zone is written: no zone is a day off from another.
fn day_before(since: Timestamp) -> String {
    let from = since.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    from.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A name in quotes: that of a table or a column, and never a text.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
