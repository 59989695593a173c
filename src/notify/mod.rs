//! Sends what the outbox holds: lease, send, record the outcome; never inside a transaction.
//!
//! Each endpoint has its own leases and its own few attempts at a time, and one that fails gets a single one, in the
//! end one a second, so that no endpoint waits for another. Whatever dies on the way is tried again when its lease is
//! over, under the same id.
//!
//! - this file: whose turn it is, and how many
//! - [`attempt`]: one attempt from its lease to its record
//! - [`retry`]: when to try again
//! - [`mod@format`]: what is sent
//! - [`http`]: how it is sent, and [`Clients`] over which way; [`command`]: how a program is run for it
//! - [`trial`]: a made-up notice, to try a receiver with
//! - [`guard`]: where to a receiver that subscribed over HTTP may be

pub mod attempt;
pub mod command;
pub mod format;
pub mod guard;
pub mod http;
pub mod retry;
mod sign;
pub mod subscribed;
pub mod trial;
mod way;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metrics::gauge;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attempt::{Courier, Ended};
use self::retry::{Schedule, Verdict};
pub use self::way::Clients;
use crate::clock::{Clock, Stopwatch};
use crate::config::Endpoint;
use crate::store::delivery::{self, Waiting};
use crate::store::{Store, StoreError};

/// Attempts at one time, for one endpoint and in all.
const AT_ONCE: usize = 4;
const AT_ONCE_IN_ALL: usize = 32;

/// An endpoint that failed so often in a row gets one attempt in [`BREATH`].
const OUT_OF_BREATH: u32 = 3;
const BREATH: SignedDuration = SignedDuration::from_secs(1);

/// How often the outbox is looked at when nobody rings: for what is due again, and what other processes wrote.
const POLL: Duration = Duration::from_secs(1);

/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// How long open attempts may take to end once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Everybody who is to get notices, as it is now.
pub type Endpoints = Arc<Vec<Endpoint>>;

/// Delivers the notices of the outbox.
pub struct Notifier {
    courier: Arc<Courier>,
    clients: Clients,
    endpoints: watch::Receiver<Endpoints>,
    targets: HashMap<String, Target>,
    bell: Arc<Notify>,
}

/// An endpoint that is known.
struct Target {
    endpoint: Arc<Endpoint>,
    /// Whether there is no way to it, which was said.
    no_way: bool,
    /// How many of the last attempts failed, one after the other.
    failures: u32,
    /// When the last one did.
    failed_at: Timestamp,
}

/// Attempts that are being made.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Ended>,
    endpoints: HashMap<Id, String>,
}

impl Notifier {
    /// Delivers to `endpoints`; what waits for others is left alone.
    #[must_use]
    pub fn new(store: Store, clock: Clock, endpoints: Vec<Endpoint>) -> Notifier {
        let (_, endpoints) = watch::channel(Arc::new(endpoints));
        let courier = Arc::new(Courier::new(store, clock, Schedule::default()));
        Notifier {
            courier,
            clients: Clients::default(),
            endpoints,
            targets: HashMap::new(),
            bell: Arc::default(),
        }
    }

    /// Delivers to whoever is in `endpoints` at the time, in place of those that it was made with.
    #[must_use]
    pub fn following(self, endpoints: watch::Receiver<Endpoints>) -> Notifier {
        Notifier { endpoints, ..self }
    }

    /// Tries again by this schedule.
    #[must_use]
    pub fn scheduled(self, schedule: Schedule) -> Notifier {
        Notifier { courier: Arc::new(self.courier.scheduled(schedule)), ..self }
    }

    /// Looks at the outbox whenever `bell` is rung, and now and then by itself.
    #[must_use]
    pub fn woken_by(self, bell: Arc<Notify>) -> Notifier {
        Notifier { bell, ..self }
    }

    /// Delivers until `stop`; what is being sent then may end for a few seconds, the rest is sent after the next
    /// start.
    pub async fn run(mut self, stop: CancellationToken) {
        self.know_endpoints();
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
                Ok(()) = self.endpoints.changed() => self.know_endpoints(),
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

    /// Takes over who is to get notices from now on, and keeps what is known of those that stay.
    fn know_endpoints(&mut self) {
        let endpoints = self.endpoints.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.targets);
        for endpoint in endpoints.iter() {
            let name = &endpoint.name;
            if self.targets.contains_key(name) {
                continue;
            }
            let mut target = match before.remove(name) {
                Some(known) if *known.endpoint == *endpoint => known,
                _ => Target::new(endpoint.clone()),
            };
            if let Err(why) = self.clients.of(endpoint) {
                target.tell_no_way(&why);
            }
            self.targets.insert(name.clone(), target);
        }
    }

