//! What is known of the feeds: of a real server beside a manager interface that is cut, and of the door alone where hours pass.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use calljournal::event::{Event, Feed, Kind};
use calljournal::intake::{Intake, Subscription};
use calljournal::store::feeds::{Standing, State, Why};
use jiff::SignedDuration;
use serde_json::Value;

use super::intake::{Journal, event, uid};
use super::manager::talk;
use super::serve::posts_to;
use super::server::{PATIENCE, Server, Telling, count, output, said};

/// A manager interface that has nothing to tell, and can be cut.
struct Manager {
    at: SocketAddr,
    cut: Arc<AtomicBool>,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Manager {
    fn silent() -> Manager {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let (cut, held) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let manager = Manager { at, cut: cut.clone(), held: held.clone() };
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                held.lock().unwrap().extend(talk(socket.unwrap(), b"", true, &Mutex::default()));
            }
        });
        manager
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for socket in self.held.lock().unwrap().drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }

    fn setting(&self) -> String {
        format!("[{{ host = \"{}\", user = \"journal\", secret = \"x\", pbx = \"test\" }}]", self.at)
    }
}

/// The feed of the pbx `test`, as `/healthz` has it.
fn feed(health: &str, feed: &str) -> Value {
    let health: Value = serde_json::from_str(health).unwrap_or_default();
    let all = health["feeds"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["feed"] == feed && one["pbx"] == "test").unwrap_or_default()
}

fn waits_for(server: &Server, name: &str, state: &str) -> String {
    server.page_when("/healthz", |health| feed(health, name)["state"] == state)
}

#[test]
fn a_manager_interface_that_is_cut_is_told_once_and_once_more_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::silent();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let crm = format!(
        "[{{ name = \"admin\", url = \"http://{}/\", notices = [\"feed.down\", \"feed.up\"] }}]",
        receiver.local_addr().unwrap()
    );
    let posts = posts_to(receiver);
    let body = || {
        let post = posts.recv_timeout(PATIENCE).expect("a notice");
        serde_json::from_str::<Value>(post.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let environment = [
        ("CALLJOURNAL_AMI", manager.setting()),
        ("CALLJOURNAL_NOTIFY", crm),
        ("CALLJOURNAL_FEEDS__DOWN_AFTER_S", "1".to_owned()),
    ];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let server = Server::start(dir.path(), &environment);
    let health = waits_for(&server, "ami", "up");
    assert!(health.contains("\"status\":\"ok\""), "{health}");

    manager.cut();
    let health = waits_for(&server, "ami", "down");
    assert!(health.contains("\"status\":\"degraded\""), "{health}");
    assert_eq!((server.page("/healthz").0, server.page("/healthz?strict").0), (200, 503));
    let told = body();
    assert_eq!(
        (&told["type"], &told["data"]["pbx"], &told["data"]["feed"]),
        (&Value::from("feed.down"), &Value::from("test"), &Value::from("ami"))
    );
    assert!(told["data"]["reason"].as_str().unwrap().contains("the connection is away"), "{told}");
    assert!(crate::notices::validator().is_valid(&told), "{told}");
    assert_eq!(told["data"]["since"], feed(&health, "ami")["since"]);
    server.page_when("/metrics", |page| page.contains("calljournal_feed_up{pbx=\"test\",feed=\"ami\"} 0"));
    let http = server.http.to_string();
    let status = |arguments: &[&str]| {
        let mut command = super::server::calljournal(dir.path(), arguments);
        command.env("CALLJOURNAL_HTTP__LISTEN", &http).output().unwrap()
    };
    let shown = status(&["status"]);
    assert_eq!(shown.status.code(), Some(1), "{}", said(&shown));
    assert!(said(&shown).contains("test · AMI: the connection is away"), "{}", said(&shown));

    // Who starts again knows that it was told.
    server.stop();
    let server = Server::start(dir.path(), &environment);
    waits_for(&server, "ami", "down");
    manager.mend();
    waits_for(&server, "ami", "up");
    let told = body();
    assert_eq!((&told["type"], &told["data"]["state"]), (&Value::from("feed.up"), &Value::from("up")));
    assert_eq!(count(dir.path(), "SELECT count(*) AS n FROM notices"), 2);
    let http = server.http.to_string();
    let shown = super::server::calljournal(dir.path(), &["status", "--format", "json"])
        .env("CALLJOURNAL_HTTP__LISTEN", &http)
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["well"], &shown["server"]["answers"]), (&Value::from(true), &Value::from(true)));
    server.stop();

    // What the last server knew is there without one, and that there is none is no good news.
    let shown = output(dir.path(), &["status", "--format", "json"]);
    assert_eq!(shown.status.code(), Some(1));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(feed(&shown.to_string(), "ami")["state"], "up");
}

#[test]
fn a_manager_interface_that_says_nothing_of_what_the_dialplan_tells_is_down() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::silent();
    let setting = manager.setting();
    let environment = [("CALLJOURNAL_AMI", setting.as_str())];
    let server = Server::start(dir.path(), &environment);
    waits_for(&server, "ami", "up");
    for n in 0..10 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64 + 1;
        let caller = format!("{}.{n}", now / 1000);
        assert!(Telling::new("start", &caller, &caller, 1, now, &["num=101", "exten=102"]).tell(server.agi));
        assert!(Telling::new("hangup", &caller, &caller, 2, now + 1, &["cause=16"]).tell(server.agi));
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = waits_for(&server, "ami", "down");
    let ami = feed(&health, "ami");
    assert_eq!(
        (&ami["why"], &ami["missed_today"], &ami["by"]),
        (&Value::from("missed"), &Value::from(10), &Value::from("agi"))
    );
    assert_eq!(
        (&feed(&health, "agi")["state"], &feed(&health, "agi")["told_today"]),
        (&Value::from("up"), &Value::from(10))
    );
    let metrics = server.page("/metrics").1;
    let missed = "calljournal_feed_missed_calls_total{pbx=\"test\",feed=\"ami\"} 10";
    assert!(metrics.contains(missed), "{metrics}");
    let shown = output(dir.path(), &["--locale", "ru", "status"]);
    assert_eq!(shown.status.code(), Some(1));
}

