//! What is promised of notices on their way to a receiver, with real sockets and a real database.

#[path = "notify/formats.rs"]
mod formats;
#[path = "notify/hostile.rs"]
mod hostile;
#[path = "notify/nodes.rs"]
mod nodes;
#[path = "notify/operator.rs"]
mod operator;
#[path = "notify/speed.rs"]
mod speed;
#[path = "notify/standing.rs"]
mod standing;
#[path = "notify/ways.rs"]
mod ways;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use calljournal::clock::Clock;
use calljournal::config::Endpoint;
use calljournal::notify::Notifier;
use calljournal::store::delivery::{self, Attempt, Outcome, Terms};
use calljournal::store::outbox::{self, Notice};
use calljournal::store::{Lane, Store};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A request as a receiver sees it.
#[derive(Debug, Clone, PartialEq)]
struct Got {
    id: String,
    timestamp: String,
    path: String,
    authorization: Option<String>,
    content_type: String,
    body: String,
}

/// A receiver with a status that can be set.
#[derive(Clone)]
struct Receiver {
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Got>>>,
    address: SocketAddr,
}

impl Receiver {
    async fn answering(status: u16) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Receiver { status: Arc::new(status.into()), got: Arc::default(), address };
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

async fn receive(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, HeaderMap) {
    let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    receiver.got.lock().unwrap().push(Got {
        id: header("webhook-id").unwrap(),
        timestamp: header("webhook-timestamp").unwrap(),
        path: uri.to_string(),
        authorization: header("authorization"),
        content_type: header("content-type").unwrap(),
        body,
    });
    let status = StatusCode::from_u16(receiver.status.load(Ordering::SeqCst)).unwrap();
    let mut more = HeaderMap::new();
    if status.is_redirection() {
        more.insert("location", "/elsewhere".parse().unwrap());
    }
    (status, more)
}

/// A receiver that does what `each` does with a connection.
async fn raw<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(each(socket));
        }
    });
    format!("http://{address}/")
}

async fn silent(mut socket: TcpStream) {
    let mut rest = [0; 1024];
    while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
}

