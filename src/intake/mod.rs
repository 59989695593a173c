//! The one door for writing, in two steps.
//!
//! - [`accept`]: append the events of any feed to the log, durably; only then does the feed get its answer, and
//!   that is all that a phone call waits for
//! - `settle`: fold the calls that new events touch and write what follows from them, in one transaction
//! - `group`: which calls new events touch
//! - [`history`]: the same for calls that Asterisk's own records tell, long after
//! - `telling`: what is told outside of it
//! - [`feeds`]: how each feed stands; `watching`: over all nodes, and what is told of it
//! - `recent`: the events of the last large call
//! - [`living`]: the channels that are believed to live, and what their pbx is to be asked about them
//! - `meeting`: whether AMI and the dialplan of one Asterisk go by one name
//! - `series`: what the uniqueids of a pbx show of its Asterisk
//! - `deadlines`: look again at calls that may be over by now
//!
//! A crash between the two steps loses nothing: what is unsettled is settled after the next start.

pub mod accept;
mod deadlines;
pub mod feeds;
mod group;
pub mod living;
mod meeting;
mod recent;
mod series;
mod settle;
mod telling;
pub mod wanting;
mod watching;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::call::{Numbering, Rules};
use crate::clock::Clock;
use crate::event::{Asked, Event, Feed};
use crate::store::feeds::Standing;
pub use crate::store::ledger::SpoolMark;
pub use crate::store::sent::{SentFile, SentMark};
use crate::store::{Lane, Store, StoreError, ledger, sent};
pub use accept::{Mark, Receipt, Refused};
use feeds::{Feeds, Terms};
use living::{Finding, Living, Question};
pub use meeting::Apart;
use meeting::Meetings;
pub use settle::history;
pub use wanting::Subscription;

/// What calls are judged by, and who is told of them.
#[derive(Debug, Clone)]
pub struct Policy {
    /// When a call is over.
    pub rules: Rules,
    /// How long a channel is silent before its pbx is asked whether it lives. `None`: nobody is asked anything.
    pub ask_after: Option<SignedDuration>,
    /// Whose numbers and lines they are.
    pub numbering: Numbering,
    /// Who is told, until others are named by [`Intake::subscribe`].
    pub subscriptions: Vec<Subscription>,
}

impl From<Rules> for Policy {
    /// No numbers are known, nobody is asked and nobody is told.
    fn from(rules: Rules) -> Policy {
        Policy { rules, ask_after: None, numbering: Numbering::default(), subscriptions: Vec::new() }
    }
}

/// The door; clones share it.
#[derive(Clone)]
pub struct Intake {
    inner: Shared,
    /// The task that settles, until it is waited for.
    driver: Arc<Mutex<Option<JoinHandle<()>>>>,
}

type Shared = Arc<Inner>;

struct Inner {
    store: Store,
    clock: Clock,
    policy: Policy,
    subscriptions: RwLock<Arc<[Subscription]>>,
    recent: recent::Recent,
    living: Mutex<Living>,
    feeds: Mutex<Feeds>,
    meetings: Mutex<Meetings>,
    waiting: Arc<Mutex<accept::Waiting>>,
    meters: Arc<accept::Meters>,
    /// Rung when there may be something to settle.
    appended: Arc<Notify>,
    /// Rung when there are notices to send.
    told: Arc<Notify>,
    released: AtomicBool,
    stopped: CancellationToken,
}

impl Inner {
    fn is_released(&self) -> bool {
        self.released.load(Ordering::SeqCst)
    }

    fn subscriptions(&self) -> Arc<[Subscription]> {
        self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn feeds(&self) -> MutexGuard<'_, Feeds> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes known which feeds tell.
    fn note_feeds(&self, events: &[Event]) {
        let mut feeds = self.feeds();
        events.iter().for_each(|event| feeds.hear(event));
        drop(feeds);
        let mut meetings = self.meetings();
        for Apart { ami, dialplan } in events.iter().filter_map(|event| meetings.hear(event)) {
            tracing::warn!(
                "AMI tells of {ami:?} what the dialplan tells of {dialplan:?}, and each call is there twice: they seem \
                 to be one Asterisk. Write pbx = {dialplan:?} under its [[ami]], and restart calljournal"
            );
        }
    }

    fn meetings(&self) -> MutexGuard<'_, Meetings> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes known which channels live and which have ended.
    fn hear<'e>(&self, events: impl IntoIterator<Item = &'e Event>) {
        // What Asterisk wrote down afterwards lives no more.
        for event in events.into_iter().filter(|event| !event.is_record()) {
            let finding = lock(&self.living).hear(event);
            say(&event.pbx, finding);
        }
    }
}

fn lock(living: &Mutex<Living>) -> MutexGuard<'_, Living> {
    living.lock().unwrap_or_else(PoisonError::into_inner)
}

