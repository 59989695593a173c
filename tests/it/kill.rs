//! The real server, killed over and over while dialplans talk to it: what it acknowledged it keeps, once.
//!
//! As the dialplan does it, an event without an ack is written to the spool, and the server may be killed again
//! while it takes that in. At the end every event is in the log exactly once, and every call has exactly one end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::server::{Server, count, plain_call};

const KILLS: u64 = 32;
const DIALPLANS: u64 = 4;

/// Nobody listens there, so notices stay in the outbox to be counted. A short grace lets calls end in between.
const SETTINGS: [(&str, &str); 3] = [
    ("CALLJOURNAL_NOTIFY", r#"[{ name = "crm", url = "http://127.0.0.1:1/" }]"#),
    ("CALLJOURNAL_CALL__GRACE_MS", "100"),
    ("CALLJOURNAL_SPOOL__POLL_MS", "50"),
];

/// What became of what was told.
struct Told {
    acked: Mutex<BTreeSet<String>>,
    /// What had no ack.
    spool: Mutex<File>,
    spooled: AtomicU64,
    calls: AtomicU64,
}

/// One dialplan: whole calls, event by event, until the server is gone.
fn talk(server: std::net::SocketAddr, told: &Told) {
    let mut gone = false;
    while !gone {
        let call = told.calls.fetch_add(1, Ordering::SeqCst);
        for telling in plain_call(call * 2, 1_795_390_000 + call) {
            if !gone && telling.tell(server) {
                assert!(told.acked.lock().unwrap().insert(telling.token));
            } else {
                gone = true;
                told.spool.lock().unwrap().write_all(telling.frame().as_bytes()).unwrap();
                told.spooled.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// Lets dialplans talk to a server in `dir` and kills it after `life`.
fn live_and_die(dir: &Path, life: Duration, told: &Told) {
    let server = Server::start(dir, &SETTINGS);
    let agi = server.agi;
    std::thread::scope(|threads| {
        for _ in 0..DIALPLANS {
            threads.spawn(|| talk(agi, told));
        }
        std::thread::sleep(life);
        server.kill();
    });
}

fn tokens(dir: &Path) -> Vec<String> {
    super::texts(&mut super::database(dir), "SELECT token AS s FROM events")
}

#[test]
fn killed_over_and_over_it_keeps_each_acknowledged_event_once_and_ends_each_call_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("spool")).unwrap();
    let told = Told {
        acked: Mutex::default(),
        spool: Mutex::new(File::create(dir.path().join("spool/test-2026112300.spool")).unwrap()),
        spooled: AtomicU64::new(0),
        calls: AtomicU64::new(0),
    };
    for n in 0..KILLS {
        // No two lives are alike: from hardly begun to well under way.
        live_and_die(dir.path(), Duration::from_millis(20 + n * 37 % 300), &told);
        let kept: BTreeSet<String> = tokens(dir.path()).into_iter().collect();
        let lost: Vec<String> = told.acked.lock().unwrap().difference(&kept).cloned().collect();
        assert!(lost.is_empty(), "lost after kill {n}: {lost:?}");
    }

    let server = Server::start(dir.path(), &SETTINGS);
    let calls = told.calls.load(Ordering::SeqCst);
    server.page_when("/healthz", |body| {
        let health: serde_json::Value = serde_json::from_str(body).unwrap();
        health["notices_waiting"] == calls && health["unsettled"] == 0
    });
    // Had a call two ends, the second would come within the grace.
    std::thread::sleep(Duration::from_millis(500));
    server.stop();

    let tokens = tokens(dir.path());
    let once: BTreeSet<&String> = tokens.iter().collect();
    assert_eq!(once.len(), tokens.len(), "an event is in the log twice");
    assert_eq!(tokens.len() as u64, calls * 5, "an event is missing, or one came from nowhere");
    let acked = told.acked.into_inner().unwrap();
    assert!(acked.iter().all(|token| once.contains(token)));
    let count = |sql: &str| count(dir.path(), sql);
    assert_eq!(count("SELECT count(*) AS n FROM calls") as u64, calls);
    assert_eq!(count("SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'") as u64, calls);
    assert_eq!(
        count("SELECT count(DISTINCT call_id) AS n FROM notices WHERE kind = 'call.ended'") as u64,
        calls
    );
    assert_eq!(count("SELECT count(*) AS n FROM set_aside"), 0);
    let (acked, spooled) = (acked.len(), told.spooled.into_inner());
    println!("{KILLS} kills, {calls} calls, {acked} events acknowledged, {spooled} written to the spool");
}
