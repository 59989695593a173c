//! Calls that are played into a real server, and taken out again.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::server::{PATIENCE, Server, calljournal, count, output, plain_call, said};
use super::{json, told};

/// A server that knows soon that a call is over, and whose acks a busy machine cannot miss by accident.
const SOON: [(&str, &str); 3] = [
    ("CALLJOURNAL_CALL__GRACE_MS", "200"),
    ("CALLJOURNAL_SPOOL__POLL_MS", "100"),
    ("CALLJOURNAL_AGI__ACK_TIMEOUT_MS", "4900"),
];

fn played(dir: &std::path::Path, server: &Server, more: &[&str]) -> String {
    let address = server.agi.to_string();
    let fixed = ["simulate", "--server", &address, "--rate", "100/s", "--speed", "5000", "--seed", "7"];
    told(dir, &[&fixed[..], more].concat())
}

fn waits_for_ends(dir: &std::path::Path, calls: i64) {
    let over = "SELECT count(*) AS n FROM calls WHERE due_us IS NULL";
    for _ in 0..1000 {
        if count(dir, over) == calls {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} of {calls} calls are over", count(dir, over));
}

#[test]
fn played_calls_are_real_calls_of_the_pbx_simulate_and_nobody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &SOON);
    for telling in plain_call(0, 1_795_390_723) {
        assert!(telling.tell(server.agi));
    }
    let said = played(dir.path(), &server, &["--count", "30"]);
    assert!(said.starts_with("30 calls played, ") && !said.contains("not acknowledged"), "{said}");
    waits_for_ends(dir.path(), 31);
    let calls = json(dir.path(), &["calls", "--pbx", "simulate", "-n", "100", "--json"]);
    let calls = calls.as_array().unwrap();
    assert_eq!(calls.len(), 30);
    assert!(calls.iter().any(|call| !call["transfers"].as_array().unwrap().is_empty()));
    assert!(calls.iter().all(|call| call["end_time_known"] == true));
    assert!(told(dir.path(), &["calls"]).lines().next().unwrap().ends_with("Pbx"));
    assert_eq!(count(dir.path(), "SELECT count(*) AS n FROM notices"), 1);

    assert_eq!(told(dir.path(), &["simulate", "--clean"]), "30 played calls were deleted.\n");
    assert_eq!(
        told(dir.path(), &["--locale", "ru", "simulate", "--clean"]),
        "Разыгранных звонков в журнале нет.\n"
    );
    for (table, left) in
        [("calls", 1), ("events", 5), ("legs", 2), ("cdr", 1), ("members", 2), ("endings", 1), ("notices", 1)]
    {
        assert_eq!(count(dir.path(), &format!("SELECT count(*) AS n FROM {table}")), left, "{table}");
    }
    server.stop();
}

#[test]
fn receivers_are_told_of_played_calls_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &SOON);
    played(dir.path(), &server, &["-n", "3", "--mix", "missed", "--notify"]);
    waits_for_ends(dir.path(), 3);
    assert_eq!(count(dir.path(), "SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'"), 3);
    server.stop();
}

#[test]
fn calls_begin_for_as_long_as_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &SOON);
    let address = server.agi.to_string();
    let begun = Instant::now();
    let fixed = ["simulate", "--server", &address, "--speed", "5000"];
    let said = told(dir.path(), &[&fixed[..], &["--rate", "20/s", "--for", "2s"]].concat());
    assert!(begun.elapsed() >= Duration::from_secs(2), "it ended after {:?}", begun.elapsed());
    let calls: i64 = said.split(' ').next().unwrap().parse().unwrap();
    // One each 50 ms at the most, the first at once.
    assert!((2..=40).contains(&calls) && !said.contains("not acknowledged"), "{said}");
    waits_for_ends(dir.path(), calls);
    server.stop();
}

#[test]
fn ctrl_c_hangs_up_and_leaves_no_call_open() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &SOON);
    let address = server.agi.to_string();
    // As slow as real calls, and far too many of them to come to an end.
    let arguments = [
        "simulate", "--server", &address, "--speed", "1", "--rate", "20/s", "-n", "100000", "--mix",
        "inbound",
    ];
    let process = calljournal(dir.path(), &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let begun = || count(dir.path(), "SELECT count(*) AS n FROM calls");
    let waited = Instant::now();
    while begun() < 5 {
        assert!(waited.elapsed() < PATIENCE, "no call begins");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
    let ended = process.wait_with_output().unwrap();
    let said = said(&ended);
    assert!(ended.status.code() == Some(0) && !said.contains("not acknowledged"), "{said}");
    let calls: i64 = said.split(' ').next().unwrap().parse().unwrap();
    waits_for_ends(dir.path(), calls);
    assert_eq!(begun(), calls, "{said}");
    server.stop();
}

#[test]
fn who_does_not_answer_as_calljournal_does_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let refused = output(dir.path(), &["simulate", "--server", "127.0.0.1:1"]);
    assert!(said(&refused).contains("no server answers on 127.0.0.1:1"), "{}", said(&refused));
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || drop(other.accept()));
    let refused = output(dir.path(), &["simulate", "--server", &address]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("is it calljournal"), "{}", said(&refused));
    let clean = calljournal(dir.path(), &["simulate", "--clean"]).output().unwrap();
    assert_eq!(clean.status.code(), Some(1), "{}", said(&clean));
}
