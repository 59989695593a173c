//! Appending to the log, many waiting events to one durable transaction.
//!
//! Batches make themselves: while one commits, the next ones gather, and the first event of a batch lets go before it
//! what else has come by then. There is no timer. A batch that fails is tried again request by request and event by
//! event, so that one poisonous event costs only its own answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;

use super::Inner;
use crate::clock::Stopwatch;
use crate::event::{Event, Feed};
use crate::store::ledger::SpoolMark;
use crate::store::sent::SentMark;
use crate::store::{Db, Lane, Store, StoreError, Writer, ledger, sent};

/// Events in one transaction; more brought nothing where it was measured.
const BATCH: usize = 512;

/// Events that may wait. At the slowest disk in the field that is still answered within seconds.
const MOST_WAITING: usize = 16_384;

/// Bytes that may wait.
const MOST_BYTES: usize = 64 << 20;

/// What became of the events that were handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Appended now.
    pub fresh: usize,
    /// In the log already, told before by this or another feed.
    pub duplicates: usize,
}

/// How far a spool file is taken in, with the events that it is handed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A file of this machine.
    Here(SpoolMark),
    /// One of another host.
    Sent(SentMark),
}

impl From<SpoolMark> for Mark {
    fn from(mark: SpoolMark) -> Mark {
        Mark::Here(mark)
    }
}

impl From<SentMark> for Mark {
    fn from(mark: SentMark) -> Mark {
        Mark::Sent(mark)
    }
}

impl Mark {
    fn remember(&self, db: &mut Db) -> Result<(), StoreError> {
        match self {
            Mark::Here(mark) => ledger::mark(db, mark),
            Mark::Sent(mark) => sent::mark(db, mark),
        }
    }
}

/// Why events were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much waits to be appended.
    #[error("too many events wait to be written; the disk is too slow for so many calls, or hangs")]
    Busy,
    /// The process ends.
    #[error("calljournal is stopping")]
    Stopping,
    /// The store could not write them.
    #[error("{0}")]
    Store(String),
}

/// What waits to be appended.
#[derive(Default)]
pub(super) struct Waiting {
    requests: VecDeque<Request>,
    events: usize,
    bytes: usize,
    /// All events that ever came in here.
    came: u64,
    /// The oldest of the batch that is being written now.
    writing: Option<Stopwatch>,
    /// Whether a job that has not taken its batch yet is in the store, or is about to be handed to it.
    scheduled: bool,
    stopping: bool,
    /// Whether the last batch could not be written: said once, not for every call of a bad hour.
    failing: bool,
}

struct Request {
    events: Vec<Event>,
    mark: Option<Mark>,
    bytes: usize,
    since: Stopwatch,
    answer: oneshot::Sender<Result<Receipt, Refused>>,
}

/// What the store's thread needs of us.
#[derive(Clone)]
struct Drain {
    waiting: Arc<Mutex<Waiting>>,
    appended: Arc<Notify>,
    store: Store,
    meters: Arc<Meters>,
}

/// What is counted for each batch, looked up once.
pub(super) struct Meters {
    queue: Gauge,
    batch: Histogram,
    fresh: [(Feed, Counter); Feed::ALL.len()],
    duplicates: Counter,
}

impl Meters {
    pub fn new() -> Meters {
        let fresh =
            |feed: Feed| (feed, counter!("calljournal_events_accepted_total", "feed" => feed.as_str()));
        Meters {
            queue: gauge!("calljournal_accept_queue"),
            batch: histogram!("calljournal_accept_batch"),
            fresh: Feed::ALL.map(fresh),
            duplicates: counter!("calljournal_events_duplicate_total"),
        }
    }

    fn count(&self, request: &Request, receipt: Receipt) {
        // All events of a request come from one feed.
        let feed = request.events.first().map(|event| event.feed);
        for (_, counter) in self.fresh.iter().filter(|(of, _)| Some(*of) == feed) {
            counter.increment(receipt.fresh as u64);
        }
        self.duplicates.increment(receipt.duplicates as u64);
    }
}

