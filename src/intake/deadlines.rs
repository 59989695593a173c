//! The task behind the door: settles what was appended, and looks again at calls that may be over by now.
//!
//! Deadlines are rows, so that a restart keeps them; this task only knows when the next one comes.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::settle::{Round, Terms, round};
use super::telling::Told;
use super::{Inner, Shared, accept};
use crate::clock::Stopwatch;
use crate::store::{Lane, StoreError, calls, ledger};

/// Longest sleep before the clock is asked again: the machine's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// From the first event that waits to the round that settles it. A call's events come in bursts (a ring group, the
/// end of all channels): together they cost one fold and one commit. A deadline waits for nothing: it tells an end.
const GATHER: Duration = Duration::from_millis(50);

/// Who is behind while events come in gives the acks this many times its own time, more in a flood, for so long at
/// most: a flood of events is written down first and made sense of after it.
const WAY_FOR_ACCEPTS: u32 = 8;
const WAY_IN_A_FLOOD: u32 = 64;
const BEHIND_AT_MOST: Duration = Duration::from_secs(10);

/// Longest way that is given at once: the flood may be over when a slow database has taken its time for one round.
const WAY_AT_MOST: Duration = Duration::from_millis(250);

/// Events a second that are a flood, twice of what the largest PBX tells at its busiest; and how long is counted.
const FLOOD: f64 = 1000.0;
const FLOOD_COUNTS: Duration = Duration::from_millis(50);

/// How long the database is left alone after it failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How soon a call is looked at again that another node was settling.
const ELSEWHERE: Duration = Duration::from_millis(20);

/// How often it is looked for what other nodes left, where there may be any.
const OTHERS: Duration = Duration::from_secs(1);

/// Most events of open calls that are read at the start.
const MOST_REMEMBERED: usize = 40_000;

/// How often it is told how far settling is behind.
const GAUGE_EVERY: Duration = Duration::from_secs(1);

/// Runs until the intake is stopped.
pub(super) async fn drive(inner: Shared) {
    try_again(&inner).await;
    remember_the_living(&inner).await;
    let mut healthy = true;
    let mut gauged = Stopwatch::start();
    let mut abreast = Stopwatch::start();
    let mut inflow = Inflow { counted: Stopwatch::start(), came: 0, is_flood: false };
    while !inner.stopped.is_cancelled() {
        match settle_some(&inner).await {
            Ok(done) => {
                if !healthy {
                    tracing::info!("calls are settled again");
                }
                healthy = true;
                note(&inner, &done);
                if done.more && gauged.elapsed() >= GAUGE_EVERY {
                    gauged = Stopwatch::start();
                    gauge(&inner).await;
                }
                if !done.more {
                    abreast = Stopwatch::start();
                    if !done.elsewhere {
                        tell_behind(0, 0.0);
                    }
                }
                match done {
                    Round { more: true, took, .. } => {
                        let way = inflow.way(&inner);
                        if way > 0 && abreast.elapsed() < BEHIND_AT_MOST {
                            pause(&inner, (took * way).min(WAY_AT_MOST)).await;
                        }
                    }
                    Round { elsewhere: true, .. } => pause(&inner, ELSEWHERE).await,
                    Round { next_due, .. } => rest(&inner, next_due).await,
                }
            }
            Err(StoreError::Stopped) => return,
            Err(e) => {
                if healthy {
                    tracing::error!(error = %e, "settling fails; it is tried again every second, events are accepted all the while");
                }
                healthy = false;
                pause(&inner, AFTER_FAILURE).await;
            }
        }
    }
}

/// How fast events come in.
struct Inflow {
    counted: Stopwatch,
    came: u64,
    is_flood: bool,
}

impl Inflow {
    /// How much of its own time a round leaves to the acks now.
    fn way(&mut self, inner: &Inner) -> u32 {
        let lasted = self.counted.elapsed();
        if lasted >= FLOOD_COUNTS {
            let before = std::mem::replace(&mut self.came, accept::came(inner));
            self.is_flood = (self.came - before) as f64 >= FLOOD * lasted.as_secs_f64();
            self.counted = Stopwatch::start();
        }
        match (self.is_flood, accept::is_busy(inner)) {
            (true, _) => WAY_IN_A_FLOOD,
            (false, true) => WAY_FOR_ACCEPTS,
            (false, false) => 0,
        }
    }
}

