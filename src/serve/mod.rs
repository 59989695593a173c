//! Wires all parts in the order in which a call flows, and stops them in reverse.
//!
//! Start: store, intake, what the spool holds, deadlines, listeners, notices, ready. No port listens before the
//! store is open: Asterisk has no read time-out, so a connection that is accepted and not served would hold a
//! call, while a refused one costs it nothing.
//! Stop: no new sessions; what is queued is committed and acknowledged, who was not read yet gets `FAILURE`.

mod feeds;
mod ground;
mod keep;
mod receivers;
mod reconcile;
mod systemd;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use ground::{SpoolState, is_port_of_freepbx, spool_state};

use crate::api::{self, Health, Pages};
use crate::call::{Numbering, Rules};
use crate::clock::{Clock, Stopwatch};
use crate::config::{self, Config};
use crate::feed::spool::{Spool, sent};
use crate::feed::{agi, ami, push};
use crate::intake::wanting::Only;
use crate::intake::{Intake, Policy, Subscription};
use crate::notify::{self, Notifier, retry};
use crate::observe::{self, Metrics};
use crate::store::{Store, StoreError, delivery};
use receivers::Receivers;

/// How long a stop may take before the process goes all the same.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How old an answer on health may be: each one writes to the disk, and calls wait for the disk too.
const PROOF_KEEPS: Duration = Duration::from_secs(1);

/// From then on it is told that the database's clock is another one.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_millis(500);

/// Where a server listens, once it does.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// FastAGI.
    pub agi: SocketAddr,
    /// Health and metrics.
    pub http: SocketAddr,
}

/// Serves until `stop`; `started` is told where, once everything is up.
///
/// # Errors
/// When a part cannot start, or the stop took longer than [`STOP_WITHIN`]. What was acknowledged is safe then too.
pub async fn run(
    config: Config,
    stop: CancellationToken,
    started: oneshot::Sender<Addresses>,
) -> anyhow::Result<()> {
    if let Some((name, what)) = complaints(&config).into_iter().next() {
        anyhow::bail!("[[notify]] {name:?}: {what}");
    }
    let metrics = observe::metrics()?;
    // A port that is taken is told before anything is made or changed on disk.
    drop((agi::bind(config.agi.listen)?, bind_http(config.http.listen)?));

    let url = config.store.url.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&url)).await??;
    let clock = Clock::system();
    compare_clocks(&store, &clock).await;
    let receivers = Arc::new(Receivers::find(store.clone(), &config).await?);
    let intake = Intake::start(store.clone(), clock.clone(), policy(&config, &receivers.known().borrow())?);
    // What the spool holds may belong to calls that look over, so it comes before any deadline fires.
    let spool = Spool::new(intake.clone(), clock.clone(), &config.spool, &config.pbx.default);
    spool.first_pass().await;
    intake.release_deadlines();

    let apart = Apart::start("agi")?;
    let agi = apart.within(|| agi::bind(config.agi.listen))?;
    let http = bind_http(config.http.listen)?;
    let addresses = Addresses { agi: agi.local_addr()?, http: http.local_addr()? };
    let (ready, is_ready) = watch::channel(false);
    let parts = Parts::default();
    let watch = feeds::Watch::new(intake.clone(), clock.clone(), &config);
    let troubles = reconcile::Troubles::default();
    let pages = Pages {
        ready: is_ready,
        metrics: metrics.clone(),
        probe: probe(&store, &watch, &troubles, &intake, &clock, &config),
    };
    let desk = receivers.desk(&intake, clock.clone());
    let routes = api::router(pages)
        .merge(pushes(&config, &intake, &clock))
        .merge(brought(&config, &intake, &clock))
        .merge(api::subscriptions(desk, config.token.clone()));
    parts.run(&parts.last, |stop| api::serve(http, routes, stop));
    parts.run(&parts.last, |stop| upkeep(metrics, stop));
    parts.run(&parts.last, |stop| watch.run(stop));
    parts.run(&parts.last, |stop| systemd::watchdog(store.clone(), stop));
    parts.run(&parts.last, |stop| keep::run(store.clone(), clock.clone(), config.store.keep_days, stop));
    parts.run(&parts.ends, |stop| spool.run(stop));
    let periodic = reconcile::Periodic {
        store: store.clone(),
        clock: clock.clone(),
        config: config.clone(),
        receivers: receivers.known(),
        troubles,
    };
    parts.run(&parts.ends, |stop| periodic.run(stop));
    let (door, following) = (intake.clone(), intake.clone());
    let notifier = Notifier::new(store.clone(), clock.clone(), Vec::new())
        .following(receivers.known())
        .scheduled(retry::Schedule::of_seconds(&config.delivery.schedule_s))
        .woken_by(intake.notices_created());
    parts.run(&parts.ends, |stop| notifier.run(stop));
    let line = ami::Line { intake: intake.clone(), clock: clock.clone() };
    parts.run(&parts.ends, |stop| ami::run(line, config.ami.clone(), config.pbx.default.clone(), stop));
    parts.run(&parts.ends, |stop| {
        apart.run(agi::run(agi, door, config.agi.clone(), config.pbx.clone(), clock, stop))
    });
    parts.run(&parts.ends, |stop| receivers.run(following, stop));

    ready.send_replace(true);
    systemd::ready();
    let _ = started.send(addresses);
    stop.cancelled().await;

    systemd::stopping();
    ready.send_replace(false);
    info!("stopping: what is queued is written down and acknowledged first");
    let stopped = async {
        parts.ends.stop().await;
        intake.stop().await;
        parts.last.stop().await;
        // The last handles: its threads end when the store is dropped.
        drop(intake);
        tokio::task::spawn_blocking(move || drop(store)).await
    };
    tokio::time::timeout(STOP_WITHIN, stopped).await.with_context(|| {
        format!("the database was still busy {} s after the stop", STOP_WITHIN.as_secs())
    })??;
    info!("stopped");
    Ok(())
}

