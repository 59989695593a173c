//! `calljournal status`: how everything stands on one page, and whether something is down.
//!
//! The numbers come from the database. Whether a server runs is asked of the HTTP address of the configuration; where one
//! answers, the feeds are as it knows them at this moment, else as the last one left them.

mod ask;

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::Cell;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Answer;
use super::paper::{Ink, Paper};
use crate::call::words;
use crate::config::Config;
use crate::event::Feed;
use crate::feed::spool;
use crate::store::feeds::{self, FOLLOWED, Standing, State, Why};
use crate::store::summary::Summary;
use crate::store::{Lane, Store, shown};

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// All that is to be shown.
struct View {
    now: Timestamp,
    address: std::net::SocketAddr,
    /// What the server says, where one answers.
    health: Option<Value>,
    summary: Summary,
    feeds: Vec<Standing>,
    database: String,
    /// Spool files that hold something that is not taken in; `None` where the directory cannot be read.
    spooled: Option<usize>,
    dir: String,
    late_after_s: u64,
}

/// Shows how everything stands. It is not well where no server answers, one cannot work, a feed is down, or a notice
/// waits for too long.
pub async fn status(
    store: &Store,
    config: &Config,
    paper: &Paper,
    format: Format,
    now: Timestamp,
) -> anyhow::Result<Answer> {
    let address = ask::near(config.http.listen);
    let health = tokio::task::spawn_blocking(move || ask::health(address)).await?;
    let summary = store.summary().await?;
    let view = View {
        now,
        address,
        feeds: standings(health.as_ref(), &summary, paper, config, now),
        database: shown(&config.store.url),
        spooled: spool::waiting(&config.spool.dir, &summary.marks).ok(),
        dir: config.spool.dir.display().to_string(),
        late_after_s: config.delivery.late_after_s,
        health,
        summary,
    };
    let text = match format {
        Format::Text => view.text(paper),
        Format::Json => serde_json::to_string_pretty(&view.json())?,
    };
    Ok(Answer { text, well: view.is_well() })
}

/// Forgets a feed that is no more, named `PBX/FEED`.
pub async fn forget(store: &Store, paper: &Paper, name: &str) -> anyhow::Result<Answer> {
    let known = || FOLLOWED.map(Feed::as_str).join(", ");
    let (pbx, feed) =
        name.rsplit_once('/').with_context(|| paper.with("status-forget-how", "feeds", &known()))?;
    let feed = FOLLOWED.into_iter().find(|one| one.as_str() == feed);
    let feed = feed.with_context(|| paper.with("status-forget-how", "feeds", &known()))?;
    let pbx = pbx.to_owned();
    let gone = store.write(Lane::Settle, "forget feed", move |db| feeds::forget(db, &pbx, feed)).await?;
    let said = if gone { "status-forgotten" } else { "status-not-known" };
    Ok(Answer { text: paper.with(said, "name", name), well: gone })
}

fn standings(
    health: Option<&Value>,
    summary: &Summary,
    paper: &Paper,
    config: &Config,
    now: Timestamp,
) -> Vec<Standing> {
    let told = health.and_then(|health| serde_json::from_value(health["feeds"].clone()).ok());
    told.unwrap_or_else(|| {
        let today = now.to_zoned(paper.zone.clone()).date().to_string();
        let stored = summary.feeds.iter().map(|(pbx, feed, known)| known.standing(pbx, *feed, &today));
        let mut stored: Vec<Standing> = stored.collect();
        feeds::with_dialplan(&mut stored, &config.pbx.default);
        stored
    })
}

impl View {
    fn is_well(&self) -> bool {
        let serves = self.health.as_ref().is_some_and(|health| health["status"] != "failing");
        serves && self.feeds.iter().all(|feed| feed.state != State::Down) && self.late().is_none()
    }

    /// The oldest notice that waits for a receiver that is not held, where it waits for too long.
    fn late(&self) -> Option<i64> {
        let live = self.summary.waiting.iter().filter(|one| !self.is_held(&one.endpoint));
        let oldest = live.map(|one| self.age(one.oldest)).max()?;
        (oldest > i64::try_from(self.late_after_s).unwrap_or(i64::MAX).saturating_mul(1000)).then_some(oldest)
    }

    fn is_held(&self, endpoint: &str) -> bool {
        self.summary.held.iter().any(|held| held.endpoint == endpoint)
    }

    /// In milliseconds.
    fn age(&self, since: Timestamp) -> i64 {
        i64::try_from(self.now.duration_since(since).as_millis()).unwrap_or(i64::MAX).max(0)
    }