    /// Leases what is due and begins to send it, as much as may be sent at one time.
    async fn begin_due(&mut self, running: &mut Running) -> Result<(), StoreError> {
        let now = self.courier.clock.now();
        let mut free: Vec<String> = Vec::new();
        for (name, target) in &self.targets {
            if target.free(running.of(name), now) > 0 {
                free.push(name.clone());
            }
        }
        if running.tasks.len() >= AT_ONCE_IN_ALL || free.is_empty() {
            return Ok(());
        }
        let look = move |db: &mut _| delivery::due(db, &free, now);
        let mut due = self.courier.store.read("notices due", look).await?;
        // Whoever has the fewest goes first, so that a full house is shared.
        due.sort_by_key(|name| running.of(name));
        for name in due {
            let Some(target) = self.targets.get_mut(&name) else { continue };
            let client = match self.clients.of(&target.endpoint) {
                Ok(client) => {
                    target.no_way = false;
                    client
                }
                Err(why) => {
                    target.tell_no_way(&why);
                    continue;
                }
            };
            let room = AT_ONCE_IN_ALL.saturating_sub(running.tasks.len());
            let most = target.free(running.of(&name), now).min(room);
            if most == 0 {
                continue;
            }
            for parcel in self.courier.lease(&target.endpoint, &client, most).await? {
                running.begin(name.clone(), self.courier.clone().attempt(parcel));
            }
        }
        Ok(())
    }

    fn ended(&mut self, (endpoint, ended): (String, Option<Ended>)) {
        // One that panicked has no verdict; it is tried again when its lease is over.
        let (Some(target), Some(Ended { verdict, what })) = (self.targets.get_mut(&endpoint), ended) else {
            return;
        };
        let failed = matches!(verdict, Verdict::Again(_) | Verdict::Dead);
        match (target.failures, failed) {
            (0, true) => {
                warn!(endpoint, "notices cannot be delivered, they wait and are tried again: {what}")
            }
            (1.., false) => info!(endpoint, "notices are delivered again"),
            _ => {}
        }
        if verdict == Verdict::Gone {
            warn!(
                endpoint,
                "this endpoint wants no more notices (410); what is written for it waits until \
                 `calljournal notify resume {endpoint}`"
            );
        }
        target.failures = if failed { target.failures.saturating_add(1) } else { 0 };
        target.failed_at = self.courier.clock.now();
    }

    /// Says once what waits for endpoints that nobody configured, or not any more.
    async fn name_the_unknown(&self) {
        let Ok(waiting) = self.courier.store.read("notices waiting", delivery::waiting).await else { return };
        for w in waiting.iter().filter(|w| !self.targets.contains_key(&w.endpoint)) {
            warn!(
                endpoint = w.endpoint,
                notices = w.count,
                "notices wait for an endpoint that is not configured; they are kept: write its [[notify]] section again to send them"
            );
        }
    }

    async fn count(&self) {
        let Ok(waiting) = self.courier.store.read("notices waiting", delivery::waiting).await else { return };
        let now = self.courier.clock.now();
        let known: Vec<&Waiting> =
            waiting.iter().filter(|w| self.targets.contains_key(&w.endpoint)).collect();
        // Those for which nothing waits are told too: a gauge keeps its last value.
        let silent = self.targets.keys().filter(|name| known.iter().all(|w| w.endpoint != **name));
        for name in silent {
            gauge!("calljournal_notices_waiting", "endpoint" => name.clone()).set(0.0);
            gauge!("calljournal_notices_oldest_seconds", "endpoint" => name.clone()).set(0.0);
        }
        for w in known {
            let name = w.endpoint.clone();
            gauge!("calljournal_notices_waiting", "endpoint" => name.clone()).set(w.count as f64);
            gauge!("calljournal_notices_oldest_seconds", "endpoint" => name)
                .set(attempt::seconds(w.oldest, now));
        }
    }
}

impl Target {
    fn new(endpoint: Endpoint) -> Target {
        Target { endpoint: Arc::new(endpoint), no_way: false, failures: 0, failed_at: Timestamp::MIN }
    }

    /// Without a way nothing is tried, and what waits is none the worse for it.
    fn tell_no_way(&mut self, why: &str) {
        if !std::mem::replace(&mut self.no_way, true) {
            warn!(endpoint = self.endpoint.name, "notices wait, there is no way to this endpoint: {why}");
        }
    }

    /// How many more attempts may begin. One that fails is tried with a single one at a time, and gets its breath back.
    fn free(&self, running: usize, now: Timestamp) -> usize {
        let most = match self.failures {
            0 => AT_ONCE,
            OUT_OF_BREATH.. if now.duration_since(self.failed_at).abs() < BREATH => 0,
            _ => 1,
        };
        most.saturating_sub(running)
    }
}

impl Running {
    fn begin(&mut self, endpoint: String, attempt: impl Future<Output = Ended> + Send + 'static) {
        let task = self.tasks.spawn(attempt);
        self.endpoints.insert(task.id(), endpoint);
    }

    /// How many run for an endpoint.
    fn of(&self, endpoint: &str) -> usize {
        self.endpoints.values().filter(|of| *of == endpoint).count()
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
