//! `calljournal import`, killed over and over in its middle: who runs it again has in the end what one run would have had.

use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::super::server::{PATIENCE, calljournal, count};
use super::super::{database, texts};
use super::told;

const CALLS: i64 = 2500;

const KILLS: i64 = 6;

/// Calls of two phones each, in turn answered and not, of which every seventh has a row of a second conversation.
fn master() -> String {
    let mut text = String::from(
        "start,clid,src,dst,dcontext,channel,dstchannel,lastapp,duration,billsec,disposition,uniqueid,linkedid\n",
    );
    for call in 0..CALLS {
        let second = 1_795_000_000 + call * 40;
        let at = jiff::Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
        let (caller, lasted) = (format!("{second}.{}", call * 3), 5 + call % 30);
        let (talked, word) = if call % 2 == 0 { (lasted - 3, "ANSWERED") } else { (0, "NO ANSWER") };
        for row in 0..=i64::from(call % 7 == 0) {
            let phone = 101 + (call + row) % 9;
            writeln!(
                text,
                "{at},\"\"\"Ivan\"\" <7919{call:07}>\",7919{call:07},7351,from-trunk,PJSIP/t-{call},PJSIP/{phone}-{call},\
                 Dial,{lasted},{talked},{word},{caller},{caller}"
            )
            .unwrap();
        }
    }
    text
}

/// All that the journal has of the calls, whatever the order in which it was written.
fn journal(dir: &Path) -> Vec<String> {
    let mut db = database(dir);
    let of = [
        "SELECT id || ' ' || pbx || ' ' || state || ' ' || doc AS s FROM calls",
        "SELECT call_id || ' ' || token || ' ' || facts || ' ' || note AS s FROM events WHERE settled",
        "SELECT call_id || ' ' || uniqueid || ' ' || outcome || ' ' || talk_ms AS s FROM legs",
        "SELECT uniqueid || ' ' || calldate || ' ' || dstchannel || ' ' || billsec AS s FROM cdr",
        "SELECT call_id || ' ' || channel AS s FROM members",
        "SELECT alias || ' ' || call_id AS s FROM call_aliases",
        "SELECT call_id || ' ' || reason AS s FROM set_aside",
        "SELECT id || ' ' || kind AS s FROM notices",
    ];
    let mut all: Vec<String> = of.iter().flat_map(|sql| texts(&mut db, sql)).collect();
    all.sort();
    all
}

fn import(dir: &Path) -> Child {
    let mut command = calljournal(dir, &["import", "Master.csv", "--timezone", "UTC"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Lets an import run until the journal has more than `calls`, and a moment longer; `false` where it came to its end.
fn killed(dir: &Path, calls: i64, longer: Duration) -> bool {
    let mut import = import(dir);
    let begun = Instant::now();
    while count(dir, "SELECT COUNT(*) AS n FROM calls") <= calls {
        assert!(begun.elapsed() < PATIENCE, "it comes no further than {calls} calls");
        if let Some(status) = import.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(longer);
    let runs = import.try_wait().unwrap().is_none();
    import.kill().unwrap();
    import.wait().unwrap();
    runs
}

#[test]
fn an_import_that_is_killed_again_and_again_and_then_run_has_what_one_run_has() {
    let (once, often) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&once, &often] {
        std::fs::write(dir.path().join("Master.csv"), master()).unwrap();
        told(dir.path(), &["migrate"]);
    }
    let whole = ["import", "Master.csv", "--timezone", "UTC"];
    told(once.path(), &whole);

    let there = || count(often.path(), "SELECT COUNT(*) AS n FROM calls");
    let mut kills = Vec::new();
    for n in 0..KILLS {
        // From hardly begun to nearly done.
        let until = CALLS * n / (KILLS + 2);
        if killed(often.path(), until.max(there()), Duration::from_millis(n as u64 * 97 % 400)) {
            kills.push(there());
        }
    }
    println!("killed {} times, at {kills:?} calls", kills.len());
    assert!(kills.iter().filter(|calls| (1..CALLS).contains(*calls)).count() >= 2, "{kills:?}");
    told(often.path(), &whole);
    let (of_once, of_often) = (journal(once.path()), journal(often.path()));
    assert!(of_once.len() as i64 > 4 * CALLS, "{} rows", of_once.len());
    let differs = of_once.iter().zip(&of_often).find(|(one, other)| one != other);
    assert!(
        of_once.len() == of_often.len() && differs.is_none(),
        "{} and {}: {differs:?}",
        of_once.len(),
        of_often.len()
    );
    assert_eq!(count(often.path(), "SELECT COUNT(*) AS n FROM events WHERE NOT settled"), 0);
}
