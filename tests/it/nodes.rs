//! What is promised of PostgreSQL alone: several nodes on one database, two lanes that do not wait for each other,
//! and a connection that may be lost at any time.

use std::process::Command;
use std::time::Duration;

use calljournal::clock::Clock;
use calljournal::event::{Event, Kind};
use calljournal::intake::{Intake, Policy, Subscription};
use calljournal::store::{Db, Lane, Store, StoreError, hold};
use diesel::connection::SimpleConnection;
use jiff::{SignedDuration, Timestamp};

use crate::intake::{RULES, T0, answered, event, uid};
use crate::sqlite::{connect, number, texts};
use crate::{cluster, server};

/// Nodes that share a database and a clock moved by hand.
pub struct Site {
    url: String,
    clock: Clock,
    stores: Vec<Store>,
    pub nodes: Vec<Intake>,
    _dir: tempfile::TempDir,
}

impl Site {
    /// `None` where the tests may go without PostgreSQL, which was said already.
    pub fn open(nodes: usize) -> Option<Site> {
        let dir = tempfile::tempdir().unwrap();
        let url = cluster::shared()?.database(dir.path());
        let clock = Clock::manual(Timestamp::from_second(T0).unwrap());
        let stores: Vec<Store> = (0..nodes).map(|_| Store::open(&url).unwrap()).collect();
        let crm = || Subscription {
            endpoint: "crm".into(),
            kinds: vec!["call.ended".into()],
            corrections: true,
            ..Subscription::default()
        };
        let start = |store: &Store| {
            let policy = Policy { subscriptions: vec![crm()], ..RULES.into() };
            let node = Intake::start(store.clone(), clock.clone(), policy);
            node.release_deadlines();
            node
        };
        let nodes = stores.iter().map(start).collect();
        Some(Site { url, clock, stores, nodes, _dir: dir })
    }

    fn sql(&self) -> Db {
        connect(&self.url)
    }

    fn number(&self, sql: &str) -> i64 {
        number(&mut self.sql(), sql)
    }

    pub fn texts(&self, sql: &str) -> Vec<String> {
        texts(&mut self.sql(), sql)
    }

    /// Moves the clock and waits until nothing is unsettled and no deadline is overdue.
    pub async fn pass(&self, seconds: f64) {
        self.clock.advance(SignedDuration::from_secs_f64(seconds));
        let now = self.clock.now().as_microsecond();
        let waiting = format!(
            "SELECT (SELECT count(*) FROM events WHERE NOT settled)
                  + (SELECT count(*) FROM calls WHERE due_us <= {now}) AS n"
        );
        self.until(&waiting, 0).await;
    }