/// A journal and a notifier that is rung often.
struct Site {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Store,
    endpoints: Vec<Endpoint>,
    bell: Arc<Notify>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

#[derive(QueryableByName, Debug, Clone, PartialEq)]
struct Delivery {
    #[diesel(sql_type = Text)]
    endpoint: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    detail: Option<String>,
    #[diesel(sql_type = BigInt)]
    due_us: i64,
}

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_second(1_795_390_723).unwrap());
        let store = Store::open(&super::url(dir.path())).unwrap();
        let stop = CancellationToken::new();
        Site { dir, clock, store, endpoints: Vec::new(), bell: Arc::default(), stop, running: None }
    }

    fn sends_to(&mut self, name: &str, url: &str, timeout_ms: u64) {
        let notices = vec!["call.ended".to_owned()];
        self.endpoints.push(Endpoint {
            name: name.to_owned(),
            url: url.to_owned(),
            notices,
            timeout_ms,
            ..Endpoint::default()
        });
    }

    /// Writes notice number `id` of a call, as the settling does.
    async fn write(&self, id: u128, call: &str) {
        let notice = Notice {
            id: Uuid::from_u128(id),
            call: call.to_owned(),
            kind: "call.ended",
            created: self.clock.now(),
            body: format!(r#"{{"call":"{call}"}}"#),
        };
        let names: Vec<String> = self.endpoints.iter().map(|e| e.name.clone()).collect();
        let create = move |db: &mut _| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            outbox::create(db, &notice, &names)
        };
        assert!(self.store.write(Lane::Settle, "test", create).await.unwrap());
    }

    fn start(&mut self) {
        let notifier = Notifier::new(self.store.clone(), self.clock.clone(), self.endpoints.clone());
        self.stop = CancellationToken::new();
        self.running = Some(tokio::spawn(notifier.woken_by(self.bell.clone()).run(self.stop.clone())));
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
    }

    /// As `kill -9` does, but for the store.
    async fn die(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let mut db = super::database(self.dir.path());
        diesel::sql_query("SELECT * FROM deliveries ORDER BY notice_id, endpoint").load(&mut db).unwrap()
    }

    fn outcomes(&self, endpoint: &str) -> Vec<Option<String>> {
        self.deliveries().into_iter().filter(|d| d.endpoint == endpoint).map(|d| d.outcome).collect()
    }

    async fn until(&self, what: &str, done: impl Fn(&Site) -> bool) {
        for _ in 0..1500 {
            if done(self) {
                return;
            }
            self.bell.notify_one();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", self.deliveries());
    }

    /// Time in which something could go wrong.
    async fn settle_down(&self) {
        for _ in 0..20 {
            self.bell.notify_one();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn delivered(site: &Site) -> bool {
    site.deliveries().iter().all(|d| d.outcome.as_deref() == Some("delivered"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_posted_once_as_json_under_its_id() {
    let receiver = Receiver::answering(200).await;
    let mut site = Site::new();
    site.sends_to("crm", &format!("http://me:pass@{}/hook?key=1", receiver.address), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("it is delivered", delivered).await;
    site.settle_down().await;
    site.stop().await;
    let got = Got {
        id: Uuid::from_u128(1).to_string(),
        timestamp: "1795390723".into(),
        path: "/hook?key=1".into(),
        authorization: Some("Basic bWU6cGFzcw==".into()),
        content_type: "application/json".into(),
        body: r#"{"call":"c1"}"#.into(),
    };
    assert_eq!(receiver.got(), [got]);
    let detail = site.deliveries()[0].detail.clone().unwrap();
    assert!(!detail.contains("pass") && !detail.contains("key"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_survive_a_restart_under_the_same_id() {
    let receiver = Receiver::answering(503).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("the first attempt fails", |s| s.deliveries()[0].detail.is_some()).await;
    site.stop().await;
    receiver.status.store(204, Ordering::SeqCst);
    site.start();
    site.settle_down().await;
    assert_eq!(receiver.got().len(), 1, "it is not due yet");
    site.clock.advance(SignedDuration::from_secs(7));
    site.until("it is delivered", delivered).await;
    site.stop().await;
    let ids: Vec<String> = receiver.got().into_iter().map(|g| g.id).collect();
    assert_eq!(ids, [Uuid::from_u128(1).to_string(), Uuid::from_u128(1).to_string()]);
    assert_eq!(site.deliveries()[0].attempts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_was_sending_is_sent_again_when_its_lease_is_over() {
    let mut site = Site::new();
    site.sends_to("crm", &raw(silent).await, 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("it is being sent", |s| s.deliveries()[0].attempts == 1).await;
    site.die().await;
    let receiver = Receiver::answering(200).await;
    site.endpoints[0].url = receiver.url();
    site.start();
    site.settle_down().await;
    assert!(receiver.got().is_empty(), "the other one may still be at it");
    site.clock.advance(SignedDuration::from_secs(36));
    site.until("it is delivered", delivered).await;
    site.stop().await;
    assert_eq!(receiver.got()[0].id, Uuid::from_u128(1).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_never_or_wrong_is_not_asked_again() {
    for (status, outcome) in [(410, "gone"), (404, "refused"), (400, "refused")] {
        let receiver = Receiver::answering(status).await;
        let mut site = Site::new();
        site.sends_to("crm", &receiver.url(), 5000);
        site.write(1, "c1").await;
        site.start();
        site.until(outcome, |s| s.outcomes("crm") == [Some(outcome.to_owned())]).await;
        site.clock.advance(SignedDuration::from_hours(24));
        site.settle_down().await;
        site.stop().await;
        assert_eq!(receiver.got().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_dead_when_the_schedule_is_over() {
    let receiver = Receiver::answering(302).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    site.start();
    for attempt in 1..=9 {
        site.until("it is tried", |_| receiver.got().len() == attempt).await;
        site.until("it is recorded", |s| {
            s.deliveries()[0].outcome.is_some() || s.deliveries()[0].due_us > s.clock.now().as_microsecond()
        })
        .await;
        site.clock.advance(SignedDuration::from_secs(36_000 * 12 / 10));
    }
    site.until("it is dead", |s| s.outcomes("crm") == [Some("dead".to_owned())]).await;
    site.settle_down().await;
    site.stop().await;
    let got = receiver.got();
    assert_eq!(got.len(), 9);
    assert!(got.iter().all(|g| g.path == "/hook"), "redirects are not followed");
    assert!(site.deliveries()[0].detail.as_ref().unwrap().contains("redirects are not followed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_with_many_waiting_slows_no_other() {
    let healthy = Receiver::answering(200).await;
    let mut site = Site::new();
    site.sends_to("dead", &raw(silent).await, 60_000);
    site.sends_to("crm", &healthy.url(), 5000);
    for n in 0..150 {
        site.write(n, &format!("c{n}")).await;
    }
    site.start();
    site.until("the healthy one has all", |s| {
        s.outcomes("crm").iter().all(|o| o.as_deref() == Some("delivered"))
    })
    .await;
    let tried = site.deliveries().iter().filter(|d| d.endpoint == "dead" && d.attempts > 0).count();
    assert_eq!(tried, 4, "as many as may wait at one time");
    assert_eq!(healthy.got().len(), 150);
    site.die().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_receiver_does_ends_in_time_and_in_bounded_memory() {
    let answer = |text: &'static str, more: usize| {
        raw(move |mut socket: TcpStream| async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(text.as_bytes()).await;
            for _ in 0..more {
                if socket.write_all(&[b'x'; 64 * 1024]).await.is_err() {
                    return;
                }
            }
        })
    };
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nthe start";
    let mut site = Site::new();
    site.sends_to("cut", &answer(OK, 0).await, 5000);
    site.sends_to("gigabytes", &answer(OK, 100_000).await, 5000);
    site.sends_to("headers", &answer("HTTP/1.1 200 OK\r\nx: ", 100_000).await, 5000);
    site.sends_to("broken", &answer("what?\r\n\r\n", 0).await, 5000);
    site.sends_to("closes", &answer("", 0).await, 5000);
    site.sends_to("silent", &raw(silent).await, 300);
    site.sends_to("nobody", "http://127.0.0.1:1/", 5000);
    site.sends_to("plain", &answer("HTTP/1.1 400 no\r\n\r\n", 0).await.replace("http:", "https:"), 5000);
    site.write(1, "c1").await;
    site.start();
    site.until("all were tried", |s| s.deliveries().iter().all(|d| d.detail.is_some())).await;
    site.stop().await;
    let outcome = |name: &str| site.outcomes(name)[0].clone().unwrap_or_default();
    assert_eq!(outcome("cut"), "delivered", "the status was told");
    assert_eq!(outcome("gigabytes"), "delivered");
    for name in ["headers", "broken", "closes", "silent", "nobody", "plain"] {
        assert_eq!(outcome(name), "", "{name} is tried again");
    }
    let details: Vec<(String, String)> =
        site.deliveries().into_iter().map(|d| (d.endpoint, d.detail.unwrap())).collect();
    let detail = |name: &str| details.iter().find(|d| d.0 == name).unwrap().1.clone();
    assert!(detail("cut").ends_with("answered 200 OK: the start"), "{}", detail("cut"));
    assert!(detail("silent").contains("within 300 ms"), "{}", detail("silent"));
    assert!(detail("nobody").contains("nobody listens"), "{}", detail("nobody"));
    assert!(detail("plain").contains("does not speak TLS"), "{}", detail("plain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_notice_of_a_call_waits_for_the_earlier_one_but_not_for_ever() {
    let receiver = Receiver::answering(503).await;
    let mut site = Site::new();
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(9, "c1").await;
    site.clock.advance(SignedDuration::from_secs(1));
    site.write(1, "c1").await;
    site.start();
    for attempt in 1..3 {
        site.until("the earlier one is tried", |_| receiver.got().len() == attempt).await;
        site.until("it is recorded", |s| s.deliveries()[1].due_us > s.clock.now().as_microsecond()).await;
        site.settle_down().await;
        site.clock.advance(SignedDuration::from_secs(40));
    }
    site.until("the third attempt is made", |_| receiver.got().len() == 3).await;
    site.until("it is recorded", |s| s.deliveries()[1].due_us > s.clock.now().as_microsecond()).await;
    // Who failed three times in a row gets one attempt a second.
    site.settle_down().await;
    assert_eq!(receiver.got().len(), 3);
    site.clock.advance(SignedDuration::from_secs(2));
    site.until("the later one goes on", |_| receiver.got().len() == 4).await;
    let ids: Vec<String> = receiver.got().into_iter().map(|g| g.id).collect();
    assert_eq!(ids, [9, 9, 9, 1].map(|n| Uuid::from_u128(n).to_string()));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_endpoint_that_is_not_configured_stays() {
    let receiver = Receiver::answering(200).await;
    let mut site = Site::new();
    site.sends_to("old", "ftp://is-no-receiver", 5000);
    site.sends_to("crm", &receiver.url(), 5000);
    site.write(1, "c1").await;
    let old = site.endpoints.remove(0);
    site.start();
    site.until("the other one has it", |s| s.outcomes("crm") == [Some("delivered".to_owned())]).await;
    site.stop().await;
    assert_eq!(site.deliveries()[1].attempts, 0);
    site.endpoints = vec![Endpoint { url: receiver.url(), ..old }];
    site.start();
    site.until("it is configured again", delivered).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_too_slow_does_not_overwrite_what_another_did_since() {
    let mut site = Site::new();
    site.sends_to("crm", "http://127.0.0.1:1/", 5000);
    site.write(1, "c1").await;
    let start = site.clock.now();
    let at = move |s: i64| start.checked_add(SignedDuration::from_secs(s)).unwrap();
    let second = std::time::Duration::from_secs(1);
    let lease = |token: &'static str, now: i64| {
        let terms = move || Terms { endpoint: "crm", now: at(now), attempt: second, token, most: 5 };
        site.store.write(Lane::Settle, "lease", move |db| delivery::lease(db, &terms()))
    };
    let record = |token: &'static str, outcome: Outcome| {
        site.store.write(Lane::Settle, "record", move |db| {
            let notice = &Uuid::from_u128(1).to_string();
            let (began, took, status) = (at(50), second, None);
            let (endpoint, detail, answer, n) = ("crm", "", "", 1);
            let attempt =
                Attempt { notice, endpoint, token, n, began, took, status, detail, answer, outcome };
            delivery::record(db, &attempt, at(60))
        })
    };
    assert_eq!(lease("a", 0).await.unwrap().len(), 1);
    assert_eq!(lease("b", 30).await.unwrap().len(), 0, "it is leased for longer than the attempt may take");
    assert_eq!(lease("b", 31).await.unwrap()[0].attempt, 2);
    assert!(!record("a", Outcome::Dead).await.unwrap());
    assert!(record("b", Outcome::Delivered).await.unwrap());
    assert!(!record("b", Outcome::Dead).await.unwrap());
    let logged = super::texts(&mut super::database(site.dir.path()), "SELECT outcome AS s FROM attempts");
    assert_eq!(logged, ["delivered"], "only what counts is written down");
    assert_eq!(site.outcomes("crm"), [Some("delivered".to_owned())]);
    assert_eq!(lease("c", 90).await.unwrap().len(), 0, "it is done");
}
