//! SQLite, embedded: how its file is opened, and what makes a commit durable there.

use std::path::Path;
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Integer;

use super::db::{Access, Setting};
use super::{Place, StoreError};
use crate::clock::Stopwatch;

/// How long a statement waits for another process that writes.
const BUSY: Duration = Duration::from_secs(5);

/// How often a transaction that is to write looks whether another process is done, in milliseconds. SQLite's own patience
/// looks ever more rarely, up to ten times a second: who writes one transaction after another would let nobody in.
const LOOK_MS: u32 = 1;

/// For how long a process that writes one transaction after another rests between two of them at least, so that others
/// get in.
pub(super) const REST: Duration = Duration::from_millis(2 * LOOK_MS as u64);

/// How often, and how long apart, the change to WAL is tried: SQLite does not wait for that lock by itself.
const WAL_TRIES: u32 = 250;
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// Pages in the WAL at which a commit would do the checkpoint itself, were the thread for it (see
/// [`super::writer`]) ever so far behind: 64 MiB.
const WAL_LAST_RESORT: u32 = 16_384;

/// Pages from which a WAL is long: 16 MiB. A commit into what is there of the file takes half the time of one that
/// makes it longer.
const WAL_LONG: i32 = 4096;

/// Opens the file for `access`. A connection that writes is durable at each commit, which is checked.
pub(super) fn open(path: &Path, access: Access) -> Result<SqliteConnection, StoreError> {
    let place = || Place::File(path.to_owned());
    let failed = |reason: String| StoreError::Open { place: place(), reason };
    if access == Access::Write {
        create_private(path).map_err(|e| failed(e.to_string()))?;
    } else if !path.exists() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let mut db = SqliteConnection::establish(&uri(path, "rw")).map_err(|e| failed(e.to_string()))?;
    let set = |db: &mut SqliteConnection, sql: String| {
        db.batch_execute(&sql).map_err(|e| failed(format!("{sql}: {e}")))
    };
    // First of all, so that everything after it waits instead of failing.
    set(&mut db, format!("PRAGMA busy_timeout = {}", BUSY.as_millis()))?;
    match access {
        Access::Read => set(&mut db, "PRAGMA query_only = ON".to_owned())?,
        Access::Write => {
            to_wal(&mut db).map_err(|e| failed(format!("PRAGMA journal_mode = WAL: {e}")))?;
            set(&mut db, "PRAGMA synchronous = FULL".to_owned())?;
            set(&mut db, format!("PRAGMA wal_autocheckpoint = {WAL_LAST_RESORT}"))?;
            check_durable(&mut db, place())?;
            set(&mut db, format!("PRAGMA busy_timeout = {LOOK_MS}"))?;
        }
    }
    Ok(db)
}

/// Begins a transaction that writes, as soon as no other process does.
pub(super) fn begin(db: &mut SqliteConnection) -> QueryResult<()> {
    let since = Stopwatch::start();
    loop {
        // The write lock is taken at once: a read in the transaction never has to become a write.
        match AnsiTransactionManager::begin_transaction_sql(db, "BEGIN IMMEDIATE") {
            Err(e) if since.elapsed() < BUSY && is_locked(&e) => {}
            done => return done,
        }
    }
}

fn is_locked(error: &diesel::result::Error) -> bool {
    error.to_string().contains("locked")
}

/// What a checkpoint found and did, in pages.
#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

/// Moves what the WAL holds into the database file, as far as no reader is in the way. `false` where the WAL is long
/// and something stayed in it: then the next commit does not begin it anew, and makes it longer still.
pub(super) fn checkpoint(db: &mut SqliteConnection) -> Result<bool, StoreError> {
    let Moved { log, checkpointed } =
        diesel::sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result::<Moved>(db)?;
    Ok(log < WAL_LONG || checkpointed == log)
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

/// The `mode` is never one in which SQLite makes a file: it is there by now, or has vanished.
pub(super) fn uri(path: &Path, mode: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
    format!("file:{}?mode={mode}", utf8_percent_encode(&path.to_string_lossy(), SPECIAL))
}

fn to_wal(db: &mut SqliteConnection) -> QueryResult<()> {
    let mut tries = 0;
    loop {
        match db.batch_execute("PRAGMA journal_mode = WAL") {
            Err(e) if tries < WAL_TRIES && is_locked(&e) => {
                tries += 1;
                std::thread::sleep(WAL_PAUSE);
            }
            done => return done,
        }
    }
}

fn check_durable(db: &mut SqliteConnection, place: Place) -> Result<(), StoreError> {
    let mut read = |name: &str| {
        diesel::sql_query(format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}"))
            .get_result::<Setting>(db)
            .map(|s| s.value)
    };
    let (journal_mode, synchronous) = (read("journal_mode")?, read("synchronous")?);
    // 2 is FULL: the WAL is synced at every commit.
    if (journal_mode.as_str(), synchronous.as_str()) == ("wal", "2") {
        return Ok(());
    }
    let what = format!(
        "journal_mode is {journal_mode} and must be wal, synchronous is {synchronous} and must be 2; put it on a \
         local file system"
    );
    Err(StoreError::NotDurable { place, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_special_characters() {
        assert_eq!(uri(Path::new("/a b/50%?#.db"), "rw"), "file:/a%20b/50%25%3F%23.db?mode=rw");
    }
}
