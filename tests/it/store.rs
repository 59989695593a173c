//! What is promised of the store by itself.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use calljournal::store::{Lane, Store, StoreError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

fn url(dir: &tempfile::TempDir) -> String {
    format!("sqlite://{}/j.db", dir.path().display())
}

const DATABASE: &str = "CALLJOURNAL_TEST_OPEN_URL";

#[test]
#[ignore = "is run by the test below"]
fn child() {
    if let Ok(url) = std::env::var(DATABASE) {
        Store::open(&url).unwrap();
    }
}

#[test]
fn eight_processes_that_start_at_once_on_nothing_all_come_up() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let children: Vec<_> = (0..8)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "store::child", "--ignored"])
                    .env(DATABASE, url(&dir))
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
}

#[test]
fn eight_threads_that_start_at_once_on_nothing_all_come_up() {
    let dir = tempfile::tempdir().unwrap();
    let gate = std::sync::Barrier::new(8);
    let start = || {
        gate.wait();
        Store::open(&url(&dir)).map(drop)
    };
    std::thread::scope(|s| {
        let starts: Vec<_> = (0..8).map(|_| s.spawn(start)).collect();
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_newer_schema_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(&url(&dir)).unwrap());
    let mut db = SqliteConnection::establish(&url(&dir)).unwrap();
    db.batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')").unwrap();
    for error in [Store::open(&url(&dir)).err(), Store::open_reader(&url(&dir)).err()] {
        let error = error.unwrap();
        assert!(
            matches!(&error, StoreError::Newer { version, .. } if version == "99990101000000"),
            "{error}"
        );
    }
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
fn what_is_no_database_of_ours_is_refused_without_showing_a_password() {
    for url in ["postgres://u:geheim@db/calls", "", "sqlite://", ":memory:", "sqlite://:memory:"] {
        let error = Store::open(url).err().unwrap().to_string();
        assert!(error.contains("store.url") && !error.contains("geheim"), "{error}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_panics_is_answered_and_the_next_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&dir)).unwrap();
    let panicked: Result<(), _> = store.write(Lane::Accept, "boom", |_| panic!("on purpose")).await;
    let error = panicked.unwrap_err();
    assert!(matches!(&error, StoreError::Panicked { transaction: "boom", what } if what == "on purpose"));
    assert_eq!(store.write(Lane::Settle, "after", |_| Ok(7)).await.unwrap(), 7);
    let panicked: Result<(), _> = store.read("boom", |_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(StoreError::Panicked { .. })));
    assert_eq!(store.counts().await.unwrap().unsettled, 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_wait_for_a_writer_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&dir)).unwrap();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let writing =
        store.write(Lane::Settle, "long", move |_| Ok(gate.recv_timeout(Duration::from_secs(30)).is_ok()));
    let reader = Store::open_reader(&url(&dir)).unwrap();
    for store in [&store, &reader] {
        assert_eq!(store.calls(10).await.unwrap(), []);
        let written = store.read("write", |db| Ok(db.batch_execute("DELETE FROM calls")?)).await;
        assert!(matches!(written, Err(StoreError::Database { transaction: "write", .. })));
    }
    assert!(matches!(reader.write(Lane::Settle, "x", |_| Ok(())).await, Err(StoreError::ReadOnly)));
    go.send(()).unwrap();
    assert!(writing.await.unwrap(), "the writer was still at it while they read");
}
