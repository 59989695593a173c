//! The real server on a real PostgreSQL that goes away, and two servers on one database of which one dies.
//!
//! The dialplans do what ours does: an event without an ack is written to the spool of the server that it was
//! told to. At the end every event is in the log once, every call in the journal once, and its end was told once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use calljournal::call::CallId;

use crate::cluster::Cluster;
use crate::server::{PATIENCE, Server, plain_call};
use crate::sqlite::{connect, number, texts};

/// How many dialplans talk at once, and how long each waits between two events; ten times as long without an ack,
/// or most of what is counted in the end would be of the outage.
const DIALPLANS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(2);

/// Seconds of an outage: short, or as long as somebody wants to look at it.
fn outage() -> Duration {
    let asked = std::env::var("CALLJOURNAL_TEST_OUTAGE_S").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(asked.unwrap_or(3))
}

/// A server's place: it may be killed and started again, on another port.
struct Node {
    dir: tempfile::TempDir,
    agi: Mutex<SocketAddr>,
    spool: Mutex<File>,
}

impl Node {
    fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("spool")).unwrap();
        let spool = File::create(dir.path().join("spool/test-2026112300.spool")).unwrap();
        Node { dir, agi: Mutex::new(([127, 0, 0, 1], 9).into()), spool: Mutex::new(spool) }
    }

    fn start(&self, url: &str) -> Server {
        let settings = [
            ("CALLJOURNAL_STORE__URL", url),
            // Nobody listens there, so notices stay in the outbox to be counted.
            ("CALLJOURNAL_NOTIFY", r#"[{ name = "crm", url = "http://127.0.0.1:1/" }]"#),
            ("CALLJOURNAL_CALL__GRACE_MS", "500"),
            ("CALLJOURNAL_SPOOL__POLL_MS", "50"),
        ];
        let server = Server::start(self.dir.path(), &settings);
        *self.agi.lock().unwrap() = server.agi;
        server
    }
}

/// What the dialplans did.
#[derive(Default)]
struct Told {
    calls: AtomicU64,
    acked: Mutex<BTreeSet<String>>,
    spooled: AtomicU64,
    /// How long a dialplan had to wait for an answer, in milliseconds.
    slowest: AtomicU64,
    enough: AtomicBool,
}