fn say(pbx: &str, finding: Option<Finding>) {
    match finding {
        None => {}
        Some(Finding::Restart) => {
            tracing::info!(pbx, "Asterisk seems to have been started again; it is asked which channels live");
        }
        Some(Finding::CannotTell) => tracing::info!(
            pbx,
            "this Asterisk has no CHANNEL_EXISTS() (since 16.22 and 18.8): a call whose end is not told ends as \
             unknown after [call] lost_after_s"
        ),
        Some(Finding::TwoOfOneName) => {
            metrics::gauge!("calljournal_pbx_names_shared").increment(1.0);
            tracing::warn!(
                pbx,
                "two Asterisks seem to go by this name, and calls of one may be taken for the other's: give each its \
                 own CALLJOURNAL_PBX"
            );
        }
    }
}

/// The pbxes by whose name two Asterisks seem to go, as their events show it.
#[must_use]
pub fn shared_names<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<String> {
    let mut living = Living::new(Some(SignedDuration::from_hours(24)), SignedDuration::from_hours(24));
    for event in events {
        living.hear(event);
    }
    living.shared()
}

/// The names under which AMI and the dialplan of one Asterisk seem to miss each other, as their events show it.
#[must_use]
pub fn names_apart<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<Apart> {
    let mut meetings = Meetings::default();
    events.into_iter().for_each(|event| drop(meetings.hear(event)));
    meetings.apart()
}

impl Intake {
    /// Opens the door and begins to settle what the log still holds unsettled. Inside a tokio runtime only.
    #[must_use]
    pub fn start(store: Store, clock: Clock, policy: Policy) -> Intake {
        let inner = Arc::new(Inner {
            feeds: Mutex::new(Feeds::new(clock.now())),
            meetings: Mutex::default(),
            store,
            clock,
            living: Mutex::new(Living::new(policy.ask_after, policy.rules.lost)),
            subscriptions: RwLock::new(policy.subscriptions.clone().into()),
            policy,
            recent: recent::Recent::default(),
            waiting: Arc::default(),
            meters: Arc::new(accept::Meters::new()),
            appended: Arc::default(),
            told: Arc::default(),
            released: AtomicBool::new(false),
            stopped: CancellationToken::new(),
        });
        let driver = tokio::spawn(deadlines::drive(inner.clone()));
        Intake { inner, driver: Arc::new(Mutex::new(Some(driver))) }
    }

    /// Appends `events`; answers when they are durable. They are appended even where the caller stops waiting.
    ///
    /// # Errors
    /// [`Refused`]: none of them is known to be in the log; to hand them in again does no harm.
    pub async fn accept(&self, events: Vec<Event>) -> Result<Receipt, Refused> {
        self.inner.hear(&events);
        self.inner.note_feeds(&events);
        accept::accept(&self.inner, events, None).await
    }

    /// As [`Intake::accept`], for an event of which [`Intake::questions`] has heard.
    ///
    /// # Errors
    /// As [`Intake::accept`].
    pub async fn accept_heard(&self, event: Event) -> Result<Receipt, Refused> {
        accept::accept(&self.inner, vec![event], None).await
    }

    /// Appends `events` and, in the same transaction, remembers how far their spool file is taken in.
    ///
    /// # Errors
    /// As [`Intake::accept`]; the mark then stays where it was.
    pub async fn accept_marked(&self, events: Vec<Event>, mark: impl Into<Mark>) -> Result<Receipt, Refused> {
        self.inner.hear(&events);
        self.inner.note_feeds(&events);
        accept::accept(&self.inner, events, Some(mark.into())).await
    }

    /// Hears of an event, and tells what its pbx is to be asked in the session that told it; mostly nothing.
    #[must_use]
    pub fn questions(&self, event: &Event) -> Vec<Question> {
        self.inner.note_feeds(std::slice::from_ref(event));
        let mut living = lock(&self.inner.living);
        let finding = living.hear(event);
        let questions = living.questions(event, self.inner.clock.now());
        drop(living);
        say(&event.pbx, finding);
        questions
    }

    /// The pbxes by whose name two Asterisks seem to go, as this process has heard them since it started.
    #[must_use]
    pub fn shared_names(&self) -> Vec<String> {
        lock(&self.inner.living).shared()
    }

    /// The names under which AMI and the dialplan of one Asterisk seem to miss each other, as this process has heard them.
    #[must_use]
    pub fn names_apart(&self) -> Vec<Apart> {
        self.inner.meetings().apart()
    }

    /// Takes in what a pbx answered. What cannot be written is asked again another time.
    pub async fn answered(&self, asked: Asked<'_>, answers: Vec<(Question, String)>) {
        let now = self.inner.clock.now();
        let (events, finding) = lock(&self.inner.living).answers(&asked, &answers, now);
        say(asked.pbx, finding);
        if let Err(error) = self.accept(events).await {
            tracing::debug!(%error, "what a pbx answered could not be written");
        }
    }

