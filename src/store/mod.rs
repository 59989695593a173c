//! The only module that knows the SQL of our own database.
//!
//! - [`Store`]: the door; one thread writes, a few connections read
//! - [`ledger`]: the event log
//! - [`calls`]: what follows from it
//! - [`outbox`]: notices, as they are written
//! - [`delivery`]: their deliveries: leased, tried, recorded
//! - [`keep`]: calls that are forgotten
//! - [`query`]: what is shown to people
//! - [`filter`]: which calls they ask for
//!
//! It knows what a call looks like and nothing of how one comes about. Every transaction has a name, under which
//! errors and metrics speak of it.

pub mod calls;
mod db;
pub mod delivery;
pub mod filter;
pub mod keep;
pub mod ledger;
pub mod outbox;
mod proof;
pub mod query;
mod schema;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tokio::sync::{Semaphore, oneshot};

use db::Access;
pub use db::Db;
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
    path: PathBuf,
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
        "store.url is {0:?}: write sqlite://calls.db, or sqlite:////var/lib/calljournal/calls.db for an absolute path"
    )]
    Url(String),
    /// There is nothing to read.
    #[error("there is no database at {}: start `calljournal serve` first, or set store.url to where it is", .0.display())]
    Missing(PathBuf),
    /// The file cannot be opened.
    #[error("the database {} cannot be opened: {reason}; check that the directory exists and that this user may write there", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        reason: String,
    },
    /// The file system does not let SQLite keep its promises.
    #[error("the database {} is not durable: journal_mode is {journal_mode} and must be wal, synchronous is {synchronous} and must be 2; put it on a local file system", path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// As read back.
        journal_mode: String,
        /// As read back.
        synchronous: String,
    },
    /// A newer program made the schema.
    #[error("the database {} was made by a newer calljournal (schema {version}): install that version, or restore the backup from before", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first version that is not known here.
        version: String,
    },
    /// The schema is older than a reader needs.
    #[error("the database {} has an older schema: start `calljournal serve` once, it brings it up to date", .0.display())]
    Older(PathBuf),
    /// The schema cannot be read or brought up to date.
    #[error("the schema of {} cannot be brought up to date: {reason}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
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
    /// This store was opened to read.
    #[error("the database was opened to read only")]
    ReadOnly,
}

impl Store {
    /// Opens the database at `url` for writing, makes it where there is none and brings its schema up to date.
    /// Blocks; several processes may do it at once.
    ///
    /// # Errors
    /// When the URL is none of ours, the file cannot be opened, is not durable or has a newer schema.
    pub fn open(url: &str) -> Result<Store, StoreError> {
        let path = db::path_of(url)?;
        let mut db = Db::open(&path, Access::Write)?;
        db.migrate(&path)?;
        let (queue, threads) = Threads::start(db, path.clone())?;
        Ok(Store::over(path, Some(queue), Some(threads), Vec::new()))
    }

    /// Opens the database at `url` to read. Makes nothing and changes nothing. Blocks.
    ///
    /// # Errors
    /// When there is no such file, or its schema is not the one that this program knows.
    pub fn open_reader(url: &str) -> Result<Store, StoreError> {
        let path = db::path_of(url)?;
        let mut db = Db::open(&path, Access::Read)?;
        db.check_schema(&path)?;
        Ok(Store::over(path, None, None, vec![db]))
    }

    fn over(path: PathBuf, queue: Option<Arc<Queue>>, threads: Option<Threads>, idle: Vec<Db>) -> Store {
        let readers = Semaphore::new(READERS);
        Store(Arc::new(Inner { path, readers, idle: Mutex::new(idle), queue, _threads: threads }))
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
            let spare = idle().pop();
            let mut db = match spare {
                Some(db) => db,
                None => Db::open(&store.0.path, Access::Read)?,
            };
            let done = work(&mut db).map_err(|e| e.within(name));
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
                        DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::SerializationFailure
                    )
                }
                DieselError::BrokenTransactionManager | DieselError::AlreadyInTransaction => true,
                DieselError::RollbackErrorOnCommit { .. } => true,
                _ => false,
            },
            StoreError::Corrupt { .. } | StoreError::Panicked { .. } => false,
            _ => true,
        }
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
