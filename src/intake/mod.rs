//! The one door for writing, in two steps.
//!
//! - [`accept`]: append the events of any feed to the log, durably; only then does the feed get its answer, and
//!   that is all that a phone call waits for
//! - `settle`: fold the calls that new events touch and write what follows from them, in one transaction
//! - `deadlines`: look again at calls that may be over by now
//!
//! A crash between the two steps loses nothing: what is unsettled is settled after the next start.

pub mod accept;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::call::Rules;
use crate::clock::Clock;
use crate::event::Event;
pub use crate::store::ledger::SpoolMark;
use crate::store::{Lane, Store, StoreError, ledger};
pub use accept::{Receipt, Refused};

/// Who wants to be told of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The endpoint's name.
    pub endpoint: String,
    /// Kinds of notices, `call.ended`. Corrections and merges come with `call.ended`.
    pub kinds: Vec<String>,
}

/// The door; clones share it.
#[derive(Clone)]
pub struct Intake(Arc<Inner>);

#[allow(dead_code)]
struct Inner {
    store: Store,
    clock: Clock,
    rules: Rules,
    subscriptions: Vec<Subscription>,
    waiting: Arc<Mutex<accept::Waiting>>,
    /// Rung when there may be something to settle.
    appended: Arc<Notify>,
}

impl Intake {
    /// Opens the door and begins to settle what the log still holds unsettled. Inside a tokio runtime only.
    #[must_use]
    pub fn start(store: Store, clock: Clock, rules: Rules, subscriptions: Vec<Subscription>) -> Intake {
        let (waiting, appended) = (Arc::default(), Arc::new(Notify::new()));
        Intake(Arc::new(Inner { store, clock, rules, subscriptions, waiting, appended }))
    }

    /// Appends `events`; answers when they are durable. They are appended even where the caller stops waiting.
    ///
    /// # Errors
    /// [`Refused`]: none of them is known to be in the log; to hand them in again does no harm.
    pub async fn accept(&self, events: Vec<Event>) -> Result<Receipt, Refused> {
        accept::accept(&self.0, events, None).await
    }

    /// Appends `events` and, in the same transaction, remembers how far their spool file is taken in.
    ///
    /// # Errors
    /// As [`Intake::accept`]; the mark then stays where it was.
    pub async fn accept_marked(&self, events: Vec<Event>, mark: SpoolMark) -> Result<Receipt, Refused> {
        accept::accept(&self.0, events, Some(mark)).await
    }

    /// For how long the oldest waiting append waits; `None` where none does.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Duration> {
        accept::oldest_wait(&self.0)
    }

    /// How far the spool files are taken in.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn spool_marks(&self) -> Result<Vec<SpoolMark>, StoreError> {
        self.0.store.read("spool marks", ledger::marks).await
    }

    /// Forgets a spool file that is gone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_mark(&self, mark: &SpoolMark) -> Result<(), StoreError> {
        let (device, inode) = (mark.device, mark.inode);
        let forget = move |db: &mut _| ledger::forget_mark(db, device, inode);
        self.0.store.write(Lane::Settle, "forget spool mark", forget).await
    }

    /// Lets deadlines fire. Called once, when the spool was looked through: what it holds may belong to calls
    /// that look over.
    pub fn release_deadlines(&self) {}

    /// Refuses what is new, answers what waits, and lets the settling that runs come to its end.
    pub async fn stop(&self) {
        accept::stop(&self.0).await;
    }
}