/// Two threads for a part that nothing else is to come between. Where all processors are busy the one that gets its turn
/// first goes on with it; more of them wake each other up to share what one does.
struct Apart(Option<Runtime>);

impl Apart {
    fn start(name: &str) -> std::io::Result<Apart> {
        let mut threads = runtime::Builder::new_multi_thread();
        Ok(Apart(Some(threads.worker_threads(2).thread_name(name).enable_all().build()?)))
    }

    /// What `make` makes belongs to those threads.
    fn within<T>(&self, make: impl FnOnce() -> T) -> T {
        let _within = self.0.as_ref().map(Runtime::enter);
        make()
    }

    async fn run(self, part: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            let _ = runtime.spawn(part).await;
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What runs, in two groups: one ends before the door is closed, one after.
#[derive(Default)]
struct Parts {
    /// The two ends of the way: feeds, and notices. Neither waits for the other.
    ends: Group,
    /// What tells others how it goes.
    last: Group,
}

#[derive(Default)]
struct Group {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Parts {
    fn run<F: Future<Output = ()> + Send + 'static>(
        &self,
        group: &Group,
        part: impl FnOnce(CancellationToken) -> F,
    ) {
        group.tasks.spawn(part(group.stop.clone()));
    }
}

impl Group {
    async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What can be seen to be wrong with what receivers are to be told: each receiver's name, and a sentence.
#[must_use]
pub fn complaints(config: &Config) -> Vec<(String, String)> {
    let of = |endpoint: &config::Endpoint| {
        let name = endpoint.name.clone();
        notify::format::complaints(endpoint).into_iter().map(move |what| (name.clone(), what))
    };
    config.notify.iter().flat_map(of).collect()
}

/// What calls are judged by, and who is told of them.
///
/// # Errors
/// When one of the patterns cannot be read.
pub fn policy(config: &Config, endpoints: &[config::Endpoint]) -> anyhow::Result<Policy> {
    Ok(Policy {
        rules: rules(&config.call),
        ask_after: ask_after(&config.call),
        numbering: numbering(config)?,
        subscriptions: subscriptions(endpoints),
    })
}

/// Whose numbers and lines they are.
///
/// # Errors
/// When one of the patterns cannot be read.
pub fn numbering(config: &Config) -> anyhow::Result<Numbering> {
    let trunks = config.trunk.iter().map(|t| (t.channel.clone(), t.name.clone()));
    Numbering::new(config.numbers.internal.clone(), trunks).context("[numbers] internal")
}

fn rules(call: &config::Call) -> Rules {
    let ms = |ms: u64| SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    Rules {
        grace: ms(call.grace_ms),
        gap: ms(call.gap_ms),
        lost: SignedDuration::from_secs(i64::try_from(call.lost_after_s).unwrap_or(i64::MAX)),
    }
}

fn ask_after(call: &config::Call) -> Option<SignedDuration> {
    let seconds = i64::try_from(call.ask_after_s).unwrap_or(i64::MAX);
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}

/// What each receiver wants to be told of.
fn subscriptions(endpoints: &[config::Endpoint]) -> Vec<Subscription> {
    let subscription = |endpoint: &config::Endpoint| Subscription {
        endpoint: endpoint.name.clone(),
        kinds: endpoint.notices.clone(),
        corrections: endpoint.corrections,
        only: Only {
            org: endpoint.org.clone(),
            direction: endpoint.direction.clone(),
            trunk: endpoint.trunk.clone(),
            disposition: endpoint.disposition.clone(),
            missed: endpoint.missed,
            min_talk_ms: i64::try_from(endpoint.min_talk_s.saturating_mul(1000)).unwrap_or(i64::MAX),
        },
    };
    endpoints.iter().map(subscription).collect()
}

/// The routes for ast-ami, where they are wanted. They are part of the HTTP port, which ends after the door is
/// closed: what is posted by then is answered as not saved.
fn pushes(config: &Config, intake: &Intake, clock: &Clock) -> axum::Router {
    if !config.push.enabled {
        return axum::Router::new();
    }
    push::router(push::Desk {
        intake: intake.clone(),
        push: config.push.clone(),
        pbx: config.pbx.clone(),
        clock: clock.clone(),
    })
}

/// The route for the spools of other hosts.
fn brought(config: &Config, intake: &Intake, clock: &Clock) -> axum::Router {
    sent::router(sent::Desk {
        intake: intake.clone(),
        pbx: config.pbx.clone(),
        tokens: config.token.clone(),
        clock: clock.clone(),
    })
}

/// Nodes that share a database judge by their clocks whether a call is over.
async fn compare_clocks(store: &Store, clock: &Clock) {
    let now = clock.clone();
    match store.clock_ahead(move || now.now()).await {
        Ok(ahead) if ahead.abs() > CLOCKS_DIFFER => warn!(
            "this machine's clock and the database's differ by {:.1} s; keep both right (NTP), or calls end too early \
             or too late where several nodes share the database",
            ahead.abs().as_secs_f64()
        ),
        Ok(_) => {}
        Err(error) => warn!(%error, "the clocks could not be compared"),
    }
}

fn bind_http(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    bind().with_context(|| format!("cannot listen for HTTP on {listen}: set [http] listen to another port"))
}

/// Healthy is who can write; the rest are numbers.
fn probe(
    store: &Store,
    watch: &feeds::Watch,
    troubles: &reconcile::Troubles,
    intake: &Intake,
    clock: &Clock,
    config: &Config,
) -> api::Probe {
    let (store, watch, troubles) = (store.clone(), watch.clone(), troubles.clone());
    let (intake, clock) = (intake.clone(), clock.clone());
    let names: BTreeSet<String> = config.notify.iter().map(|endpoint| endpoint.name.clone()).collect();
    let late_after = config.delivery.late_after_s as f64;
    let runtime = tokio::runtime::Handle::current();
    let last: Mutex<Option<(Stopwatch, Result<Health, String>)>> = Mutex::default();
    Arc::new(move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((since, answer)) if since.elapsed() < PROOF_KEEPS => answer.clone(),
            _ => {
                let answer = runtime.block_on(health(&store, &intake, &clock, &names, late_after));
                let answer = answer.map(|mut health| {
                    health.warnings.extend(troubles.said());
                    Health { feeds: watch.standings(), ..health }
                });
                *last = Some((Stopwatch::start(), answer.clone()));
                answer
            }
        }
    })
}

async fn health(
    store: &Store,
    intake: &Intake,
    clock: &Clock,
    names: &BTreeSet<String>,
    late_after: f64,
) -> Result<Health, String> {
    let told = |e: StoreError| e.to_string();
    store.prove_writable().await.map_err(told)?;
    let counts = store.counts().await.map_err(told)?;
    let waiting = store.read("notices waiting", delivery::waiting_for_live).await.map_err(told)?;
    let now = clock.now();
    let age = |since| now.duration_since(since).as_secs_f64().max(0.0);
    let mut health = Health {
        unsettled: counts.unsettled,
        unsettled_age_s: counts.oldest_unsettled.map_or(0.0, age),
        notices_waiting: counts.deliveries_waiting,
        warnings: misnamed(intake),
        ..Health::default()
    };
    for (one, subscribed) in waiting {
        // What waits for a receiver that nobody configures any more is told at the start.
        if !subscribed && !names.contains(&one.endpoint) {
            continue;
        }
        let oldest = age(one.oldest);
        health.notices_oldest_s = health.notices_oldest_s.max(oldest);
        if oldest > late_after {
            health.late.push(one.endpoint);
        }
    }
    Ok(health)
}

/// The names of pbxes that seem to be wrong: one for two Asterisks, and two for one.
fn misnamed(intake: &Intake) -> Vec<String> {
    let shared = intake.shared_names().into_iter().map(|pbx| {
        format!(
            "two Asterisks seem to go by the name {pbx:?}: give each its own CALLJOURNAL_PBX, and restart calljournal"
        )
    });
    let apart = intake.names_apart().into_iter().map(|one| {
        let (ami, dialplan) = (one.ami, one.dialplan);
        format!(
            "AMI tells of {ami:?} what the dialplan tells of {dialplan:?}, and each call is there twice: write \
             pbx = {dialplan:?} under its [[ami]], and restart calljournal"
        )
    });
    shared.chain(apart).collect()
}

async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(Metrics::UPKEEP)).await.is_some() {
        metrics.upkeep();
    }
}

