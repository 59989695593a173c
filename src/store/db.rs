//! Which database there is, how a connection to it is opened, and how its schema is brought up to date.
//!
//! One backend per variant of [`Db`]: SQLite, embedded, and PostgreSQL. What differs between them is in a file of
//! each and behind [`on!`]; a statement elsewhere under `store/` means the same on both.

use diesel::backend::Backend;
use diesel::connection::{AnsiTransactionManager as Ansi, TransactionManager};
use diesel::migration::MigrationSource;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Place, StoreError, postgres, sqlite};

const FOR_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const FOR_POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// A connection to our database. Never made by diesel's own `establish`, which tries one backend after the other
/// on any URL.
#[derive(diesel::MultiConnection)]
#[allow(missing_docs)]
pub enum Db {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Runs one expression on the connection of whichever backend it is: for what diesel cannot say on [`Db`]
/// itself, `ON CONFLICT` above all.
macro_rules! on {
    ($db:expr, $c:ident => $run:expr) => {
        match $db {
            $crate::store::Db::Sqlite($c) => $run,
            $crate::store::Db::Postgres($c) => $run,
        }
    };
}
pub(super) use on;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Writes, and makes the file where there is none.
    Write,
    /// Reads what must be there, and cannot change it.
    Read,
}

/// One value, asked for in plain SQL as `value`.
#[derive(QueryableByName)]
pub(super) struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub(super) value: String,
}

impl Db {
    /// Connects for `access`. A connection that writes is durable at each commit, which is checked.
    pub(super) fn open(place: &Place, access: Access) -> Result<Db, StoreError> {
        match place {
            Place::File(path) => sqlite::open(path, access).map(Db::Sqlite),
            Place::Server(server) => postgres::open(server, access).map(Db::Postgres),
        }
    }

    /// Brings the schema up to date and answers with the versions that were missing; refuses one that a newer
    /// program made. Safe when several do it at once.
    pub(super) fn migrate(&mut self, place: &Place) -> Result<Vec<String>, StoreError> {
        let failed = |reason: String| StoreError::Schema { place: place.clone(), reason };
        match self {
            Db::Postgres(c) => postgres::alone(c, |c| {
                refuse_newer(place, &known::<Pg>(place, &FOR_POSTGRES)?, &applied_on_postgres(c)?)?;
                c.run_pending_migrations(FOR_POSTGRES).map(names).map_err(|e| failed(e.to_string()))
            }),
            // One transaction around all of it: who comes second waits, then finds nothing left to do.
            Db::Sqlite(_) => write_tx(self, "migrate", |db| {
                let Db::Sqlite(c) = db else { return Ok(Vec::new()) };
                refuse_newer(place, &known::<Sqlite>(place, &FOR_SQLITE)?, &applied_on_sqlite(c)?)?;
                c.run_pending_migrations(FOR_SQLITE).map(names).map_err(|e| failed(e.to_string()))
            }),
        }
    }

    /// The versions that [`Db::migrate`] would bring. Changes nothing.
    pub(super) fn pending(&mut self, place: &Place) -> Result<Vec<String>, StoreError> {
        let (known, there) = match self {
            Db::Sqlite(c) => (known::<Sqlite>(place, &FOR_SQLITE)?, applied_on_sqlite(c)?),
            Db::Postgres(c) => (known::<Pg>(place, &FOR_POSTGRES)?, applied_on_postgres(c)?),
        };
        refuse_newer(place, &known, &there)?;
        Ok(known.into_iter().filter(|v| !there.contains(v)).collect())
    }

    /// Whether the schema is the one that this program knows: for those who only read.
    pub(super) fn check_schema(&mut self, place: &Place) -> Result<(), StoreError> {
        if self.pending(place)?.is_empty() { Ok(()) } else { Err(StoreError::Older(place.clone())) }
    }

    /// This connection, if it is one still: PostgreSQL may have been started again since its last use.
    pub(super) fn still_there(mut self) -> Option<Db> {
        let there = match &mut self {
            Db::Sqlite(_) => true,
            Db::Postgres(c) => postgres::answers(c),
        };
        there.then_some(self)
    }

    /// Moves SQLite's WAL into its file, as far as no reader is in the way. `false` where too much stayed in it.
    pub(super) fn checkpoint(&mut self) -> Result<bool, StoreError> {
        match self {
            Db::Sqlite(c) => sqlite::checkpoint(c),
            Db::Postgres(_) => Ok(true),
        }
    }

    /// An error of this connection, in the words that both backends have in common.
    pub(super) fn weigh(&self, error: StoreError) -> StoreError {
        match (self, error) {
            (Db::Postgres(_), StoreError::Database { transaction, source }) => {
                StoreError::Database { transaction, source: postgres::weigh(source) }
            }
            (_, other) => other,
        }
    }
}

/// A transaction from its beginning to its end.
fn write_tx<T>(
    db: &mut Db,
    name: &'static str,
    work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin(db, name)?;
    run(db, name, work)
}

/// Ends a transaction that [`begin`] began: with `work` and a commit, or with nothing of it.
pub(super) fn run<T>(
    db: &mut Db,
    name: &'static str,
    work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match work(db) {
        Ok(value) => {
            <Db as Connection>::TransactionManager::commit_transaction(db)
                .map_err(|e| db.weigh(e.into()).within(name))?;
            Ok(value)
        }
        Err(e) => {
            // Where the rollback fails too, the connection says so at its next use and is replaced.
            let _ = <Db as Connection>::TransactionManager::rollback_transaction(db);
            Err(db.weigh(e).within(name))
        }
    }
}

/// Begins a transaction.
pub(super) fn begin(db: &mut Db, name: &'static str) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(c) => sqlite::begin(c),
        Db::Postgres(c) => Ansi::begin_transaction(c),
    }
    .map_err(|e| db.weigh(e.into()).within(name))
}

fn names(versions: Vec<diesel::migration::MigrationVersion<'_>>) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

fn known<B: Backend>(place: &Place, source: &impl MigrationSource<B>) -> Result<Vec<String>, StoreError> {
    let all = source
        .migrations()
        .map_err(|e| StoreError::Schema { place: place.clone(), reason: e.to_string() })?;
    Ok(all.iter().map(|m| m.name().version().to_string()).collect())
}

fn refuse_newer(place: &Place, known: &[String], there: &[String]) -> Result<(), StoreError> {
    match there.iter().find(|v| !known.contains(v)) {
        Some(version) => Err(StoreError::Newer { place: place.clone(), version: version.clone() }),
        None => Ok(()),
    }
}

/// The versions in the database, none where it has no schema yet. Asks by plain SQL, since diesel's own look-up
/// makes the table where there is none, which a reader must not.
fn applied_on_sqlite(c: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let there = diesel::sql_query(
        "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'",
    );
    if there.load::<Setting>(c)?.is_empty() {
        Ok(Vec::new())
    } else {
        Ok(values(diesel::sql_query(APPLIED).load(c)?))
    }
}

/// As [`applied_on_sqlite`].
fn applied_on_postgres(c: &mut PgConnection) -> QueryResult<Vec<String>> {
    let there = diesel::sql_query(
        "SELECT 'it is' AS value WHERE to_regclass('__diesel_schema_migrations') IS NOT NULL",
    );
    if there.load::<Setting>(c)?.is_empty() {
        Ok(Vec::new())
    } else {
        Ok(values(diesel::sql_query(APPLIED).load(c)?))
    }
}

const APPLIED: &str = "SELECT version AS value FROM __diesel_schema_migrations";

fn values(settings: Vec<Setting>) -> Vec<String> {
    settings.into_iter().map(|s| s.value).collect()
}
