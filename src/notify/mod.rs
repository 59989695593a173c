//! Sends what the outbox holds: lease, send, record the outcome; never inside a transaction.
//!
//! Each endpoint has its own leases and its own few attempts at a time, and one that fails gets a single one, so
//! that no endpoint waits for another. Whatever dies on the way is tried again when its lease is over, under the
//! same id. When to try again is in [`retry`], what is sent in [`mod@format`], how in [`http`].

pub mod format;
pub mod guard;
pub mod http;
pub mod retry;
pub mod subscribed;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metrics::{counter, gauge, histogram};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::format::{Letter, Memory, Step, Task};
use self::http::{Client, Receiver, Reply};
use self::retry::{Answer, Verdict};
use crate::clock::{Clock, Stopwatch};
use crate::config::Endpoint;
use crate::store::delivery::{self, Leased, Record, Terms};
use crate::store::{Lane, Store, StoreError};

/// Attempts at one time, for one endpoint and in all.
const AT_ONCE: usize = 4;
const AT_ONCE_IN_ALL: usize = 32;

/// How often the outbox is looked at when nobody rings: for what is due again, and what other processes wrote.
const POLL: Duration = Duration::from_secs(1);

/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// What a lease is longer than an attempt: for the store to record it, and for clocks that differ.
const MARGIN: Duration = Duration::from_secs(30);

/// How often, and how long apart, an outcome is tried to be recorded; all together within [`MARGIN`].
const RECORD_TRIES: u32 = 5;
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// How long open attempts may take to end once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Delivers the notices of the outbox.
pub struct Notifier {
    shared: Arc<Shared>,
    targets: HashMap<String, Target>,
    bell: Arc<Notify>,
}

struct Shared {
    store: Store,
    clock: Clock,
    client: Client,
    /// Names the leases of this process; no other may have the same.
    node: u64,
    leases: AtomicU64,
}

/// An endpoint that is configured.
struct Target {
    endpoint: Arc<Endpoint>,
    limit: Duration,
    running: usize,
    /// Whether its last attempt failed.
    failing: bool,
}

/// An attempt that is ours to make.
struct Attempt {
    endpoint: Arc<Endpoint>,
    limit: Duration,
    lease: String,
    leased: Leased,
}

/// Attempts that are being made.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Ended>,
    endpoints: HashMap<Id, String>,
}

/// How an attempt ended.
struct Ended {
    verdict: Verdict,
    what: String,
}

impl Notifier {
    /// Delivers to `endpoints`; what waits for others is left alone.
    #[must_use]
    pub fn new(store: Store, clock: Clock, endpoints: Vec<Endpoint>) -> Notifier {
        let mut targets = HashMap::new();
        for endpoint in endpoints {
            let limit = Duration::from_millis(endpoint.timeout_ms.max(1));
            let name = endpoint.name.clone();
            let target = Target { endpoint: Arc::new(endpoint), limit, running: 0, failing: false };
            targets.entry(name).or_insert(target);
        }
        let node = RandomState::new().hash_one(clock.now());
        let shared = Shared { store, clock, client: Client::new(), node, leases: AtomicU64::new(0) };
        Notifier { shared: Arc::new(shared), targets, bell: Arc::default() }
    }

    /// Looks at the outbox whenever `bell` is rung, and now and then by itself.
    #[must_use]
    pub fn woken_by(self, bell: Arc<Notify>) -> Notifier {
        Notifier { bell, ..self }
    }

