//! A day is missing, on purpose: calls of a real Asterisk that a server heard whole, in part or not at all, brought back
//! from what the same Asterisk wrote of them, and held against what the dialplan had to tell.
//!
//! `tests/fixtures/calls/ast22` has what the dialplan told of eight calls, `tests/fixtures/records` what Asterisk wrote of
//! them and of nineteen others at that time. All of it is moved to the hours before the test.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use calljournal::clock::Clock;
use calljournal::config;
use calljournal::event::Event;
use calljournal::intake::Intake;
use calljournal::serve;
use calljournal::store::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::server::{Server, calljournal, count, output, said};
use crate::{mariadb, records};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// When the last of the calls was over.
const OVER: &str = "2026-11-26T00:28:00Z";

/// The calls, by the name under which they were recorded.
const WHOLE: [&str; 3] =
    ["queue-full", "desk-picked-up-by-the-number-that-was-dialled", "queue-abandoned-at-the-second-place"];
const BROKEN: [&str; 1] = ["desk-parked-and-gives-up"];
const LOST: [&str; 4] = [
    "internal-caller-gives-up",
    "desk-sent-elsewhere-by-a-program",
    "desk-parked-by-a-transfer-and-gives-up",
    "queue-ten-agents-again-and-again",
];

/// A day that is so long over.
struct Day {
    moved: SignedDuration,
}

impl Day {
    fn over_for(ago: SignedDuration) -> Day {
        let over: Timestamp = OVER.parse().unwrap();
        let moved = Timestamp::now() - ago - over;
        let moved = SignedDuration::try_from(moved).unwrap();
        Day { moved: SignedDuration::from_secs(moved.as_secs()) }
    }

    /// A text with all its times moved: dates, and numbers that are seconds or microseconds of then.
    fn told(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let long = rest.get(..19).filter(|_| rest.starts_with("2026-11-2"));
            let date = long.and_then(|date| date.parse::<jiff::civil::DateTime>().ok());
            if let Some(date) = date {
                let moved = date.checked_add(self.moved).unwrap();
                write!(
                    out,
                    "{}",
                    moved.strftime(if rest.as_bytes()[10] == b'T' { "%FT%T" } else { "%F %T" })
                )
                .unwrap();
                rest = &rest[19..];
            } else if digits > 0 {
                let (number, behind) = rest.split_at(digits);
                let by = match digits {
                    10 => self.moved.as_secs(),
                    16 => self.moved.as_secs() * 1_000_000,
                    _ => 0,
                };
                match number.parse::<i64>() {
                    Ok(value) if number.starts_with("17956") && by != 0 => {
                        write!(out, "{}", value + by).unwrap()
                    }
                    _ => out.push_str(number),
                }
                rest = behind;
            } else {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        out
    }

    fn events(&self, name: &str) -> Vec<Event> {
        let text = std::fs::read_to_string(format!("{FIXTURES}/calls/ast22/{name}.jsonl")).unwrap();
        self.told(&text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What Asterisk wrote, as files in `dir`.
    fn write(&self, dir: &Path) {
        for (name, file) in [("asterisk22", "Master.csv"), ("asterisk22-cel", "cel.csv")] {
            let text = std::fs::read_to_string(format!("{FIXTURES}/records/{name}.csv")).unwrap();
            std::fs::write(dir.join(file), self.told(&text)).unwrap();
        }
    }

    fn linkedid(&self, name: &str) -> String {
        self.events(name)[0].linkedid.clone()
    }
}

const CONFIG: &str = r#"
[pbx]
default = "ast22"
[call]
timezone = "UTC"
[[notify]]
name = "crm"
url = "http://127.0.0.1:1/"
[[reconcile]]
source = "Master.csv"
look_back_days = 4
[[reconcile]]
source = "cel.csv"
look_back_days = 4
"#;

/// Tells the journal in `dir` these events, as a server would have done at that time.
fn tell(dir: &Path, events: Vec<Event>) {
    std::fs::write(dir.join("cj.toml"), CONFIG).unwrap();
    let environment = [("CALLJOURNAL_STORE__URL".to_owned(), super::super::url(dir))];
    let config = config::load(Some(&dir.join("cj.toml")), environment).unwrap().config;
    let last = events.iter().map(|event| event.received).max().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&config.store.url).unwrap();
        let clock = Clock::manual(last + SignedDuration::from_secs(60));
        let intake = Intake::start(store.clone(), clock, serve::policy(&config, &config.notify).unwrap());
        intake.accept(events).await.unwrap();
        intake.release_deadlines();
        for _ in 0..400 {
            if store.counts().await.unwrap().unsettled == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        intake.stop().await;
    });
}

fn run(dir: &Path, arguments: &[&str]) -> String {
    let done = output(dir, &[&["--config", "cj.toml"], arguments].concat());
    assert!(done.status.success(), "{}", said(&done));
    String::from_utf8(done.stdout).unwrap()
}

fn reconciled(dir: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&run(dir, &[&["reconcile", "--format", "json"], more].concat())).unwrap()
}

