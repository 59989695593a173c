//! The tests that touch the database. `main.rs` takes this file in twice, and by the name that it has there it
//! knows which database is meant: each of these tests runs on SQLite and on PostgreSQL, always. Where PostgreSQL is
//! missing the latter fail, unless the environment allows that by name, see `cluster.rs`.

#[path = "cli.rs"]
mod cli;
#[path = "crash.rs"]
mod crash;
#[path = "endpoints.rs"]
mod endpoints;
#[path = "feeds.rs"]
mod feeds;
#[path = "intake.rs"]
pub mod intake;
#[path = "keep.rs"]
mod keep;
#[path = "kill.rs"]
mod kill;
#[path = "large.rs"]
mod large;
#[path = "living.rs"]
mod living;
#[path = "manager.rs"]
mod manager;
#[path = "merging.rs"]
mod merging;
#[path = "notify.rs"]
mod notify;
#[path = "push/mod.rs"]
mod push;
#[path = "sent.rs"]
mod sent;
#[path = "serve.rs"]
pub mod serve;
#[path = "server.rs"]
pub mod server;
#[path = "spool.rs"]
mod spool;
#[path = "store.rs"]
mod store;
#[path = "telling.rs"]
mod telling;

use std::path::Path;

use calljournal::store::Db;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};

/// Whether these are the tests on PostgreSQL.
pub fn on_postgres() -> bool {
    module_path!().ends_with("postgres") && crate::cluster::shared().is_some()
}

/// The `store.url` of the database that belongs to `dir`.
pub fn url(dir: &Path) -> String {
    match crate::cluster::shared().filter(|_| on_postgres()) {
        Some(cluster) => cluster.database(dir),
        None => format!("sqlite://{}/calljournal.db", dir.display()),
    }
}

/// The database that belongs to `dir`, to look into and to meddle with.
pub fn database(dir: &Path) -> Db {
    connect(&url(dir))
}

/// The name of the test `test` in the module `path`, as the harness takes it.
pub fn name(path: &str, test: &str) -> String {
    let (_, path) = path.split_once("::").unwrap();
    format!("{path}::{test}")
}

/// The database at `url`.
pub fn connect(url: &str) -> Db {
    if url.starts_with("postgres") {
        return Db::Postgres(PgConnection::establish(url).unwrap());
    }
    let mut db = SqliteConnection::establish(url).unwrap();
    db.batch_execute("PRAGMA busy_timeout = 40000").unwrap();
    Db::Sqlite(db)
}

/// What begins a transaction that keeps all others from writing events, until it is rolled back.
pub fn held_alone() -> &'static str {
    if on_postgres() { "BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE" } else { "BEGIN IMMEDIATE" }
}

/// The one number that `sql` asks for as `n`.
pub fn number(db: &mut Db, sql: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    diesel::RunQueryDsl::get_result::<Number>(diesel::sql_query(sql), db).unwrap().n
}

/// The texts that `sql` asks for as `s`.
pub fn texts(db: &mut Db, sql: &str) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Text {
        #[diesel(sql_type = diesel::sql_types::Text)]
        s: String,
    }
    let rows = diesel::RunQueryDsl::load::<Text>(diesel::sql_query(sql), db).unwrap();
    rows.into_iter().map(|row| row.s).collect()
}
