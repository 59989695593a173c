//! One attempt, from its lease to its record: the steps that the receiver's format asks for, all together within its
//! time limit, and what came of them.
//!
//! What a format is to remember is written down before its next step, and an attempt with its outcome in one
//! transaction. Knows nothing of whose turn it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metrics::{counter, histogram};
use tracing::{debug, info, warn};

use super::command::Runner;
use super::format::{self, Letter, Memory, Step, Task};
use super::http::{Client, Reply};
use super::retry::{self, Answer, Schedule, Verdict};
use crate::clock::{Clock, Stopwatch};
use crate::config::Endpoint;
use crate::store::delivery::{self, Leased, MARGIN, Outcome, Terms};
use crate::store::{Lane, Store, StoreError, marks};

/// How often, and how long apart, an outcome is tried to be recorded; all together within [`MARGIN`].
const RECORD_TRIES: u32 = 5;
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// How long what is remembered between the steps may take to be read and written, beside the steps themselves.
const BESIDE: Duration = Duration::from_secs(2);

/// Who makes attempts; no two may share a `node`, which names the leases of this process.
pub struct Courier {
    /// Where the outbox is.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    schedule: Schedule,
    runner: Runner,
    node: u64,
    leases: AtomicU64,
}

/// A notice that is ours to send, and how.
pub struct Parcel {
    endpoint: Arc<Endpoint>,
    client: Client,
    token: String,
    /// Since the lease was asked for.
    since: Stopwatch,
    leased: Leased,
}

/// How an attempt ended.
pub struct Ended {
    /// What follows from it.
    pub verdict: Verdict,
    /// What happened, and what to do about it.
    pub what: String,
}

impl Courier {
    /// One that sends what `store` holds.
    #[must_use]
    pub fn new(store: Store, clock: Clock, schedule: Schedule) -> Courier {
        let node = RandomState::new().hash_one(clock.now());
        Courier { store, clock, schedule, runner: Runner::default(), node, leases: AtomicU64::new(0) }
    }

    /// The same with another schedule.
    #[must_use]
    pub fn scheduled(&self, schedule: Schedule) -> Courier {
        Courier::new(self.store.clone(), self.clock.clone(), schedule)
    }

