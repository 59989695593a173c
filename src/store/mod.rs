//! The only module that knows the SQL of our own database.
//!
//! - [`Store`]: the door; one thread writes (two on PostgreSQL), a few connections read
//! - [`ledger`]: the event log
//! - [`sent`]: how far the spool files of other hosts are taken in
//! - [`calls`]: what follows from it
//! - [`whole`]: the same for calls of which nothing is there yet, thousands at a time
//! - [`hold`]: which node works on what
//! - [`outbox`]: notices, as they are written
//! - [`delivery`]: their deliveries: leased, tried, recorded
//! - [`endpoints`]: receivers that subscribed over HTTP
//! - [`notices`]: what became of them, for the operator
//! - [`standing`]: receivers that get nothing at present
//! - [`marks`]: what a receiver's format remembers of a call
//! - [`feeds`]: how each feed of each pbx stands
//! - [`summary`]: how the journal stands in a few numbers
//! - [`keep`]: calls that are forgotten
//! - [`query`]: what is shown to people
//! - [`filter`]: which calls they ask for
//! - [`follow`]: what happens while they look on
//! - [`foreign`]: tables of somebody else's: not ours at all, but read with the same hands
//!
//! It knows what a call looks like and nothing of how one comes about. Every transaction has a name, under which
//! errors and metrics speak of it.

mod bulk;
pub mod calls;
mod db;
pub mod delivery;
pub mod endpoints;
pub mod feeds;
pub mod filter;
pub mod follow;
pub mod foreign;
pub mod hold;
pub mod keep;
pub mod ledger;
pub mod marks;
pub mod notices;
pub mod outbox;
mod place;
mod postgres;
mod proof;
pub mod query;
mod ready;
pub mod runs;
mod schema;
pub mod sent;
mod sqlite;
pub mod standing;
pub mod summary;
pub mod whole;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tokio::sync::{Semaphore, oneshot};

use db::Access;
pub use db::Db;
pub use place::{Place, shown};
pub use writer::Writer;
pub(crate) use writer::panic_text;
use writer::{Queue, Threads};

/// Connections that read at the same time.
const READERS: usize = 4;

/// Which jobs go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A phone call waits for it.
    Accept,
    /// Everything else: when no accept waits, and one turn in five.
    Settle,
}

/// Our database; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    place: Place,
    readers: Semaphore,
    /// Connections that no read uses now.
    idle: Mutex<Vec<Db>>,
    /// `None` where the store was opened to read.
    queue: Option<Arc<Queue>>,
    _threads: Option<Threads>,
}

/// What can go wrong in the store, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `store.url` names no database of ours.
    #[error(
        "store.url is {0:?}: write sqlite://calls.db, sqlite:////var/lib/calljournal/calls.db for an absolute path, \
         or postgres://user:password@host/database, where special characters of the password are percent-encoded \
         (@ as %40)"
    )]
    Url(String),
    /// There is nothing to read.
    #[error("there is no database at {}: start `calljournal serve` first, or set store.url to where it is", .0.display())]
    Missing(PathBuf),
    /// There is no way in.
    #[error("the database {place} cannot be opened: {reason}; {}", place.advice())]
    Open {
        /// Where it should be.
        place: Place,
        /// What the database or the system says.
        reason: String,
    },
    /// `sslmode` asks for what this program cannot do.
    #[error(
        "the database {0} asks for TLS (sslmode), and this build has no TLS to PostgreSQL: connect over loopback, a \
         Unix socket or a tunnel (ssh -L, WireGuard) with sslmode=disable, or build calljournal against the \
         system's libpq (docs/postgresql.md)"
    )]
    NoTls(Place),
    /// The database does not keep its promises.
    #[error("the database {place} is not durable: {what}")]
    NotDurable {
        /// Where it is.
        place: Place,
        /// What was found, and what to do about it.
        what: String,
    },
    /// A newer program made the schema.
    #[error(
        "the database {place} was made by a newer calljournal (schema {version}): install that version, or restore \
         the backup from before"
    )]
    Newer {
        /// Where it is.
        place: Place,
        /// The first version that is not known here.
        version: String,
    },
    /// The schema is older than a reader needs.
    #[error(
        "the database {0} has an older schema, or none: `calljournal serve` brings it up to date at its start, `calljournal migrate` alone"
    )]
    Older(Place),
    /// The schema cannot be read or brought up to date.
    #[error("the schema of {place} cannot be brought up to date: {reason}")]
    Schema {
        /// Where it is.
        place: Place,
        /// What diesel says.
        reason: String,
    },
    /// The database refused; nothing of the transaction was written.
    #[error("transaction {transaction:?} failed: {source}")]
    Database {
        /// The transaction's name.
        transaction: &'static str,
        /// What the database says.
        source: DieselError,
    },
    /// What is stored cannot be read back, or what is to be stored cannot be written down.
    #[error("transaction {transaction:?}: {what}")]
    Corrupt {
        /// The transaction's name.
        transaction: &'static str,
        /// Which row, and why.
        what: String,
    },
    /// A defect of ours; nothing of the transaction was written.
    #[error(
        "transaction {transaction:?} panicked: {what}; this is a defect of calljournal, please report it"
    )]
    Panicked {
        /// The transaction's name.
        transaction: &'static str,
        /// The panic's message.
        what: String,
    },
    /// The store is closing.
    #[error("the store is closing")]
    Stopped,
    /// It was only tried: nothing was to be written, and nothing was.
    #[error("the transaction was undone, as it was meant to be")]
    Undone,
    /// This store was opened to read.
    #[error("the database was opened to read only")]
    ReadOnly,
}

