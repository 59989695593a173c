//! `calljournal reconcile`: the journal held against Asterisk's own records of the last days.

use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::calls::table;
use super::import::{How, Run, bar, moving};
use super::paper::{Ink, Paper};
use super::status::Format;
use crate::call::Call;
use crate::call::words::Value;
use crate::config::{Config, Reconcile};
use crate::reconcile::{Ours, Source, Taken};

/// What is to be reconciled, and how it is told.
#[derive(Debug, Clone, Args)]
pub struct Asked {
    /// A configured source, by its name there; or any file or URL that `import` reads. Without it, all of `[[reconcile]]`.
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    sources: Vec<String>,
    #[command(flatten)]
    how: How,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Say nothing where nothing is to be said: all calls are the same, and every source could be read. For cron.
    #[arg(long, short)]
    quiet: bool,
}

impl Asked {
    /// Whether nothing is to be written.
    pub fn is_trial(&self) -> bool {
        self.how.dry_run
    }

    fn sources(&self, config: &Config) -> anyhow::Result<Vec<Source>> {
        let all: Vec<Source> = config.reconcile.iter().map(|one| Source::of(one, config)).collect();
        if self.sources.is_empty() {
            anyhow::ensure!(
                !all.is_empty(),
                "no source is configured: write [[reconcile]] with source = \"/var/log/asterisk/cdr-csv/Master.csv\", or \
                 name one here"
            );
            return Ok(all);
        }
        let named = |name: &String| {
            let configured = all.iter().find(|source| source.is(name)).cloned();
            configured.unwrap_or_else(|| Source::of(&Reconcile::plain(name), config))
        };
        Ok(self.sources.iter().map(named).collect())
    }
}

/// What came of one source.
struct Told {
    source: Source,
    since: Timestamp,
    came: anyhow::Result<(Taken, Ours)>,
}

/// Reconciles once, one source after the other: what there is to say, and whether all is well.
pub async fn reconcile(run: &Run<'_>, config: &Config, asked: &Asked) -> anyhow::Result<(String, bool)> {
    let (since, now) = (asked.how.since(&run.now)?, run.now.timestamp());
    let journal = run.journal(asked.how.dry_run);
    let mut told = Vec::new();
    for source in asked.sources(config)? {
        let since = since.unwrap_or_else(|| source.since(now));
        let bar = bar();
        let came = source.run(&journal, since, moving(&bar)).await;
        bar.finish_and_clear();
        let came = match came {
            Ok(outcome) => {
                let ours = source.ours(run.store, &outcome.known, since, now).await?;
                Ok((outcome.taken, ours))
            }
            Err(e) => Err(e),
        };
        told.push(Told { source, since, came });
    }
    let well = told.iter().all(|one| one.came.as_ref().is_ok_and(|(taken, _)| taken.tally.refused == 0));
    if asked.quiet && told.iter().all(Told::is_silent) {
        return Ok((String::new(), well));
    }
    if asked.format == Format::Json {
        let total = total(&told, asked.how.dry_run).json(asked.how.dry_run);
        let sources: Vec<Json> = told.iter().map(|one| one.json(asked.how.dry_run)).collect();
        return Ok((serde_json::to_string_pretty(&json!({ "sources": sources, "total": total }))?, well));
    }
    let mut parts: Vec<String> = told.iter().map(|one| one.text(run.paper, asked.how.dry_run)).collect();
    if told.len() > 1 {
        let head = run.paper.ink(Ink::Bold, &run.paper.word("reconcile-total"));
        parts.push(format!("{head}\n{}", total(&told, asked.how.dry_run).text(run.paper, asked.how.dry_run)));
    }
    Ok((parts.join("\n\n"), well))
}

/// Numbers of one source or of all.
#[derive(Default)]
struct Sum {
    taken: Taken,
    otherwise: usize,
    only: usize,
}

impl Sum {
    fn of((taken, ours): &(Taken, Ours), trial: bool) -> Sum {
        // What a dry run has just heard otherwise is undone, and not in the journal any more.
        let fresh = if trial { taken.tally.disagree } else { 0 };
        Sum { taken: *taken, otherwise: ours.otherwise.0 + fresh, only: ours.only.0 }
    }

