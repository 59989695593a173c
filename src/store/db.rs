//! Which database there is, how a connection to it is opened, and how its schema is brought up to date.
//!
//! One backend per variant of [`Db`]: today SQLite, embedded. Everything that differs between backends is in
//! this file and behind [`on!`]; a statement elsewhere under `store/` must mean the same on all of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager as Ansi, SimpleConnection, TransactionManager};
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// How long a statement waits for another process that writes.
const BUSY_MS: u32 = 5000;

/// How often, and how long apart, the change to WAL is tried: SQLite does not wait for that lock by itself.
const WAL_TRIES: u32 = 250;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// Pages in the WAL at which a commit would do the checkpoint itself, were the thread for it (see
/// [`super::writer`]) ever so far behind: 64 MiB.
const WAL_LAST_RESORT: u32 = 16_384;

/// A connection to our database.
#[derive(diesel::MultiConnection)]
#[allow(missing_docs)]
pub enum Db {
    Sqlite(SqliteConnection),
}

/// Runs one expression on the connection of whichever backend it is: for what diesel cannot say on [`Db`]
/// itself, `ON CONFLICT` above all.
macro_rules! on {
    ($db:expr, $c:ident => $run:expr) => {
        match $db {
            $crate::store::Db::Sqlite($c) => $run,
        }
    };
}
pub(super) use on;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Writes, and makes the file where there is none.
    Write,
    /// Reads a file that must be there, and cannot change it.
    Read,
}

/// The file that a `store.url` names: `sqlite://path`, `sqlite:////absolute/path` or a bare path.
pub(super) fn path_of(url: &str) -> Result<PathBuf, StoreError> {
    let path = match url.split_once("://") {
        None => url,
        Some(("sqlite", path)) => path,
        Some(_) => return Err(StoreError::Url(scheme_only(url))),
    };
    // Four slashes mean an absolute path; what is left of them here may be one or two.
    let path = path.strip_prefix('/').filter(|p| p.starts_with('/')).unwrap_or(path);
    if path.is_empty() || path.starts_with("file:") || path.starts_with(':') || path.contains('\0') {
        return Err(StoreError::Url(scheme_only(url)));
    }
    Ok(PathBuf::from(path))
}

/// A URL may hold a password: only what stands before `://` is ever shown.
fn scheme_only(url: &str) -> String {
    url.split_once("://").map_or_else(|| url.to_owned(), |(scheme, _)| format!("{scheme}://…"))
}

impl Db {
    /// Opens the file for `access`. A connection that writes is durable at each commit, which is checked.
    pub(super) fn open(path: &Path, access: Access) -> Result<Db, StoreError> {
        let failed = |reason: String| StoreError::Open { path: path.to_owned(), reason };
        if access == Access::Write {
            create_private(path).map_err(|e| failed(e.to_string()))?;
        } else if !path.exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let mut db = SqliteConnection::establish(&uri(path)).map_err(|e| failed(e.to_string()))?;
        let set = |db: &mut SqliteConnection, sql: String| {
            db.batch_execute(&sql).map_err(|e| failed(format!("{sql}: {e}")))
        };
        // First of all, so that everything after it waits instead of failing.
        set(&mut db, format!("PRAGMA busy_timeout = {BUSY_MS}"))?;
        match access {
            Access::Read => set(&mut db, "PRAGMA query_only = ON".to_owned())?,
            Access::Write => {
                to_wal(&mut db).map_err(|e| failed(format!("PRAGMA journal_mode = WAL: {e}")))?;
                set(&mut db, "PRAGMA synchronous = FULL".to_owned())?;
                set(&mut db, format!("PRAGMA wal_autocheckpoint = {WAL_LAST_RESORT}"))?;
                check_durable(&mut db, path)?;
            }
        }
        Ok(Db::Sqlite(db))
    }

    /// Brings the schema up to date; refuses one that a newer program made. Safe when several do it at once.
    pub(super) fn migrate(&mut self, path: &Path) -> Result<(), StoreError> {
        // One transaction around all of it: who comes second waits, then finds nothing left to do.
        write_tx(self, "migrate", |db| match db {
            Db::Sqlite(c) => {
                refuse_newer(c, path)?;
                c.run_pending_migrations(MIGRATIONS)
                    .map_err(|e| StoreError::Schema { path: path.to_owned(), reason: e.to_string() })?;
                Ok(())
            }
        })
    }

