//! The real server on a real PostgreSQL that goes away, and two servers on one database of which one dies.
//!
//! The dialplans do what ours does: an event without an ack is written to the spool of the server that it was
//! told to. At the end every event is in the log once, every call in the journal once, and its end was told once;
//! what was told is corrected only where a whole phone of the call came by the spool.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use calljournal::call::CallId;

use crate::cluster::Cluster;
use crate::server::{PATIENCE, Server, Telling, plain_call};
use crate::sqlite::{connect, number, texts};

/// How many dialplans talk at once, and how long each waits between two events; ten times as long without an ack,
/// or most of what is counted in the end would be of the outage.
const DIALPLANS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(2);

/// The second of the first call.
const FIRST: u64 = 1_795_390_000;

/// The budget of an ack where nothing is set, and what a busy machine may take longer to say that it is over. Who
/// waited for a database that hangs would wait longer than both.
const BUDGET: Duration = Duration::from_millis(250);
const BUSY: Duration = Duration::from_secs(1);

/// How long a database hangs here.
const HANGS: Duration = Duration::from_secs(2);

/// How long PostgreSQL is away: as promised, or as long as somebody wants to look at it.
fn outage() -> Duration {
    let asked = std::env::var("CALLJOURNAL_TEST_OUTAGE_S").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(asked.unwrap_or(10))
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
            // Longer than any outage: an event that is known to be missing is waited for until it is there.
            ("CALLJOURNAL_CALL__GAP_MS", "300000"),
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
    /// How long dialplans waited, with an ack in the end and without one.
    waits: Mutex<[Vec<Duration>; 2]>,
    enough: AtomicBool,
}

impl Told {
    /// Nobody waited for what could not be done in time.
    fn was_answered_in_time(&self) {
        let mut waits = self.waits.lock().unwrap();
        for (what, waits) in ["with an ack", "without one"].into_iter().zip(waits.iter_mut()) {
            waits.sort();
            let Some(longest) = waits.last() else { continue };
            let [half, most] = [50, 99].map(|percent| waits[(waits.len() - 1) * percent / 100]);
            println!("{} waits {what}: p50 {half:?}, p99 {most:?}, longest {longest:?}", waits.len());
            assert!(*longest < BUDGET + BUSY, "a dialplan waited for {longest:?}, {what} in the end");
        }
    }
}

/// The events of call number `call`, and the id that it gets.
fn events(call: u64) -> VecDeque<Telling> {
    plain_call(call * 2, FIRST + call)
}

fn id(call: u64) -> String {
    CallId::of("test", &format!("{}.{}", FIRST + call, call * 2)).to_string()
}

