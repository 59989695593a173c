//! `calljournal import`: calls from Asterisk's own records.

use std::io::IsTerminal;

use anyhow::Context;
use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::paper::Paper;
use super::when::{self, Edge};
use crate::call::words::Value;
use crate::config::Config;
use crate::feed::cdr::Place;
use crate::feed::cdr::row::Reading;
use crate::intake::Policy;
use crate::intake::history::Tally;
use crate::reconcile::{Journal, Taken};
use crate::store::Store;

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
    pub dry_run: bool,
}

impl Import {
    /// Whether nothing is to be written.
    pub fn is_trial(&self) -> bool {
        self.how.dry_run
    }
}

impl How {
    /// From when on, as it was typed.
    ///
    /// # Errors
    /// Where that is no time.
    pub fn since(&self, now: &Zoned) -> anyhow::Result<Option<Timestamp>> {
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
    let reading = Reading { pbx, zone, at: run.now.timestamp() };
    let since = asked.how.since(&run.now)?;
    let place = Place {
        name: asked.source.clone(),
        columns: asked.columns.clone(),
        tables: asked.tables.clone(),
        zone_is_named: asked.timezone.is_some(),
        since,
        grows: false,
    };
    let bar = bar();
    let journal = run.journal(asked.how.dry_run);
    let taken = journal.take_in(place, reading, |_| Ok(()), moving(&bar)).await;
    bar.finish_and_clear();
    let taken = taken?;
    Ok((run.told(&taken, asked.how.dry_run), taken.tally.refused == 0))
}

impl Run<'_> {
    /// What records are taken into.
    pub fn journal(&self, trial: bool) -> Journal<'_> {
        Journal { store: self.store, policy: self.policy, now: self.now.timestamp(), trial }
    }

    fn told(&self, done: &Taken, trial: bool) -> String {
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

/// On the terminal of who waits.
pub fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {percent}%  {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What moves `bar`.
pub fn moving(bar: &ProgressBar) -> impl Fn(u64, u64) + Clone + Send + use<> {
    let bar = bar.clone();
    move |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    }
}