    /// Takes up to `most` deliveries of an endpoint, for as long as an attempt may take.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn lease(
        &self,
        endpoint: &Arc<Endpoint>,
        client: &Client,
        most: usize,
    ) -> Result<Vec<Parcel>, StoreError> {
        let token = format!("{:016x}-{}", self.node, self.leases.fetch_add(1, Ordering::Relaxed));
        let (since, now, attempt) = (Stopwatch::start(), self.clock.now(), limit(endpoint));
        let (ours, name) = (token.clone(), endpoint.name.clone());
        let leased = self.store.write(Lane::Settle, "lease notices", move |db| {
            delivery::lease(db, &Terms { endpoint: &name, now, attempt, token: &ours, most })
        });
        let parcel = |leased| {
            let (endpoint, client, token) = (endpoint.clone(), client.clone(), token.clone());
            Parcel { endpoint, client, token, since, leased }
        };
        Ok(leased.await?.into_iter().map(parcel).collect())
    }

    /// Sends one notice and records what came of it.
    pub async fn attempt(self: Arc<Self>, parcel: Parcel) -> Ended {
        let (began, watch) = (self.clock.now(), Stopwatch::start());
        let reply = self.deliver(&parcel).await;
        let took = watch.elapsed();
        let Parcel { endpoint, leased, .. } = &parcel;
        let endpoint = &endpoint.name;

        let now = self.clock.now();
        let verdict = self.judge(&reply, endpoint, leased, now);
        let outcome = outcome(verdict, now);
        counter!("calljournal_notice_attempts_total", "endpoint" => endpoint.clone(), "outcome" => outcome.as_str())
            .increment(1);
        if verdict == Verdict::Delivered {
            histogram!("calljournal_notice_delivery_seconds").record(seconds(leased.created, now));
        }
        tell(verdict, &reply, endpoint, leased);
        let what = reply.what.clone();
        self.record(parcel, Made { began, took, outcome, reply, now }).await;
        Ended { verdict, what }
    }

    /// The last reply of all steps, which together stay within the time limit, and so within the lease.
    async fn deliver(&self, parcel: &Parcel) -> Reply {
        let Parcel { endpoint, client, since, leased, .. } = parcel;
        if since.elapsed() > MARGIN / 2 {
            return Reply::nothing("the database took so long that it was too late to send".to_owned());
        }
        let letter = match letter(leased) {
            Ok(letter) => letter,
            Err(reason) => return Reply::wrong(reason),
        };
        let limit = limit(endpoint);
        let all = converse(endpoint, (client, &self.runner), &letter, &self.clock, Some(&self.store));
        tokio::time::timeout(limit + BESIDE, all).await.unwrap_or_else(|_| {
            Reply::nothing(format!(
                "all steps together took longer than {} ms (timeout_ms)",
                limit.as_millis()
            ))
        })
    }

    fn judge(&self, reply: &Reply, endpoint: &str, leased: &Leased, now: Timestamp) -> Verdict {
        let asked = reply.retry_after.as_deref().and_then(|value| retry::retry_after(value, now));
        let answer = reply.status.map_or(Answer::Nothing, |status| Answer::Status(status, asked));
        let chance = retry::chance(&leased.notice, endpoint, leased.attempt);
        self.schedule.verdict(answer, leased.attempt, chance)
    }

    /// What cannot be recorded is sent again when the lease is over: better twice than never.
    async fn record(&self, parcel: Parcel, made: Made) {
        let Parcel { endpoint, token, leased, .. } = &parcel;
        let made = Arc::new(made);
        for _ in 0..RECORD_TRIES {
            let (endpoint, token) = (endpoint.name.clone(), token.clone());
            let (notice, n, made) = (leased.notice.clone(), leased.attempt, made.clone());
            let recorded = self.store.write(Lane::Settle, "record notice", move |db| {
                let Made { began, took, outcome, ref reply, now } = *made;
                let (detail, answer) = (reply.what.as_str(), reply.text.as_str());
                let attempt = delivery::Attempt {
                    notice: &notice,
                    endpoint: &endpoint,
                    token: &token,
                    n,
                    began,
                    took,
                    status: reply.status,
                    detail,
                    answer,
                    outcome,
                };
                delivery::record(db, &attempt, now)
            });
            match recorded.await {
                Ok(true) => return,
                Ok(false) => {
                    debug!(notice = leased.notice, "another attempt has taken this notice over");
                    return;
                }
                Err(StoreError::Stopped) => break,
                Err(error) => debug!(%error, notice = leased.notice, "an outcome is recorded later"),
            }
            tokio::time::sleep(RECORD_PAUSE).await;
        }
        let Leased { notice, call, kind, .. } = leased;
        let endpoint = &endpoint.name;
        warn!(notice, call, kind, endpoint, "an outcome could not be recorded; the notice may be sent again");
    }
}

/// What is written down of an attempt.
struct Made {
    began: Timestamp,
    took: Duration,
    outcome: Outcome,
    reply: Reply,
    now: Timestamp,
}

/// The time limit of an attempt.
fn limit(endpoint: &Endpoint) -> Duration {
    Duration::from_millis(endpoint.timeout_ms.max(1))
}

