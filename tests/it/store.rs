//! What is promised of the store by itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use calljournal::store::{Lane, Store, StoreError};
use diesel::connection::SimpleConnection;

fn url(dir: &tempfile::TempDir) -> String {
    super::url(dir.path())
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
                    .args(["--exact", &super::name(module_path!(), "child"), "--ignored"])
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
    let mut db = super::database(dir.path());
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
fn what_is_no_database_of_ours_is_refused_without_showing_a_password() {
    for url in ["mysql://u:geheim@db/calls", "", "sqlite://", ":memory:", "sqlite://:memory:"] {
        let error = Store::open(url).err().unwrap().to_string();
        assert!(error.contains("store.url") && !error.contains("geheim"), "{error}");
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

#[test]
fn the_schema_is_brought_up_to_date_by_its_own_command_which_says_what_it_did() {
    use super::server::{output, said};
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let ended = output(dir.path(), arguments);
        (ended.status.code(), said(&ended))
    };
    let (code, text) = run(&["migrate", "--check"]);
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = run(&["migrate"]);
    assert!(code == Some(0) && text.contains("version 00000000000001 was brought in"), "{text}");
    for arguments in [&["migrate", "--check"][..], &["migrate"]] {
        let (code, text) = run(arguments);
        assert!(code == Some(0) && text.contains("up to date"), "{text}");
    }
    assert_eq!(run(&["calls"]).0, Some(0));
}