const DOWN_AFTER: SignedDuration = SignedDuration::from_secs(30);

fn standing(intake: &Intake, feed: Feed) -> Standing {
    let all = intake.standings(DOWN_AFTER, "today");
    all.into_iter().find(|one| one.feed == feed).unwrap_or_else(|| panic!("{feed} is not known"))
}

/// What comes of a settled call is known a moment after it is written.
async fn becomes(intake: &Intake, feed: Feed, state: State) -> Standing {
    for _ in 0..200 {
        let now = standing(intake, feed);
        if now.state == state {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", standing(intake, feed));
}

async fn sync(intake: &Intake) {
    intake.sync_feeds(DOWN_AFTER, "today".to_owned()).await.unwrap();
}

fn wants_feeds() -> Vec<Subscription> {
    let kinds = vec!["feed.down".to_owned(), "feed.up".to_owned()];
    vec![Subscription { endpoint: "admin".into(), kinds, ..Subscription::default() }]
}

/// A call of one channel, told by `feed`.
fn short(feed: Feed, n: u32, at: i64) -> Vec<Event> {
    let name = uid(n);
    let told = [
        event(Kind::Start, &name, &name, 1, at, &[]),
        event(Kind::Hangup, &name, &name, 2, at + 1, &["cause=16"]),
    ];
    told.into_iter().map(|told| Event { feed, ..told }).collect()
}

#[tokio::test]
async fn a_dialplan_that_says_nothing_of_what_ami_tells_is_late_until_it_tells_again() {
    let journal = Journal::open();
    journal.intake.linked("office", Feed::Ami);
    journal.accept(&short(Feed::Agi, 0, 0)).await;
    journal.pass(5.0).await;
    for n in 1..=10 {
        journal.accept(&short(Feed::Ami, n, i64::from(n))).await;
    }
    journal.pass(20.0).await;
    let late = becomes(&journal.intake, Feed::Agi, State::Late).await;
    assert_eq!(
        (late.state, late.why, late.missed_today, late.told_today),
        (State::Late, Some(Why::Missed), 10, 1)
    );
    assert_eq!(standing(&journal.intake, Feed::Ami).told_today, 10);
    journal.accept(&short(Feed::Agi, 20, 26)).await;
    journal.pass(5.0).await;
    becomes(&journal.intake, Feed::Agi, State::Up).await;
}

#[tokio::test]
async fn a_heartbeat_that_stops_is_told_once_by_all_nodes_together_and_survives_a_restart() {
    let journal = Journal::open();
    let other = journal.another_node();
    for node in [&journal.intake, &other] {
        node.subscribe(wants_feeds());
    }
    journal.intake.beat("office", Feed::Push);
    sync(&journal.intake).await;
    sync(&other).await;
    assert_eq!(standing(&other, Feed::Push).state, State::Up, "each node knows what the others heard");
    journal.pass(200.0).await;
    assert_eq!(standing(&other, Feed::Push).state, State::Down);
    for _ in 0..3 {
        tokio::join!(sync(&journal.intake), sync(&other));
    }
    assert_eq!(journal.notices(), ["feed.down"]);
    let about = journal.texts("SELECT call_id AS s FROM notices");
    assert_eq!(about, ["feed/office/push"]);
    other.stop().await;
    drop(other);

    let journal = journal.restart(10).await;
    journal.intake.subscribe(wants_feeds());
    sync(&journal.intake).await;
    assert_eq!(standing(&journal.intake, Feed::Push).state, State::Down, "nobody heard otherwise");
    journal.intake.beat("office", Feed::Push);
    journal.pass(31.0).await;
    journal.intake.beat("office", Feed::Push);
    sync(&journal.intake).await;
    journal.pass(31.0).await;
    sync(&journal.intake).await;
    assert_eq!(journal.notices(), ["feed.down", "feed.up"]);
}

#[tokio::test]
async fn nothing_is_written_down_for_nobody_and_a_change_while_nobody_asked_is_not_told_later() {
    let journal = Journal::open();
    journal.intake.broken("office", Feed::Ami, "connection refused", journal.clock.now());
    sync(&journal.intake).await;
    journal.pass(60.0).await;
    sync(&journal.intake).await;
    assert_eq!(standing(&journal.intake, Feed::Ami).state, State::Down);
    journal.intake.subscribe(wants_feeds());
    sync(&journal.intake).await;
    assert!(journal.notices().is_empty(), "{:?}", journal.notices());
}

#[test]
fn asterisks_own_records_are_a_feed_from_when_they_were_read_but_not_from_when_they_were_tried() {
    let dir = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records/asterisk16.csv");
    let import = ["import", file, "--timezone", "UTC", "--pbx", "test"];
    assert!(output(dir.path(), &import).status.success());
    let cdr = || {
        let shown = output(dir.path(), &["status", "--format", "json"]);
        feed(&String::from_utf8_lossy(&shown.stdout), "cdr")
    };
    let first = cdr();
    assert_eq!(first["state"], "up", "{first}");
    assert!(output(dir.path(), &[&import[..], &["--dry-run"]].concat()).status.success());
    assert_eq!(cdr(), first);
    assert!(output(dir.path(), &import).status.success());
    let again = cdr();
    assert!(again["last_event"] != first["last_event"] && again["since"] == first["since"], "{again}");
}