/// Once at the start: what was set aside by an older program, this one may be able to settle.
async fn try_again(inner: &Inner) {
    match inner.store.write(Lane::Settle, "try again", calls::try_again).await {
        Ok(0) => {}
        Ok(calls) => tracing::info!(calls, "calls that were set aside are tried again"),
        Err(e) => tracing::warn!(error = %e, "what was set aside stays so until the next start"),
    }
}

/// Once at the start: which channels lived when the last process ended.
async fn remember_the_living(inner: &Inner) {
    if inner.policy.ask_after.is_none() {
        return;
    }
    match inner.store.read("open calls", |db| ledger::of_open_calls(db, MOST_REMEMBERED)).await {
        // One at a time: as events they are as large again.
        Ok(entries) => {
            entries.into_iter().filter_map(|e| e.into_event().ok()).for_each(|event| inner.hear([&event]));
        }
        Err(e) => tracing::warn!(error = %e, "channels whose end is not told are found by silence alone"),
    }
}

/// One round in the store's thread. It runs to its end even where the intake stops meanwhile.
async fn settle_some(inner: &Shared) -> Result<Round, StoreError> {
    let (answer, answered) = oneshot::channel();
    let job = inner.clone();
    inner.store.post(Lane::Settle, move |writer| {
        let subscriptions = job.subscriptions();
        let terms = Terms {
            policy: &job.policy,
            subscriptions: &subscriptions,
            recent: &job.recent,
            now: job.clock.now(),
            released: job.is_released(),
            quiet: false,
        };
        let _ = answer.send(round(writer, &terms));
    })?;
    let lost = || StoreError::Panicked { transaction: "settle", what: "see the log".to_owned() };
    answered.await.unwrap_or_else(|_| Err(lost()))
}

/// Sleeps, or until the end.
async fn pause(inner: &Inner, time: Duration) {
    tokio::select! {
        () = inner.stopped.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Sleeps until there is something to do: an append, a deadline, the release of deadlines or the end.
async fn rest(inner: &Inner, next_due: Option<Timestamp>) {
    // Whoever rang since the round began has left a mark in `appended`: no wake-up is lost.
    let rung = inner.appended.notified();
    tokio::pin!(rung);
    let since = Stopwatch::start();
    loop {
        if inner.store.is_shared() && since.elapsed() >= OTHERS {
            return;
        }
        let until = match next_due.filter(|_| inner.is_released()) {
            Some(due) => Duration::try_from(inner.clock.now().duration_until(due)).unwrap_or_default(),
            None => LONGEST_SLEEP,
        };
        if until.is_zero() {
            return;
        }
        tokio::select! {
            () = &mut rung => return pause(inner, GATHER.min(until)).await,
            () = inner.stopped.cancelled() => return,
            () = tokio::time::sleep(until.min(LONGEST_SLEEP)) => {}
        }
    }
}

/// Counts what a round did, says which calls are over, and rings for those who send notices.
fn note(inner: &Inner, done: &Round) {
    tracing::debug!(events = done.settled, notices = done.notices.len(), "settled");
    for Told { kind, call, pbx, linkedid, over } in &done.notices {
        if let Some((started, tellers)) = over {
            for feed in inner.feeds().over(pbx, tellers, *started, inner.clock.now()) {
                metrics::counter!("calljournal_feed_missed_calls_total", "pbx" => pbx.clone(), "feed" => feed.as_str())
                    .increment(1);
            }
        }
        metrics::counter!("calljournal_notices_created_total", "kind" => *kind).increment(1);
        tracing::info!(%call, pbx, linkedid, "{kind}");
    }
    if !done.notices.is_empty() {
        inner.told.notify_one();
    }
}

/// Says how far settling is behind, while it is.
async fn gauge(inner: &Inner) {
    let Ok(counts) = inner.store.counts().await else { return };
    let age = counts.oldest_unsettled.map_or(0.0, |at| at.duration_until(inner.clock.now()).as_secs_f64());
    tell_behind(counts.unsettled, age);
}

fn tell_behind(events: u64, age: f64) {
    metrics::gauge!("calljournal_events_unsettled").set(events as f64);
    metrics::gauge!("calljournal_unsettled_age_seconds").set(age.max(0.0));
}
