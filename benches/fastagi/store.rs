//! The database behind a server: filled with calls beforehand, and asked how far settling is.
//!
//! A store is filled by telling a call to a real server and multiplying its rows, so they are those of the
//! schema of the day. A filled SQLite file is kept under `target/` and used again while the schema is the same; a
//! PostgreSQL is made anew for each run, with `fsync` on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::query_dsl::methods::LoadQuery;
use diesel::sql_types::{BigInt, Text};

use crate::cluster::Cluster;
use crate::server::Server;
use crate::talk::{self, EVENTS_A_CALL};

/// The call that backlogs are made of, and the one that stores are filled with: both before any that is told in a
/// run.
const WHOLE: u64 = 1_700_000_000;
const SLIM: u64 = 1_600_000_000;

/// Seconds from one stored call to the next.
const APART: u64 = 10;

/// Longest wait for a backlog.
const PATIENCE: Duration = Duration::from_secs(900);

/// Where a server's calls are.
#[derive(Debug, Clone)]
pub enum Place {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL, by its URL.
    Server(String),
}

impl Place {
    /// What the server is told as `store.url`.
    pub fn url(&self) -> String {
        match self {
            Place::File(file) => format!("sqlite:///{}", file.display()),
            Place::Server(url) => url.clone(),
        }
    }

    /// The backend's name.
    pub fn backend(&self) -> &'static str {
        match self {
            Place::File(_) => "SQLite",
            Place::Server(_) => "PostgreSQL",
        }
    }
}

enum Db {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

/// A connection to the database of a server.
pub struct Store(Db);

impl Store {
    /// Connects.
    pub fn open(place: &Place) -> anyhow::Result<Store> {
        Ok(Store(match place {
            Place::File(file) => {
                let mut db = SqliteConnection::establish(&file.display().to_string())?;
                db.batch_execute("PRAGMA busy_timeout = 60000")?;
                Db::Sqlite(db)
            }
            Place::Server(url) => Db::Postgres(PgConnection::establish(url)?),
        }))
    }

    /// The one number that `sql` asks for as `n`.
    pub fn number(&mut self, sql: &str) -> anyhow::Result<i64> {
        Ok(self.rows::<Number>(sql)?.first().context("no row")?.n)
    }

    fn words(&mut self, sql: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.rows::<Word>(sql)?.into_iter().map(|row| row.word).collect())
    }

    fn rows<T>(&mut self, sql: &str) -> anyhow::Result<Vec<T>>
    where
        diesel::query_builder::SqlQuery: for<'q> LoadQuery<'q, SqliteConnection, T>,
        diesel::query_builder::SqlQuery: for<'q> LoadQuery<'q, PgConnection, T>,
    {
        Ok(match &mut self.0 {
            Db::Sqlite(db) => diesel::sql_query(sql).load(db)?,
            Db::Postgres(db) => diesel::sql_query(sql).load(db)?,
        })
    }

    fn run(&mut self, sql: &str) -> anyhow::Result<()> {
        let done = match &mut self.0 {
            Db::Sqlite(db) => db.batch_execute(sql),
            Db::Postgres(db) => db.batch_execute(sql),
        };
        Ok(done?)
    }

    /// Events that are in no call yet.
    pub fn unsettled(&mut self) -> anyhow::Result<i64> {
        self.number("SELECT count(*) AS n FROM events WHERE NOT settled")
    }

