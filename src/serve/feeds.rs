//! Follows how the feeds stand: each second it looks whether something changed, now and then it brings together what all
//! nodes know.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use metrics::gauge;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::intake::Intake;
use crate::store::feeds::{Standing, State, with_dialplan};

const LOOK: Duration = Duration::from_secs(1);
const TOGETHER: Duration = Duration::from_secs(15);

/// How the feeds are asked for.
#[derive(Clone)]
pub(super) struct Watch {
    intake: Intake,
    clock: Clock,
    down_after: SignedDuration,
    zone: TimeZone,
    default: String,
}

impl Watch {
    pub fn new(intake: Intake, clock: Clock, config: &Config) -> Watch {
        let seconds = i64::try_from(config.feeds.down_after_s).unwrap_or(i64::MAX);
        Watch {
            intake,
            clock,
            down_after: SignedDuration::from_secs(seconds),
            zone: config.call.zone().unwrap_or_else(TimeZone::system),
            default: config.pbx.default.clone(),
        }
    }

    /// How they stand now.
    pub fn standings(&self) -> Vec<Standing> {
        let mut all = self.intake.standings(self.down_after, &self.today());
        with_dialplan(&mut all, &self.default);
        all
    }

    fn today(&self) -> String {
        self.clock.now().to_zoned(self.zone.clone()).date().to_string()
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut together: Option<Stopwatch> = None;
        let (mut failing, mut before) = (false, Vec::new());
        loop {
            let today = self.today();
            let due = together.is_none_or(|since| since.elapsed() >= TOGETHER);
            if due || (!failing && self.intake.has_pressing_news(self.down_after, &today)) {
                together = Some(Stopwatch::start());
                let done = self.intake.sync_feeds(self.down_after, today).await;
                if let (Err(error), false) = (&done, failing) {
                    warn!(%error, "how the feeds stand cannot be written down; it is tried again");
                }
                failing = done.is_err();
            }
            let now = self.standings();
            self.measure(&now);
            say_changes(&before, &now);
            before = now;
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                // The last events of the day are not to be unknown to who looks while no server runs.
                let _ = self.intake.sync_feeds(self.down_after, self.today()).await;
                return;
            }
        }
    }

    fn measure(&self, all: &[Standing]) {
        let now = self.clock.now();
        for one in all.iter().filter(|one| one.state != State::Never) {
            let labels = [("pbx", one.pbx.clone()), ("feed", one.feed.as_str().to_owned())];
            gauge!("calljournal_feed_up", &labels).set(u8::from(one.state != State::Down));
            if let Some(last) = one.last_event {
                let age = now.duration_since(last).as_secs_f64().max(0.0);
                gauge!("calljournal_feed_event_age_seconds", &labels).set(age);
            }
        }
    }
}

/// What changed is told to whoever reads the log, too.
fn say_changes(before: &[Standing], now: &[Standing]) {
    for one in now {
        let was = before.iter().find(|was| was.pbx == one.pbx && was.feed == one.feed).map(|was| was.state);
        let reason = one.reason.as_deref().unwrap_or_default();
        match (was, one.state) {
            (Some(State::Down), State::Up) => {
                info!(pbx = one.pbx, feed = %one.feed, "the feed is well again")
            }
            (was, State::Down) if was != Some(State::Down) => {
                warn!(pbx = one.pbx, feed = %one.feed, "the feed is down: {reason}");
            }
            _ => {}
        }
    }
}
