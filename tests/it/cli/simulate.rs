//! Calls that are played into a real server, and taken out again.

use std::net::TcpListener;

use super::super::server::{Server, calljournal, count, output, plain_call, said};
use super::{json, told};

/// A server that knows soon that a call is over, as settings of its environment.
const SOON: [(&str, &str); 2] =
    [("CALLJOURNAL_CALL__GRACE_MS", "200"), ("CALLJOURNAL_SPOOL__POLL_MS", "100")];

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
