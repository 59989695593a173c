//! Calls that ended too long ago are forgotten, and no others.

use std::path::Path;

use super::server::{Server, Telling, calljournal, count, plain_call};

/// The spring of 2025.
const LONG_AGO: u64 = 1_745_000_000;
const LATELY: u64 = 1_795_390_723;

const SOON: [(&str, &str); 2] =
    [("CALLJOURNAL_CALL__GRACE_MS", "200"), ("CALLJOURNAL_SPOOL__POLL_MS", "100")];

fn rows(dir: &Path, table: &str) -> i64 {
    count(dir, &format!("SELECT count(*) AS n FROM {table}"))
}

fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{what}");
}

/// Takes in calls and waits until they are told as over.
fn take_in(dir: &Path, arguments: &[&str], tellings: impl IntoIterator<Item = Telling>, calls: i64) {
    let server = Server::of(calljournal(dir, arguments), dir, &SOON);
    for telling in tellings {
        assert!(telling.tell(server.agi));
    }
    let told = "SELECT count(*) AS n FROM calls WHERE told_print IS NOT NULL";
    until("they are not over", || count(dir, told) == calls);
    server.stop();
}

#[test]
fn a_call_is_forgotten_with_all_that_belongs_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (old, young) = (plain_call(0, LONG_AGO), plain_call(4, LATELY));
    take_in(dir.path(), &["serve"], old.into_iter().chain(young), 2);
    assert_eq!(rows(dir.path(), "events"), 10);

    let server = Server::start(dir.path(), &[("CALLJOURNAL_STORE__KEEP_DAYS", "200")]);
    until("the old call stays", || rows(dir.path(), "calls") == 1);
    for (table, left) in
        [("events", 5), ("legs", 2), ("cdr", 1), ("members", 2), ("endings", 1), ("notices", 1)]
    {
        assert_eq!(rows(dir.path(), table), left, "{table}");
    }
    server.page_when("/metrics", |text| text.contains("calljournal_calls_forgotten_total 1"));
    let mut lines = server.greeting.clone();
    lines.extend(server.stop().1);
    assert!(lines.iter().any(|line| line.contains("calls=1")), "{lines:?}");
}

#[test]
fn what_is_open_or_undelivered_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let notify = "[[notify]]\nname = \"crm\"\nurl = \"http://127.0.0.1:1/\"\n";
    std::fs::write(dir.path().join("cj.toml"), notify).unwrap();
    take_in(dir.path(), &["--config", "cj.toml", "serve"], plain_call(0, LONG_AGO), 1);
    // Nobody is to be told of this one, so it may go.
    take_in(dir.path(), &["serve"], plain_call(4, LONG_AGO + 100), 2);
    let open = plain_call(8, LONG_AGO + 200).into_iter().take(3);
    take_in(dir.path(), &["serve"], open, 2);

    let server = Server::start(dir.path(), &[("CALLJOURNAL_STORE__KEEP_DAYS", "200")]);
    server.page_when("/metrics", |text| text.contains("calljournal_calls_forgotten_total 1"));
    assert_eq!(rows(dir.path(), "calls"), 2);
    assert_eq!(rows(dir.path(), "events"), 8);
    assert_eq!(rows(dir.path(), "deliveries"), 1);
    server.stop();
}