    async fn until(&self, sql: &str, wanted: i64) {
        for _ in 0..1000 {
            if self.number(sql) == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{sql} is {} and not {wanted}", self.number(sql));
    }
}

const CALLS: &str = "SELECT count(*) AS n FROM calls";
const ENDED: &str = "SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'";

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_call_may_go_to_any_node_in_any_order_and_come_to_the_same() {
    let (Some(alone), Some(many)) = (Site::open(1), Site::open(3)) else { return };
    // Some of the calls are tied together afterwards, so that nodes meet at calls that become one.
    let mut events: Vec<Event> = (0..24).flat_map(|n| answered(10 * n)).collect();
    for n in (1..24).step_by(3) {
        let mut tie = event(Kind::Note, &uid(10 * n), &uid(10 * (n - 1)), 3, 21, &["text=tie"]);
        tie.root = Some(uid(10 * n));
        events.push(tie);
    }
    let mut dice = 7u64;
    let mut throw = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (dice >> 33) as usize % sides
    };
    for i in (1..events.len()).rev() {
        events.swap(i, throw(i + 1));
    }
    let mut told = Vec::new();
    for event in events {
        alone.nodes[0].accept(vec![event.clone()]).await.unwrap();
        let node = many.nodes[throw(3)].clone();
        told.push(tokio::spawn(async move { node.accept(vec![event]).await.unwrap() }));
    }
    for one in told {
        one.await.unwrap();
    }
    for site in [&alone, &many] {
        site.pass(60.0).await;
        assert_eq!(site.number(CALLS), 16);
        assert_eq!(site.number(ENDED), 16);
        assert_eq!(site.number("SELECT count(*) AS n FROM set_aside"), 0);
        let strays = "SELECT count(*) AS n FROM members WHERE call_id NOT IN (SELECT id FROM calls)";
        assert_eq!(site.number(strays), 0);
    }
    let docs = |site: &Site| site.texts("SELECT doc AS s FROM calls ORDER BY id");
    assert_eq!(docs(&alone), docs(&many));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_works_on_is_left_to_it_and_keeps_up_no_other_call() {
    let Some(site) = Site::open(1) else { return };
    let mut other = site.sql();
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock(25451, {})", hold::slot("office", &uid(0)));
    other.batch_execute(&lock).unwrap();
    for n in [0, 10, 20] {
        site.nodes[0].accept(answered(n)).await.unwrap();
    }
    site.until(CALLS, 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(site.number(CALLS), 2, "it was settled behind another node's back");
    other.batch_execute("COMMIT").unwrap();
    site.until(CALLS, 3).await;
    site.pass(60.0).await;
    assert_eq!(site.number(ENDED), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_left_is_settled_by_the_others() {
    let Some(site) = Site::open(1) else { return };
    let dead = Store::open(&site.url).unwrap();
    let events = answered(0);
    let append = move |db: &mut _| {
        let events: Vec<&Event> = events.iter().collect();
        calljournal::store::ledger::append(db, &events)
    };
    assert_eq!(dead.write(Lane::Accept, "accept", append).await.unwrap(), [true; 5]);
    drop(dead);
    site.pass(60.0).await;
    assert_eq!(site.number(ENDED), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_does_not_wait_for_a_settle() {
    let Some(site) = Site::open(1) else { return };
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let settle = site.stores[0].write(Lane::Settle, "long", move |_| Ok(gate.recv().is_ok()));
    site.nodes[0].accept(answered(0)).await.unwrap();
    go.send(()).unwrap();
    assert!(settle.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_again_does_not_wait_for_whoever_settles_it() {
    let Some(site) = Site::open(1) else { return };
    site.nodes[0].accept(answered(0)).await.unwrap();
    site.pass(60.0).await;
    let mut settles = site.sql();
    settles.batch_execute("BEGIN; UPDATE events SET note = note").unwrap();
    let again = site.nodes[0].accept(answered(0).into_iter().chain(answered(10)).collect()).await.unwrap();
    assert_eq!((again.fresh, again.duplicates), (5, 5));
    settles.batch_execute("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_told_the_same_in_another_order_do_not_stop_each_other() {
    let Some(site) = Site::open(2) else { return };
    for round in 0..20 {
        let there: Vec<Event> =
            (0..100).map(|n| event(Kind::Note, &uid(n), &uid(n), 1 + round, 0, &[])).collect();
        let back = there.iter().rev().cloned().collect();
        let (a, b) = tokio::join!(site.nodes[0].accept(there), site.nodes[1].accept(back));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.fresh + b.fresh, a.duplicates + b.duplicates), (100, 100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_lost_while_nobody_used_it_costs_no_ack() {
    let Some(site) = Site::open(1) else { return };
    let lose = "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for n in 0..3 {
        site.nodes[0].accept(answered(10 * n)).await.unwrap();
        assert!(site.number(lose) > 0);
        // Those that read too.
        assert!(site.stores[0].counts().await.is_ok());
    }
    site.pass(60.0).await;
    assert_eq!(site.number(ENDED), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_durable_whatever_the_database_does_for_others() {
    let Some(site) = Site::open(1) else { return };
    let mut db = site.sql();
    let name = &texts(&mut db, "SELECT current_database()::text AS s")[0];
    db.batch_execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).unwrap();
    assert_eq!(texts(&mut site.sql(), "SELECT current_setting('synchronous_commit') AS s"), ["off"]);
    let store = Store::open(&site.url).unwrap();
    for lane in [Lane::Accept, Lane::Settle] {
        let asked =
            store.write(lane, "ask", |db| Ok(texts(db, "SELECT current_setting('synchronous_commit') AS s")));
        assert_eq!(asked.await.unwrap(), ["on"]);
    }
}

#[test]
fn tls_is_refused_with_the_ways_around_it() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("postgres://u:geheim@127.0.0.1:1/calls?sslmode={mode}");
        let error = Store::open(&url).err().unwrap();
        assert!(matches!(error, StoreError::NoTls(_)), "{error}");
        let error = error.to_string();
        for word in ["tunnel", "sslmode", "libpq"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[test]
fn a_server_that_starts_while_postgresql_is_away_says_what_to_do_and_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let url = "postgres://calljournal:geheim@127.0.0.1:1/calls";
    for command in ["serve", "check", "calls", "migrate"] {
        let ended = server::calljournal(dir.path(), &[command])
            .env("CALLJOURNAL_STORE__URL", url)
            .env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0")
            .env("CALLJOURNAL_HTTP__LISTEN", "127.0.0.1:0")
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(1), "{command}");
        let said = server::said(&ended);
        for word in ["postgres://calljournal@127.0.0.1:1/calls", "check that PostgreSQL runs there"] {
            assert!(said.contains(word), "{command}: {said}");
        }
        assert!(!said.contains("geheim"), "{command}: {said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn names_of_locks_are_the_same_on_every_node_and_in_every_version() {
    assert_eq!([uid(0), uid(1)].map(|name| hold::slot("office", &name)), [3458, 592]);
}

#[test]
fn without_postgresql_a_test_of_it_fails_and_says_what_to_install_unless_that_is_allowed_by_name() {
    let try_one = |allowed: Option<&str>| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        // Any test of this file.
        test.args(["--exact", "nodes::an_accept_does_not_wait_for_a_settle"])
            .env(cluster::PROGRAMS, "/nowhere")
            .env_remove(cluster::WITHOUT);
        let ended = test.envs(allowed.map(|value| (cluster::WITHOUT, value))).output().unwrap();
        let said = server::said(&ended);
        assert!(said.contains("running 1 test"), "{said}");
        (ended.status.success(), said)
    };
    for not_allowed in [None, Some(""), Some("0")] {
        let (passed, said) = try_one(not_allowed);
        assert!(!passed, "{said}");
        for word in ["apt-get install postgresql", "CALLJOURNAL_WITHOUT_POSTGRES=1"] {
            assert!(said.contains(word), "{said}");
        }
    }
    let (passed, said) = try_one(Some("1"));
    assert!(passed && said.contains("POSTGRESQL IS NOT INSTALLED"), "{said}");
}
