//! A MariaDB or MySQL server, as FreePBX has one, and whoever writes to it by ODBC.
//!
//! Many an old FreePBX has tables of a kind (MyISAM) into which nobody writes while somebody reads. So a table is read
//! in short pieces, by the numbers of its rows or by an index on their time. One that has neither is read as one
//! answer, taken row by row.

use std::time::Duration;

use mysql::prelude::{Queryable, TextQuery};
use mysql::{Conn, OptsBuilder, QueryResult, Text, Value};
use percent_encoding::percent_decode_str;

use super::{AT_ONCE, ForeignError, LONGEST, Row, Wanted, day_before};

/// Where MariaDB's own programs look for a password that nobody shall see in the list of processes.
const PASSWORD: &str = "MYSQL_PWD";

/// The port of MariaDB and of MySQL.
const PORT: u16 = 3306;

/// Of a packet no more is taken: a row has some sixty cells of [`LONGEST`] characters.
const PACKET: usize = 16 << 20;

/// What is asked of a session where the server knows it: an import takes as long as it takes, and nothing is written.
/// An old server (MariaDB 5.5 of FreePBX 14) does not know all of it.
const PATIENCE: [&str; 7] = [
    "SET NAMES utf8",
    "SET NAMES utf8mb4",
    "SET time_zone = '+00:00'",
    "SET SESSION net_write_timeout = 3600",
    "SET SESSION max_statement_time = 0",
    "SET SESSION max_execution_time = 0",
    "SET SESSION TRANSACTION READ ONLY",
];

/// A server, and what errors of it may not show.
pub struct Server {
    db: Conn,
    password: String,
}

/// A table of it, being read.
pub struct Pages {
    way: Way,
    password: String,
    read: u64,
    all: u64,
}

enum Way {
    /// In pieces.
    Pieces(Box<Pieces>),
    /// As one answer.
    Whole(QueryResult<'static, 'static, 'static, Text>),
}

/// Each piece is asked for by where the one before it ended.
struct Pieces {
    db: Conn,
    /// Up to the conditions.
    select: String,
    /// Which rows at all.
    since: String,
    /// The column by which they are read, in quotes.
    by: String,
    /// What the last row had there.
    at: Option<Value>,
    /// How many rows that have the same there are read: none of them where each has a number of its own.
    passed: Option<u64>,
}

/// What the server takes a column for.
struct Kind {
    name: String,
    kind: String,
    counts: bool,
}

impl Server {
    /// Of what stands behind `mysql://`: `user:password@host:port/database?socket=/run/mysqld/mysqld.sock`.
    pub(super) fn open(rest: &str) -> Result<Server, ForeignError> {
        let mut login = Login::of(rest).ok_or(ForeignError::Url)?;
        if login.password.is_empty() {
            login.password = std::env::var(PASSWORD).unwrap_or_default();
        }
        let opts = OptsBuilder::new()
            .ip_or_hostname(Some(login.host))
            .tcp_port(login.port)
            .socket(login.socket)
            .user(Some(login.user))
            .pass(Some(login.password.clone()))
            .db_name(Some(login.database))
            .max_allowed_packet(Some(PACKET))
            .tcp_connect_timeout(Some(Duration::from_secs(5)))
            .tcp_keepalive_time_ms(Some(10_000))
            .tcp_user_timeout_ms(Some(15_000));
        let mut db = Conn::new(opts).map_err(|e| {
            let said = discreet(&e, &login.password);
            ForeignError::Open(format!(
                "{said}; check that MariaDB runs there, that the database exists, and user and password (FreePBX \
                 keeps its own in /etc/freepbx.conf)"
            ))
        })?;
        for asked in PATIENCE {
            // What it does not know is done without: we only ever read.
            let _ = db.query_drop(asked);
        }
        Ok(Server { db, password: login.password })
    }

    pub(super) fn columns(&mut self, table: &str) -> Result<Vec<String>, ForeignError> {
        Ok(self.kinds(table)?.into_iter().map(|column| column.name).collect())
    }

    fn kinds(&mut self, table: &str) -> Result<Vec<Kind>, ForeignError> {
        let (schema, table) = parted(table);
        let asked = "SELECT column_name, data_type, column_key = 'PRI' AND extra LIKE '%auto_increment%'
                     FROM information_schema.columns
                     WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? ORDER BY ordinal_position";
        let rows = self.asked(asked, vec![schema.into(), table.into()])?;
        let column = |row: Vec<String>| {
            let mut cells = row.into_iter();
            let mut next = || cells.next().unwrap_or_default();
            Kind { name: next(), kind: next().to_ascii_lowercase(), counts: next() == "1" }
        };
        Ok(rows.into_iter().map(column).collect())
    }

