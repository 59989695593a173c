//! PostgreSQL: how a connection is made, what makes a commit durable there, and which of its errors will pass.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::db::{Access, Setting};
use super::place::Server;
use super::{Place, StoreError};

/// Times that keep a server that hangs, and a node that died, from holding others up. The last four are the
/// server's own look at us: without them it would keep the locks of a machine that lost its power for hours. Compiling a
/// statement (`jit`) takes longer than any of ours does.
const PATIENCE: &str = "
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = '30s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '15s';
    SET jit = off;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3";

/// A commit returns when it is on disk, whatever the server does for others. Who asked for more keeps it.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// The advisory lock under which the schema is brought up to date: the letters `cj` and a number of ours.
const MIGRATING: &str = "25450, 1";

/// What PostgreSQL says of data that it will never take. Whatever else it refuses is taken for passing: a full
/// disk, a restart, a time-out. It may speak another language; then nothing is ever taken for bad data.
const OF_THE_DATA: [&str; 6] = [
    "invalid byte sequence",
    "invalid input syntax",
    "out of range",
    "too long",
    "exceeds",
    "unsupported Unicode",
];

/// Connects for `access`. A connection that writes is durable at each commit, which is checked.
pub(super) fn open(server: &Server, access: Access) -> Result<PgConnection, StoreError> {
    let place = || Place::Server(server.clone());
    let mut db = PgConnection::establish(server.dsn()).map_err(|e| {
        let said = e.to_string();
        if said.contains("SSL support is not compiled in") {
            StoreError::NoTls(place())
        } else {
            StoreError::Open { place: place(), reason: server.discreet(&said) }
        }
    })?;
    let failed =
        |e: DieselError| StoreError::Open { place: place(), reason: server.discreet(&e.to_string()) };
    db.batch_execute(PATIENCE).map_err(failed)?;
    match access {
        Access::Read => db.batch_execute("SET default_transaction_read_only = on").map_err(failed)?,
        Access::Write => {
            db.batch_execute(DURABLE).map_err(failed)?;
            check_durable(&mut db, place()).map_err(|e| match e {
                StoreError::Database { source, .. } => failed(source),
                other => other,
            })?;
        }
    }
    Ok(db)
}

fn check_durable(db: &mut PgConnection, place: Place) -> Result<(), StoreError> {
    let mut read = |expression: &str| {
        diesel::sql_query(format!("SELECT {expression} AS value")).get_result::<Setting>(db).map(|s| s.value)
    };
    let commit = read("current_setting('synchronous_commit')")?;
    if !["on", "remote_apply"].contains(&commit.as_str()) {
        let what = format!("synchronous_commit is {commit} and must be on; see ALTER ROLE … SET");
        return Err(StoreError::NotDurable { place, what });
    }
    if read("pg_is_in_recovery()::text")? == "true" {
        let reason = "it is a standby, which takes no writes; name the primary in store.url".to_owned();
        return Err(StoreError::Open { place, reason });
    }
    if read("current_setting('fsync')")? == "off" {
        tracing::warn!(%place, "fsync is off in this PostgreSQL: a power cut loses calls that were acknowledged");
    }
    Ok(())
}

/// Whether a connection that nobody used for a while is still one.
pub(super) fn answers(db: &mut PgConnection) -> bool {
    db.batch_execute("SELECT 1").is_ok()
}

/// Runs `work` while no other process brings the schema up to date.
pub(super) fn alone<T>(
    db: &mut PgConnection,
    work: impl FnOnce(&mut PgConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Who has the lock may take its time.
    db.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")?;
    db.batch_execute(&format!("SELECT pg_advisory_lock({MIGRATING})"))?;
    let done = work(db);
    db.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATING})"))?;
    db.batch_execute(PATIENCE)?;
    done
}

/// diesel keeps no code of most errors. What is not said to be the data's is told as a lost connection, which
/// [`StoreError::is_passing`], and after which the connection is made anew.
pub(super) fn weigh(error: DieselError) -> DieselError {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, said)
            if !OF_THE_DATA.iter().any(|words| said.message().contains(words)) =>
        {
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, said)
        }
        other => other,
    }
}