/// Tells a person what is being started.
pub fn announce(config: &Config, file: Option<&Path>) {
    let source = file.map_or("defaults".to_owned(), |file| file.display().to_string());
    info!(
        "calljournal {} · configuration: {source} · database: {}",
        env!("CARGO_PKG_VERSION"),
        crate::store::shown(&config.store.url)
    );
}

/// Tells a person where it listens and what to do next. A spool directory that is missing or cannot be read was
/// told by the spool itself.
pub fn greet(config: &Config, addresses: Addresses) {
    let dir = config.spool.dir.display();
    let state = spool_state(&config.spool.dir);
    let todo = state.remedy(&config.spool.dir).unwrap_or_default();
    match state {
        SpoolState::Good => info!("spool: {dir}"),
        SpoolState::Open(mode) => {
            warn!(
                "spool: everybody may write into {dir} (mode {mode:o}), also calls that never were; {todo}"
            );
        }
        SpoolState::Unshared(mode) => {
            warn!(
                "spool: {dir} has mode {mode:o}: Asterisk and this server may not both write there; {todo}"
            );
        }
        SpoolState::Missing | SpoolState::NoDirectory | SpoolState::Unreadable(_) => {}
    }
    info!("FastAGI on {} · health and metrics on http://{}", addresses.agi, addresses.http);
    info!("next: #include dialplan/calljournal.conf in Asterisk, make a call, then `calljournal calls`");
}
