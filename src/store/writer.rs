//! The one thread that owns the writing connection, and the thread that keeps the WAL short behind it.
//!
//! Two lanes: what a phone call waits for goes before everything else, but for one turn in five: on a disk that
//! syncs slowly the next accept always waits already when one is done, and calls would never be told as ended. A
//! job runs to its end whoever still waits for it; one that panics is answered with an error and its transaction
//! is rolled back.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::db::{Access, Db, write_tx};
use super::{Lane, StoreError};
use crate::clock::Stopwatch;

/// Accepts that go before a job of the other lane that waits.
const ACCEPTS_IN_A_ROW: u32 = 4;

/// How often the WAL is moved into the database file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// What a job writes with.
pub struct Writer {
    /// `None` after a panic or a lost connection, until the next transaction opens it again.
    db: Option<Db>,
    path: PathBuf,
    queue: Arc<Queue>,
}

/// The way to the thread.
pub(super) struct Queue {
    lanes: Mutex<Lanes>,
    came: Condvar,
}

#[derive(Default)]
struct Lanes {
    accept: VecDeque<Job>,
    settle: VecDeque<Job>,
    /// Accepts taken since the other lane had its turn.
    in_a_row: u32,
    closed: bool,
}

/// The threads, ended and waited for when this is dropped.
pub(super) struct Threads {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    checkpointer: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Writer {
    /// Runs `work` in a transaction that is durable when this returns. `name` is what errors and metrics call it.
    ///
    /// # Errors
    /// What `work` answers, or what the database says of the transaction; nothing is written then. A panic in
    /// `work` is [`StoreError::Panicked`].
    pub fn tx<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let watch = Stopwatch::start();
        let mut db = match self.db.take() {
            Some(db) => db,
            None => Db::open(&self.path, Access::Write)?,
        };
        // A connection whose transaction panicked is dropped with it, which rolls back.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let done = write_tx(&mut db, name, work);
            (done, db)
        }));
        metrics::histogram!("calljournal_store_seconds", "name" => name).record(watch.elapsed());
        match done {
            Ok((done, db)) => {
                if !matches!(&done, Err(e) if e.breaks_connection()) {
                    self.db = Some(db);
                }
                done
            }
            Err(panic) => Err(StoreError::Panicked { transaction: name, what: panic_text(panic.as_ref()) }),
        }
    }

    /// Tells whether somebody waits for an accept now: a long job in the other lane may then end early.
    pub fn accept_waits(&self) -> impl Fn() -> bool + use<> {
        let queue = self.queue.clone();
        move || !queue.lanes().accept.is_empty()
    }
}

impl Queue {
    /// Hands a job to the thread.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when the store is closing.
    pub(super) fn post(&self, lane: Lane, job: Job) -> Result<(), StoreError> {
        let mut lanes = self.lanes();
        if lanes.closed {
            return Err(StoreError::Stopped);
        }
        match lane {
            Lane::Accept => lanes.accept.push_back(job),
            Lane::Settle => lanes.settle.push_back(job),
        }
        drop(lanes);
        self.came.notify_one();
        Ok(())
    }

    /// The next job, `None` when the store was closed and nothing is left.
    fn next(&self) -> Option<Job> {
        let mut lanes = self.lanes();
        loop {
            if let Some(job) = lanes.take() {
                return Some(job);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.came.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn take(&mut self) -> Option<Job> {
        let its_turn = self.in_a_row >= ACCEPTS_IN_A_ROW || self.accept.is_empty();
        if its_turn && let Some(job) = self.settle.pop_front() {
            self.in_a_row = 0;
            return Some(job);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.accept.pop_front()
    }
}

impl Threads {
    /// Starts both threads on a database that is already up to date.
    pub(super) fn start(db: Db, path: PathBuf) -> Result<(Arc<Queue>, Threads), StoreError> {
        let failed = |e: std::io::Error| StoreError::Open { path: path.clone(), reason: e.to_string() };
        let queue = Arc::new(Queue { lanes: Mutex::default(), came: Condvar::new() });
        let mut threads = Threads { queue: queue.clone(), writer: None, checkpointer: None };

        let jobs = queue.clone();
        let mut writer = Writer { db: Some(db), path: path.clone(), queue: queue.clone() };
        let run = move || {
            while let Some(job) = jobs.next() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&mut writer))) {
                    tracing::error!(panic = %panic_text(panic.as_ref()), "a job of the store panicked; the store goes on");
                }
            }
        };
        threads.writer =
            Some(std::thread::Builder::new().name("store-writer".to_owned()).spawn(run).map_err(failed)?);

        let (stop, stopped) = mpsc::channel();
        let file = path.clone();
        let run = move || keep_wal_short(&file, &stopped);
        let thread = std::thread::Builder::new().name("store-wal".to_owned()).spawn(run).map_err(failed)?;
        threads.checkpointer = Some((stop, thread));
        Ok((queue, threads))
    }
}

impl Drop for Threads {
    /// What is queued is still written: the last handle to the store may go before the last answer.
    fn drop(&mut self) {
        self.queue.lanes().closed = true;
        self.queue.came.notify_all();
        let checkpointer = self.checkpointer.take().map(|(stop, thread)| {
            drop(stop);
            thread
        });
        for thread in [checkpointer, self.writer.take()].into_iter().flatten() {
            // A job may hold the last handle: the thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Checkpoints on a connection of its own, so that no commit ever waits for it.
fn keep_wal_short(path: &std::path::Path, stopped: &mpsc::Receiver<()>) {
    let mut db = None;
    while stopped.recv_timeout(CHECKPOINT_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        let done = match db.take() {
            Some(open) => Ok(open),
            None => Db::open(path, Access::Write),
        }
        .and_then(|mut open| open.checkpoint().map(|()| open));
        match done {
            Ok(open) => db = Some(open),
            Err(e) => tracing::warn!(error = %e, "the WAL could not be moved into the database; tried again"),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