fn call(dir: &Path, linkedid: &str) -> Value {
    let told: Value = serde_json::from_str(&run(dir, &["show", linkedid, "--json"])).unwrap();
    told["call"].clone()
}

fn ended(dir: &Path, id: &Value) -> i64 {
    let id = id.as_str().unwrap();
    count(dir, &format!("SELECT COUNT(*) AS n FROM notices WHERE call_id = '{id}' AND kind = 'call.ended'"))
}

/// The fields that are compared, and how much of each may differ.
fn fields(call: &Value) -> Vec<(&'static str, Value)> {
    let list = |name: &str, of: &dyn Fn(&Value) -> Value| -> Value {
        call[name].as_array().unwrap().iter().map(of).collect()
    };
    let number = |party: &Value| party["number"].clone();
    vec![
        ("who called", number(&call["source"])),
        ("the number dialled", call["destination"].clone()),
        ("who answered", number(&call["answered_by"])),
        ("disposition", call["disposition"].clone()),
        ("start", call["started_at"].clone()),
        ("answer", call["answered_at"].clone()),
        ("end", call["ended_at"].clone()),
        ("talking", call["talk_ms"].clone()),
        (
            "who talked",
            list("conversations", &|one| Value::from(vec![number(&one["caller"]), number(&one["called"])])),
        ),
        (
            "transfers",
            list("transfers", &|one| {
                Value::from(vec![number(&one["by"]), one["to"].clone(), one["how"].clone()])
            }),
        ),
        ("who hung up", call["hung_up_by"].clone()),
        ("the phones", {
            let mut phones: Vec<String> =
                call["legs"].as_array().unwrap().iter().map(|leg| leg["channel"].to_string()).collect();
            phones.sort();
            phones.into()
        }),
    ]
}

/// The same, or a time or a length within a second and a half.
fn alike(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| {
        value.as_str().and_then(|text| text.parse::<Timestamp>().ok()).map(Timestamp::as_millisecond)
    };
    let near =
        |one: Option<i64>, other: Option<i64>| one.zip(other).is_some_and(|(a, b)| (a - b).abs() <= 1500);
    one == other || near(time(one), time(other)) || near(one.as_i64(), other.as_i64())
}

/// How many of the calls have each field as the dialplan told it.
fn table(dir: &Path, whole: &Path, day: &Day, names: &[&str]) -> String {
    let mut came_back: Vec<(&str, usize)> = Vec::new();
    for name in names {
        let linkedid = day.linkedid(name);
        let (back, meant) = (fields(&call(dir, &linkedid)), fields(&call(whole, &linkedid)));
        came_back.resize(back.len(), ("", 0));
        for ((at, (field, value)), (_, meant)) in back.iter().enumerate().zip(&meant) {
            let is_back = alike(value, meant);
            if !is_back {
                println!("{name}: {field}: {value}, and not {meant}");
            }
            came_back[at] = (field, came_back[at].1 + usize::from(is_back));
        }
    }
    came_back.iter().map(|(field, count)| format!("{field}: {count} of {}\n", names.len())).collect()
}

struct Lost {
    dir: tempfile::TempDir,
    whole: tempfile::TempDir,
    day: Day,
}

