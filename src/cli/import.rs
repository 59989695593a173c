//! `calljournal import`: calls from Asterisk's own records.
//!
//! Rows are read in a thread of their own, a few portions ahead of the
//! database and no more, so that a year takes the memory of a minute.

use std::io::IsTerminal;

use anyhow::{Context, bail};
use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::paper::Paper;
use super::when::{self, Edge};
use crate::call::words::Value;
use crate::config::Config;
use crate::feed::cdr::row::Reading;
use crate::feed::cdr::{Broken, Place, Portion, Source, shifted};
use crate::intake::Policy;
use crate::intake::history::{self, Tally};
use crate::store::{Lane, Store, feeds};

/// Rows that are read and written together.
const ROWS_AT_ONCE: usize = 2000;

/// Portions that are read ahead.
const AHEAD: usize = 2;

/// What is to be imported.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// A file that Asterisk wrote (CDR or CEL, as CSV or SQLite), or the URL of a database that it writes to:
    /// `mysql://user:password@host/asteriskcdrdb`, `postgres://user:password@host/asterisk`,
    /// `sqlite:///var/log/asterisk/master.db`.
    #[arg(value_name = "FILE|URL", value_hint = ValueHint::AnyPath)]
    source: String,
    #[command(flatten)]
    how: How,
    /// A table of a database, with its schema where need be; may be given more than once. Else `cdr` and `cel`,
    /// whichever there are.
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// The names of a file's columns in their order, where neither headings nor Asterisk's own arrangement tell.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// The pbx that wrote it, by the name that it has in the journal; else `[pbx] default`.
    #[arg(long, value_name = "NAME")]
    pbx: Option<String>,
    /// The zone of its times, as `Europe/Berlin` or `UTC`; else `[call] timezone`.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
}

/// From when on, and whether it is meant.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// Calls that began then or later: `yesterday`, `2026-11-23`, `7d` (ago).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only say what would change: everything is done, and undone again.
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    /// Whether nothing is to be written.
    pub fn is_trial(&self) -> bool {
        self.how.dry_run
    }
}

impl How {
    fn since(&self, now: &Zoned) -> anyhow::Result<Option<Timestamp>> {
        let read = |text: &String| when::parse(text, now, Edge::Begin);
        self.since.as_ref().map(read).transpose().map_err(|e| anyhow::anyhow!("--since: {e}"))
    }
}

/// What one run works with.
pub struct Run<'a> {
    /// Where calls are written.
    pub store: &'a Store,
    /// What they are judged by.
    pub policy: &'a Policy,
    /// In whose words it is told.
    pub paper: &'a Paper,
    /// The present, in the zone of who asks.
    pub now: Zoned,
}

/// Imports one source.
pub async fn import(run: &Run<'_>, config: &Config, asked: &Import) -> anyhow::Result<(String, bool)> {
    let zone = match &asked.timezone {
        Some(name) => {
            TimeZone::get(name).with_context(|| format!("--timezone: there is no zone {name:?}"))?
        }
        None => run.now.time_zone().clone(),
    };
    let pbx = asked.pbx.clone().unwrap_or_else(|| config.pbx.default.clone());
    let now = run.now.timestamp();
    let reading = Reading { pbx: pbx.clone(), zone, at: now };
    let since = asked.how.since(&run.now)?;
    let place = Place {
        name: asked.source.clone(),
        columns: asked.columns.clone(),
        tables: asked.tables.clone(),
        zone_is_named: asked.timezone.is_some(),
        since,
    };
    let done = run.take_in(place, reading, asked.how.dry_run).await?;
    if !asked.how.dry_run {
        run.store.write(Lane::Settle, "records read", move |db| feeds::read_records(db, &pbx, now)).await?;
    }
    Ok((run.told(&done, asked.how.dry_run), done.tally.refused == 0))
}

/// What came of one source.
#[derive(Debug, Default)]
struct Done {
    rows: usize,
    unreadable: usize,
    tally: Tally,
}

impl Run<'_> {
    async fn take_in(&self, place: Place, reading: Reading, trial: bool) -> anyhow::Result<Done> {
        let (name, since) = (place.shown(), place.since);
        let bar = bar();
        let (mut portions, reader) = read_ahead(place, reading.clone(), bar.clone());
        let mut done = Done::default();
        while let Some(portion) = portions.recv().await {
            let Portion { mut events, rows, unreadable } = portion.with_context(|| name.clone())?;
            if let (0, Some(off)) = (done.rows, shifted(&events)) {
                bail!(
                    "the times of {} are {} off from the channels that they tell of: name the zone in which \
                     they were written, --timezone UTC or --timezone Europe/Berlin (read as {})",
                    name,
                    format_args!("{off:#}"),
                    reading.zone.iana_name().unwrap_or("the system's"),
                );
            }
            (done.rows, done.unreadable) = (done.rows + rows, done.unreadable + unreadable);
            events.retain(|event| since.is_none_or(|since| event.at >= since));
            let taken =
                history::take_in(self.store, self.policy, events, self.now.timestamp(), trial).await?;
            done.tally.add(taken);
        }
        bar.finish_and_clear();
        // One that died ends the portions as one that is at the end does.
        reader.await.with_context(|| format!("{name}: not all of it was read"))?;
        Ok(done)
    }

    fn told(&self, done: &Done, trial: bool) -> String {
        let words = &self.paper.words;
        let Tally { same, added, corrected, disagree, refused } = done.tally;
        let mut lines = vec![words.say("import-rows", &[("count", done.rows.into())])];
        if done.unreadable > 0 {
            lines.push(words.say("import-unreadable", &[("count", done.unreadable.into())]));
        }
        let count = |id: &str, count: usize| words.say(id, &[("count", Value::from(count))]);
        lines.push(count("import-same", same));
        lines.push(count(if trial { "import-would-add" } else { "import-added" }, added));
        lines.push(count(if trial { "import-would-correct" } else { "import-corrected" }, corrected));
        if disagree > 0 {
            lines.push(count("import-disagree", disagree));
        }
        if refused > 0 {
            lines.push(count("import-refused", refused));
        }
        lines.join("\n")
    }
}

/// Reads in a thread of its own, which ends when nobody takes any more.
fn read_ahead(
    place: Place,
    reading: Reading,
    bar: ProgressBar,
) -> (mpsc::Receiver<Result<Portion, Broken>>, JoinHandle<bool>) {
    let (give, take) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut source = match Source::open(&place) {
            Ok(source) => source,
            Err(e) => return give.blocking_send(Err(e)).is_ok(),
        };
        while let Some(portion) = source.next(ROWS_AT_ONCE, &reading).transpose() {
            let (done, all) = source.progress();
            bar.set_length(all);
            bar.set_position(done);
            let failed = portion.is_err();
            if give.blocking_send(portion).is_err() || failed {
                break;
            }
        }
        true
    });
    (take, reader)
}

/// On the terminal of who waits.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {percent}%  {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
