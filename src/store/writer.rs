//! The threads that own the writing connections, and the one that keeps SQLite's WAL short behind them.
//!
//! Two lanes. On SQLite, which has one writer anyway, one thread serves both: what a phone call waits for goes
//! before everything else, but for one turn in five: on a disk that syncs slowly the next accept always waits
//! already when one is done, and calls would never be told as ended. On PostgreSQL each lane has a thread and a
//! connection of its own, and no accept ever waits for a settle. A job runs to its end whoever still waits for
//! it; one that panics is answered with an error and its transaction is rolled back.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::db::{self, Access, Db};
use super::{Lane, Place, StoreError};
use crate::clock::Stopwatch;

/// Accepts that go before a job of the other lane that waits.
const ACCEPTS_IN_A_ROW: u32 = 4;

/// How long after an accept the next one is to be expected.
const ACCEPTS_COME: Duration = Duration::from_millis(100);

/// How often the WAL is moved into the database file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// For how long a database that cannot be reached is left alone, at first and at most: its absence is then told
/// at once, and nobody waits for one connection after the other to fail.
const AWAY: Duration = Duration::from_millis(50);
const AWAY_AT_MOST: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// What a job writes with.
pub struct Writer {
    /// `None` after a panic or a lost connection, until the next transaction opens it again.
    db: Option<Db>,
    place: Place,
    queue: Arc<Queue>,
    /// Set while the database cannot be reached.
    away: Option<Away>,
}

/// When the last connection failed, how, and for how long no other one is tried.
struct Away {
    since: Stopwatch,
    pause: Duration,
    reason: String,
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
    /// Since the last accept was taken.
    accepted: Option<Stopwatch>,
    closed: bool,
}

/// The threads, ended and waited for when this is dropped.
pub(super) struct Threads {
    queue: Arc<Queue>,
    writers: Vec<JoinHandle<()>>,
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
        let mut db = self.begin(name)?;
        // A connection whose transaction panicked is dropped with it, which rolls back.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let done = db::run(&mut db, name, work);
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

    /// Tells whether somebody waits for an accept now that this thread would do: a long job in the other lane may
    /// then end early.
    pub fn accept_waits(&self) -> impl Fn() -> bool + use<> {
        let (queue, shared) = (self.queue.clone(), self.place.file().is_some());
        move || shared && !queue.lanes().accept.is_empty()
    }

    /// Whether accepts come that this thread does too: the next one may come at any moment.
    pub fn accepts_come(&self) -> bool {
        self.place.file().is_some()
            && self.queue.lanes().accepted.is_some_and(|since| since.elapsed() < ACCEPTS_COME)
    }

    /// Moves the rest of the WAL into the database. What is in the way now is tried again in a second.
    fn checkpoint(&mut self) {
        if let Some(db) = &mut self.db
            && let Err(e) = db.checkpoint()
        {
            tracing::warn!(error = %e, "the WAL could not be moved into the database; tried again");
        }
    }

    /// A connection on which a transaction has begun. PostgreSQL may have been started again since the connection
    /// was used: that costs a new connection, and nobody's event.
    fn begin(&mut self, name: &'static str) -> Result<Db, StoreError> {
        if let Some(mut db) = self.db.take() {
            match db::begin(&mut db, name) {
                Ok(()) => return Ok(db),
                Err(e) if self.place.file().is_some() => return Err(e),
                Err(_) => drop(db),
            }
        }
        let mut db = self.connect()?;
        db::begin(&mut db, name)?;
        Ok(db)
    }

    fn connect(&mut self) -> Result<Db, StoreError> {
        if let Some(away) = self.away.as_ref().filter(|away| away.since.elapsed() < away.pause) {
            return Err(StoreError::Open { place: self.place.clone(), reason: away.reason.clone() });
        }
        let opened = Db::open(&self.place, Access::Write);
        self.away = match &opened {
            Err(StoreError::Open { reason, .. }) => {
                let pause = self.away.as_ref().map_or(AWAY, |away| (away.pause * 2).min(AWAY_AT_MOST));
                Some(Away { since: Stopwatch::start(), pause, reason: reason.clone() })
            }
            _ => None,
        };
        opened
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
        // On SQLite one thread waits for both; elsewhere the other one must not be woken in its place.
        self.came.notify_all();
        Ok(())
    }