/// A journal of the calls that were heard, and one of all.
fn lost(ago: SignedDuration) -> Lost {
    let day = Day::over_for(ago);
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    day.write(dir.path());
    let begun = |name: &&str| day.events(name).into_iter().take(2).collect::<Vec<_>>();
    let all = |name: &&str| day.events(name);
    tell(dir.path(), WHOLE.iter().flat_map(all).chain(BROKEN.iter().flat_map(begun)).collect());
    tell(whole.path(), WHOLE.iter().chain(&BROKEN).chain(&LOST).flat_map(all).collect());
    Lost { dir, whole, day }
}

#[test]
fn calls_of_a_lost_day_come_back_as_far_as_records_tell_and_nothing_that_was_told_changes() {
    let Lost { dir, whole, day } = lost(SignedDuration::from_hours(6));
    let dir = dir.path();
    let known = |names: &[&str]| names.iter().map(|name| call(dir, &day.linkedid(name))).collect::<Vec<_>>();
    let (before, open) = (known(&WHOLE), known(&BROKEN));
    assert!(before.iter().all(|call| call["state"] == "ended" && ended(dir, &call["id"]) == 1));
    assert!(open.iter().all(|call| call["state"] != "ended"));

    let trial = reconciled(dir, &["--dry-run", "Master.csv"]);
    assert_eq!(trial["total"]["added"], 23, "{trial}");
    assert_eq!(known(&BROKEN), open, "a dry run changes something");

    let cdr = reconciled(dir, &["Master.csv"]);
    for (name, wanted) in [("added", 23), ("corrected", 1), ("same", 3), ("only_ours", 0), ("refused", 0)] {
        assert_eq!(cdr["total"][name], wanted, "{name}: {cdr}");
    }
    let by_cdr = table(dir, whole.path(), &day, &[LOST.as_slice(), &BROKEN].concat());
    assert_eq!(known(&WHOLE), before);
    assert!(before.iter().all(|call| ended(dir, &call["id"]) == 1));
    // Of today's call whose end was lost it is told, of those that nobody heard it is not.
    assert!(known(&BROKEN).iter().all(|call| call["state"] == "ended" && ended(dir, &call["id"]) == 1));
    assert!(known(&LOST).iter().all(|call| ended(dir, &call["id"]) == 0));

    let cel = reconciled(dir, &["cel.csv"]);
    assert_eq!((&cel["total"]["added"], &cel["total"]["refused"]), (&0.into(), &0.into()), "{cel}");
    let by_both = table(dir, whole.path(), &day, &[LOST.as_slice(), &BROKEN].concat());
    assert_eq!(known(&WHOLE), before);
    // The two of which CDR and CEL disagree are news for ever.
    let quiet = run(dir, &["reconcile", "--quiet"]);
    assert!(
        quiet.contains("same: 28 calls\nadded: 0 calls\ncorrected: 0 calls\ntold otherwise by Asterisk: 2"),
        "{quiet}"
    );
    assert_eq!(run(dir, &["reconcile", "--quiet", "--since", "1h"]), "");
    assert_eq!(by_cdr, BY_CDR);
    assert_eq!(by_both, BY_BOTH);
}

/// The CDR does not say who hung up, and of a call that a program sent elsewhere not where it was.
const BY_CDR: &str = "\
who called: 5 of 5
the number dialled: 4 of 5
who answered: 5 of 5
disposition: 5 of 5
start: 5 of 5
answer: 5 of 5
end: 4 of 5
talking: 5 of 5
who talked: 5 of 5
transfers: 5 of 5
who hung up: 0 of 5
the phones: 5 of 5
";
/// To CEL parking is a transfer to 700.
const BY_BOTH: &str = "\
who called: 5 of 5
the number dialled: 5 of 5
who answered: 5 of 5
disposition: 5 of 5
start: 5 of 5
answer: 5 of 5
end: 5 of 5
talking: 5 of 5
who talked: 5 of 5
transfers: 4 of 5
who hung up: 4 of 5
the phones: 5 of 5
";

/// Each place that Asterisk may write its records to, and what comes back from it alone: of who called, the number dialled,
/// who answered, disposition, start, answer, end, talking, who talked, transfers, who hung up, the phones.
const BY_SOURCE: [(&str, &str); 5] = [
    ("Master.csv", "5 4 5 5 5 5 4 5 5 5 0 5"),
    ("cel-custom", "5 5 5 5 5 5 5 5 5 4 4 5"),
    ("SQLite", "5 5 5 5 5 5 5 5 5 4 4 5"),
    ("PostgreSQL", "5 5 5 5 5 5 5 5 5 4 4 5"),
    ("MariaDB", "5 5 5 5 5 5 5 5 5 4 4 5"),
];

