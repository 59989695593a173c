//! What is promised of SQLite's file alone. What is promised of both backends is in both.rs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use calljournal::event::{Event, Kind};
use calljournal::intake::Refused;
use calljournal::store::{Lane, Store, StoreError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::intake::{Journal, answered, event, uid};
use crate::server::{Server, calljournal, output, plain_call, said};
use crate::sqlite::{database, serve::show, url as url_of};

fn url(dir: &tempfile::TempDir) -> String {
    url_of(dir.path())
}

#[test]
fn a_reader_makes_nothing_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open_reader(&url(&dir)), Err(StoreError::Missing(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    SqliteConnection::establish(&url(&dir)).unwrap().batch_execute("CREATE TABLE x (y)").unwrap();
    assert!(matches!(Store::open_reader(&url(&dir)), Err(StoreError::Older(_))));
}

#[test]
fn only_the_owner_may_read_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let _store = Store::open(&url(&dir)).unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
}

/// Runs the jobs of both lanes that all wait already, and answers with the order in which they ran.
fn order_of(jobs: &[Lane]) -> Vec<Lane> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&dir)).unwrap();
    let (order, ran) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (began, begin) = std::sync::mpsc::channel();
    store
        .post(Lane::Settle, move |_| {
            began.send(()).unwrap();
            gate.recv().unwrap();
        })
        .unwrap();
    begin.recv().unwrap();
    for lane in jobs.iter().copied() {
        let order = order.clone();
        drop(store.write(lane, "job", move |_| {
            let _ = order.send(lane);
            Ok(())
        }));
    }
    go.send(()).unwrap();
    (0..jobs.len()).map(|_| ran.recv().unwrap()).collect()
}

#[test]
fn what_a_call_waits_for_goes_first_and_a_dropped_future_cancels_nothing() {
    use Lane::{Accept, Settle};
    assert_eq!(order_of(&[Settle, Accept, Settle, Accept]), [Accept, Accept, Settle, Settle]);
}

#[test]
fn accepts_without_end_do_not_keep_calls_from_being_settled() {
    let mut jobs = vec![Lane::Accept; 20];
    jobs.push(Lane::Settle);
    let turn = order_of(&jobs).iter().position(|lane| *lane == Lane::Settle).unwrap();
    assert!((1..=5).contains(&turn), "after {turn} accepts");
}

#[test]
fn with_no_configuration_in_an_empty_directory_it_works_and_says_what_to_do_next() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    for telling in plain_call(0, 1_795_390_723) {
        assert!(telling.tell(server.agi), "{telling:?}");
    }
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut greeting = server.greeting.clone();
    let (status, rest) = server.stop();
    assert_eq!(status.code(), Some(0));
    greeting.extend(rest);
    let greeting = greeting.join("\n");
    let version = concat!("calljournal ", env!("CARGO_PKG_VERSION"));
    for word in [version, "calljournal.db", "install -d -m 2770", "FastAGI on", "calljournal.conf"] {
        assert_eq!(greeting.matches(word).count(), 1, "{word:?} is not said once:\n{greeting}");
    }

    let call = show(dir.path(), "last");
    assert_eq!(call["call"]["linkedid"], "1795390723.0");
    assert_eq!(call["events"].as_array().unwrap().len(), 5);
    assert!(dir.path().join("calljournal.db").exists());
    let mode = std::fs::metadata(dir.path().join("calljournal.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others can read who called whom");
}

#[test]
fn a_database_that_cannot_be_written_is_told_as_unhealthy_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    // Somebody else holds the write lock for good.
    let mut holder = database(dir.path());
    holder.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (status, body) = server.page("/healthz");
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("\"reason\""), "{body}");
    holder.batch_execute("ROLLBACK").unwrap();
    server.page_when("/healthz", |body| body.contains("\"ok\""));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_it_cannot_keep_and_goes_on_afterwards() {
    let j = Journal::open();
    // The limit belongs to the connection that writes, which is replaced after such an error.
    let fill = |db: &mut _| Ok(SimpleConnection::batch_execute(db, "PRAGMA max_page_count = 1")?);
    j.store.write(Lane::Accept, "fill", fill).await.unwrap();
    let many: Vec<Event> = (0..200).map(|n| event(Kind::Note, &uid(n), &uid(n), 1, 0, &[])).collect();
    let refused = j.intake.accept(many.clone()).await;
    assert!(matches!(&refused, Err(Refused::Store(why)) if why.contains("full")), "{refused:?}");
    assert_eq!(j.number("SELECT COUNT(*) AS n FROM events"), 0);
    assert_eq!(j.accept(&many).await.fresh, 200);
    j.pass(0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_holds_the_database_makes_nobody_lose_anything() {
    let j = Journal::open();
    // The patience belongs to the connection that writes, which is replaced after such an error.
    let hurry = |db: &mut _| Ok(SimpleConnection::batch_execute(db, "PRAGMA busy_timeout = 50")?);
    j.store.write(Lane::Accept, "hurry", hurry).await.unwrap();
    let mut other = j.sql();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let refused = j.intake.accept(answered(0)).await;
    assert!(matches!(&refused, Err(Refused::Store(why)) if why.contains("locked")), "{refused:?}");
    other.batch_execute("COMMIT").unwrap();
    j.accept(&answered(0)).await;
    j.pass(60.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
    assert_eq!(j.store.counts().await.unwrap().set_aside, 0);
}

#[test]
fn without_a_journal_it_is_said_where_one_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let refused = output(dir.path(), &["calls"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("calljournal serve"), "{}", said(&refused));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "reading made something");
}

#[test]
fn check_tells_what_is_missing_and_the_command_that_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text) = check(dir.path());
    let make = format!("install -d -m 2770 -o asterisk -g asterisk {}/spool", dir.path().display());
    assert!(code == Some(0) && text.contains("warn  spool:") && text.contains(&make), "{text}");

    let spool = dir.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    std::fs::set_permissions(&spool, PermissionsExt::from_mode(0o2770)).unwrap();
    let (code, text) = check(dir.path());
    assert!(code == Some(0) && !text.contains("warn") && !text.contains("FAIL"), "{text}");
    assert!(text.contains("calljournal.db will be made"), "{text}");
    assert!(!dir.path().join("calljournal.db").exists(), "check made a database");
}

#[test]
fn a_journal_that_is_none_is_told_by_check() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("calljournal.db"),
        "this is no database, and long enough to be read as one",
    )
    .unwrap();
    let (code, text) = check(dir.path());
    assert!(code == Some(1) && text.contains("FAIL  database:"), "{text}");
}

/// `check` on free ports, with the spool of the test.
fn check(dir: &Path) -> (Option<i32>, String) {
    let checked = calljournal(dir, &["check"])
        .env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0")
        .env("CALLJOURNAL_HTTP__LISTEN", "127.0.0.1:0")
        .env("CALLJOURNAL_SPOOL__DIR", dir.join("spool"))
        .output()
        .unwrap();
    (checked.status.code(), said(&checked))
}