    fn json(&self) -> Value {
        let waits = self.summary.waiting.iter().map(|one| {
            json!({
                "endpoint": one.endpoint, "waiting": one.count, "oldest_s": self.age(one.oldest) / 1000,
                "held": self.is_held(&one.endpoint),
            })
        });
        json!({
            "well": self.is_well(),
            "version": env!("CARGO_PKG_VERSION"),
            "server": { "address": self.address, "answers": self.health.is_some(), "health": self.health },
            "database": { "url": self.database, "bytes": self.summary.bytes },
            "open_calls": self.summary.open_calls,
            "set_aside": self.summary.set_aside,
            "unsettled": self.summary.unsettled,
            "notices": waits.collect::<Vec<_>>(),
            "spool": { "dir": self.dir, "files_waiting": self.spooled },
            "feeds": self.feeds,
        })
    }

    fn text(&self, paper: &Paper) -> String {
        let mut lines = vec![self.server(paper), self.journal(paper)];
        lines.extend(self.notices(paper));
        lines.push(self.spool(paper));
        lines.push(String::new());
        lines.push(table(&self.feeds, paper));
        lines.extend(self.feeds.iter().filter_map(|feed| remark(feed, paper)));
        lines.extend(self.warnings(paper));
        if self.health.is_none() {
            lines.push(String::new());
            lines.push(paper.ink(Ink::Dim, &paper.word("status-as-left")));
        }
        lines.join("\n")
    }

    fn server(&self, paper: &Paper) -> String {
        let address = self.address.to_string();
        let (ink, said) = match &self.health {
            None => (Ink::Red, paper.with("status-server-away", "address", &address)),
            Some(health) => match (health["status"].as_str(), health["reason"].as_str()) {
                (Some("failing"), reason) => {
                    (Ink::Red, paper.with("status-server-failing", "reason", reason.unwrap_or_default()))
                }
                (Some("degraded"), _) => {
                    (Ink::Yellow, paper.with("status-server-degraded", "address", &address))
                }
                _ => (Ink::Green, paper.with("status-server-well", "address", &address)),
            },
        };
        let version = concat!("calljournal ", env!("CARGO_PKG_VERSION"));
        format!("{} · {}", paper.ink(Ink::Bold, version), paper.ink(ink, &said))
    }

    /// What the server wants somebody to see to, in its own words.
    fn warnings(&self, paper: &Paper) -> Vec<String> {
        let warnings = self.health.as_ref().and_then(|health| health["warnings"].as_array());
        let warnings = warnings.into_iter().flatten().filter_map(Value::as_str);
        warnings.map(|warning| paper.ink(Ink::Yellow, warning)).collect()
    }

    fn journal(&self, paper: &Paper) -> String {
        let size = size(self.summary.bytes);
        let database = paper.words.say(
            "status-database",
            &[("place", (&self.database).into()), ("size", words::Value::Text(&size))],
        );
        let number = |count: u64| words::Value::Number(i64::try_from(count).unwrap_or(i64::MAX));
        let calls = paper.words.say("status-calls", &[("count", number(self.summary.open_calls))]);
        let mut text = format!("{database}\n{calls}");
        if self.summary.set_aside > 0 {
            let aside = paper.words.say("status-set-aside", &[("count", number(self.summary.set_aside))]);
            text.push_str(&format!("\n{}", paper.ink(Ink::Yellow, &aside)));
        }
        text
    }

    fn notices(&self, paper: &Paper) -> Vec<String> {
        if self.summary.waiting.is_empty() {
            return vec![paper.word("status-no-notice")];
        }
        let line = |one: &crate::store::delivery::Waiting| {
            let (age, held) = (self.age(one.oldest), self.is_held(&one.endpoint));
            let said = if held { "status-notices-held" } else { "status-notices" };
            let lasts = paper.duration(Some(age));
            let count = words::Value::Number(i64::try_from(one.count).unwrap_or(i64::MAX));
            let values = [
                ("count", count),
                ("endpoint", words::Value::Text(&one.endpoint)),
                ("age", words::Value::Text(&lasts)),
            ];
            let text = paper.words.say(said, &values);
            let late = !held && u64::try_from(age / 1000).unwrap_or(0) > self.late_after_s;
            if late { paper.ink(Ink::Red, &text) } else { text }
        };
        self.summary.waiting.iter().map(line).collect()
    }

    fn spool(&self, paper: &Paper) -> String {
        match self.spooled {
            None => paper.ink(Ink::Yellow, &paper.with("status-spool-unread", "dir", &self.dir)),
            Some(files) => {
                let count = words::Value::Number(i64::try_from(files).unwrap_or(i64::MAX));
                paper.words.say("status-spool", &[("count", count), ("dir", words::Value::Text(&self.dir))])
            }
        }
    }
}