/// The source of that name, with what Asterisk wrote on the lost day; `None` where this machine has no such server.
fn source(name: &str, dir: &Path, day: &Day) -> Option<String> {
    match name {
        "Master.csv" => Some("Master.csv".to_owned()),
        "cel-custom" => Some("cel.csv".to_owned()),
        "SQLite" => {
            Some(records::sqlite::file(dir, &day.told(&records::sqlite::asterisk())).display().to_string())
        }
        "PostgreSQL" => Some(records::postgres::asterisk(dir, &day.told(&records::postgres::written()))?.1),
        _ => {
            let server = mariadb::shared()?;
            let database =
                format!("lost_day_on_{}", if super::super::on_postgres() { "postgres" } else { "sqlite" });
            server.database(&database, &day.told(&records::mariadb::freepbx("MyISAM", "utf8mb4")));
            Some(server.url(&database))
        }
    }
}

#[test]
fn a_lost_day_comes_back_from_whatever_asterisk_wrote_it_to() {
    let mut came_back = Vec::new();
    for (name, meant) in BY_SOURCE {
        let Lost { dir, whole, day } = lost(SignedDuration::from_hours(6));
        let dir = dir.path();
        let Some(source) = source(name, dir, &day) else { continue };
        let before: Vec<Value> = WHOLE.iter().map(|name| call(dir, &day.linkedid(name))).collect();
        let told = reconciled(dir, &[&source]);
        assert_eq!(
            ["added", "corrected", "only_ours", "refused"].map(|of| told["total"][of].as_i64().unwrap()),
            [23, 1, 0, 0],
            "{name}: {told}"
        );
        let after: Vec<Value> = WHOLE.iter().map(|name| call(dir, &day.linkedid(name))).collect();
        assert_eq!(after, before, "{name}");
        assert!(before.iter().all(|call| ended(dir, &call["id"]) == 1), "{name}");
        let back = table(dir, whole.path(), &day, &[LOST.as_slice(), &BROKEN].concat());
        let counts = back.lines().filter_map(|line| line.split(' ').rev().nth(2));
        came_back.push((name, counts.collect::<Vec<_>>().join(" "), meant));
    }
    assert!(came_back.iter().all(|(_, back, meant)| back == meant), "{came_back:#?}");
}

#[test]
fn nobody_is_told_of_a_call_of_the_day_before_yesterday() {
    let Lost { dir, day, .. } = lost(SignedDuration::from_hours(50));
    let dir = dir.path();
    reconciled(dir, &[]);
    for name in BROKEN.iter().chain(&LOST) {
        let call = call(dir, &day.linkedid(name));
        assert_eq!((call["state"].as_str(), ended(dir, &call["id"])), (Some("ended"), 0), "{name}");
    }
}

/// Asterisk writes a row as soon as one of two channels is gone.
#[test]
fn a_call_that_goes_on_is_left_alone_whatever_was_written_of_it() {
    let Lost { dir, day, .. } = lost(SignedDuration::from_hours(2));
    let dir = dir.path();
    let open = call(dir, &day.linkedid(BROKEN[0]));
    let told = reconciled(dir, &["Master.csv"]);
    assert_eq!((&told["total"]["corrected"], &told["total"]["only_ours"]), (&0.into(), &0.into()), "{told}");
    assert_eq!(call(dir, &day.linkedid(BROKEN[0])), open);
    assert_eq!(ended(dir, &open["id"]), 0);
}

