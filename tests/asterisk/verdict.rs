//! Holds what the journal tells about a call against what Asterisk says, and keeps both where they differ.

use std::fs;
use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cdr::Billed;
use crate::cel::{Transfer, Truth};
use crate::journal::Journal;
use crate::pbx::{FAR_ENDS, Pbx};
use crate::scenario::{Scenario, Trunk};
use crate::webhook::{Post, Webhook};

/// How far the told end of a call may lie from Asterisk's own, in microseconds.
const END_BOUND: i64 = 100_000;
/// The same for ringing and talking.
const TIMES_BOUND: i64 = 150_000;
/// How long a notice may take before it counts as missing.
const NOTICE_PATIENCE: Duration = Duration::from_secs(12);

/// One line of the table.
pub struct Row {
    pub scenario: String,
    /// Asterisk's version.
    pub asterisk: String,
    pub pbx: String,
    pub linkedid: String,
    /// The journal's name for the call; empty where it has none.
    pub id: String,
    pub ended_once: String,
    /// Differences from CEL in milliseconds, the worst of each kind; empty where there is nothing to compare.
    pub end_error: String,
    pub answered_by: String,
    pub ring_error: String,
    pub talk_error: String,
    /// From the call's true end to the arrival of the notice, in milliseconds.
    pub lag: String,
    /// Rows, and seconds of talking too many or too few, in Asterisk's own CDR and in the journal's.
    pub cdr_of_asterisk: String,
    pub cdr_of_journal: String,
    /// What is wrong; nothing when all is well.
    pub wrong: Vec<String>,
    /// Which times lie too far from CEL's, or what kept the call from being played. A machine that is busy with something else may do that to one call, not to
    /// the same one again and again.
    pub off: Vec<String>,
    /// Whether it was played again because something other than its times was wrong.
    pub told_wrong: bool,
    /// Which try this is.
    pub tries: u32,
    /// Whether the call was played again because of `off`, and this row counts no more.
    pub thrown_away: bool,
    /// For the reader of a failure: CEL, CDR and the journal's own words.
    pub evidence: String,
}

impl Row {
    /// A scenario of which nothing was told.
    pub fn failed(scenario: &str, pbx: &Pbx, why: String, evidence: String) -> Row {
        Row {
            scenario: scenario.to_owned(),
            asterisk: pbx.version.clone(),
            pbx: pbx.name.clone(),
            linkedid: String::new(),
            id: String::new(),
            ended_once: String::new(),
            end_error: String::new(),
            answered_by: String::new(),
            ring_error: String::new(),
            talk_error: String::new(),
            lag: String::new(),
            cdr_of_asterisk: String::new(),
            cdr_of_journal: String::new(),
            wrong: vec![why],
            off: Vec::new(),
            told_wrong: false,
            tries: 1,
            thrown_away: false,
            evidence,
        }
    }

    /// A scenario that could not be played as it is written: nothing was said of it that could be wrong.
    pub fn unplayed(scenario: &str, pbx: &Pbx, why: String, evidence: String) -> Row {
        let row = Row::failed(scenario, pbx, why, evidence);
        Row { off: row.wrong, wrong: Vec::new(), ..row }
    }

    /// Counts the notices of this call once more, when everything has come that will.
    pub fn recount(&mut self, posts: &[Post]) {
        if self.linkedid.is_empty() {
            return;
        }
        let count = |kind| posts.iter().filter(|post| post.tells(kind, &self.pbx, &self.linkedid)).count();
        let (ended, corrected) = (count("call.ended"), count("call.corrected"));
        self.ended_once = if ended == 1 { "once".into() } else { format!("{ended} times") };
        if ended != 1 {
            self.wrong.push(format!("{ended} notices call.ended"));
        }
        if corrected != 0 {
            self.wrong.push(format!("{corrected} notices call.corrected"));
        }
    }
}

