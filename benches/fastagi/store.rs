//! The database behind a server: filled with calls beforehand, and asked how far settling is.
//!
//! A store is filled by telling one call to a real server and multiplying its rows, so they are those of the
//! schema of the day. A filled file is kept under `target/` and used again while the schema is the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::server::Server;
use crate::talk::{self, EVENTS_A_CALL};

/// The call that is multiplied: of November 2023, before any that is told in a run.
const FIRST: u64 = 1_700_000_000;

/// Seconds from one stored call to the next.
const APART: u64 = 10;

/// Longest wait for a backlog.
const PATIENCE: Duration = Duration::from_secs(900);

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

/// A connection to the SQLite file of a server.
pub struct Store {
    db: SqliteConnection,
}

impl Store {
    /// Opens the file.
    pub fn open(file: &Path) -> anyhow::Result<Store> {
        let mut db = SqliteConnection::establish(&file.display().to_string())?;
        db.batch_execute("PRAGMA busy_timeout = 60000")?;
        Ok(Store { db })
    }

    /// The one number that `sql` asks for as `n`.
    pub fn number(&mut self, sql: &str) -> anyhow::Result<i64> {
        Ok(diesel::sql_query(sql).get_result::<Number>(&mut self.db)?.n)
    }

    fn words(&mut self, sql: &str) -> anyhow::Result<Vec<String>> {
        let rows = diesel::sql_query(sql).load::<Word>(&mut self.db)?;
        Ok(rows.into_iter().map(|row| row.word).collect())
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
    pub fn filled(&self, calls: u64) -> anyhow::Result<PathBuf> {
        let (file, complete) =
            (self.dir.join(format!("{calls}-calls.db")), self.dir.join(format!("{calls}-calls.complete")));
        let seed = self.seed()?;
        let schema = schema_of(&seed)?;
        if std::fs::read_to_string(&complete).is_ok_and(|of| of == schema) {
            return Ok(file);
        }
        eprintln!("filling a store with {calls} calls; it is kept in {}", self.dir.display());
        let _ = std::fs::remove_file(&complete);
        for left in [".db", ".db-wal", ".db-shm"] {
            let _ = std::fs::remove_file(self.dir.join(format!("{calls}-calls{left}")));
        }
        std::fs::copy(&seed, &file)?;
        multiply(&file, calls)?;
        std::fs::write(&complete, schema)?;
        Ok(file)
    }

    /// A copy of `of` that may be changed.
    pub fn copy(&self, of: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let file = self.dir.join(name);
        for left in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{left}", file.display()));
        }
        std::fs::copy(of, &file)?;
        Ok(file)
    }

    /// A file with one call, told to a real server and ended.
    pub fn seed(&self) -> anyhow::Result<PathBuf> {
        let file = self.dir.join("seed.db");
        for left in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{left}", file.display()));
        }
        let server = Server::calljournal(self.program, self.dir, &url(&file), None)?;
        for event in talk::call_of(Duration::from_secs(FIRST), 100) {
            talk::tell(server.address, &event, Instant::now())?;
        }
        let mut store = Store::open(&file)?;
        store.quiet()?;
        if store.number("SELECT count(*) AS n FROM calls WHERE ended_us IS NOT NULL")? != 1 {
            bail!("the call that is to be multiplied has not come to its end");
        }
        server.stop()?;
        store.db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")?;
        Ok(file)
    }
}

/// The store's URL.
pub fn url(file: &Path) -> String {
    format!("sqlite:///{}", file.display())
}

fn schema_of(file: &Path) -> anyhow::Result<String> {
    let words =
        Store::open(file)?.words("SELECT sql AS word FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1")?;
    Ok(words.join(";\n"))
}

/// Tables whose rows a call has, without what makes a row unlike its copies by itself.
const TABLES: [&str; 7] = ["events", "members", "calls", "legs", "cdr", "endings", "notices"];