    /// The rows of a short answer, as text.
    fn asked(&mut self, sql: &str, binds: Vec<Value>) -> Result<Vec<Vec<String>>, ForeignError> {
        let rows: Vec<mysql::Row> = self.db.exec(sql, binds).map_err(|e| self.said(&e))?;
        let cell = |value| String::from_utf8_lossy(&bytes(value).unwrap_or_default()).into_owned();
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(cell).collect()).collect())
    }

    pub(super) fn tables(&mut self) -> Result<Vec<String>, ForeignError> {
        let asked = "SELECT CASE WHEN table_schema = DATABASE() THEN table_name
                                 ELSE CONCAT(table_schema, '.', table_name) END
                     FROM information_schema.tables
                     WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
                     ORDER BY table_schema <> DATABASE(), 1 LIMIT 100";
        Ok(self.asked(asked, Vec::new())?.into_iter().flatten().collect())
    }

    pub(super) fn read(mut self, table: &str, wanted: &Wanted<'_>) -> Result<Pages, ForeignError> {
        let kinds = self.kinds(table)?;
        let kind = |name: &str| kinds.iter().find(|column| column.name == name);
        let cell = |name: &&str| cell(name, kind(name), wanted.as_written);
        let cells = wanted.columns.iter().map(cell).collect::<Vec<_>>().join(", ");
        let (from, time) = (path(table), quoted(wanted.time));
        let since = since(&time, kind(wanted.time).map_or("", |c| c.kind.as_str()), wanted);
        let all = self.asked(&format!("SELECT COUNT(*) FROM {from} WHERE {since}"), Vec::new())?;
        let all = all.into_iter().flatten().next().and_then(|all| all.parse().ok());
        let number = kinds.iter().find(|column| column.counts).map(|column| quoted(&column.name));
        let order = match number {
            Some(number) => Some((number, None, String::new())),
            None => self
                .index(table, wanted.time)?
                .map(|index| (time.clone(), Some(0), format!(" FORCE INDEX ({})", quoted(&index)))),
        };
        let Server { db, password } = self;
        let way = match order {
            Some((by, passed, hint)) => {
                let select = format!("SELECT {by}, {cells} FROM {from}{hint}");
                Way::Pieces(Box::new(Pieces { db, select, since, by, at: None, passed }))
            }
            None => {
                let asked = format!("SELECT {cells} FROM {from} WHERE {since} ORDER BY {time}");
                Way::Whole(asked.run(db).map_err(|e| ForeignError::Said(discreet(&e, &password)))?)
            }
        };
        Ok(Pages { way, password, read: 0, all: all.unwrap_or(0) })
    }

    /// An index that begins with this column.
    fn index(&mut self, table: &str, column: &str) -> Result<Option<String>, ForeignError> {
        let (schema, table) = parted(table);
        let asked = "SELECT index_name FROM information_schema.statistics
                     WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND column_name = ?
                       AND seq_in_index = 1 AND sub_part IS NULL AND index_type = 'BTREE'
                     ORDER BY index_name LIMIT 1";
        let index = self.asked(asked, vec![schema.into(), table.into(), column.into()])?;
        Ok(index.into_iter().flatten().next())
    }

    fn said(&self, e: &mysql::Error) -> ForeignError {
        ForeignError::Said(discreet(e, &self.password))
    }
}

impl Pages {
    pub(super) fn more(&mut self) -> Result<Vec<Row>, ForeignError> {
        let page = match &mut self.way {
            Way::Pieces(pieces) => pieces.more(),
            Way::Whole(rows) => rows.by_ref().take(AT_ONCE).map(|row| row.map(mysql::Row::unwrap)).collect(),
        };
        let page: Vec<Vec<Value>> = page.map_err(|e| ForeignError::Said(discreet(&e, &self.password)))?;
        let rows: Vec<Row> = page.into_iter().map(|row| row.into_iter().map(bytes).collect()).collect();
        self.read += rows.len() as u64;
        Ok(rows)
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.read, self.all.max(self.read))
    }
}

impl Pieces {
    fn more(&mut self) -> mysql::Result<Vec<Vec<Value>>> {
        let Pieces { db, select, since, by, at, passed } = self;
        // Of the same second there may be several rows, of which the last piece may have had some.
        let (from, behind) = match passed {
            None => (format!("{by} > ?"), 0),
            Some(passed) => (format!("{by} >= ?"), *passed),
        };
        let from = if at.is_some() { from } else { format!("{by} IS NOT NULL") };
        let asked =
            format!("{select} WHERE {since} AND {from} ORDER BY {by} LIMIT {AT_ONCE} OFFSET {behind}");
        let rows: Vec<mysql::Row> = db.exec(asked, at.iter().collect::<Vec<_>>())?;
        let mut rows: Vec<Vec<Value>> = rows.into_iter().map(mysql::Row::unwrap).collect();
        rows.retain(|row| !row.is_empty());
        let places: Vec<Value> = rows.iter_mut().map(|row| row.remove(0)).collect();
        if let Some(last) = places.last() {
            if let Some(passed) = passed {
                let same = places.iter().rev().take_while(|place| *place == last).count() as u64;
                let goes_on = same == places.len() as u64 && at.as_ref() == Some(last);
                *passed = if goes_on { *passed + same } else { same };
            }
            *at = Some(last.clone());
        }
        Ok(rows)
    }
}

