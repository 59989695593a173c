//! A PostgreSQL server, as `cdr_pgsql`, `cel_pgsql` and ODBC write to it.
//!
//! A table is read through a cursor of the server's own, in a transaction that may only read: it sees the table as
//! it was when it began, holds no lock that anybody waits for, and nothing of it is kept here.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};

use super::super::place;
use super::{
    AT_ONCE, Cells, ForeignError, LONGEST, Row, Setting, StoreError, Wanted, day_before, quoted, values,
};

/// An import takes as long as it takes, and waits in between for whoever writes what it read. Others' locks are not
/// waited for long: who alters the table would wait for us in turn.
const PATIENCE: &str =
    "SET default_transaction_read_only = on; SET statement_timeout = 0; SET lock_timeout = '30s';
                        SET idle_in_transaction_session_timeout = 0; SET datestyle = 'ISO'";

/// A database that knows no encoding gives its bytes as they are: who reads them sees.
const AS_THEY_ARE: &str = "SELECT set_config('client_encoding', 'SQL_ASCII', false)
                           WHERE current_setting('server_encoding') = 'SQL_ASCII'";

/// A server, and what errors of it may show.
pub struct Server {
    db: PgConnection,
    place: place::Server,
}

/// A table of it, being read.
pub struct Cursor {
    server: Server,
    read: u64,
    all: u64,
}

/// What PostgreSQL takes a column for.
#[derive(QueryableByName)]
struct Kind {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Allowed {
    #[diesel(sql_type = Bool)]
    allowed: bool,
}

impl Server {
    pub(super) fn open(place: &place::Server) -> Result<Server, ForeignError> {
        let refused = |said: String| {
            if said.contains("SSL support is not compiled in") {
                return ForeignError::Open(
                    StoreError::NoTls(super::Place::Server(place.clone())).to_string(),
                );
            }
            ForeignError::Open(format!(
                "{}; check that PostgreSQL runs there, that the database exists, and user and password",
                place.discreet(&said)
            ))
        };
        let mut db = PgConnection::establish(place.dsn()).map_err(|e| refused(e.to_string()))?;
        db.batch_execute(PATIENCE).map_err(|e| refused(e.to_string()))?;
        db.batch_execute(AS_THEY_ARE).map_err(|e| refused(e.to_string()))?;
        Ok(Server { db, place: place.clone() })
    }

    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<String>, ForeignError> {
        Ok(self.kinds(table)?.into_iter().map(|column| column.name).collect())
    }

    fn kinds(&mut self, table: &str) -> Result<Vec<Kind>, ForeignError> {
        diesel::sql_query(
            "SELECT a.attname::text AS name, t.typname::text AS kind
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
             WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum",
        )
        .bind::<Text, _>(path(table))
        .load(&mut self.db)
        .map_err(|e| self.said(&e))
    }

    pub(super) fn tables(&mut self) -> Result<Vec<String>, ForeignError> {
        diesel::sql_query(
            "SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname::text
                         ELSE n.nspname::text || '.' || c.relname::text END AS value
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!'
               AND n.nspname <> 'information_schema'
             ORDER BY value LIMIT 100",
        )
        .load::<Setting>(&mut self.db)
        .map(values)
        .map_err(|e| self.said(&e))
    }

    pub(super) fn read(mut self, table: &str, wanted: &Wanted<'_>) -> Result<Cursor, ForeignError> {
        self.may_read(table)?;
        let kinds = self.kinds(table)?;
        let is_zoned = |name: &str| kinds.iter().any(|c| c.name == name && c.kind == "timestamptz");
        let cell = |name: &&str| {
            let plain = quoted(name);
            let plain =
                if wanted.as_written && is_zoned(name) { format!("({plain}::timestamp)") } else { plain };
            format!("left({plain}::text, {LONGEST})")
        };
        let cells: Vec<String> = wanted.columns.iter().map(cell).collect();
        let kind = kinds.iter().find(|column| column.name == wanted.time).map_or("", |c| c.kind.as_str());
        let (time, from) = (quoted(wanted.time), path(table));
        let rows = format!("FROM {from}{}", since(&time, kind, wanted));
        // The zone that this database has for whoever names none: the one in which Asterisk's times were understood.
        self.run(if wanted.as_written { "SET TimeZone TO DEFAULT" } else { "SET TimeZone = 'UTC'" })?;
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let all: Count = diesel::sql_query(format!("SELECT COUNT(*) AS count {rows}"))
            .get_result(&mut self.db)
            .map_err(|e| self.said(&e))?;
        self.run(&format!(
            "DECLARE told NO SCROLL CURSOR FOR SELECT {} {rows} ORDER BY {time}",
            cells.join(", ")
        ))?;
        Ok(Cursor { server: self, read: 0, all: u64::try_from(all.count).unwrap_or(0) })
    }

    /// Said before the server says it, in words of what to do.
    fn may_read(&mut self, table: &str) -> Result<(), ForeignError> {
        let asked = "SELECT has_any_column_privilege(to_regclass($1)::oid, 'SELECT') AS allowed";
        let Allowed { allowed } = diesel::sql_query(asked)
            .bind::<Text, _>(path(table))
            .get_result(&mut self.db)
            .map_err(|e| self.said(&e))?;
        if allowed {
            return Ok(());
        }
        Err(ForeignError::Said(format!(
            "this user may not read the table {table}: GRANT SELECT ON {} TO the user, as the table's owner",
            path(table)
        )))
    }

    fn run(&mut self, sql: &str) -> Result<(), ForeignError> {
        self.db.batch_execute(sql).map_err(|e| self.said(&e))
    }

    fn said(&self, e: &diesel::result::Error) -> ForeignError {
        ForeignError::Said(self.place.discreet(&e.to_string()))
    }
}

impl Cursor {
    pub(super) fn more(&mut self) -> Result<Vec<Row>, ForeignError> {
        let page = diesel::sql_query(format!("FETCH {AT_ONCE} FROM told")).load::<Cells>(&mut self.server.db);
        let page = page.map_err(|e| self.server.said(&e))?;
        self.read += page.len() as u64;
        Ok(page.into_iter().map(|Cells(row)| row).collect())
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.read, self.all.max(self.read))
    }
}

/// Which rows, where the database can tell: times that are text may be written in many ways, and numbers count
/// from whatever.
fn since(time: &str, kind: &str, wanted: &Wanted<'_>) -> String {
    let Some(since) = wanted.since.map(day_before) else { return String::new() };
    match kind {
        "timestamp" | "timestamptz" | "date" => format!(" WHERE {time} >= '{since}'"),
        "text" | "varchar" | "bpchar" => {
            format!(" WHERE ({time} NOT LIKE '____-__-__%' OR {time} COLLATE \"C\" >= '{since}')")
        }
        _ => String::new(),
    }
}

/// A table, and perhaps the schema before it, in quotes.
fn path(table: &str) -> String {
    table.splitn(2, '.').map(quoted).collect::<Vec<_>>().join(".")
}