    /// Delivers until `stop`; what is being sent then may end for a few seconds, the rest is sent after the next
    /// start.
    pub async fn run(mut self, stop: CancellationToken) {
        self.name_the_unknown().await;
        let mut running = Running::default();
        let mut counted: Option<Stopwatch> = None;
        let mut failing = false;
        loop {
            let begun = self.begin_due(&mut running).await;
            match (&begun, failing) {
                (Err(error), false) => {
                    warn!(%error, "notices wait: the outbox cannot be read or leased from")
                }
                (Ok(()), true) => info!("the outbox can be read again"),
                _ => {}
            }
            failing = begun.is_err();
            if failing && stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
                break;
            }
            if counted.is_none_or(|since| since.elapsed() > COUNT_EVERY) {
                counted = Some(Stopwatch::start());
                self.count().await;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.bell.notified() => {}
                Some(ended) = running.next() => self.ended(ended),
                () = tokio::time::sleep(POLL) => {}
            }
        }
        let all = async { while running.next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            info!(
                open = running.tasks.len(),
                "notices that were being sent are sent again after the next start"
            );
        }
    }

    /// Leases what is due and begins to send it, as much as may be sent at one time.
    async fn begin_due(&mut self, running: &mut Running) -> Result<(), StoreError> {
        if running.tasks.len() >= AT_ONCE_IN_ALL || self.targets.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let mut due = self.shared.store.read("notices due", move |db| delivery::due(db, now)).await?;
        // Whoever has the fewest goes first, so that a full house is shared.
        due.sort_by_key(|name| self.targets.get(name).map_or(0, |t| t.running));
        for name in due {
            let Some(target) = self.targets.get_mut(&name) else { continue };
            let free = target.free().min(AT_ONCE_IN_ALL.saturating_sub(running.tasks.len()));
            if free == 0 {
                continue;
            }
            let (lease, leased) = self.shared.lease(&name, target.limit, free).await?;
            for leased in leased {
                target.running += 1;
                let (endpoint, limit) = (target.endpoint.clone(), target.limit);
                let attempt = Attempt { endpoint, limit, lease: lease.clone(), leased };
                running.begin(name.clone(), self.shared.clone().attempt(attempt));
            }
        }
        Ok(())
    }

    fn ended(&mut self, (endpoint, ended): (String, Option<Ended>)) {
        let Some(target) = self.targets.get_mut(&endpoint) else { return };
        target.running -= 1;
        // One that panicked has no verdict; it is tried again when its lease is over.
        let Some(Ended { verdict, what }) = ended else { return };
        let fails = matches!(verdict, Verdict::Again(_) | Verdict::Dead);
        match (target.failing, fails) {
            (false, true) => {
                warn!(endpoint, "notices cannot be delivered, they wait and are tried again: {what}")
            }
            (true, false) => info!(endpoint, "notices are delivered again"),
            _ => {}
        }
        target.failing = fails;
    }

    /// Says once what waits for endpoints that nobody configured, or not any more.
    async fn name_the_unknown(&self) {
        let Ok(waiting) = self.shared.store.read("notices waiting", delivery::waiting).await else { return };
        for w in waiting.iter().filter(|w| !self.targets.contains_key(&w.endpoint)) {
            warn!(
                endpoint = w.endpoint,
                notices = w.count,
                "notices wait for an endpoint that is not configured; they are kept: write its [[notify]] section again to send them"
            );
        }
    }

    async fn count(&self) {
        let Ok(waiting) = self.shared.store.read("notices waiting", delivery::waiting).await else { return };
        let ours = || waiting.iter().filter(|w| self.targets.contains_key(&w.endpoint));
        let now = self.shared.clock.now();
        let oldest = ours().map(|w| w.oldest).min().map_or(0.0, |at| seconds(at, now));
        gauge!("calljournal_notices_waiting").set(ours().map(|w| w.count).sum::<u64>() as f64);
        gauge!("calljournal_notices_oldest_seconds").set(oldest);
    }
}

impl Target {
    /// How many more attempts may begin. One that fails is tried with a single one at a time.
    fn free(&self) -> usize {
        let most = if self.failing { 1 } else { AT_ONCE };
        most.saturating_sub(self.running)
    }
}

impl Running {
    fn begin(&mut self, endpoint: String, attempt: impl Future<Output = Ended> + Send + 'static) {
        let task = self.tasks.spawn(attempt);
        self.endpoints.insert(task.id(), endpoint);
    }

    /// The next one that ended, with its endpoint; without an end where it panicked.
    async fn next(&mut self) -> Option<(String, Option<Ended>)> {
        let (id, ended) = match self.tasks.join_next_with_id().await? {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), None),
        };
        Some((self.endpoints.remove(&id).unwrap_or_default(), ended))
    }
}

impl Shared {
    /// Takes up to `most` deliveries of an endpoint, for as long as an attempt may take.
    async fn lease(
        &self,
        endpoint: &str,
        limit: Duration,
        most: usize,
    ) -> Result<(String, Vec<Leased>), StoreError> {
        let lease = format!("{:016x}-{}", self.node, self.leases.fetch_add(1, Ordering::Relaxed));
        let now = self.clock.now();
        let until = later(now, limit + MARGIN);
        let (token, endpoint) = (lease.clone(), endpoint.to_owned());
        let most = i64::try_from(most).unwrap_or(1);
        let leased = self.store.write(Lane::Settle, "lease notices", move |db| {
            delivery::lease(db, &Terms { endpoint: &endpoint, now, until, token: &token, most })
        });
        Ok((lease, leased.await?))
    }