    /// Waits until all is settled that was told.
    pub fn settled(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        while self.unsettled()? > 0 {
            if since.elapsed() > PATIENCE {
                bail!("settling does not come to its end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until all is settled and no call is about to be told as ended: the server has nothing left to do.
    pub fn quiet(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            self.settled()?;
            let soon = talk::since_epoch().as_micros() + 60_000_000;
            let due = format!("SELECT count(*) AS n FROM calls WHERE due_us IS NOT NULL AND due_us < {soon}");
            if self.number(&due)? == 0 {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                bail!("calls do not come to their end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How stores come about.
pub struct Filler<'a> {
    /// The server's program.
    pub program: &'a Path,
    /// Where filled files are kept.
    pub dir: &'a Path,
}

impl Filler<'_> {
    /// A file with so many calls, all settled and ended. It is used as it lies: what runs add to it is little.
    pub fn filled(&self, calls: u64) -> anyhow::Result<Place> {
        let (file, complete) =
            (self.dir.join(format!("{calls}-calls.db")), self.dir.join(format!("{calls}-calls.complete")));
        let place = Place::File(file.clone());
        let seed = self.seed()?;
        let schema = schema_of(&seed)?;
        if std::fs::read_to_string(&complete).is_ok_and(|of| of == schema) {
            return Ok(place);
        }
        eprintln!("filling a store with {calls} calls; it is kept in {}", self.dir.display());
        let _ = std::fs::remove_file(&complete);
        copy(&seed, &file)?;
        multiply(&place, calls)?;
        std::fs::write(&complete, schema)?;
        Ok(place)
    }

    /// A PostgreSQL with so many calls, kept to its end by this process.
    pub fn filled_server(&self, cluster: &Cluster, calls: u64) -> anyhow::Result<Place> {
        let place = Place::Server(cluster.database(self.dir));
        // An earlier part of this run may have filled it; before that it has no tables.
        let there = Store::open(&place)?.number("SELECT count(*) AS n FROM calls");
        if there.is_ok_and(|there| there.cast_unsigned() >= calls) {
            return Ok(place);
        }
        eprintln!("filling a PostgreSQL with {calls} calls");
        self.tell_seed(&place)?;
        multiply(&place, calls)?;
        Store::open(&place)?.run("CHECKPOINT")?;
        Ok(place)
    }

    /// A copy of a filled file that may be changed.
    pub fn copy(&self, calls: u64, name: &str) -> anyhow::Result<Place> {
        let Place::File(of) = self.filled(calls)? else { bail!("no file") };
        let file = self.dir.join(name);
        copy(&of, &file)?;
        Ok(Place::File(file))
    }

    /// A file with nothing but the calls that are multiplied.
    pub fn seed(&self) -> anyhow::Result<PathBuf> {
        let file = self.dir.join("seed.db");
        for left in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{left}", file.display()));
        }
        let place = Place::File(file.clone());
        self.tell_seed(&place)?;
        Store::open(&place)?.run("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")?;
        Ok(file)
    }

    /// Tells the calls that are multiplied to a real server, and waits for their end.
    fn tell_seed(&self, place: &Place) -> anyhow::Result<()> {
        let server = Server::calljournal(self.program, self.dir, &place.url(), None)?;
        let slim = talk::call_of(Duration::from_secs(SLIM), 100).into_iter().enumerate();
        // Start, one ring, the end of that one and of the caller: nobody answered.
        let slim = slim.filter(|(n, _)| [0, 1, 3, 6].contains(n)).map(|(_, event)| event);
        for event in slim.chain(talk::call_of(Duration::from_secs(WHOLE), 100)) {
            talk::tell(server.address, &event, Instant::now())?;
        }
        let mut store = Store::open(place)?;
        store.quiet()?;
        if store.number("SELECT count(*) AS n FROM calls WHERE ended_us IS NOT NULL")? != 2 {
            bail!("the calls that are to be multiplied have not come to their end");
        }
        server.stop()
    }
}

fn copy(of: &Path, to: &Path) -> anyhow::Result<()> {
    for left in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{left}", to.display()));
    }
    std::fs::copy(of, to)?;
    Ok(())
}

fn schema_of(file: &Path) -> anyhow::Result<String> {
    let sql = "SELECT sql AS word FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1";
    Ok(Store::open(&Place::File(file.to_owned()))?.words(sql)?.join(";\n"))
}

/// Tables whose rows a call has, and where they say which.
const TABLES: [(&str, &str); 7] = [
    ("events", "call_id"),
    ("members", "call_id"),
    ("calls", "id"),
    ("legs", "call_id"),
    ("cdr", "call_id"),
    ("endings", "linkedid"),
    ("notices", "call_id"),
];

/// Copies all rows of one call, each time with uniqueids of another second and another id of the call.
fn multiply(place: &Place, calls: u64) -> anyhow::Result<()> {
    let mut store = Store::open(place)?;
    let linkedid = format!("{SLIM}.100");
    let id = store.words(&format!("SELECT id AS word FROM calls WHERE linkedid = '{linkedid}'"))?;
    let id = id.into_iter().next().context("no call")?;
    let mut indexes = Vec::new();
    if let Place::File(_) = place {
        store.run(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; \
             PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY",
        )?;
        // Indexes that are made at the end are made in one go.
        let of = "FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
        indexes = store.words(&format!("SELECT sql AS word {of}"))?;
        for name in store.words(&format!("SELECT name AS word {of}"))? {
            store.run(&format!("DROP INDEX {name}"))?;
        }
    }
    for (table, column) in TABLES {
        let of = if column == "linkedid" { &linkedid } else { &id };
        copy_rows(&mut store, table, &format!("{column} = '{of}'"), &id, calls)?;
    }
    for sql in indexes {
        store.run(&sql)?;
    }
    match place {
        Place::File(_) => store.run("PRAGMA journal_mode = DELETE"),
        Place::Server(_) => store.run("VACUUM ANALYZE"),
    }
}

fn copy_rows(store: &mut Store, table: &str, which: &str, id: &str, calls: u64) -> anyhow::Result<()> {
    let sqlite = matches!(store.0, Db::Sqlite(_));
    let columns = store.words(&match sqlite {
        true => format!("SELECT name || ' ' || lower(type) AS word FROM pragma_table_info('{table}')"),
        false => format!(
            "SELECT column_name || ' ' || data_type AS word FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        ),
    })?;
    let second = format!("({SLIM} + i * {APART})");
    let (uid, begin) = match sqlite {
        true => (
            format!("printf('%d.10', {second})"),
            format!("printf('%08x-%04x', {second} * 1000 >> 16, {second} * 1000 & 65535)"),
        ),
        false => (
            format!("{second}::text || '.10'"),
            format!(
                "lpad(to_hex({second} * 1000 >> 16), 8, '0') || '-' || lpad(to_hex({second} * 1000 & 65535), 4, '0')"
            ),
        ),
    };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for column in &columns {
        let (name, kind) = column.split_once(' ').context("a column without a type")?;
        if (table, name) == ("events", "id") {
            continue;
        }
        names.push(name);
        values.push(match kind {
            _ if name == "agi" => "NULL".to_owned(),
            // Every text may speak of a channel of the call, or of the call itself.
            "text" => {
                format!("replace(replace({name}, '{SLIM}.10', {uid}), '{}', {begin})", &id[..13])
            }
            // What was received and told was so now, whenever the call was.
            _ if name.ends_with("_us") && !["received_us", "created_us"].contains(&name) => {
                format!("{name} + i * {APART}000000")
            }
            _ => name.to_owned(),
        });
    }
    let many = match sqlite {
        true => format!(
            "WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < {})",
            calls - 1
        ),
        false => format!("WITH many(i) AS (SELECT generate_series(1::bigint, {}))", calls - 1),
    };
    let (names, values) = (names.join(", "), values.join(", "));
    // The rows of the one call are read to their end before the first is written.
    store.run(&format!(
        "{many}, one AS (SELECT * FROM {table} WHERE {which} ORDER BY 1) \
         INSERT INTO {table} ({names}) SELECT {values} FROM many, one ORDER BY i"
    ))
}

/// Puts `calls` calls into the log as nobody has settled them yet, told in turns: 64 of them go on at one time.
pub fn backlog(place: &Place, calls: u64) -> anyhow::Result<u64> {
    let mut store = Store::open(place)?;
    let now = talk::since_epoch();
    let moved = |column: &str| {
        format!("replace({column}, '{WHOLE}.10', printf('%d.%d0', {}, 1000000 + i))", now.as_secs())
    };
    store.run(&format!(
        "WITH RECURSIVE many(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM many WHERE i < {calls} - 1), \
         one AS (SELECT *, row_number() OVER (ORDER BY id) AS nth FROM events WHERE uid GLOB '{WHOLE}.10*') \
         INSERT INTO events (pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, \
         channel, facts, agi, settled) \
         SELECT pbx, {}, kind, feed, {}, {}, {}, seq, {now} - 1000000 + nth * 1000 + i, timed, {now}, channel, \
         {}, agi, FALSE FROM many, one ORDER BY i / 64, nth, i",
        moved("token"),
        moved("uid"),
        moved("linkedid"),
        moved("root"),
        moved("facts"),
        now = now.as_micros(),
    ))?;
    Ok(calls * EVENTS_A_CALL as u64)
}