/// Whole calls, each event to one of the nodes, until it is enough.
fn talk(nodes: &[Node], told: &Told, seed: u64) {
    let mut dice = seed;
    while !told.enough.load(Ordering::SeqCst) {
        let call = told.calls.fetch_add(1, Ordering::SeqCst);
        for telling in events(call) {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let node = &nodes[(dice >> 33) as usize % nodes.len()];
            let agi = *node.agi.lock().unwrap();
            let since = Instant::now();
            let acked = telling.tell(agi);
            told.waits.lock().unwrap()[usize::from(!acked)].push(since.elapsed());
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

/// Waits until every call is told as ended, then counts everything. Gives back the calls that were told otherwise
/// after that.
fn all_is_there_once(url: &str, told: &Told) -> BTreeSet<String> {
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
    assert_eq!(ids, (0..calls).map(id).collect(), "a call is missing, or has another name");
    assert_eq!(number(&mut db, ended) as u64, calls);
    let distinct = "SELECT count(DISTINCT call_id) AS n FROM notices WHERE kind = 'call.ended'";
    assert_eq!(number(&mut db, distinct) as u64, calls);
    assert_eq!(number(&mut db, "SELECT count(*) AS n FROM set_aside"), 0);
    let legs = number(&mut db, "SELECT count(*) AS n FROM legs");
    assert_eq!(legs as u64, calls * 2, "a call lacks a leg");
    let corrected = "SELECT DISTINCT call_id AS s FROM notices WHERE kind <> 'call.ended'";
    let corrected: BTreeSet<String> = texts(&mut db, corrected).into_iter().collect();
    told_otherwise_only_for_a_reason(&acked, calls, &corrected);
    let spooled = told.spooled.load(Ordering::SeqCst);
    println!(
        "{calls} calls, {} events acknowledged, {spooled} written to the spool, {} calls corrected, settled {waited:?} after the last one",
        acked.len(),
        corrected.len()
    );
    corrected
}

/// An end is told too early only where nothing shows that something is missing. One event of a channel shows that
/// others are, and the phone's show that there is a caller. So what was told of a call may be corrected where each
/// event of its phone came late, by the spool; never where one was acknowledged at once, let alone all.
fn told_otherwise_only_for_a_reason(acked: &BTreeSet<String>, calls: u64, corrected: &BTreeSet<String>) {
    let mut at_once = 0;
    for call in 0..calls {
        let known = |event: &Telling| acked.contains(&event.token);
        let events = events(call);
        at_once += u64::from(events.iter().all(known));
        let phone = format!("{}.{}-", FIRST + call, call * 2 + 1);
        let mut phones = events.iter().filter(|event| event.token.starts_with(&phone));
        let may_be = !phones.any(known);
        assert!(may_be || !corrected.contains(&id(call)), "call {call} is told otherwise: {events:#?}");
    }
    assert!(at_once > 0, "no call had all its acks");
    println!("{at_once} calls had all their acks");
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
        std::thread::sleep(HANGS);
        cluster.signal("CONT");
        wait(0.5);
        cluster.kill();
        wait(0.5);
        cluster.up();
        server.page_when("/healthz", |body| body.contains("\"ok\""));
        wait(1.0);
    });
    assert!(told.spooled.load(Ordering::SeqCst) > 0, "nobody noticed");
    const { assert!(HANGS.as_millis() > BUDGET.as_millis() + BUSY.as_millis()) };
    told.was_answered_in_time();
    all_is_there_once(&url, &told);
    assert_eq!(server.page("/readyz").0, 200);
    let (status, said) = server.stop();
    assert_eq!(status.code(), Some(0));
    let troubles: Vec<&String> =
        said.iter().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
    println!("{troubles:#?}");
    // A handful for each of the three troubles, and not one for each of the hundreds of events without an ack.
    assert!(troubles.len() < 40, "an outage is not told once:\n{}", said.join("\n"));
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
    told.was_answered_in_time();
    all_is_there_once(&url, &told);
    for server in [first, second.unwrap()] {
        assert_eq!(server.stop().0.code(), Some(0));
    }
}

#[test]
fn a_call_is_told_otherwise_only_where_all_events_of_its_phone_came_late() {
    let Some(cluster) = crate::cluster::shared() else { return };
    let node = Node::new();
    let url = cluster.database(node.dir.path());
    let server = node.start(&url);
    // A call for each choice of its five events that are acknowledged at once.
    let told = Told::default();
    told.calls.store(1 << 5, Ordering::SeqCst);
    let mut late = String::new();
    for call in 0..1 << 5 {
        for (n, telling) in events(call).into_iter().enumerate() {
            if call & (1 << n) == 0 {
                late += &telling.frame();
            } else {
                assert!(telling.tell(server.agi));
                told.acked.lock().unwrap().insert(telling.token);
            }
        }
    }
    // Start and hangup of the caller look like a whole call; the only other one that is over has all events.
    let no_phone = 0b10001;
    let over = [no_phone, 0b11111].map(id);
    let mut db = connect(&url);
    let mut ended =
        || texts(&mut db, "SELECT call_id AS s FROM notices WHERE kind = 'call.ended' ORDER BY 1");
    let mut waited = Duration::ZERO;
    while ended().len() < over.len() {
        assert!(waited < PATIENCE, "{:?}", ended());
        std::thread::sleep(Duration::from_millis(50));
        waited += Duration::from_millis(50);
    }
    wait(1.0);
    assert_eq!(ended(), over);
    node.spool.lock().unwrap().write_all(late.as_bytes()).unwrap();
    assert_eq!(all_is_there_once(&url, &told), BTreeSet::from([id(no_phone)]));
    server.stop();
}