/// Who logs in where.
struct Login {
    host: String,
    port: u16,
    socket: Option<String>,
    user: String,
    password: String,
    database: String,
}

impl Login {
    fn of(rest: &str) -> Option<Login> {
        let plain =
            |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = base.rsplit_once('@').unwrap_or(("", base));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (server, database) = place.split_once('/')?;
        let (host, port) = match server.strip_prefix('[').and_then(|server| server.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
        };
        let socket = match query.split_once('=') {
            Some(("socket", path)) => Some(plain(path)?),
            None if query.is_empty() => None,
            _ => return None,
        };
        if database.is_empty() || database.contains('/') || login.contains(['/', '@']) {
            return None;
        }
        Some(Login {
            host: if host.is_empty() { "localhost".to_owned() } else { plain(host)? },
            port: port.map_or(Some(PORT), |port| port.parse().ok())?,
            socket,
            user: plain(user)?,
            password: plain(password)?,
            database: plain(database)?,
        })
    }
}

/// A cell as text.
fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other => Some(other.as_sql(true).into_bytes()),
    }
}

/// How a cell is asked for. A `timestamp` is the one type that knows when it was, whatever zone somebody is in.
fn cell(name: &str, kind: Option<&Kind>, as_written: bool) -> String {
    let plain = quoted(name);
    match kind {
        Some(kind) if kind.kind == "timestamp" && as_written => {
            format!("CONCAT(CONVERT_TZ({plain}, '+00:00', @@global.time_zone), '')")
        }
        Some(kind) if kind.kind == "timestamp" => format!("CONCAT({plain}, '+00:00')"),
        _ => format!("LEFT({plain}, {LONGEST})"),
    }
}

/// As for PostgreSQL.
fn since(time: &str, kind: &str, wanted: &Wanted<'_>) -> String {
    match (kind, wanted.since.map(day_before)) {
        ("datetime" | "timestamp" | "date", Some(since)) => format!("{time} >= '{since}'"),
        ("char" | "varchar" | "text" | "tinytext", Some(since)) => {
            format!("({time} NOT LIKE '____-__-__%' OR {time} >= '{since}')")
        }
        _ => "TRUE".to_owned(),
    }
}

/// A table, and perhaps the database before it.
fn parted(table: &str) -> (Option<&str>, &str) {
    table.split_once('.').map_or((None, table), |(schema, table)| (Some(schema), table))
}

fn path(table: &str) -> String {
    table.splitn(2, '.').map(quoted).collect::<Vec<_>>().join(".")
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// What the server or the driver says, without the password should it ever quote it, nor the driver's own words for
/// what kind of error it is.
fn discreet(e: &mysql::Error, password: &str) -> String {
    let said = match e {
        mysql::Error::MySqlError(e) => e.message.clone(),
        mysql::Error::DriverError(e) => e.to_string(),
        mysql::Error::IoError(e) => e.to_string(),
        other => other.to_string(),
    };
    if password.is_empty() { said } else { said.replace(password, "…") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_to_its_parts() {
        let of =
            |rest: &str| Login::of(rest).map(|l| (l.host, l.port, l.socket, l.user, l.password, l.database));
        let told = |host: &str, port, socket: Option<&str>, user: &str, password: &str| {
            let text = |text: &str| text.to_owned();
            Some((text(host), port, socket.map(text), text(user), text(password), text("asteriskcdrdb")))
        };
        assert_eq!(of("reader:ge%40h%3Aeim@db/asteriskcdrdb"), told("db", 3306, None, "reader", "ge@h:eim"));
        assert_eq!(of("u@[::1]:3307/asteriskcdrdb"), told("::1", 3307, None, "u", ""));
        let socket = told("localhost", 3306, Some("/run/mysqld/mysqld.sock"), "u", "p:p");
        assert_eq!(of("u:p:p@/asteriskcdrdb?socket=/run/mysqld/mysqld.sock"), socket);
        for wrong in [
            "u:p@db",
            "u:p@db/",
            "u:p@db:port/a",
            "u:p@db/a/b",
            "u:p/q@db/a",
            "u:p@q@db/a",
            "u:p@db/a?ssl=1",
            "u:%ff@db/a",
        ] {
            assert!(Login::of(wrong).is_none(), "{wrong}");
        }
    }
}