    /// The channels of a pbx that are believed to live since `before` and are not among those that do, as it says itself.
    #[must_use]
    pub fn unlisted(&self, asked: &Asked<'_>, lives: &HashSet<&str>, before: Timestamp) -> Vec<Event> {
        let gone = lock(&self.inner.living).unlisted(asked.pbx, lives, before);
        let now = self.inner.clock.now();
        let seen = gone.iter().filter_map(|one| {
            let event = Event::seen(asked, &one.uid, &one.linkedid, &one.channel, false, now)?;
            Some(Event { feed: Feed::Ami, ..event })
        });
        seen.collect()
    }

    /// A feed of a pbx gave a sign of life.
    pub fn beat(&self, pbx: &str, feed: Feed) {
        self.inner.feeds().beat(pbx, feed, self.inner.clock.now());
    }

    /// The connection of a feed came up.
    pub fn linked(&self, pbx: &str, feed: Feed) {
        self.inner.feeds().linked(pbx, feed, self.inner.clock.now());
    }

    /// The connection of a feed is away since then: it broke, or did not come up.
    pub fn broken(&self, pbx: &str, feed: Feed, why: &str, since: Timestamp) {
        self.inner.feeds().broken(pbx, feed, why, since);
    }

    /// How the feeds stand now; `down_after` as in [`Terms`], `today` as the zone of the configuration has it.
    #[must_use]
    pub fn standings(&self, down_after: SignedDuration, today: &str) -> Vec<Standing> {
        let feeds = self.inner.feeds();
        feeds.standings(&self.terms_of(&feeds, down_after), today)
    }

    fn terms_of(&self, feeds: &Feeds, down_after: SignedDuration) -> Terms {
        Terms { now: self.inner.clock.now(), listening: feeds.listening(), down_after }
    }

    /// Whether something changed of a feed that all nodes should know at once.
    #[must_use]
    pub fn has_pressing_news(&self, down_after: SignedDuration, today: &str) -> bool {
        let feeds = self.inner.feeds();
        feeds.is_pressing(&self.terms_of(&feeds, down_after), today)
    }

    /// Brings what all nodes know of the feeds together, and tells what follows.
    ///
    /// # Errors
    /// When the database refuses; what this node saw is kept for the next time.
    pub async fn sync_feeds(&self, down_after: SignedDuration, today: String) -> Result<(), StoreError> {
        let (news, terms) = {
            let mut feeds = self.inner.feeds();
            (feeds.take_news(), self.terms_of(&feeds, down_after))
        };
        let subscriptions = self.inner.subscriptions();
        let work = move |db: &mut _| watching::sync(db, &news, &terms, &today, &subscriptions);
        match self.inner.store.write(Lane::Settle, "feeds", work).await {
            Ok(synced) => {
                self.inner.feeds().know(synced.known);
                for (kind, pbx, feed) in &synced.told {
                    metrics::counter!("calljournal_notices_created_total", "kind" => *kind).increment(1);
                    tracing::info!(pbx, %feed, "{kind}");
                }
                if !synced.told.is_empty() {
                    self.inner.told.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                self.inner.feeds().put_back();
                Err(error)
            }
        }
    }

    /// For how long the oldest waiting append waits; `None` where none does.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Duration> {
        accept::oldest_wait(&self.inner)
    }

    /// How far the spool files are taken in.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn spool_marks(&self) -> Result<Vec<SpoolMark>, StoreError> {
        self.inner.store.read("spool marks", ledger::marks).await
    }

    /// How far a spool file of another host is taken in: bytes, and how many of them were no event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn sent_so_far(&self, file: SentFile) -> Result<(u64, u64), StoreError> {
        self.inner.store.read("sent mark", move |db| sent::of(db, &file)).await
    }

    /// Forgets a spool file that is gone.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_mark(&self, mark: &SpoolMark) -> Result<(), StoreError> {
        let (device, inode) = (mark.device, mark.inode);
        let forget = move |db: &mut _| ledger::forget_mark(db, device, inode);
        self.inner.store.write(Lane::Settle, "forget spool mark", forget).await
    }

    /// Lets deadlines fire. Called once, when the spool was looked through: what it holds may belong to calls
    /// that look over.
    pub fn release_deadlines(&self) {
        self.inner.released.store(true, Ordering::SeqCst);
        self.inner.appended.notify_one();
    }

    /// From now on these are told, and nobody else.
    pub fn subscribe(&self, subscriptions: Vec<Subscription>) {
        let mut known = self.inner.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        *known = subscriptions.into();
    }

    /// Rung when notices were created; one listener, that also looks by itself now and then.
    #[must_use]
    pub fn notices_created(&self) -> Arc<Notify> {
        self.inner.told.clone()
    }

    /// Refuses what is new, answers what waits, and lets the settling that runs come to its end.
    pub async fn stop(&self) {
        accept::stop(&self.inner).await;
        self.inner.stopped.cancel();
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            let _ = driver.await;
        }
    }
}
