//! Which calls are listed.

use tempfile::TempDir;

use super::super::server::{Server, Telling, output, plain_call, said};
use super::{json, told};

/// Three calls: an inbound one that was answered, one that was missed, and an outbound one.
fn journal() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let missed = |kind, seq, ms: u64, more: &[&str]| {
        Telling::new(kind, "1795390800.5", "1795390800.5", seq, 1_795_390_800_000 + ms, more)
    };
    let out = |kind, seq, ms: u64, more: &[&str]| {
        Telling::new(kind, "1795400000.7", "1795400000.7", seq, 1_795_400_000_000 + ms, more)
    };
    let phone = |kind, seq, ms: u64| {
        let more = ["caller=1795390800.5", "num=202", "cause=16"];
        Telling::new(kind, "1795390800.6", "1795390800.5", seq, 1_795_390_800_000 + ms, &more)
    };
    let more = [
        missed("start", 1, 0, &["dir=in", "num=%2B79193393655", "exten=73512020318", "org=acme"]),
        phone("ring", 1, 50),
        phone("hangup", 2, 20_000),
        missed("hangup", 2, 20_010, &["cause=16", "dialstatus=CANCEL"]),
        out("start", 1, 0, &["dir=out", "num=101", "exten=89193393655"]),
        out("hangup", 2, 900, &["cause=17", "dialstatus=BUSY"]),
    ];
    for telling in plain_call(0, 1_795_390_723).into_iter().chain(more) {
        assert!(telling.tell(server.agi));
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    server.stop();
    dir
}

/// The linkedids of the calls that are listed, newest first.
fn listed(dir: &TempDir, conditions: &[&str]) -> Vec<String> {
    let arguments = [&["calls", "--json"], conditions].concat();
    let calls = json(dir.path(), &arguments);
    calls.as_array().unwrap().iter().map(|call| call["linkedid"].as_str().unwrap().to_owned()).collect()
}

const ANSWERED: &str = "1795390723.0";
const MISSED: &str = "1795390800.5";
const OUT: &str = "1795400000.7";

#[test]
fn calls_are_found_by_each_condition_and_by_all_together() {
    let dir = journal();
    let all = [OUT, MISSED, ANSWERED];
    for (conditions, wanted) in [
        (&[][..], &all[..]),
        (&["--missed"], &[MISSED]),
        (&["--direction", "out"], &[OUT]),
        (&["--direction", "in"], &[MISSED, ANSWERED]),
        (&["--disposition", "busy"], &[OUT]),
        (&["--disposition", "no-answer"], &[MISSED]),
        (&["--org", "acme"], &[MISSED]),
        (&["--pbx", "test"], &all),
        (&["--pbx", "other"], &[]),
        (&["--number", "+7 (919) 339-36-55"], &[OUT, MISSED]),
        (&["--number", "101"], &[OUT, ANSWERED]),
        (&["--number", "202"], &[MISSED]),
        (&["--number", "*9339*"], &[OUT, MISSED]),
        (&["--number", "89193*"], &[OUT]),
        (&["--number", "3393655", "--missed"], &[MISSED]),
        (&["--since", "2026-11-23"], &[OUT]),
        (&["--until", "2026-11-22"], &[MISSED, ANSWERED]),
        (&["--since", "2026-11-22 23:40", "--until", "2026-11-22 23:40"], &[MISSED]),
        (&["-n", "1"], &[OUT]),
    ] {
        assert_eq!(listed(&dir, conditions), wanted, "{conditions:?}");
    }
}

#[test]
fn where_no_call_is_like_that_it_is_said_how_to_find_more() {
    let dir = journal();
    let text = told(dir.path(), &["calls", "--missed", "--org", "other"]);
    assert!(text.contains("None of the 3 calls in the journal matches --org other --missed"), "{text}");
    let text = told(dir.path(), &["--locale", "ru", "calls", "--org", "other"]);
    assert!(text.contains("В журнале 3 звонка, под условия --org other не подходит ни один"), "{text}");
}

#[test]
fn what_is_left_out_is_said() {
    let dir = journal();
    let text = told(dir.path(), &["calls", "-n", "2"]);
    assert!(text.ends_with("Only the latest 2 calls are shown; more: --limit 4\n"), "{text}");
    assert!(!told(dir.path(), &["calls", "-n", "3"]).contains("Only"));
}

#[test]
fn a_condition_that_makes_no_sense_is_refused_with_what_would() {
    let dir = journal();
    for (conditions, possible) in [
        (["--since", "soonish"], "yesterday"),
        (["--until", "2026-13-01"], "2026-11-23"),
        (["--direction", "up"], "in, out, int"),
        (["--disposition", "x"], "answered, no-answer, busy, failed, congestion"),
        (["--number", "Иван"], "digits"),
    ] {
        let refused = output(dir.path(), &[&["calls"][..], &conditions].concat());
        assert!(!refused.status.success() && said(&refused).contains(possible), "{}", said(&refused));
    }
    let refused = output(dir.path(), &["calls", "--since", "2026-11-23", "--until", "2026-11-01"]);
    assert!(said(&refused).contains("--since is not before --until"), "{}", said(&refused));
}