pub(super) async fn accept(
    inner: &Inner,
    events: Vec<Event>,
    mark: Option<Mark>,
) -> Result<Receipt, Refused> {
    if events.is_empty() && mark.is_none() {
        return Ok(Receipt::default());
    }
    let (answer, answered) = oneshot::channel();
    let bytes = events.iter().map(weight).sum();
    if let Some(first) = enqueue(inner, Request { events, mark, bytes, since: Stopwatch::start(), answer })? {
        // What has come already is let in before the door is shut: one commit for all of it.
        yield_now().await;
        drop(first);
    }
    answered.await.unwrap_or_else(|_| Err(Refused::Store("the append was given up; see the log".to_owned())))
}

pub(super) fn oldest_wait(inner: &Inner) -> Option<Duration> {
    let waiting = lock(&inner.waiting);
    waiting.writing.or_else(|| waiting.requests.front().map(|r| r.since)).map(|since| since.elapsed())
}

/// Whether events are being written, or wait for it.
pub(super) fn is_busy(inner: &Inner) -> bool {
    let waiting = lock(&inner.waiting);
    waiting.writing.is_some() || !waiting.requests.is_empty()
}

/// How many events came in so far.
pub(super) fn came(inner: &Inner) -> u64 {
    lock(&inner.waiting).came
}

/// Refuses what is new and waits until what was queued is answered.
pub(super) async fn stop(inner: &Inner) {
    lock(&inner.waiting).stopping = true;
    loop {
        let (done, wait) = oneshot::channel();
        let posted = inner.store.post(Lane::Accept, move |_| {
            let _ = done.send(());
        });
        // Batches go one by one through the same lane, so each round waits for one of them.
        if posted.is_err() || wait.await.is_err() || lock(&inner.waiting).requests.is_empty() {
            return;
        }
    }
}

/// Puts a request into the queue. Who is the first in it has a job to hand to the store.
fn enqueue(inner: &Inner, request: Request) -> Result<Option<First>, Refused> {
    let mut waiting = lock(&inner.waiting);
    if waiting.stopping {
        return Err(Refused::Stopping);
    }
    // A request by itself is never too large: a feed bounds what it hands in.
    let full =
        waiting.events + request.events.len() > MOST_WAITING || waiting.bytes + request.bytes > MOST_BYTES;
    if full && !waiting.requests.is_empty() {
        return Err(Refused::Busy);
    }
    waiting.came += request.events.len() as u64;
    waiting.events += request.events.len();
    waiting.bytes += request.bytes;
    waiting.requests.push_back(request);
    inner.meters.queue.set(waiting.events as f64);
    let first = !std::mem::replace(&mut waiting.scheduled, true);
    drop(waiting);
    let drain = || Drain {
        waiting: inner.waiting.clone(),
        appended: inner.appended.clone(),
        store: inner.store.clone(),
        meters: inner.meters.clone(),
    };
    Ok(first.then(|| First(Some(drain()))))
}

/// The first of a batch. It hands the job for all of them to the store when it is dropped, also where its own caller
/// stops waiting before that.
struct First(Option<Drain>);

impl Drop for First {
    fn drop(&mut self) {
        if let Some(drain) = self.0.take() {
            drain.schedule();
        }
    }
}

impl Waiting {
    /// The oldest requests, up to `most` events but at least one request.
    fn take(&mut self, most: usize) -> Vec<Request> {
        let (mut taken, mut count) = (Vec::new(), 0);
        while let Some(next) = self.requests.front() {
            if !taken.is_empty() && count + next.events.len() > most {
                break;
            }
            let Some(next) = self.requests.pop_front() else { break };
            count += next.events.len();
            self.events -= next.events.len();
            self.bytes -= next.bytes;
            taken.push(next);
        }
        taken
    }
}

impl Request {
    fn answer(self, receipt: Result<Receipt, Refused>) {
        // Who stopped waiting has had no answer; the events count all the same.
        let _ = self.answer.send(receipt);
    }
}

impl Drain {
    /// Hands a job to the store. The queue is not locked meanwhile: the job begins at once.
    fn schedule(self) {
        let (store, waiting) = (self.store.clone(), self.waiting.clone());
        if let Err(e) = store.post(Lane::Accept, move |writer| self.run(writer)) {
            // Nobody else would come to answer them.
            let left = {
                let mut waiting = lock(&waiting);
                waiting.scheduled = false;
                waiting.take(usize::MAX)
            };
            for request in left {
                request.answer(Err(Refused::Store(e.to_string())));
            }
        }
    }