impl Store {
    /// Opens the database at `url` for writing, makes it where there is none and brings its schema up to date.
    /// Blocks; several processes may do it at once.
    ///
    /// # Errors
    /// When the URL is none of ours, the database cannot be opened, is not durable or has a newer schema.
    pub fn open(url: &str) -> Result<Store, StoreError> {
        let place = Place::of(url)?;
        let mut db = Db::open(&place, Access::Write)?;
        db.migrate(&place)?;
        let (queue, threads) = Threads::start(db, place.clone())?;
        Ok(Store::over(place, Some(queue), Some(threads), Vec::new()))
    }

    /// Opens the database at `url` to read. Makes nothing and changes nothing. Blocks.
    ///
    /// # Errors
    /// When there is no such database, or its schema is not the one that this program knows.
    pub fn open_reader(url: &str) -> Result<Store, StoreError> {
        let place = Place::of(url)?;
        let mut db = Db::open(&place, Access::Read)?;
        db.check_schema(&place)?;
        Ok(Store::over(place, None, None, vec![db]))
    }

    /// Brings the schema of the database at `url` up to date, and answers with the versions that were missing.
    /// Makes a file where there is none. Blocks.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn migrate(url: &str) -> Result<Vec<String>, StoreError> {
        let place = Place::of(url)?;
        Db::open(&place, Access::Write)?.migrate(&place)
    }

    /// The versions of the schema that the database at `url` does not have yet. Changes nothing. Blocks.
    ///
    /// # Errors
    /// When there is no such database, or a newer program made its schema.
    pub fn pending(url: &str) -> Result<Vec<String>, StoreError> {
        let place = Place::of(url)?;
        Db::open(&place, Access::Read)?.pending(&place)
    }

    fn over(place: Place, queue: Option<Arc<Queue>>, threads: Option<Threads>, idle: Vec<Db>) -> Store {
        let readers = Semaphore::new(READERS);
        Store(Arc::new(Inner { place, readers, idle: Mutex::new(idle), queue, _threads: threads }))
    }

    /// Whether other nodes may write to it too, whose rows are noticed by looking.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.place.file().is_none()
    }

    /// Lets others write, for who writes one transaction after another: SQLite keeps no queue of who waits for its lock.
    /// The last one `took` so long; on a busy machine whoever waits needs longer too to see that the lock is free.
    pub async fn let_others_write(&self, took: Duration) {
        if !self.is_shared() {
            tokio::time::sleep(sqlite::REST.max(took / 8)).await;
        }
    }

    /// Hands `job` to the thread that writes: for jobs that make more than one transaction, or must answer
    /// before anything else runs. Never blocks.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] or [`StoreError::ReadOnly`]; the job is dropped then.
    pub fn post(&self, lane: Lane, job: impl FnOnce(&mut Writer) + Send + 'static) -> Result<(), StoreError> {
        self.0.queue.as_ref().ok_or(StoreError::ReadOnly)?.post(lane, Box::new(job))
    }

    /// Runs `work` in one durable transaction called `name`. It is queued at once and runs to its end even where
    /// the future is dropped, so it must be right to do it twice.
    pub fn write<T, F>(
        &self,
        lane: Lane,
        name: &'static str,
        work: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let posted = self.post(lane, move |writer| {
            let _ = answer.send(writer.tx(name, work));
        });
        async move {
            posted?;
            answered.await.unwrap_or(Err(StoreError::Stopped))
        }
    }

    /// Runs `work` on a connection that only reads; a few run at the same time, and none waits for a writer.
    ///
    /// # Errors
    /// What `work` answers, or that no connection could be opened.
    pub async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self.0.readers.acquire().await.map_err(|_| StoreError::Stopped)?;
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let idle = || store.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let spare = || idle().pop();
            let mut db = match std::iter::from_fn(spare).find_map(Db::still_there) {
                Some(db) => db,
                None => Db::open(&store.0.place, Access::Read)?,
            };
            let done = work(&mut db).map_err(|e| db.weigh(e).within(name));
            if !matches!(&done, Err(e) if e.breaks_connection()) {
                idle().push(db);
            }
            done
        });
        match done.await {
            Ok(done) => done,
            Err(e) if e.is_panic() => {
                let what = panic_text(e.into_panic().as_ref());
                Err(StoreError::Panicked { transaction: name, what })
            }
            Err(_) => Err(StoreError::Stopped),
        }
    }
}