/// Whole calls, each event to one of the nodes, until it is enough.
fn talk(nodes: &[Node], told: &Told, seed: u64) {
    let mut dice = seed;
    while !told.enough.load(Ordering::SeqCst) {
        let call = told.calls.fetch_add(1, Ordering::SeqCst);
        for telling in plain_call(call * 2, 1_795_390_000 + call) {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let node = &nodes[(dice >> 33) as usize % nodes.len()];
            let agi = *node.agi.lock().unwrap();
            let since = Instant::now();
            let acked = telling.tell(agi);
            told.slowest.fetch_max(since.elapsed().as_millis() as u64, Ordering::SeqCst);
            if acked {
                assert!(told.acked.lock().unwrap().insert(telling.token));
            } else {
                node.spool.lock().unwrap().write_all(telling.frame().as_bytes()).unwrap();
                told.spooled.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(PAUSE * 10);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Lets dialplans talk to the nodes while `trouble` happens.
fn under_load(nodes: &[Node], trouble: impl FnOnce()) -> Told {
    let told = Told::default();
    std::thread::scope(|threads| {
        for n in 0..DIALPLANS {
            let told = &told;
            threads.spawn(move || talk(nodes, told, n + 1));
        }
        trouble();
        told.enough.store(true, Ordering::SeqCst);
    });
    told
}

/// Waits until every call is told as ended, then counts everything.
fn all_is_there_once(url: &str, told: &Told) {
    let calls = told.calls.load(Ordering::SeqCst);
    let mut db = connect(url);
    let ended = "SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'";
    let open = "SELECT (SELECT count(*) FROM events WHERE NOT settled)
                     + (SELECT count(*) FROM calls WHERE due_us IS NOT NULL) AS n";
    let mut waited = Duration::ZERO;
    while number(&mut db, ended) < calls as i64 || number(&mut db, open) > 0 {
        assert!(waited < PATIENCE * 2, "{} of {calls} calls ended", number(&mut db, ended));
        std::thread::sleep(Duration::from_millis(50));
        waited += Duration::from_millis(50);
    }
    // Had a call two ends, the second would come within the grace.
    std::thread::sleep(Duration::from_secs(1));

    let tokens = texts(&mut db, "SELECT token AS s FROM events");
    let once: BTreeSet<&String> = tokens.iter().collect();
    assert_eq!(once.len(), tokens.len(), "an event is in the log twice");
    assert_eq!(tokens.len() as u64, calls * 5, "an event is missing, or one came from nowhere");
    let acked = told.acked.lock().unwrap();
    assert!(acked.iter().all(|token| once.contains(token)), "an acknowledged event is lost");
    let ids: BTreeSet<String> = texts(&mut db, "SELECT id AS s FROM calls").into_iter().collect();
    let computed =
        (0..calls).map(|n| CallId::of("test", &format!("{}.{}", 1_795_390_000 + n, n * 2)).to_string());
    assert_eq!(ids, computed.collect(), "a call is missing, or has another name");
    assert_eq!(number(&mut db, ended) as u64, calls);
    let distinct = "SELECT count(DISTINCT call_id) AS n FROM notices WHERE kind = 'call.ended'";
    assert_eq!(number(&mut db, distinct) as u64, calls);
    assert_eq!(number(&mut db, "SELECT count(*) AS n FROM set_aside"), 0);
    let legs = number(&mut db, "SELECT count(*) AS n FROM legs");
    assert_eq!(legs as u64, calls * 2, "a call lacks a leg");
    let corrections = number(&mut db, "SELECT count(*) AS n FROM notices WHERE kind <> 'call.ended'");
    let spooled = told.spooled.load(Ordering::SeqCst);
    println!(
        "{calls} calls, {} events acknowledged, {spooled} written to the spool, {corrections} corrections, settled {waited:?} after the last one",
        acked.len()
    );
}

fn wait(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

#[test]
fn postgresql_that_is_stopped_and_killed_under_load_costs_acks_and_no_event() {
    let Some(cluster) = Cluster::start("") else { return };
    let node = [Node::new()];
    let url = cluster.database(node[0].dir.path());
    let server = node[0].start(&url);
    let told = under_load(&node, || {
        wait(1.0);
        cluster.stop();
        wait(0.3);
        let (status, body) = server.page("/healthz");
        assert_eq!(status, 503, "{body}");
        assert_eq!(server.page("/readyz").0, 503);
        std::thread::sleep(outage());
        cluster.up();
        server.page_when("/healthz", |body| body.contains("\"ok\""));
        wait(1.0);
        // One that hangs holds no call up either.
        cluster.signal("STOP");
        wait(2.0);
        cluster.signal("CONT");
        wait(0.5);
        cluster.kill();
        wait(0.5);
        cluster.up();
        server.page_when("/healthz", |body| body.contains("\"ok\""));
        wait(1.0);
    });
    assert!(told.spooled.load(Ordering::SeqCst) > 0, "nobody noticed");
    let slowest = told.slowest.load(Ordering::SeqCst);
    println!("the longest that a dialplan waited: {slowest} ms");
    assert!(slowest < 1900, "a dialplan waited for {slowest} ms");
    all_is_there_once(&url, &told);
    assert_eq!(server.page("/readyz").0, 200);
    let (status, said) = server.stop();
    assert_eq!(status.code(), Some(0));
    let troubles: Vec<&String> =
        said.iter().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
    println!("{troubles:#?}");
    assert!(troubles.len() < 20, "an outage is not told once:\n{}", said.join("\n"));
}

#[test]
fn two_nodes_that_share_the_events_of_each_call_end_it_once_though_one_is_killed() {
    let Some(cluster) = Cluster::start("") else { return };
    let nodes = [Node::new(), Node::new()];
    let dir: PathBuf = nodes[0].dir.path().to_owned();
    let url = cluster.database(&dir);
    let first = nodes[0].start(&url);
    let mut second = Some(nodes[1].start(&url));
    let told = under_load(&nodes, || {
        for n in 0..3 {
            wait(1.0);
            second.take().unwrap().kill();
            wait(0.2 * f64::from(n));
            second = Some(nodes[1].start(&url));
        }
        wait(1.0);
    });
    all_is_there_once(&url, &told);
    for server in [first, second.unwrap()] {
        assert_eq!(server.stop().0.code(), Some(0));
    }
}
