//! Calls that were made on real Asterisks, folded again from their events, and told as their files have it.
//!
//! `tests/fixtures/calls/<pbx>/<call>.jsonl` holds the events, `<call>.txt` what they come to. How both are written is in
//! `tests/asterisk/README.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use calljournal::call::{Call, Numbering, Party, fold, story};
use calljournal::event::{Event, Feed};
use jiff::{SignedDuration, Timestamp};

pub const CALLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/calls");

/// In how many orders each call is folded.
const ORDERS: u64 = 24;

#[test]
fn calls_recorded_on_real_asterisks_are_told_as_they_were_in_any_order() {
    let recorded = recorded(Path::new(CALLS));
    assert!(!recorded.is_empty());
    let mut wrong = Vec::new();
    for file in recorded {
        let events = events(&file);
        let call = folded(&events);
        for order in 0..ORDERS {
            assert_eq!(folded(&retold(&events, order)), call, "{} in order {order}", file.display());
        }
        let (text, told) = (file.with_extension("txt"), told(&call));
        if std::env::var_os("CALLJOURNAL_RETELL").is_some() {
            fs::write(&text, told).unwrap();
        } else if fs::read_to_string(&text).unwrap_or_default() != told {
            wrong.push(format!("{}: now told as\n{told}", text.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever Asterisk's own records say of a call that was told to its end, it is told as before.
#[test]
fn records_change_nothing_of_a_call_that_was_told_whole_in_any_order() {
    let mut compared = 0;
    for file in recorded(Path::new(CALLS)) {
        let events = events(&file);
        let numbering = Numbering::new([], []).unwrap();
        let known = fold(&events, &numbering).unwrap();
        let is_whole = known.standing.all_ended && known.call.end_time_known;
        if !is_whole {
            continue;
        }
        compared += 1;
        for order in 0..ORDERS {
            let mut all = events.clone();
            all.extend(rows(&known.call, order));
            let again = fold(&retold(&all, order), &numbering).unwrap();
            assert_eq!(again.call, known.call, "{} in order {order}", file.display());
            let over = again.standing.all_ended && again.standing.gap == known.standing.gap;
            assert!(over, "{} in order {order}", file.display());
        }
    }
    assert!(compared > 10, "{compared}");
}

/// Rows of a CDR about `call`, right ones and wrong ones, and a channel that it does not know.
fn rows(call: &Call, order: u64) -> Vec<Event> {
    let row = |n: usize, channel: &str, uid: &str, dstchannel: &str, begins: Timestamp| {
        let wrong = i64::try_from(n).unwrap() * i64::try_from(order).unwrap() % 50;
        let end = begins + SignedDuration::from_secs(wrong);
        let answer = if wrong % 2 == 0 { end.as_microsecond().to_string() } else { String::new() };
        serde_json::json!({
            "token": format!("cdr-{n}-{order}"), "feed": "cdr", "kind": "note", "pbx": call.pbx, "uid": uid,
            "linkedid": call.linkedid, "root": null, "seq": null, "at": begins, "timed": true, "received": end,
            "channel": channel,
            "facts": {
                "src": "999", "dst": "998", "clid": "\"Nobody\" <999>", "dstchannel": dstchannel, "answer": answer,
                "end": end.as_microsecond().to_string(), "lastapp": "Dial", "file": "nowhere.wav",
                "disposition": if wrong % 2 == 0 { "ANSWERED" } else { "BUSY" },
            },
        })
    };
    let legs = call.legs.iter().enumerate();
    let known = legs.map(|(n, leg)| {
        row(n, &leg.channel, &leg.uniqueid, call.legs.last().map_or("", |l| &l.channel), leg.started_at)
    });
    let stranger =
        row(90, "PJSIP/stranger-00000001", "1795390723.999", "PJSIP/100-00000009", call.started_at);
    known.chain([stranger]).map(|row| serde_json::from_value(row).unwrap()).collect()
}

/// All that is told of them.
pub fn told_of_recorded_calls() -> String {
    let read = |file: PathBuf| fs::read_to_string(file.with_extension("txt")).unwrap();
    recorded(Path::new(CALLS)).into_iter().map(read).collect()
}

/// Each recorded call as it was after each of its events, with the file it was read from.
pub fn calls_as_they_grew() -> Vec<(PathBuf, Vec<Call>)> {
    let grown = |file: PathBuf| {
        let events = events(&file);
        let calls = (1..=events.len()).map(|some| folded(&events[..some])).collect();
        (file, calls)
    };
    recorded(Path::new(CALLS)).into_iter().map(grown).collect()
}

/// The files of events below a directory.
pub fn recorded(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(recorded(&path));
        } else if path.extension().is_some_and(|kind| kind == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub fn events(file: &Path) -> Vec<Event> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// By the numbers that the Asterisks were recorded with.
fn folded(events: &[Event]) -> Call {
    fold(events, &numbering()).unwrap().call
}

/// The numbers and lines of the Asterisks that calls were recorded on.
pub fn numbering() -> Numbering {
    let line = |channel: &str, name: &str| (channel.to_owned(), name.to_owned());
    let trunks = [
        line("PJSIP/trunk-test-unsaid-*", "the line that comes in"),
        line("PJSIP/trunk-0*", "the line that goes out"),
        line("PJSIP/trunk2-*", "the second line out"),
    ];
    Numbering::new([r"^1\d\d$".to_owned()], trunks).unwrap()
}

/// The same events in another order, every fourth of them told twice.
pub fn retold(events: &[Event], order: u64) -> Vec<Event> {
    let mut random = order.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut all = events.to_vec();
    for _ in 0..events.len() / 4 {
        let again = events[next(events.len())].clone();
        let received = again.received + SignedDuration::from_secs(60);
        let feed = if again.is_record() { again.feed } else { Feed::Spool };
        all.push(Event { feed, received, ..again });
    }
    for last in (1..all.len()).rev() {
        all.swap(last, next(last + 1));
    }
    all
}

/// The story in both languages, and what the call comes to.
fn told(call: &Call) -> String {
    let mut text = String::new();
    for locale in ["en", "ru"] {
        for line in story::tell(call, locale) {
            writeln!(text, "{:>7}  {}", after(call, line.at), line.text).unwrap();
        }
        text.push('\n');
    }
    let who = |party: Option<&Party>| {
        let number = party.and_then(|party| party.number.clone().or(party.name.clone()));
        number.unwrap_or("nobody".into())
    };
    writeln!(
        text,
        "{}, {}, {} to {}, answered by {}, hung up by {:?}",
        call.direction.as_str(),
        call.disposition.as_str(),
        who(Some(&call.source)),
        call.destination.as_deref().unwrap_or("nowhere"),
        who(call.answered_by.as_ref()),
        call.hung_up_by,
    )
    .unwrap();
    writeln!(text, "waited {} ms, talked {} ms", call.wait_ms.unwrap_or(0), call.talk_ms).unwrap();
    for talk in &call.conversations {
        let (caller, called) = (who(Some(&talk.caller)), who(Some(&talk.called)));
        let began = after(call, talk.began_at);
        writeln!(text, "{began:>7}  {caller} talks with {called} for {} ms", talk.talk_ms).unwrap();
    }
    text
}

/// Seconds into the call.
fn after(call: &Call, at: Timestamp) -> String {
    let ms = at.duration_since(call.started_at).as_millis();
    format!("{}.{}", ms / 1000, ms % 1000 / 100)
}