impl StoreError {
    /// What is stored, or is to be stored, makes no sense: `what` says which and why.
    #[must_use]
    pub fn corrupt(what: String) -> StoreError {
        StoreError::Corrupt { transaction: "", what }
    }

    /// The same error with the transaction's name, where it has none yet.
    fn within(self, name: &'static str) -> StoreError {
        match self {
            StoreError::Database { transaction: "", source } => {
                StoreError::Database { transaction: name, source }
            }
            StoreError::Corrupt { transaction: "", what } => StoreError::Corrupt { transaction: name, what },
            other => other,
        }
    }

    /// Whether the same work may succeed later: the fault is the machine's and not the data's.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            StoreError::Database { source, .. } => match source {
                DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
                    of_the_machine(info.message())
                }
                DieselError::DatabaseError(kind, _) => {
                    matches!(
                        kind,
                        DatabaseErrorKind::ClosedConnection
                            | DatabaseErrorKind::UnableToSendCommand
                            | DatabaseErrorKind::SerializationFailure
                            | DatabaseErrorKind::ReadOnlyTransaction
                    )
                }
                DieselError::BrokenTransactionManager | DieselError::AlreadyInTransaction => true,
                DieselError::RollbackErrorOnCommit { .. } => true,
                _ => false,
            },
            StoreError::Corrupt { .. } | StoreError::Panicked { .. } | StoreError::Undone => false,
            _ => true,
        }
    }

    /// Whether another transaction was in the way: the same work may succeed at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        let StoreError::Database { source: DieselError::DatabaseError(kind, said), .. } = self else {
            return false;
        };
        matches!(kind, DatabaseErrorKind::SerializationFailure)
            || said.message().contains("deadlock detected")
    }

    /// Whether the connection is not to be used again.
    fn breaks_connection(&self) -> bool {
        matches!(
            self,
            StoreError::Database {
                source: DieselError::BrokenTransactionManager
                    | DieselError::AlreadyInTransaction
                    | DieselError::NotInTransaction
                    | DieselError::RollbackErrorOnCommit { .. }
                    | DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _),
                ..
            }
        ) || self.is_passing()
    }
}

/// SQLite's own words (`sqlite3_errstr`) for what has nothing to do with the data; diesel keeps no code of them.
fn of_the_machine(message: &str) -> bool {
    const WORDS: [&str; 8] = [
        "locked",
        "disk is full",
        "disk I/O error",
        "unable to open",
        "readonly database",
        "out of memory",
        "interrupted",
        "malformed",
    ];
    WORDS.iter().any(|w| message.contains(w))
}

impl From<DieselError> for StoreError {
    fn from(source: DieselError) -> StoreError {
        StoreError::Database { transaction: "", source }
    }
}