fn table(feeds: &[Standing], paper: &Paper) -> String {
    let heads = [
        "head-pbx",
        "head-feed",
        "head-state",
        "head-since",
        "head-last-event",
        "head-told-today",
        "head-missed-today",
    ];
    let date = |at: Option<Timestamp>| at.map(|at| paper.date(at)).unwrap_or_default();
    let rows = feeds.iter().map(|one| {
        let (ink, state) = match one.state {
            State::Never => (Ink::Dim, paper.word("feed-never")),
            State::Up => (Ink::Green, paper.word("feed-up")),
            State::Late => (Ink::Yellow, paper.word("feed-late")),
            State::Down => (Ink::Red, paper.word("feed-down")),
        };
        vec![
            Cell::new(&one.pbx),
            Cell::new(name(one.feed, paper)),
            paper.cell(ink, &state),
            Cell::new(date(one.since)),
            Cell::new(date(one.last_event)),
            Cell::new(one.told_today),
            Cell::new(one.missed_today),
        ]
    });
    paper.table(&heads, rows)
}

fn name(feed: Feed, paper: &Paper) -> String {
    paper.word(match feed {
        Feed::Agi => "feed-agi",
        Feed::Spool => "feed-spool",
        Feed::Push => "feed-push",
        Feed::Ami => "feed-ami",
        Feed::Cdr | Feed::Cel => "feed-cdr",
    })
}

/// Why a feed is not well, and what to look at.
fn remark(one: &Standing, paper: &Paper) -> Option<String> {
    let by = one.by.map(|by| name(by, paper)).unwrap_or_default();
    let feed = name(one.feed, paper);
    let values = [
        ("count", words::Value::Number(i64::try_from(one.in_a_row).unwrap_or(i64::MAX))),
        ("by", words::Value::Text(&by)),
        ("feed", words::Value::Text(&feed)),
        ("detail", words::Value::Text(&one.detail)),
    ];
    let said = match (one.why?, one.feed) {
        (Why::Broken, _) => paper.words.say("why-broken", &values),
        (Why::Silent, _) => paper.words.say("why-silent", &values),
        (Why::Spooled, _) => paper.words.say("why-spooled", &values),
        (Why::Missed, Feed::Agi) => paper.words.say("why-missed-agi", &values),
        (Why::Missed, Feed::Ami) => paper.words.say("why-missed-ami", &values),
        (Why::Missed, _) => paper.words.say("why-missed", &values),
        (Why::Unwatched, _) => paper.words.say("why-unwatched", &values),
    };
    let ink = if one.state == State::Down { Ink::Red } else { Ink::Yellow };
    Some(paper.ink(ink, &format!("{} · {feed}: {said}", one.pbx)))
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let (mut size, mut unit) = (bytes as f64 / 1000.0, 0);
    while size >= 999.95 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1000.0, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::call::words::Language;
    use crate::store::feeds::Evidence;

    fn standing(feed: Feed, state: State, why: Option<Why>) -> Standing {
        let at = Some(Timestamp::from_second(1_795_390_723).unwrap());
        let known = Evidence {
            state,
            why,
            heard: at,
            since: at,
            run: 12,
            by: Some(Feed::Agi),
            detail: "connection refused".to_owned(),
            ..Evidence::default()
        };
        known.standing("office", feed, "")
    }

    #[test]
    fn each_feed_has_a_row_and_who_is_not_well_a_sentence() {
        let feeds = [
            standing(Feed::Agi, State::Up, None),
            standing(Feed::Ami, State::Down, Some(Why::Broken)),
            standing(Feed::Push, State::Never, None),
        ];
        let paper = Paper::plain(Language::En);
        let told = table(&feeds, &paper);
        let rows: Vec<&str> = told.lines().collect();
        assert_eq!(rows.len(), 4, "{told}");
        assert!(rows[1].contains("dialplan") && rows[1].contains("up"), "{told}");
        assert!(rows[2].contains("AMI") && rows[2].contains("down"), "{told}");
        assert!(rows[3].contains("never seen"), "{told}");
        let said = remark(&feeds[1], &paper).unwrap();
        assert_eq!(said, "office · AMI: the connection is away: connection refused");
        assert_eq!(remark(&feeds[0], &paper), None);
    }

    #[test]
    fn calls_that_nobody_told_are_counted_in_the_readers_words() {
        let silent = standing(Feed::Ami, State::Down, Some(Why::Missed));
        let said = remark(&silent, &Paper::plain(Language::En)).unwrap();
        assert!(said.contains("12 calls in a row of which AMI said nothing"), "{said}");
        let said = remark(&silent, &Paper::plain(Language::Ru)).unwrap();
        assert!(said.contains("12 звонков подряд"), "{said}");
        assert!(!said.contains("why-"), "{said}");
    }

    #[test]
    fn sizes_are_told_as_a_person_says_them() {
        for (bytes, said) in
            [(0, "0.0 kB"), (4096, "4.1 kB"), (999_999, "1.0 MB"), (12_345_678_901, "12.3 GB")]
        {
            assert_eq!(size(bytes), said);
        }
        assert_eq!(size(u64::MAX), "18446.7 PB");
    }
}