    fn add(&mut self, other: Sum) {
        self.taken.rows += other.taken.rows;
        self.taken.unreadable += other.taken.unreadable;
        self.taken.tally.add(other.taken.tally);
        self.otherwise += other.otherwise;
        self.only += other.only;
    }

    fn text(&self, paper: &Paper, trial: bool) -> String {
        let words = &paper.words;
        let count = |id: &str, count: usize| words.say(id, &[("count", Value::from(count))]);
        let tally = &self.taken.tally;
        let mut lines = vec![count("import-rows", self.taken.rows)];
        if self.taken.unreadable > 0 {
            lines.push(count("import-unreadable", self.taken.unreadable));
        }
        lines.push(count("import-same", tally.same));
        lines.push(count(if trial { "import-would-add" } else { "import-added" }, tally.added));
        lines.push(count(if trial { "import-would-correct" } else { "import-corrected" }, tally.corrected));
        lines.push(count("reconcile-otherwise", self.otherwise));
        lines.push(count("reconcile-only-ours", self.only));
        if tally.refused > 0 {
            lines.push(count("import-refused", tally.refused));
        }
        lines.join("\n")
    }

    fn json(&self, trial: bool) -> Json {
        let tally = &self.taken.tally;
        json!({
            "dry_run": trial,
            "rows": self.taken.rows,
            "unreadable": self.taken.unreadable,
            "same": tally.same,
            "added": tally.added,
            "corrected": tally.corrected,
            "told_otherwise": self.otherwise,
            "only_ours": self.only,
            "refused": tally.refused,
        })
    }
}

fn total(told: &[Told], trial: bool) -> Sum {
    let mut total = Sum::default();
    for came in told.iter().filter_map(|one| one.came.as_ref().ok()) {
        total.add(Sum::of(came, trial));
    }
    total
}

impl Told {
    /// Nothing came of it that anybody would want to know.
    fn is_silent(&self) -> bool {
        self.came.as_ref().is_ok_and(|(taken, ours)| {
            let tally = &taken.tally;
            let heard = tally.added + tally.corrected + tally.disagree + tally.refused;
            heard + ours.only.0 + ours.otherwise.0 == 0
        })
    }

    fn text(&self, paper: &Paper, trial: bool) -> String {
        let since = paper.date(self.since);
        let name = self.source.shown();
        let values =
            [("source", Value::Text(&name)), ("pbx", (&self.source.pbx).into()), ("since", (&since).into())];
        let head = paper.ink(Ink::Bold, &paper.words.say("reconcile-source", &values));
        let came = match &self.came {
            Ok(came) => came,
            Err(e) => return format!("{head}\n{}", paper.ink(Ink::Red, &format!("{e:#}"))),
        };
        let mut text = format!("{head}\n{}", Sum::of(came, trial).text(paper, trial));
        let ours = &came.1;
        for (id, (count, calls)) in
            [("reconcile-list-otherwise", &ours.otherwise), ("reconcile-list-only-ours", &ours.only)]
        {
            if *count > 0 {
                text.push_str(&format!("\n\n{}\n{}", paper.word(id), table(calls, paper)));
            }
        }
        text
    }

    fn json(&self, trial: bool) -> Json {
        let mut told = match &self.came {
            Ok(came) => Sum::of(came, trial).json(trial),
            Err(e) => json!({ "error": format!("{e:#}") }),
        };
        told["source"] = self.source.shown().into();
        told["pbx"] = self.source.pbx.clone().into();
        told["since"] = self.since.to_string().into();
        if let Ok((_, ours)) = &self.came {
            told["calls_told_otherwise"] = ours.otherwise.1.iter().map(named).collect();
            told["calls_only_ours"] = ours.only.1.iter().map(named).collect();
        }
        told
    }
}

/// What a call is found by.
fn named(call: &Call) -> Json {
    json!({
        "id": call.id.to_string(),
        "linkedid": call.linkedid,
        "started_at": call.started_at.to_string(),
        "number": call.source.number,
        "destination": call.destination,
    })
}