/// What the journal tells about the call of `truth`, compared with it and with what the scenario was made for.
pub fn judge(scenario: &Scenario, truth: &Truth, pbx: &Pbx, journal: &Journal, webhook: &Webhook) -> Row {
    let post = wait_for_notice(webhook, pbx, truth);
    let shown = match wait_for_shown(journal, pbx, truth) {
        Ok(shown) => shown,
        Err(error) => {
            let evidence = evidence(truth, pbx, &Value::Null, webhook);
            let mut row = Row::failed(scenario.name, pbx, format!("{error:#}"), evidence);
            row.linkedid.clone_from(&truth.linkedid);
            return row;
        }
    };
    let call = &shown["call"];
    let (mut wrong, mut off) = (Vec::new(), Vec::new());
    facts(scenario, truth, call, &mut wrong);

    let story = shown["story"].to_string();
    for word in scenario.expect.unsaid.iter().filter(|word| story.contains(**word)) {
        wrong.push(format!("the story speaks of {word:?}"));
    }
    for word in scenario.expect.said.iter().filter(|word| !story.contains(**word)) {
        wrong.push(format!("the story does not say {word:?}"));
    }
    for note in scenario.expect.notes.iter().filter(|note| !story.contains(**note)) {
        wrong.push(format!("the story does not have the note {note:?}"));
    }

    let end_error = time(&call["ended_at"]).map(|told| told - truth.ended);
    match end_error {
        Some(error) if error.abs() > END_BOUND => off.push(format!("ended_at is {} ms off", ms(error))),
        None => wrong.push(format!("ended_at is {}", call["ended_at"])),
        Some(_) => {}
    }
    let (rings, talks) = times(truth, call, &mut wrong, &mut off);
    let stood_still = journal.late(&pbx.name, &truth.linkedids);
    if stood_still > 0 && !off.is_empty() {
        off.push(format!(
            "{stood_still} of its events were not kept in time, and the phone call waited for each"
        ));
    }
    let lag = match &post {
        Some(post) => {
            if post.body["data"]["id"] != call["id"] {
                wrong.push("the notice tells of another id".into());
            }
            if time(&post.body["data"]["ended_at"]) != time(&call["ended_at"]) {
                wrong.push("the notice tells of another end".into());
            }
            if post.id.is_empty() {
                wrong.push("the notice has no webhook-id".into());
            }
            ms(post.at - truth.ended)
        }
        None => "never".into(),
    };
    Row {
        scenario: scenario.name.to_owned(),
        asterisk: pbx.version.clone(),
        pbx: pbx.name.clone(),
        linkedid: truth.linkedid.clone(),
        id: call["id"].as_str().unwrap_or_default().to_owned(),
        ended_once: String::new(),
        end_error: end_error.map(ms).unwrap_or_default(),
        answered_by: call["answered_by"]["number"].as_str().unwrap_or("nobody").to_owned(),
        ring_error: worst(&rings),
        talk_error: worst(&talks),
        lag,
        cdr_of_asterisk: Billed::by_asterisk(&pbx.cdr(), &truth.linkedids).against(truth.talked),
        cdr_of_journal: Billed::by_journal(&shown).against(truth.talked),
        evidence: evidence(truth, pbx, &shown, webhook),
        wrong,
        off,
        told_wrong: false,
        tries: 1,
        thrown_away: false,
    }
}