    /// Whether the schema is the one that this program knows: for those who only read.
    pub(super) fn check_schema(&mut self, path: &Path) -> Result<(), StoreError> {
        let Db::Sqlite(c) = self;
        refuse_newer(c, path)?;
        let known = versions(&MIGRATIONS).map_err(|reason| schema(path, reason))?;
        let there = applied(c).map_err(|e| schema(path, e.to_string()))?;
        if known.iter().all(|v| there.contains(v)) { Ok(()) } else { Err(StoreError::Older(path.to_owned())) }
    }

    /// Moves what the WAL holds into the database file, as far as no reader is in the way.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        let Db::Sqlite(c) = self;
        Ok(c.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")?)
    }
}

/// A transaction that takes the write lock at once: the busy time-out applies to it, and a read in it never
/// has to become a write.
pub(super) fn write_tx<T>(
    db: &mut Db,
    name: &'static str,
    work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    on!(db, c => Ansi::begin_transaction_sql(c, "BEGIN IMMEDIATE"))
        .map_err(|e| StoreError::from(e).within(name))?;
    match work(db) {
        Ok(value) => {
            <Db as Connection>::TransactionManager::commit_transaction(db)
                .map_err(|e| StoreError::from(e).within(name))?;
            Ok(value)
        }
        Err(e) => {
            // Where the rollback fails too, the connection says so at its next use and is replaced.
            let _ = <Db as Connection>::TransactionManager::rollback_transaction(db);
            Err(e.within(name))
        }
    }
}

/// Only the owner may read who called whom. SQLite gives its `-wal` and `-shm` files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// `mode=rw`: the file is there by now, and SQLite shall not make one where it has vanished.
fn uri(path: &Path) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("file:{}?mode=rw", utf8_percent_encode(&path.to_string_lossy(), SPECIAL))
}

fn to_wal(db: &mut SqliteConnection) -> QueryResult<()> {
    let mut tries = 0;
    loop {
        match db.batch_execute("PRAGMA journal_mode = WAL") {
            Err(e) if tries < WAL_TRIES && e.to_string().contains("locked") => {
                tries += 1;
                std::thread::sleep(WAL_PAUSE);
            }
            done => return done,
        }
    }
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    value: String,
}

fn check_durable(db: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let mut read = |name: &str| {
        diesel::sql_query(format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}"))
            .get_result::<Setting>(db)
            .map(|s| s.value)
    };
    let found = (read("journal_mode")?, read("synchronous")?);
    // 2 is FULL: the WAL is synced at every commit.
    if found == ("wal".to_owned(), "2".to_owned()) {
        Ok(())
    } else {
        Err(StoreError::NotDurable { path: path.to_owned(), journal_mode: found.0, synchronous: found.1 })
    }
}

fn refuse_newer(c: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let known = versions(&MIGRATIONS).map_err(|reason| schema(path, reason))?;
    let there = applied(c).map_err(|e| schema(path, e.to_string()))?;
    match there.into_iter().find(|v| !known.contains(v)) {
        Some(version) => Err(StoreError::Newer { path: path.to_owned(), version }),
        None => Ok(()),
    }
}

fn schema(path: &Path, reason: String) -> StoreError {
    StoreError::Schema { path: path.to_owned(), reason }
}

fn versions(source: &impl MigrationSource<Sqlite>) -> Result<Vec<String>, String> {
    let all = source.migrations().map_err(|e| e.to_string())?;
    Ok(all.iter().map(|m| m.name().version().to_string()).collect())
}

/// The versions in the database, none where it has no schema yet. Asks by plain SQL, since diesel's own look-up
/// makes the table where there is none, which a reader must not.
fn applied(c: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let found = diesel::sql_query(
        "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'",
    )
    .load::<Setting>(c)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rows =
        diesel::sql_query("SELECT version AS value FROM __diesel_schema_migrations").load::<Setting>(c)?;
    Ok(rows.into_iter().map(|r| r.value).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn three_slashes_and_a_relative_path_are_told_apart() {
        let path = |url: &str| path_of(url).unwrap().display().to_string();
        assert_eq!(path("sqlite://calljournal.db"), "calljournal.db");
        assert_eq!(path("sqlite:///var/lib/calls.db"), "/var/lib/calls.db");
        assert_eq!(path("sqlite:////var/lib/calls.db"), "/var/lib/calls.db");
        assert_eq!(path("dir/calls.db"), "dir/calls.db");
    }

    #[test]
    fn a_path_keeps_its_special_characters() {
        assert_eq!(uri(Path::new("/a b/50%?#.db")), "file:/a%20b/50%25%3F%23.db?mode=rw");
    }
}