    fn run(self, writer: &mut Writer) {
        let batch = {
            let mut waiting = lock(&self.waiting);
            let batch = waiting.take(BATCH);
            waiting.writing = batch.first().map(|r| r.since);
            waiting.scheduled = false;
            batch
        };
        // Whatever happens below, the next batch must find its way.
        let _next = Next(&self);
        let events: usize = batch.iter().map(|r| r.events.len()).sum();
        self.meters.batch.record(events as f64);
        let done = writer.tx("accept", |db| append(db, &batch));
        // Before the answers: who has one must not find that something waits still.
        lock(&self.waiting).writing = None;
        self.say(done.as_ref().err().filter(|e| e.is_passing()));
        match done {
            Ok(receipts) => {
                for (request, receipt) in batch.into_iter().zip(receipts) {
                    self.meters.count(&request, receipt);
                    request.answer(Ok(receipt));
                }
            }
            Err(e) if e.is_passing() => {
                for request in batch {
                    request.answer(Err(Refused::Store(e.to_string())));
                }
            }
            Err(e) => {
                tracing::warn!(error = %e, events, "a batch was refused; trying its events one by one");
                for request in batch {
                    one_by_one(writer, request, &self.meters);
                }
            }
        }
        self.appended.notify_one();
    }

    fn say(&self, failure: Option<&StoreError>) {
        let was = std::mem::replace(&mut lock(&self.waiting).failing, failure.is_some());
        match failure {
            Some(e) if !was => {
                tracing::error!(error = %e, "events cannot be written; their senders keep them until they can");
            }
            None if was => tracing::info!("events are written again"),
            _ => {}
        }
    }
}

/// Schedules the job for what came meanwhile, also when this one panics.
struct Next<'a>(&'a Drain);

impl Drop for Next<'_> {
    fn drop(&mut self) {
        let mut open = lock(&self.0.waiting);
        open.writing = None;
        self.0.meters.queue.set(open.events as f64);
        let more = !open.requests.is_empty() && !std::mem::replace(&mut open.scheduled, true);
        drop(open);
        if more {
            self.0.clone().schedule();
        }
    }
}

/// Appends the events of all requests at once and moves their marks.
fn append(db: &mut Db, requests: &[Request]) -> Result<Vec<Receipt>, StoreError> {
    let events: Vec<&Event> = requests.iter().flat_map(|r| &r.events).collect();
    let mut fresh = ledger::append(db, &events)?.into_iter();
    for mark in requests.iter().filter_map(|r| r.mark.as_ref()) {
        mark.remember(db)?;
    }
    let receipt = |request: &Request| {
        let new = fresh.by_ref().take(request.events.len()).filter(|fresh| *fresh).count();
        Receipt { fresh: new, duplicates: request.events.len() - new }
    };
    Ok(requests.iter().map(receipt).collect())
}

/// A request is one promise: where one of its events is poisonous the others are kept, and its sender is told.
/// A spool file cannot be told: the mark moves on, or nothing behind that event would ever be taken in.
fn one_by_one(writer: &mut Writer, request: Request, meters: &Meters) {
    let whole = match writer.tx("accept one", |db| append(db, std::slice::from_ref(&request))) {
        Ok(receipts) => {
            let receipt = receipts.first().copied().unwrap_or_default();
            meters.count(&request, receipt);
            return request.answer(Ok(receipt));
        }
        Err(e) => e,
    };
    let mut receipt = Receipt::default();
    for event in &request.events {
        match writer.tx("accept one", |db| ledger::append(db, &[event])) {
            Ok(fresh) if fresh == [true] => receipt.fresh += 1,
            Ok(_) => receipt.duplicates += 1,
            Err(e) => tracing::error!(token = %event.token, error = %e, "the store refuses this event"),
        }
    }
    meters.count(&request, receipt);
    let moved = request.mark.as_ref().filter(|_| !whole.is_passing());
    let answer = match moved.map(|mark| writer.tx("accept mark", |db| mark.remember(db))) {
        Some(Ok(())) => Ok(receipt),
        Some(Err(e)) => Err(Refused::Store(e.to_string())),
        None => Err(Refused::Store(whole.to_string())),
    };
    request.answer(answer);
}

/// About what an event takes while it waits.
fn weight(event: &Event) -> usize {
    let facts = |f: &crate::event::Facts| f.iter().map(|(k, v)| k.len() + v.len() + 48).sum::<usize>();
    512 + event.channel.len() + facts(&event.facts) + facts(&event.agi)
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
