//! `calljournal notify`: what became of notices, and what the operator does about it.
//!
//! Reads and changes the outbox. The servers on the same database see a change within a second; none of it is done
//! here but the sending of `test`, which is kept nowhere.

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Cell;
use jiff::Zoned;
use serde_json::json;

use super::Answer;
use super::paper::{Ink, Paper};
use super::when::{self, Edge};
use crate::clock::Clock;
use crate::config::Config;
use crate::notify::trial;
use crate::store::notices::{Delivery, Stage, Tried, Wanted, Whole};
use crate::store::standing::{self, Held, Standing};
use crate::store::{Lane, Store, endpoints};

/// Characters of an id that tell a notice from all others.
const SHORT: usize = 13;

/// Characters of what was said of an attempt, in a list.
const MOST_DETAIL: usize = 90;

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Notify {
    /// List notices and what became of them, newest first.
    Ls {
        #[command(flatten)]
        which: Which,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show one notice: for whom it is, each attempt, and what is sent.
    Show {
        /// Its id, or the beginning of it.
        id: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Try again at once what was given up (dead, refused) or waits for its next attempt.
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Retry {
        /// The notice's id, or the beginning of it.
        #[arg(group = "what")]
        id: Option<String>,
        /// All for this endpoint.
        #[arg(long, value_name = "NAME", group = "what")]
        endpoint: Option<String>,
        /// All that are dead.
        #[arg(long, group = "what")]
        dead: bool,
    },
    /// Send a made-up notice to an endpoint of the configuration, and print what came back.
    Test {
        /// The endpoint's name.
        endpoint: String,
    },
    /// Send nothing to an endpoint; what is written for it waits.
    Pause {
        /// The endpoint's name.
        endpoint: String,
    },
    /// Go on after `pause`, or after the receiver answered 410.
    Resume {
        /// The endpoint's name.
        endpoint: String,
    },
}

/// Which notices are listed.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// Those to this endpoint.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Those of this kind, such as `call.ended`.
    #[arg(long)]
    kind: Option<String>,
    /// Those of the call with this id, or the beginning of it.
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// Those that stand so.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Those that were written then or later: `today`, `2026-11-23`, `14:30`, `2h` (ago), `7d`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    Waiting,
    Delivered,
    Dead,
    Refused,
}

impl Which {
    fn wanted(self, now: &Zoned) -> anyhow::Result<Wanted> {
        let since = self.since.map(|text| when::parse(&text, now, Edge::Begin)).transpose();
        Ok(Wanted {
            notice: None,
            endpoint: self.endpoint,
            kind: self.kind,
            call: self.call.map(|call| call.to_ascii_lowercase()),
            stage: self.state.map(|state| match state {
                State::Waiting => Stage::Waiting,
                State::Delivered => Stage::Delivered,
                State::Dead => Stage::Dead,
                State::Refused => Stage::Refused,
            }),
            since: since.map_err(|e| anyhow::anyhow!("--since: {e}"))?,
        })
    }
}

/// Does it.
///
/// # Errors
/// Where the database cannot be used, or there is no such notice or endpoint.
pub async fn notify(what: Notify, config: &Config, paper: &Paper, clock: &Clock) -> anyhow::Result<Answer> {
    let url = &config.store.url;
    if let Notify::Test { endpoint } = &what {
        return test(endpoint, config, paper, clock).await;
    }
    // To read first: where there is no journal, none is to be made.
    let reader = Store::open_reader(url)?;
    let text = match what {
        Notify::Ls { which, limit, json } => {
            let wanted = which.wanted(&clock.now().to_zoned(paper.zone.clone()))?;
            let found = reader.deliveries(&wanted, limit as usize).await?;
            if json {
                serde_json::to_string_pretty(&found)?
            } else {
                list(&found, &reader.read("standing", standing::all).await?, paper)
            }
        }
        Notify::Show { id, json } => {
            let id = named(&reader, &id, paper).await?;
            let whole = reader.notice(&id).await?.with_context(|| paper.with("no-such-notice", "id", &id))?;
            if json { serde_json::to_string_pretty(&document(&whole))? } else { page(&id, &whole, paper) }
        }
        Notify::Retry { id, endpoint, dead } => {
            let notice = match id {
                Some(id) => Some(named(&reader, &id, paper).await?),
                None => None,
            };
            let stage = dead.then_some(Stage::Dead);
            let wanted = Wanted { notice, endpoint, stage, ..Wanted::default() };
            let count = Store::open(url)?.retry(&wanted, clock.now()).await?;
            paper.words.say("notices-due-again", &[("count", count.into())])
        }
        Notify::Test { .. } => String::new(),
        Notify::Pause { endpoint } => {
            known(&endpoint, config, &reader, paper).await?;
            let (name, now) = (endpoint.clone(), clock.now());
            let pause =
                move |db: &mut _| standing::hold(db, &name, Held::Paused, now, "calljournal notify pause");
            Store::open(url)?.write(Lane::Settle, "pause", pause).await?;
            paper.with("endpoint-paused", "name", &endpoint)
        }
        Notify::Resume { endpoint } => {
            known(&endpoint, config, &reader, paper).await?;
            let name = endpoint.clone();
            let resume = move |db: &mut _| standing::resume(db, &name);
            let was = Store::open(url)?.write(Lane::Settle, "resume", resume).await?;
            let id = if was { "endpoint-resumed" } else { "endpoint-not-held" };
            paper.words.say(id, &[("name", endpoint.as_str().into())])
        }
    };
    Ok(text.into())
}

/// The one notice whose id begins so.
async fn named(store: &Store, start: &str, paper: &Paper) -> anyhow::Result<String> {
    match store.notices_from(&start.to_ascii_lowercase()).await?.as_slice() {
        [id] => Ok(id.clone()),
        [] => bail!(paper.with("no-such-notice", "id", start)),
        _ => bail!(paper.with("more-than-one-notice", "id", start)),
    }
}

/// Whether there is an endpoint of this name.
async fn known(name: &str, config: &Config, store: &Store, paper: &Paper) -> anyhow::Result<()> {
    let mut names: Vec<String> = config.notify.iter().map(|endpoint| endpoint.name.clone()).collect();
    names.extend(store.read("endpoints", endpoints::all).await?.into_iter().map(|one| one.name));
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let values = [("name", name.into()), ("names", names.join(", "))];
    let values: Vec<_> =
        values.iter().map(|(key, text): &(&str, String)| (*key, text.as_str().into())).collect();
    bail!(paper.words.say("no-such-endpoint", &values))
}

/// Sends to an endpoint of the configuration; what was answered decides whether all is well.
async fn test(name: &str, config: &Config, paper: &Paper, clock: &Clock) -> anyhow::Result<Answer> {
    let Some(endpoint) = config.notify.iter().find(|endpoint| endpoint.name == name) else {
        let names: Vec<&str> = config.notify.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let names = names.join(", ");
        let values = [("name", name.into()), ("names", names.as_str().into())];
        bail!(paper.words.say("no-such-endpoint", &values));
    };
    let reply = trial::send(endpoint, clock).await;
    let well = reply.arrived();
    let (ink, id) = if well { (Ink::Green, "test-well") } else { (Ink::Red, "test-failed") };
    let mut text = format!("{}: {}", paper.ink(ink, &paper.word(id)), reply.what);
    if !reply.text.is_empty() {
        text.push_str(&format!("\n  {}", reply.text));
    }
    Ok(Answer { text, well })
}

fn list(found: &[Delivery], held: &[Standing], paper: &Paper) -> String {
    let mut text = if found.is_empty() { paper.word("no-notice") } else { table(found, paper) };
    for one in held {
        let id = match one.held {
            Held::Paused => "endpoint-is-paused",
            Held::Stopped => "endpoint-is-stopped",
        };
        let since = paper.date(one.since);
        let values = [
            ("name", one.endpoint.as_str().into()),
            ("since", since.as_str().into()),
            ("reason", one.reason.as_str().into()),
        ];
        text.push_str(&format!("\n\n{}", paper.ink(Ink::Yellow, &paper.words.say(id, &values))));
    }
    text
}

fn table(found: &[Delivery], paper: &Paper) -> String {
    let rows = found.iter().map(|one| {
        let (ink, state) = state(one.outcome.as_deref(), paper);
        let detail: String = one.detail.iter().flat_map(|text| text.chars()).take(MOST_DETAIL).collect();
        vec![
            Cell::new(paper.date(one.created_at)),
            Cell::new(&one.kind),
            Cell::new(&one.endpoint),
            paper.cell(ink, &state),
            Cell::new(one.attempts),
            Cell::new(one.due_at.map(|at| paper.date(at)).unwrap_or_default()),
            Cell::new(short(&one.notice)),
            Cell::new(one.call.chars().take(23).collect::<String>()),
            Cell::new(detail),
        ]
    });
    let heads = [
        "head-written",
        "head-kind",
        "head-endpoint",
        "head-state",
        "head-attempts",
        "head-next",
        "head-id",
        "head-call",
        "head-detail",
    ];
    paper.table(&heads, rows)
}

fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn state(outcome: Option<&str>, paper: &Paper) -> (Ink, String) {
    let (ink, id) = match outcome {
        None => (Ink::Yellow, "notice-waiting"),
        Some("again") => (Ink::Yellow, "notice-again"),
        Some("delivered") => (Ink::Green, "notice-delivered"),
        Some("dead") => (Ink::Red, "notice-dead"),
        Some("gone") => (Ink::Red, "notice-gone"),
        Some("unsubscribed") => (Ink::Dim, "notice-unsubscribed"),
        Some(_) => (Ink::Red, "notice-refused"),
    };
    (ink, paper.word(id))
}

/// For programs. What was written down is shown as it is, JSON in JSON.
fn document(whole: &Whole) -> serde_json::Value {
    let body = serde_json::from_str(&whole.body).unwrap_or(serde_json::Value::Null);
    json!({ "body": body, "deliveries": whole.deliveries, "attempts": whole.attempts })
}

fn page(id: &str, whole: &Whole, paper: &Paper) -> String {
    let mut parts = vec![paper.ink(Ink::Bold, id)];
    parts.push(if whole.deliveries.is_empty() {
        paper.word("notice-for-nobody")
    } else {
        table(&whole.deliveries, paper)
    });
    if !whole.attempts.is_empty() {
        parts.push(attempts(&whole.attempts, paper));
    }
    let body: Option<serde_json::Value> = serde_json::from_str(&whole.body).ok();
    parts.push(
        body.and_then(|body| serde_json::to_string_pretty(&body).ok()).unwrap_or_else(|| whole.body.clone()),
    );
    parts.join("\n\n")
}

fn attempts(tried: &[Tried], paper: &Paper) -> String {
    let rows = tried.iter().map(|one| {
        let (ink, state) = state(Some(&one.outcome), paper);
        vec![
            Cell::new(one.n),
            Cell::new(&one.endpoint),
            Cell::new(paper.date(one.at)),
            Cell::new(format!("{:.3} s", one.took_us as f64 / 1e6)),
            paper.cell(ink, &state),
            Cell::new(one.status.map(|status| status.to_string()).unwrap_or_default()),
            Cell::new(&one.detail),
            Cell::new(&one.answer),
        ]
    });
    let heads = [
        "head-attempt",
        "head-endpoint",
        "head-time",
        "head-took",
        "head-state",
        "head-status",
        "head-detail",
        "head-answer",
    ];
    paper.table(&heads, rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::call::words::Language;
    use jiff::Timestamp;

    fn waiting() -> Delivery {
        Delivery {
            notice: "01a20a7b-6e18-8000-813e-87c6f56c4166".into(),
            kind: "call.ended".into(),
            call: "01a20a7b-6e18-8000-0000-000000000000".into(),
            endpoint: "crm".into(),
            created_at: Timestamp::UNIX_EPOCH,
            due_at: Some(Timestamp::UNIX_EPOCH),
            attempts: 2,
            done_at: None,
            outcome: None,
            detail: Some("nobody listens at http://crm".into()),
        }
    }

    #[test]
    fn what_waits_is_listed_with_what_was_said_of_it_and_who_is_held() {
        let held = Standing {
            endpoint: "crm".into(),
            held: Held::Stopped,
            since: Timestamp::UNIX_EPOCH,
            reason: "it answered 410".into(),
        };
        let text = list(&[waiting()], std::slice::from_ref(&held), &Paper::plain(Language::En));
        for part in ["waits", "nobody listens", "01a20a7b-6e18", "calljournal notify resume crm", "410"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = list(&[], &[held], &Paper::plain(Language::Ru));
        assert!(text.contains("уведомлен") && text.contains("calljournal notify resume crm"), "{text}");
    }

    #[test]
    fn a_page_has_each_attempt() {
        let tried = Tried {
            endpoint: "crm".into(),
            n: 1,
            at: Timestamp::UNIX_EPOCH,
            took_us: 12_300,
            outcome: "again".into(),
            status: Some(503),
            detail: "http://crm answered 503".into(),
            answer: "busy".into(),
        };
        let whole = Whole { body: r#"{"a":1}"#.into(), deliveries: vec![waiting()], attempts: vec![tried] };
        let text = page("x", &whole, &Paper::plain(Language::En));
        for part in ["0.012 s", "503", "busy", "\"a\": 1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(document(&whole)["attempts"][0]["status"], 503);
    }
}