/// Takes the steps that the endpoint's format asks for, and answers with the last one's reply. What the format is to
/// remember is kept in `store`, and forgotten where there is none.
pub(super) async fn converse(
    endpoint: &Endpoint,
    (client, runner): (&Client, &Runner),
    letter: &Letter,
    clock: &Clock,
    store: Option<&Store>,
) -> Reply {
    let watch = Stopwatch::start();
    let store = store.filter(|_| format::remembers(endpoint.format));
    let mut memory = match recall(store, endpoint, letter).await {
        Ok(memory) => memory,
        Err(error) => return Reply::nothing(format!("what is known of the call cannot be read: {error}")),
    };
    let mut left = limit(endpoint);
    let mut reply = Reply::wrong(format!("the format asked for more than {} steps", format::MOST_STEPS));
    for _ in 0..format::MOST_STEPS {
        let task = Task { endpoint, letter, memory: &memory, at: clock.now() };
        reply = match format::next(&task) {
            Ok(Step::Send(message)) => client.send(message, endpoint.auth.as_ref(), left).await,
            Ok(Step::Run(input)) => runner.run(&endpoint.command, input, left).await,
            Ok(Step::Nothing(why)) => return Reply::done(why),
            Err(reason) => return Reply::wrong(reason),
        };
        let heard = format::heard(&task, &reply);
        reply.status = heard.means.or(reply.status);
        if let Err(error) = remember(store, endpoint, letter, heard.remember.clone()).await {
            return Reply::nothing(format!("what the receiver said of the call cannot be kept: {error}"));
        }
        memory.extend(heard.remember);
        if !heard.more {
            break;
        }
        left = limit(endpoint).saturating_sub(watch.elapsed());
    }
    reply
}

async fn recall(store: Option<&Store>, endpoint: &Endpoint, letter: &Letter) -> Result<Memory, StoreError> {
    let Some(store) = store else { return Ok(Memory::new()) };
    let (endpoint, notice) = (endpoint.name.clone(), letter.id.clone());
    store.read("marks", move |db| marks::of_notice(db, &endpoint, &notice)).await
}

/// A failure costs what the receiver was told, so it is tried once more.
async fn remember(
    store: Option<&Store>,
    endpoint: &Endpoint,
    letter: &Letter,
    marks: Vec<(String, String)>,
) -> Result<(), StoreError> {
    let Some(store) = store.filter(|_| !marks.is_empty()) else { return Ok(()) };
    let write = || {
        let (endpoint, notice, marks) = (endpoint.name.clone(), letter.id.clone(), marks.clone());
        store.write(Lane::Settle, "marks", move |db| marks::remember(db, &endpoint, &notice, &marks))
    };
    match write().await {
        Err(error) if error.is_passing() => write().await,
        done => done,
    }
}

fn letter(leased: &Leased) -> Result<Letter, String> {
    let body =
        serde_json::from_str(&leased.body).map_err(|e| format!("what was written down is no JSON: {e}"))?;
    let Leased { notice, call, kind, created, .. } = leased;
    Ok(Letter { id: notice.clone(), call: call.clone(), kind: kind.clone(), created: *created, body })
}

fn outcome(verdict: Verdict, now: Timestamp) -> Outcome {
    match verdict {
        Verdict::Delivered => Outcome::Delivered,
        Verdict::Gone => Outcome::Gone,
        Verdict::Refused => Outcome::Refused,
        Verdict::Dead => Outcome::Dead,
        Verdict::Again(wait) => {
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
            Outcome::Again(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
        }
    }
}

/// One line per attempt; an endpoint that fails is named by [`super::Notifier`], not by each of its notices.
fn tell(verdict: Verdict, reply: &Reply, endpoint: &str, leased: &Leased) {
    let Leased { notice, call, kind, attempt, .. } = leased;
    let what = &reply.what;
    match verdict {
        Verdict::Delivered => info!(call, endpoint, notice, attempt, "{kind} was delivered"),
        Verdict::Again(wait) => {
            debug!(
                call,
                endpoint,
                notice,
                attempt,
                again_s = wait.as_secs(),
                "{kind} was not delivered: {what}"
            );
        }
        Verdict::Gone | Verdict::Refused | Verdict::Dead => {
            warn!(call, endpoint, notice, attempt, ?verdict, "{kind} will not be delivered: {what}");
        }
    }
}

/// From one time to another, in seconds; nothing where they are the other way round.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
