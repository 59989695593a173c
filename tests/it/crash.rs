//! Killed at any moment, the journal keeps what it acknowledged, once, and tells each end once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use calljournal::clock::Clock;
use calljournal::event::Kind;
use calljournal::intake::Intake;
use calljournal::store::Store;
use jiff::SignedDuration;

use super::intake::{RULES, answered};

const KILLS: u32 = 30;
const LINES: u32 = 4;
const DATABASE: &str = "CALLJOURNAL_TEST_CRASH_URL";
const FROM: &str = "CALLJOURNAL_TEST_CRASH_FROM";

fn start(url: &str) -> Intake {
    let store = Store::open(url).unwrap();
    let grace = SignedDuration::from_millis(20);
    let intake = Intake::start(store, Clock::system(), calljournal::call::Rules { grace, ..RULES }.into());
    intake.release_deadlines();
    intake
}

/// The process that is killed: calls on several lines without end, a line of output for each ack.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run and killed by the test below"]
async fn child() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let from: u32 = std::env::var(FROM).unwrap().parse().unwrap();
    let intake = start(&url);
    let lines: Vec<_> = (0..LINES)
        .map(|line| {
            let intake = intake.clone();
            tokio::spawn(async move {
                for call in (from + line..).step_by(LINES as usize) {
                    for mut event in answered(call * 10) {
                        event.received = Clock::system().now();
                        let token = event.token.clone();
                        intake.accept(vec![event]).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "ack {call} {token}").unwrap();
                        out.flush().unwrap();
                    }
                }
            })
        })
        .collect();
    for line in lines {
        line.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_thirty_times_it_loses_no_acknowledged_event_and_doubles_none() {
    let dir = tempfile::tempdir().unwrap();
    let url = super::url(dir.path());
    let (mut calls, mut acked) = (BTreeSet::new(), BTreeSet::new());
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &super::name(module_path!(), "child"), "--ignored", "--nocapture"])
            .env(DATABASE, &url)
            .env(FROM, (calls.last().copied().unwrap_or(0) + 1).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // From a few acks to a hundred and more: in the middle of whatever it does then.
        let until = 1 + (kill * 37) % 150;
        let mut seen = 0;
        for line in lines.by_ref() {
            let line = line.unwrap();
            let mut words = line.split(' ');
            if words.next() != Some("ack") {
                continue;
            }
            calls.insert(words.next().unwrap().parse::<u32>().unwrap());
            acked.insert(words.next().unwrap().to_owned());
            seen += 1;
            if seen == until {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= until, "the child ended by itself after {seen} acks");
    }

    let there = |sql: &str| super::number(&mut super::connect(&url), sql);
    for token in &acked {
        assert_eq!(there(&format!("SELECT COUNT(*) AS n FROM events WHERE token = '{token}'")), 1, "{token}");
    }

    // As the spool does it: whatever was not acknowledged is told again.
    let intake = start(&url);
    for call in &calls {
        let mut events = answered(call * 10);
        events.iter_mut().for_each(|e| e.received = Clock::system().now());
        assert!(events.iter().any(|e| e.kind == Kind::Hangup));
        intake.accept(events).await.unwrap();
    }
    let open = "SELECT (SELECT COUNT(*) FROM calls WHERE due_us IS NOT NULL AND state = 'ended')
                     + (SELECT COUNT(*) FROM events WHERE NOT settled) AS n";
    for _ in 0..500 {
        if there(open) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    intake.stop().await;
    println!("{KILLS} kills, {} acknowledged events, {} calls", acked.len(), calls.len());
    // A call of which nothing was acknowledged before the kill is not in `calls`, and goes on.
    let all = calls.len() as i64;
    assert_eq!(there("SELECT COUNT(*) AS n FROM calls WHERE told_print IS NOT NULL"), all);
    assert_eq!(there("SELECT COUNT(*) AS n FROM notices"), all, "one for each call, and no correction");
    assert_eq!(there("SELECT COUNT(DISTINCT call_id) AS n FROM notices WHERE kind = 'call.ended'"), all);
    let legs =
        "SELECT COUNT(*) AS n FROM legs WHERE call_id IN (SELECT id FROM calls WHERE told_print IS NOT NULL)";
    assert_eq!(there(legs), 2 * all);
}