#[test]
fn a_call_that_asterisk_did_not_write_down_is_named_and_a_source_that_is_gone_is_said() {
    let Lost { dir, day, .. } = lost(SignedDuration::from_hours(2));
    let dir = dir.path();
    let ours = day.linkedid(WHOLE[0]);
    let rows = std::fs::read_to_string(dir.join("Master.csv")).unwrap();
    let without: String =
        rows.lines().filter(|row| !row.contains(&ours)).map(|row| format!("{row}\n")).collect();
    std::fs::write(dir.join("Master.csv"), without).unwrap();
    let told = reconciled(dir, &["Master.csv"]);
    assert_eq!(told["total"]["only_ours"], 1, "{told}");
    assert_eq!(told["sources"][0]["calls_only_ours"][0]["linkedid"], ours.as_str());
    let said_so = run(dir, &["reconcile", "--quiet", "Master.csv"]);
    assert!(said_so.contains("only in the journal: one call"), "{said_so}");
    let russian = run(dir, &["--locale", "ru", "reconcile", "Master.csv"]);
    assert!(russian.contains("только в журнале: 1 звонок"), "{russian}");

    // The file was put aside a moment ago, and no call came since.
    std::fs::rename(dir.join("Master.csv"), dir.join("Master.csv.1")).unwrap();
    assert_eq!(
        reconciled(dir, &["Master.csv"])["total"]["same"],
        told["total"]["added"].as_i64().unwrap() + 2
    );
    std::fs::remove_file(dir.join("Master.csv.1")).unwrap();
    let gone = calljournal(dir, &["--config", "cj.toml", "reconcile"]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let said = said(&gone);
    assert!(said.contains("no such file") && said.contains("cel.csv (pbx ast22)"), "{said}");
}

#[test]
fn rows_that_name_no_channel_are_refused_before_each_call_is_counted_twice() {
    let Lost { dir, .. } = lost(SignedDuration::from_hours(2));
    let dir = dir.path();
    let rows = std::fs::read_to_string(dir.join("Master.csv")).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(rows.as_bytes());
    let mut short = csv::Writer::from_path(dir.join("Master.csv")).unwrap();
    for row in reader.records() {
        short.write_record(row.unwrap().iter().take(16)).unwrap();
    }
    short.flush().unwrap();
    drop(short);
    let calls = count(dir, "SELECT COUNT(*) AS n FROM calls");
    let done = output(dir, &["--config", "cj.toml", "reconcile", "Master.csv"]);
    assert!(!done.status.success() && said(&done).contains("loguniqueid"), "{}", said(&done));
    assert_eq!(count(dir, "SELECT COUNT(*) AS n FROM calls"), calls);
}

/// The rows that a server in `dir` has read, all of them by all servers that are named.
fn runs(servers: &[&Server]) -> usize {
    let one = |server: &&Server| {
        let metrics = server.page("/metrics").1;
        let runs = metrics.lines().filter(|line| line.starts_with("calljournal_reconcile_runs_total{"));
        runs.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok()).sum::<usize>()
    };
    servers.iter().map(one).sum()
}

fn serve(dir: &Path) -> Server {
    Server::of(calljournal(dir, &["--config", "cj.toml", "serve"]), dir, &[])
}

#[test]
fn a_server_reads_its_sources_by_itself_once_and_says_which_it_cannot_read() {
    let Lost { dir, .. } = lost(SignedDuration::from_hours(6));
    let dir = dir.path();
    std::fs::remove_file(dir.join("cel.csv")).unwrap();
    let first = serve(dir);
    // On PostgreSQL they are two nodes, of which one reads.
    let second = super::super::on_postgres().then(|| serve(dir));
    let all: Vec<&Server> = [&first].into_iter().chain(&second).collect();
    let until = std::time::Instant::now() + super::super::server::PATIENCE;
    while runs(&all) < 2 && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(count(dir, "SELECT COUNT(*) AS n FROM calls"), 27);
    let healths: String = all.iter().map(|server| server.page("/healthz").1).collect();
    assert!(
        healths.contains("cel.csv: there is no such file") && !healths.contains("Master.csv"),
        "{healths}"
    );
    let metrics: String = all.iter().map(|server| server.page("/metrics").1).collect();
    for line in [
        "calljournal_reconcile_calls_total{source=\"Master.csv\",outcome=\"added\"} 23",
        "calljournal_reconcile_calls_total{source=\"Master.csv\",outcome=\"corrected\"} 1",
        "calljournal_reconcile_runs_total{source=\"cel.csv\",result=\"failed\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert_eq!(runs(&all), 2);
    drop((first, second));
    // Its hour is not over.
    let again = serve(dir);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(runs(&[&again]), 0);
}