    /// The next job of `lane`, or of both; `None` when the store was closed and nothing is left.
    fn next(&self, lane: Option<Lane>) -> Option<Job> {
        let mut lanes = self.lanes();
        loop {
            if let Some(job) = lanes.take(lane) {
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
    fn take(&mut self, lane: Option<Lane>) -> Option<Job> {
        match lane {
            Some(Lane::Accept) => return self.accept.pop_front(),
            Some(Lane::Settle) => return self.settle.pop_front(),
            None => {}
        }
        let its_turn = self.in_a_row >= ACCEPTS_IN_A_ROW || self.accept.is_empty();
        if its_turn && let Some(job) = self.settle.pop_front() {
            self.in_a_row = 0;
            return Some(job);
        }
        let job = self.accept.pop_front()?;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.accepted = Some(Stopwatch::start());
        Some(job)
    }
}

impl Threads {
    /// Starts the threads on a database that is already up to date.
    pub(super) fn start(db: Db, place: Place) -> Result<(Arc<Queue>, Threads), StoreError> {
        let queue = Arc::new(Queue { lanes: Mutex::default(), came: Condvar::new() });
        let mut threads = Threads { queue: queue.clone(), writers: Vec::new(), checkpointer: None };
        match place.file() {
            None => {
                threads.write("store-accept", Some(Lane::Accept), &place, Some(db))?;
                threads.write("store-settle", Some(Lane::Settle), &place, None)?;
            }
            Some(_) => {
                threads.write("store-writer", None, &place, Some(db))?;
                let (stop, stopped) = mpsc::channel();
                let file = place.clone();
                let jobs = queue.clone();
                let thread = spawn("store-wal", &place, move || keep_wal_short(&file, &jobs, &stopped))?;
                threads.checkpointer = Some((stop, thread));
            }
        }
        Ok((queue, threads))
    }

    /// Starts a thread that does the jobs of `lane`, or of both.
    fn write(
        &mut self,
        name: &str,
        lane: Option<Lane>,
        place: &Place,
        db: Option<Db>,
    ) -> Result<(), StoreError> {
        let jobs = self.queue.clone();
        let mut writer = Writer { db, place: place.clone(), queue: jobs.clone(), away: None };
        let run = move || {
            while let Some(job) = jobs.next(lane) {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| job(&mut writer))) {
                    tracing::error!(panic = %panic_text(panic.as_ref()), "a job of the store panicked; the store goes on");
                }
            }
        };
        self.writers.push(spawn(name, place, run)?);
        Ok(())
    }
}

fn spawn(
    name: &str,
    place: &Place,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let failed = |e: std::io::Error| StoreError::Open { place: place.clone(), reason: e.to_string() };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
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
        for thread in checkpointer.into_iter().chain(self.writers.drain(..)) {
            // A job may hold the last handle: the thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

/// Checkpoints on a connection of its own, so that no commit waits for it. Where commits come without a pause there is
/// always one more page behind the last one that was moved, and the WAL would never begin anew: then the thread that
/// writes moves the last few itself.
fn keep_wal_short(place: &Place, queue: &Queue, stopped: &mpsc::Receiver<()>) {
    let mut db = None;
    while stopped.recv_timeout(CHECKPOINT_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        let done = match db.take() {
            Some(open) => Ok(open),
            None => Db::open(place, Access::Write),
        }
        .and_then(|mut open| {
            // What came while the first one moved megabytes is little.
            let short = open.checkpoint()? || open.checkpoint()?;
            if !short {
                queue.post(Lane::Accept, Box::new(Writer::checkpoint))?;
            }
            Ok(open)
        });
        match done {
            Ok(open) => db = Some(open),
            Err(StoreError::Stopped) => {}
            Err(e) => tracing::warn!(error = %e, "the WAL could not be moved into the database; tried again"),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
