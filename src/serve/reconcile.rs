//! Holds the journal against Asterisk's own records: soon after the start, then as often as each source wants it.
//!
//! One source after the other, never beside itself, and on one of the nodes that share a database. What a run does and
//! how calls are judged is not known here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use jiff::SignedDuration;
use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::intake::history::Tally;
use crate::notify::Endpoints;
use crate::reconcile::{Journal, Source};
use crate::store::{Lane, Store, runs};

/// How often it is looked whether one is due; the first time a moment after the start.
const LOOK: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_secs(5);

/// A source that takes longer is given up until it is due again: a database may never answer.
const LONGEST: Duration = Duration::from_secs(3600);

/// Why sources could not be read when it was last tried, by their names.
#[derive(Clone, Default)]
pub(super) struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    /// Each as a sentence.
    pub fn said(&self) -> Vec<String> {
        self.lock().values().map(|why| format!("Asterisk's own records cannot be read: {why}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is read, and where it goes.
pub(super) struct Periodic {
    pub store: Store,
    pub clock: Clock,
    pub config: Config,
    pub receivers: watch::Receiver<Endpoints>,
    pub troubles: Troubles,
}

impl Periodic {
    /// Runs until `stop`; not at all where no source is configured.
    pub async fn run(self, stop: CancellationToken) {
        let configured = &self.config.reconcile;
        let sources: Vec<(Source, u64)> =
            configured.iter().map(|one| (Source::of(one, &self.config), one.every_s)).collect();
        if sources.is_empty() || stop.run_until_cancelled(tokio::time::sleep(FIRST)).await.is_none() {
            return;
        }
        loop {
            for (source, every_s) in &sources {
                if stop.run_until_cancelled(self.look(source, *every_s)).await.is_none() {
                    return;
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }

    /// Reads a source where it is due, and no other node has begun to.
    async fn look(&self, source: &Source, every_s: u64) {
        let every = SignedDuration::from_secs(i64::try_from(every_s).unwrap_or(i64::MAX));
        let (name, now) = (source.name(), self.clock.now());
        let mine = self.store.write(Lane::Settle, "begin run", move |db| runs::begin(db, &name, now, every));
        match mine.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                return warn!(%error, "whether it is time to read Asterisk's own records is not known");
            }
        }
        let read = tokio::time::timeout(LONGEST, self.read(source));
        let read = read.await.context("it took longer than an hour").and_then(|read| read);
        let shown = source.shown();
        let result = if read.is_ok() { "ok" } else { "failed" };
        counter!("calljournal_reconcile_runs_total", "source" => shown.clone(), "result" => result)
            .increment(1);
        match read {
            Ok(tally) => self.came(source, tally),
            Err(e) => {
                let why = format!("{e:#}");
                if self.troubles.lock().insert(source.name(), why.clone()).is_none() {
                    warn!("Asterisk's own records cannot be read: {why}");
                }
            }
        }
    }

    async fn read(&self, source: &Source) -> anyhow::Result<Tally> {
        let policy = super::policy(&self.config, &self.receivers.borrow())?;
        let now = self.clock.now();
        let journal = Journal { store: &self.store, policy: &policy, now, trial: false };
        let outcome = source.run(&journal, source.since(now), |_, _| {}).await?;
        Ok(outcome.taken.tally)
    }

    fn came(&self, source: &Source, tally: Tally) {
        let shown = source.shown();
        if self.troubles.lock().remove(&source.name()).is_some() {
            info!(source = shown, "Asterisk's own records can be read again");
        }
        let Tally { same, added, corrected, disagree, refused } = tally;
        for (outcome, count) in [
            ("same", same),
            ("added", added),
            ("corrected", corrected),
            ("disagree", disagree),
            ("refused", refused),
        ] {
            counter!("calljournal_reconcile_calls_total", "source" => shown.clone(), "outcome" => outcome)
                .increment(count as u64);
        }
        gauge!("calljournal_reconcile_last_success_seconds", "source" => shown.clone())
            .set(self.clock.now().as_second() as f64);
        if added + corrected + refused > 0 {
            info!(
                source = shown,
                added, corrected, refused, "calls that Asterisk's own records know were taken in"
            );
        }
    }
}