/// Copies all rows of the one call, each time with uniqueids of another second and another id of the call.
fn multiply(file: &Path, calls: u64) -> anyhow::Result<()> {
    let mut store = Store::open(file)?;
    store.db.batch_execute(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; \
         PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY",
    )?;
    // Indexes that are made at the end are made in one go.
    let indexes =
        store.words("SELECT sql AS word FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")?;
    for name in
        store.words("SELECT name AS word FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")?
    {
        store.db.batch_execute(&format!("DROP INDEX {name}"))?;
    }
    let id = store.words("SELECT id AS word FROM calls")?.pop().context("no call")?;
    for table in TABLES {
        copy_rows(&mut store, table, &id, calls)?;
    }
    for sql in indexes {
        store.db.batch_execute(&sql)?;
    }
    store.db.batch_execute("PRAGMA journal_mode = DELETE")?;
    Ok(())
}

fn copy_rows(store: &mut Store, table: &str, id: &str, calls: u64) -> anyhow::Result<()> {
    let columns =
        store.words(&format!("SELECT name || ' ' || type AS word FROM pragma_table_info('{table}')"))?;
    let mut names = Vec::new();
    let mut values = Vec::new();
    for column in &columns {
        let (name, kind) = column.split_once(' ').context("a column without a type")?;
        if (table, name) == ("events", "id") {
            continue;
        }
        names.push(name);
        values.push(match kind {
            // Every text may speak of a channel of the call, or of the call itself.
            "TEXT" => format!(
                "replace(replace({name}, '{FIRST}.10', printf('%d.10', {FIRST} + i * {APART})), '{begin}', \
                 printf('%08x-%04x', ({FIRST} + i * {APART}) * 1000 >> 16, ({FIRST} + i * {APART}) * 1000 & 65535))",
                begin = &id[..13],
            ),
            // What was received and told was so now, whenever the call was.
            _ if name.ends_with("_us") && !["received_us", "created_us"].contains(&name) => {
                format!("{name} + i * {APART}000000")
            }
            _ => name.to_owned(),
        });
    }
    let sql = format!(
        "WITH RECURSIVE many(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM many WHERE i < {}) \
         INSERT INTO {table} ({}) SELECT {} FROM many, (SELECT * FROM {table})",
        calls - 1,
        names.join(", "),
        values.join(", "),
    );
    Ok(store.db.batch_execute(&sql)?)
}

/// Puts `calls` calls into the log as nobody has settled them yet, told in turns: 64 of them go on at one time.
pub fn backlog(file: &Path, calls: u64) -> anyhow::Result<u64> {
    let mut store = Store::open(file)?;
    let now = talk::since_epoch();
    let second = now.as_secs();
    let sql = format!(
        "WITH RECURSIVE many(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM many WHERE i < {calls} - 1), \
         one AS (SELECT *, row_number() OVER (ORDER BY id) AS nth FROM events WHERE uid GLOB '{FIRST}.10*') \
         INSERT INTO events (pbx, token, kind, feed, uid, linkedid, root, seq, at_us, timed, received_us, \
         channel, facts, agi, settled) \
         SELECT pbx, {t}, kind, feed, {u}, {l}, {r}, seq, {now} - 1000000 + nth * 1000 + i, timed, {now}, channel, \
         {f}, agi, FALSE FROM many, one ORDER BY i / 64, nth, i",
        now = now.as_micros(),
        t = moved("token", second),
        u = moved("uid", second),
        l = moved("linkedid", second),
        r = moved("root", second),
        f = moved("facts", second),
    );
    store.db.batch_execute(&sql)?;
    Ok(calls * EVENTS_A_CALL as u64)
}

/// The text with the uniqueids of the one call replaced by those of the `i`th one that begins at `second`.
fn moved(column: &str, second: u64) -> String {
    format!("replace({column}, '{FIRST}.10', printf('%d.%d0', {second}, 1000000 + i))")
}
