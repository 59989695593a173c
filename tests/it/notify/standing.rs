//! Who gets nothing at present, who comes and goes while the server runs, and what is written down of each attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use calljournal::config::{Endpoint, Format};
use calljournal::notify::{Endpoints, Notifier};
use calljournal::store::standing::{self, Held};
use calljournal::store::{Lane, calls, marks};
use jiff::SignedDuration;
use tokio::sync::watch;
use uuid::Uuid;

use super::super::{database, number, texts};
use super::{Receiver, Site, delivered};

impl Site {
    async fn hold(&self, endpoint: &'static str, held: Held) {
        let now = self.clock.now();
        let hold = move |db: &mut _| standing::hold(db, endpoint, held, now, "for a test");
        self.store.write(Lane::Settle, "hold", hold).await.unwrap();
    }

    async fn resume(&self, endpoint: &'static str) -> bool {
        self.store.write(Lane::Settle, "resume", move |db| standing::resume(db, endpoint)).await.unwrap()
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        texts(&mut database(self.dir.path()), sql)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_gets_nothing_until_it_is_resumed_and_others_go_on() {
    let (paused, other) = (Receiver::answering(200).await, Receiver::answering(200).await);
    let mut site = Site::new();
    site.sends_to("paused", &paused.url(), 5000);
    site.sends_to("other", &other.url(), 5000);
    site.start();
    site.hold("paused", Held::Paused).await;
    for n in 0..5 {
        site.write(n, &format!("c{n}")).await;
    }
    site.until("the other one has all", |_| other.got().len() == 5).await;
    site.settle_down().await;
    assert!(paused.got().is_empty());
    assert!(site.resume("paused").await);
    assert!(!site.resume("paused").await, "it is resumed already");
    site.until("all is delivered", delivered).await;
    site.stop().await;
    assert_eq!(paused.got().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_410_gets_no_more_and_what_waits_stays_until_it_is_resumed() {
    let receiver = Receiver::answering(410).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("it is gone", |s| s.outcomes("crm") == [Some("gone".to_owned())]).await;
    receiver.status.store(200, Ordering::SeqCst);
    site.write(2, "c2").await;
    site.clock.advance(SignedDuration::from_hours(100));
    site.settle_down().await;
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(site.outcomes("crm")[1], None, "it waits");
    assert_eq!(site.texts("SELECT state AS s FROM endpoint_states WHERE name = 'crm'"), ["stopped"]);
    assert!(site.resume("crm").await);
    site.until("the next one is delivered", |s| s.outcomes("crm")[1] == Some("delivered".to_owned())).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_come_go_and_move_while_the_server_runs() {
    let (old, new) = (Receiver::answering(200).await, Receiver::answering(200).await);
    let mut site = Site::new();
    let crm = |receiver: &Receiver| -> Endpoints {
        let (name, url) = ("crm".to_owned(), receiver.url());
        Arc::new(vec![Endpoint { name, url, timeout_ms: 5000, ..Endpoint::default() }])
    };
    site.sends_to("crm", "http://127.0.0.1:1/", 5000);
    let (who, endpoints) = watch::channel(Endpoints::default());
    let notifier = Notifier::new(site.store.clone(), site.clock.clone(), Vec::new());
    let notifier = notifier.following(endpoints).woken_by(site.bell.clone());
    site.running = Some(tokio::spawn(notifier.run(site.stop.clone())));
    site.write(1, "c1").await;
    site.settle_down().await;
    assert_eq!(site.deliveries()[0].attempts, 0, "nobody is known by that name");
    who.send_replace(crm(&old));
    site.until("it is delivered", delivered).await;
    who.send_replace(crm(&new));
    site.write(2, "c2").await;
    site.until("it is delivered where it is now", delivered).await;
    who.send_replace(Endpoints::default());
    site.write(3, "c3").await;
    site.settle_down().await;
    site.stop().await;
    assert_eq!((old.got().len(), new.got().len()), (1, 1));
    assert_eq!(site.outcomes("crm")[2], None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_is_written_down_with_what_was_answered() {
    let receiver = Receiver::answering(503).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("the first one is recorded", |s| s.deliveries()[0].detail.is_some()).await;
    receiver.status.store(200, Ordering::SeqCst);
    site.clock.advance(SignedDuration::from_secs(7));
    site.until("it is delivered", delivered).await;
    site.stop().await;
    let log = site.texts(
        "SELECT n || ' ' || ((at_us - 1795390723000000) / 1000000) || ' ' || outcome || ' ' || status AS s
         FROM attempts ORDER BY n",
    );
    assert_eq!(log, ["1 0 again 503", "2 7 delivered 200"]);
    assert_eq!(site.texts("SELECT detail AS s FROM attempts WHERE n = 1 AND took_us > 0").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_notice_that_failed_is_not_looked_at_again_before_that_one() {
    let receiver = Receiver::answering(503).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    for n in 1..4 {
        site.write(n, "c1").await;
    }
    site.start();
    site.until("the first one is recorded", |s| s.deliveries()[0].detail.is_some()).await;
    site.stop().await;
    let due: Vec<i64> = site.deliveries().iter().map(|d| d.due_us).collect();
    assert!(due[0] > site.clock.now().as_microsecond(), "{due:?}");
    assert!(due.iter().all(|d| *d == due[0]), "{due:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_format_remembers_goes_along_when_calls_merge() {
    let mut site = Site::new();
    site.sends_to("b24", "http://127.0.0.1:1/", 5000);
    site.write(1, "a").await;
    site.write(2, "b").await;
    let notice = |n: u128| Uuid::from_u128(n).to_string();
    let mark = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (first, second) = (notice(1), notice(2));
    let told = site.store.write(Lane::Settle, "test", move |db| {
        marks::remember(db, "b24", &first, &[mark("id", "X1"), mark("user", "7")])?;
        marks::remember(db, "b24", &second, &[mark("id", "X2"), mark("id", "X\0Y")])?;
        calls::merge(db, "b", "a")?;
        // The attempt was under way meanwhile.
        marks::remember(db, "b24", &second, &[mark("late", "1")])?;
        marks::of_notice(db, "b24", &first)
    });
    let told: Vec<String> =
        told.await.unwrap().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(told, ["b/id=XY", "id=X1", "late=1", "user=7"]);
    let stray = "SELECT count(*) AS n FROM endpoint_marks WHERE call_id <> 'a'";
    assert_eq!(number(&mut database(site.dir.path()), stray), 0);
    assert!(calljournal::notify::format::remembers(Format::Bitrix24));
}