fn wait_for_notice(webhook: &Webhook, pbx: &Pbx, truth: &Truth) -> Option<Post> {
    let deadline = Instant::now() + NOTICE_PATIENCE;
    while Instant::now() < deadline {
        let posts = webhook.posts();
        let found = posts.into_iter().find(|post| post.tells("call.ended", &pbx.name, &truth.linkedid));
        if found.is_some() {
            return found;
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

/// `show` of the one call that has this pbx and linkedid; found through `calls`, as a person would.
fn wait_for_shown(journal: &Journal, pbx: &Pbx, truth: &Truth) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let calls = journal.calls()?;
        let found: Vec<&Value> = calls
            .iter()
            .filter(|call| call["pbx"] == pbx.name.as_str() && call["linkedid"] == truth.linkedid.as_str())
            .collect();
        match found.as_slice() {
            [call] => return journal.show(call["id"].as_str().unwrap_or_default()),
            [] if Instant::now() < deadline => thread::sleep(Duration::from_millis(200)),
            [] => bail!("no call {} of {} in the journal", truth.linkedid, pbx.name),
            many => bail!("{} calls in the journal for the one call {}", many.len(), truth.linkedid),
        }
    }
}

/// Everything that is not a duration.
fn facts(scenario: &Scenario, truth: &Truth, call: &Value, wrong: &mut Vec<String>) {
    let expect = &scenario.expect;
    let mut must = |what: &str, told: &Value, meant: Value| {
        if *told != meant {
            wrong.push(format!("{what} is {told}, not {meant}"));
        }
    };
    must("state", &call["state"], "ended".into());
    must("direction", &call["direction"], expect.direction.into());
    let trunk = match expect.trunk {
        Trunk::None => Value::Null,
        Trunk::Called => scenario.did.into(),
        Trunk::Named(name) => name.into(),
    };
    must("trunk", &call["trunk"], trunk);
    // Who is called back is known by his number, and CEL by the line on which he was called.
    let from = if FAR_ENDS.iter().any(|(_, trunk)| *trunk == scenario.from) {
        scenario.dialled
    } else {
        scenario.from
    };
    must("source.number", &call["source"]["number"], from.into());
    must("destination", &call["destination"], scenario.did.into());
    let name = Some(truth.caller_name.as_str()).filter(|name| !name.is_empty());
    must("source.name", &call["source"]["name"], name.into());
    must("end_time_known", &call["end_time_known"], true.into());
    must("disposition", &call["disposition"], expect.disposition.into());
    must("org", &call["org"], scenario.org.into());
    let key = call["key"].as_str().map(|key| key.get("YYYYmmdd-HHMMSS".len()..).unwrap_or(key));
    must("end of key", &key.into(), expect.key.into());
    let (recordings, notes): (Vec<&Value>, Vec<&Value>) =
        call["remarks"].as_array().into_iter().flatten().partition(|remark| remark["recording"] == true);
    must("number of recordings", &recordings.len().into(), expect.recordings.into());
    let notes: Vec<&Value> = notes.iter().map(|note| &note["text"]).collect();
    must("notes", &json!(notes), json!(expect.notes));
    must("abandoned", &call["abandoned"], expect.abandoned.into());
    must("hung_up_by", &call["hung_up_by"], expect.hung_up_by.into());
    must("answered_by.number", &call["answered_by"]["number"], expect.answered_by.into());

    let winner = truth.winner().map(|leg| leg.number.as_str());
    must("answered_by.number, which CEL names,", &call["answered_by"]["number"], winner.into());
    let told = call["transfers"].as_array().map_or(&[][..], Vec::as_slice);
    must("number of transfers", &told.len().into(), expect.transfers.len().into());
    for (told, moved) in told.iter().zip(expect.transfers) {
        must("how of a transfer", &told["how"], moved.how.into());
        must("by of a transfer", &told["by"]["number"], moved.by.into());
        must("to of a transfer", &told["to"], moved.to.into());
        must("outcome of a transfer", &told["outcome"], moved.outcome.into());
    }
    let played: Vec<Transfer> = expect
        .transfers
        .iter()
        .enumerate()
        .map(|(n, moved)| {
            // While the target rings Asterisk does not always name it; what a phone connects from its second call is for
            // Asterisk the other way round; and of a group that a Local channel calls it names the group.
            let is_nobody = |to: &str| truth.legs.iter().all(|leg| leg.number != to);
            let unnamed = truth.transfers.get(n).filter(|transfer| is_nobody(&transfer.to));
            let to = unnamed.map_or(moved.to, |transfer| &transfer.to);
            Transfer { how: moved.how, by: moved.by.into(), to: to.into() }
        })
        .collect();
    must(
        "what CEL takes for transfers",
        &format!("{:?}", truth.transfers).into(),
        format!("{played:?}").into(),
    );
    if !expect.talks.is_empty() {
        let talks = call["conversations"].as_array().into_iter().flatten();
        let talks: Vec<_> = talks
            .map(|talk| (talk["caller"]["number"].as_str(), talk["called"]["number"].as_str()))
            .collect();
        let meant: Vec<_> =
            expect.talks.iter().map(|(caller, called)| (Some(*caller), Some(*called))).collect();
        must("who talked with whom", &json!(talks), json!(meant));
    }
    // Of holds AMI alone tells; `hold.rs` looks at those.
    let steps = call["steps"].as_array().into_iter().flatten().filter(|step| step["step"] != "held");
    let steps: Vec<String> = steps.map(step).collect();
    must("steps", &json!(steps), json!(expect.steps));
    for (number, outcome) in expect.outcomes {
        let leg = leg(call, |leg| leg["number"] == *number && leg["role"] == "called");
        must(&format!("outcome of {number}"), &leg["outcome"], (*outcome).into());
    }
    let called = || call["legs"].as_array().into_iter().flatten().filter(|leg| leg["role"] == "called");
    must("number of called legs", &called().count().into(), truth.legs.len().into());
    for leg in called() {
        let group =
            expect.groups.iter().find(|(number, _)| leg["number"] == *number).map(|(_, group)| *group);
        must(&format!("group of {}", leg["number"]), &leg["group"], group.into());
    }
}

/// What was done with a caller, in a few words: those that a scenario has.
fn step(step: &Value) -> String {
    let by = step["by"]["number"].as_str();
    let told = ["step", "name", "mailbox", "room", "place", "digits", "left", "back", "to"]
        .map(|key| step[key].as_str());
    let mut words: Vec<&str> = told.into_iter().flatten().chain(by).collect();
    words.extend(match step["message"].as_bool() {
        Some(true) => Some("message"),
        Some(false) => Some("no-message"),
        None => None,
    });
    words.join(" ")
}

/// Ringing and talking of the call and of each leg: the errors in microseconds.
fn times(
    truth: &Truth,
    call: &Value,
    wrong: &mut Vec<String>,
    off: &mut Vec<String>,
) -> (Vec<i64>, Vec<i64>) {
    let mut differ = |what: String, told: &Value, meant: &[RangeInclusive<i64>]| {
        let Some(told) = told.as_i64().map(|told| told * 1000) else {
            let least = meant.first().map_or(0, |meant| *meant.start());
            wrong.push(format!("{what} is {told}, not {} ms", ms(least)));
            return least;
        };
        let errors = meant.iter().map(|meant| told - told.clamp(*meant.start(), *meant.end()));
        let error = errors.min_by_key(|error| error.abs()).unwrap_or_default();
        if error.abs() > TIMES_BOUND {
            off.push(format!("{what} is {} ms, {} ms off", ms(told), ms(error)));
        }
        error
    };
    let exactly = |micros| micros..=micros;
    let known: Vec<&Truth> = [Some(truth), truth.by_caller.as_deref()].into_iter().flatten().collect();
    let either =
        |of: &dyn Fn(&Truth) -> RangeInclusive<i64>| known.iter().map(|truth| of(truth)).collect::<Vec<_>>();
    let mut rings =
        vec![differ("wait_ms".into(), &call["wait_ms"], &either(&|truth| exactly(truth.waited())))];
    // Of several phones one may be known in the one way, and one in the other.
    let talked = known.iter().map(|truth| truth.talked);
    let talked = talked.clone().min().unwrap_or_default()..=talked.max().unwrap_or_default();
    let mut talks = vec![differ("talk_ms".into(), &call["talk_ms"], &[talked])];
    for (n, meant) in truth.legs.iter().enumerate() {
        // A phone that told nothing itself has no uniqueid: of the legs to one number the first is the first.
        let before = truth.legs[..n].iter().filter(|leg| leg.number == meant.number).count();
        let told = match leg(call, |leg| leg["uniqueid"] == meant.uniqueid.as_str()) {
            Value::Null => legs_to(call, &meant.number).nth(before).cloned().unwrap_or_default(),
            told => told,
        };
        let rang = either(&|truth| truth.legs[n].rang());
        let talked = either(&|truth| exactly(truth.legs[n].talked));
        rings.push(differ(format!("ring_ms of {}", meant.number), &told["ring_ms"], &rang));
        talks.push(differ(format!("talk_ms of {}", meant.number), &told["talk_ms"], &talked));
    }
    (rings, talks)
}

/// The called legs of a number, in the order in which they came.
fn legs_to<'a>(call: &'a Value, number: &'a str) -> impl Iterator<Item = &'a Value> {
    let legs = call["legs"].as_array().into_iter().flatten();
    legs.filter(move |leg| leg["number"] == number && leg["role"] == "called")
}

fn leg(call: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let legs = call["legs"].as_array();
    legs.and_then(|legs| legs.iter().find(|leg| wanted(leg))).cloned().unwrap_or_default()
}

/// An RFC 3339 time in microseconds since 1970.
fn time(value: &Value) -> Option<i64> {
    Some(value.as_str()?.parse::<jiff::Timestamp>().ok()?.as_microsecond())
}

/// Microseconds as milliseconds with one decimal.
pub fn ms(micros: i64) -> String {
    let tenths = micros / 100;
    format!("{}{}.{}", if tenths < 0 { "-" } else { "" }, tenths.abs() / 10, tenths.abs() % 10)
}

fn worst(errors: &[i64]) -> String {
    errors.iter().copied().max_by_key(|error| error.abs()).map(ms).unwrap_or_default()
}

fn evidence(truth: &Truth, pbx: &Pbx, shown: &Value, webhook: &Webhook) -> String {
    let cel: Vec<&str> = truth.rows.iter().map(|row| row.text.as_str()).collect();
    let cdr = fs::read_to_string(pbx.cdr()).unwrap_or_default();
    let cdr: Vec<&str> = cdr.lines().filter(|line| line.contains(&truth.linkedid)).collect();
    let posts = webhook.posts();
    let posts: Vec<String> = posts
        .iter()
        .filter(|post| post.body["data"]["linkedid"] == truth.linkedid.as_str())
        .map(|post| post.body.to_string())
        .collect();
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    format!(
        "--- CEL\n{}\n--- CDR\n{}\n--- notices\n{}\n--- the journal's story\n{}\n--- the journal's call\n{}\n",
        cel.join("\n"),
        cdr.join("\n"),
        posts.join("\n"),
        pretty(&shown["story"]),
        pretty(&shown["call"]),
    )
}
