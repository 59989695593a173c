//! What is promised of the store by itself.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use calljournal::store::{Lane, Store, StoreError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;

fn url(dir: &tempfile::TempDir) -> String {
    format!("sqlite://{}/j.db", dir.path().display())
}

#[test]
fn eight_that_start_at_once_on_nothing_all_come_up() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let gate = std::sync::Barrier::new(8);
        std::thread::scope(|s| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    s.spawn(|| {
                        gate.wait();
                        Store::open(&url(&dir)).map(drop)
                    })
                })
                .collect();
            for start in starts {
                start.join().unwrap().unwrap();
            }
        });
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_waits_for_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&dir)).unwrap();
    let (order, ran) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    store.post(Lane::Settle, move |_| gate.recv().unwrap()).unwrap();
    for (lane, name) in [(Lane::Settle, "settle"), (Lane::Accept, "first"), (Lane::Accept, "second")] {
        let order = order.clone();
        drop(store.write(lane, name, move |_| Ok(order.send(name).unwrap())));
    }
    go.send(()).unwrap();
    let order: Vec<_> = (0..3).map(|_| ran.recv().unwrap()).collect();
    assert_eq!(order, ["first", "second", "settle"], "and a dropped future cancels nothing");
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