    async fn attempt(self: Arc<Self>, attempt: Attempt) -> Ended {
        let reply = self.tell(&attempt).await;
        let Attempt { endpoint, leased, .. } = &attempt;
        let endpoint = &endpoint.name;

        let now = self.clock.now();
        let verdict = judge(&reply, endpoint, leased, now);
        counter!("calljournal_notice_attempts_total", "endpoint" => endpoint.clone(), "outcome" => verdict.as_str())
            .increment(1);
        if verdict == Verdict::Delivered {
            histogram!("calljournal_notice_delivery_seconds").record(seconds(leased.created, now));
        }
        tell(verdict, &reply, endpoint, leased);
        let what = reply.what.clone();
        self.record(attempt, verdict, reply, now).await;
        Ended { verdict, what }
    }

    /// Takes the steps that the endpoint's format asks for, and answers with the last one's reply.
    async fn tell(&self, attempt: &Attempt) -> Reply {
        let Attempt { endpoint, limit, leased, .. } = attempt;
        let letter = match letter(leased) {
            Ok(letter) => letter,
            Err(reason) => return Reply::wrong(reason),
        };
        let memory = Memory::new();
        let mut reply = Reply::wrong(format!("the format asked for more than {} steps", format::MOST_STEPS));
        for _ in 0..format::MOST_STEPS {
            let task = Task { endpoint, letter: &letter, memory: &memory, at: self.clock.now() };
            reply = match format::next(&task) {
                Ok(Step::Send(message)) => match Receiver::parse(&message.url) {
                    Ok(to) => self.client.send(&to, message, *limit).await,
                    Err(reason) => return Reply::wrong(reason),
                },
                Ok(Step::Run(_)) => return Reply::wrong("no programs are run yet".to_owned()),
                Ok(Step::Nothing(why)) => return Reply::done(why),
                Err(reason) => return Reply::wrong(reason),
            };
            let heard = format::heard(&task, &reply);
            reply.status = heard.means.or(reply.status);
            if !heard.more {
                break;
            }
        }
        reply
    }

    /// What cannot be recorded is sent again when the lease is over: better twice than never.
    async fn record(&self, attempt: Attempt, verdict: Verdict, reply: Reply, now: Timestamp) {
        let Attempt { endpoint, lease, leased, .. } = attempt;
        let endpoint = endpoint.name.clone();
        let record = match verdict {
            Verdict::Again(wait) => Record::Again(later(now, wait)),
            verdict => Record::Done { outcome: verdict.as_str() },
        };
        let detail =
            if reply.text.is_empty() { reply.what } else { format!("{}: {}", reply.what, reply.text) };
        for _ in 0..RECORD_TRIES {
            let (endpoint, lease, notice) = (endpoint.clone(), lease.clone(), leased.notice.clone());
            let (record, detail) = (record.clone(), detail.clone());
            let recorded = self.store.write(Lane::Settle, "record notice", move |db| {
                let terms = Terms { endpoint: &endpoint, now, until: now, token: &lease, most: 1 };
                delivery::record(db, &notice, &terms, &record, &detail)
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
        warn!(notice, call, kind, endpoint, "an outcome could not be recorded; the notice may be sent again");
    }
}

fn letter(leased: &Leased) -> Result<Letter, String> {
    let body =
        serde_json::from_str(&leased.body).map_err(|e| format!("what was written down is no JSON: {e}"))?;
    let Leased { notice, call, kind, created, .. } = leased;
    Ok(Letter { id: notice.clone(), call: call.clone(), kind: kind.clone(), created: *created, body })
}

fn judge(reply: &Reply, endpoint: &str, leased: &Leased, now: Timestamp) -> Verdict {
    let asked = reply.retry_after.as_deref().and_then(|value| retry::retry_after(value, now));
    let answer = reply.status.map_or(Answer::Nothing, |status| Answer::Status(status, asked));
    let chance = retry::chance(&leased.notice, endpoint, leased.attempt);
    retry::verdict(answer, leased.attempt, chance)
}

/// One line per attempt; an endpoint that fails is named by [`Notifier::ended`], not by each of its notices.
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
            let outcome = verdict.as_str();
            warn!(call, endpoint, notice, attempt, outcome, "{kind} will not be delivered: {what}");
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
