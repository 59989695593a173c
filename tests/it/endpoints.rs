//! Receivers that subscribe over HTTP, asked as a CRM would ask: with a socket and a token.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use calljournal::api::{self, endpoints::Desk};
use calljournal::clock::Clock;
use calljournal::config::{Right, Secret, Subscribe, Token};
use calljournal::store::{Store, endpoints as table};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const CRM: &str = "crm-0123456789abcdef";
const DESK: &str = "desk-0123456789abcdef";
/// Good for something else.
const BRANCH: &str = "branch-0123456789abcdef";

struct Site {
    _dir: tempfile::TempDir,
    address: SocketAddr,
    store: Store,
    subscribe: Subscribe,
    changes: Arc<AtomicUsize>,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Site {
    async fn new() -> Site {
        Site::reaching(&[]).await
    }

    /// One whose receivers may be in these networks too.
    async fn reaching(networks: &[&str]) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&super::url(dir.path())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let changes = Arc::new(AtomicUsize::new(0));
        let counted = changes.clone();
        let reach = networks.iter().map(|network| network.parse().unwrap()).collect();
        let subscribe = Subscribe { most: 3, reach };
        let desk = Desk {
            store: store.clone(),
            clock: Clock::manual(Timestamp::from_second(1_795_390_723).unwrap()),
            subscribe: subscribe.clone(),
            taken: Arc::new(BTreeSet::from(["configured".to_owned()])),
            changed: Arc::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                Box::pin(async {})
            }),
        };
        let token = |name: &str, secret| Token {
            name: name.into(),
            secret: Secret::new(secret),
            may: vec![if name == "branch" { Right::Spool } else { Right::Subscribe }],
        };
        let routes =
            api::subscriptions(desk, vec![token("crm", CRM), token("desk", DESK), token("branch", BRANCH)]);
        tokio::spawn(api::serve(listener, routes, CancellationToken::new()));
        Site { _dir: dir, address, store, subscribe, changes }
    }

    /// Asks with `token`; without one as a program of this machine.
    async fn ask(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    async fn raw(&self, request: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        let _ = socket.read_to_end(&mut text).await;
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
    }

    async fn names(&self) -> Vec<String> {
        let all = self.store.read("endpoints", table::all).await.unwrap();
        all.into_iter().map(|one| one.name).collect()
    }
}

fn wish() -> Value {
    json!({ "name": "leads", "url": "https://crm.example.com/hook", "direction": ["inbound"], "missed": true })
}

#[tokio::test]
async fn a_receiver_subscribes_is_listed_without_its_secret_and_leaves() {
    let site = Site::new().await;
    let made = site.ask(Some(CRM), "POST", "/api/v1/endpoints", &wish()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 30, "{secret}");
    assert_eq!((&made.body["name"], &made.body["owner"]), (&json!("leads"), &json!("crm")));

    let stored = site.store.read("endpoints", table::all).await.unwrap();
    let known = api::endpoints::receivers(&stored, &site.subscribe);
    assert_eq!(known[0].secret[0].reveal(), secret);
    assert_eq!((known[0].missed, known[0].reach.as_deref()), (true, Some(&[][..])));

    let listed = site.ask(Some(CRM), "GET", "/api/v1/endpoints", &Value::Null).await;
    assert_eq!(listed.body["endpoints"][0]["url"], "https://crm.example.com/hook");
    let one = site.ask(Some(CRM), "GET", "/api/v1/endpoints/leads", &Value::Null).await;
    assert!(!format!("{}{}", listed.body, one.body).contains("whsec_"));

    let gone = site.ask(Some(CRM), "DELETE", "/api/v1/endpoints/leads", &Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(site.names().await, Vec::<String>::new());
    assert_eq!(site.changes.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_receiver_is_paused_and_resumed_by_who_owns_it() {
    let site = Site::new().await;
    assert_eq!(site.ask(Some(CRM), "POST", "/api/v1/endpoints", &wish()).await.body["state"], "active");
    let ask = |token, what: &str| {
        site.ask(Some(token), "POST", format!("/api/v1/endpoints/leads/{what}").leak(), &Value::Null)
    };
    assert_eq!(ask(DESK, "pause").await.status, 404);
    let paused = ask(CRM, "pause").await;
    assert_eq!((paused.status, &paused.body["state"]), (200, &json!("paused")));
    assert_eq!(paused.body["reason"], "paused over HTTP by crm");
    let held = site.store.read("states", calljournal::store::standing::all).await.unwrap();
    assert_eq!(held[0].endpoint, "leads");
    assert_eq!(ask(CRM, "resume").await.body["state"], "active");
}

#[tokio::test]
async fn a_receiver_is_tried_at_once_and_what_came_of_it_is_told() {
    let site = Site::reaching(&["127.0.0.0/8"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let made =
        site.ask(Some(CRM), "POST", "/api/v1/endpoints", &json!({ "name": "leads", "url": url })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let receiver = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("\"test\":true") {
            assert!(socket.read_buf(&mut text).await.unwrap() > 0);
        }
        let answer = "HTTP/1.1 202 Accepted\r\nContent-Length: 6\r\n\r\nsecret";
        socket.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(text).unwrap()
    });
    let path = "/api/v1/endpoints/leads/test";
    let tried = site.ask(Some(CRM), "POST", path, &Value::Null).await;
    assert_eq!((&tried.body["delivered"], &tried.body["status"]), (&json!(true), &json!(202)));
    assert!(!tried.body.to_string().contains("secret"), "{}", tried.body);
    assert!(receiver.await.unwrap().contains("webhook-signature: v1,"));
    // Now nobody listens.
    let tried = site.ask(Some(CRM), "POST", path, &Value::Null).await;
    assert_eq!(tried.body["delivered"], false);
    assert!(tried.body["detail"].as_str().unwrap().contains("nobody listens"), "{}", tried.body);
    assert_eq!(site.ask(Some(DESK), "POST", path, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn who_holds_no_token_and_is_not_at_the_machine_is_turned_away() {
    let site = Site::new().await;
    for head in [
        "Authorization: Bearer wrong-0123456789",
        "Authorization: Basic Y3JtOng=",
        "X-Forwarded-For: 127.0.0.1",
        "Origin: https://attacker.example",
    ] {
        let answer =
            site.raw(&format!("GET /api/v1/endpoints HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n")).await;
        // A wrong kind of authorization is none, and the socket is of this machine.
        let expected = if head.contains("Basic") { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{head}");
        if expected == 401 {
            assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        }
    }
    let answer = site.raw("GET /api/v1/endpoints HTTP/1.1\r\nHost: rebound.example\r\n\r\n").await;
    assert_eq!(answer.status, 401);
    let other = site.ask(Some(BRANCH), "GET", "/api/v1/endpoints", &Value::Null).await;
    assert_eq!(other.status, 403, "a token that is good for something else");
}

#[tokio::test]
async fn each_holder_sees_and_changes_his_own_and_who_is_at_the_machine_all() {
    let site = Site::new().await;
    assert_eq!(site.ask(Some(CRM), "POST", "/api/v1/endpoints", &wish()).await.status, 201);
    let theirs = site.ask(Some(DESK), "GET", "/api/v1/endpoints", &Value::Null).await;
    assert_eq!(theirs.body, json!({ "endpoints": [] }));
    for (method, path) in [("GET", "leads"), ("DELETE", "leads"), ("GET", "nobody")] {
        let path = format!("/api/v1/endpoints/{path}");
        assert_eq!(site.ask(Some(DESK), method, &path, &Value::Null).await.status, 404);
    }
    assert_eq!(site.ask(None, "GET", "/api/v1/endpoints/leads", &Value::Null).await.status, 200);
    assert_eq!(site.ask(None, "DELETE", "/api/v1/endpoints/leads", &Value::Null).await.status, 204);
}

#[tokio::test]
async fn what_cannot_work_or_is_not_allowed_is_refused_in_words() {
    let site = Site::new().await;
    let with = |key: &str, value: Value| {
        let mut wish = wish();
        wish[key] = value;
        wish
    };
    for (status, body, word) in [
        (422, with("command", json!(["/bin/sh"])), "no such key: command"),
        (422, with("format", json!("template")), ""),
        (422, with("format", json!("fax")), "fax"),
        (422, with("url", json!("http://127.0.0.1:8573/metrics")), "127.0.0.1 is not a public address"),
        (422, with("url", json!("http://[::1]/")), "::1 is not a public address"),
        (422, with("url", json!("gopher://x")), "url"),
        (422, with("notices", json!(["call.over"])), "call.over"),
        (422, with("name", json!("../x")), "name"),
        (409, with("name", json!("configured")), "there is a receiver of this name"),
        (400, json!([]), "object"),
    ] {
        let answer = site.ask(Some(CRM), "POST", "/api/v1/endpoints", &body).await;
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(answer.status == status && detail.contains(word), "{body}: {} {detail}", answer.status);
    }
    let answer =
        site.raw("POST /api/v1/endpoints HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n{a}").await;
    assert_eq!(answer.status, 400);
    let much = format!("\"{}\"", "a".repeat(100_000));
    let head = format!(
        "POST /api/v1/endpoints HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        much.len()
    );
    let answer = site.raw(&format!("{head}{much}")).await;
    assert_eq!(answer.status, 413);
    assert_eq!(site.names().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_taken_once_and_no_holder_has_more_than_the_limit() {
    let site = Site::new().await;
    assert_eq!(site.ask(Some(CRM), "POST", "/api/v1/endpoints", &wish()).await.status, 201);
    assert_eq!(site.ask(Some(CRM), "POST", "/api/v1/endpoints", &wish()).await.status, 409);
    assert_eq!(site.ask(Some(DESK), "POST", "/api/v1/endpoints", &wish()).await.status, 409);
    let nameless = json!({ "url": "https://crm.example.com/hook" });
    for status in [201, 201, 409] {
        assert_eq!(site.ask(Some(CRM), "POST", "/api/v1/endpoints", &nameless).await.status, status);
    }
    assert_eq!(site.ask(Some(DESK), "POST", "/api/v1/endpoints", &nameless).await.status, 201);
    assert_eq!(site.names().await.len(), 4);
}

#[tokio::test]
async fn programs_for_virtual_pbxes_subscribe_in_their_own_shape() {
    let site = Site::new().await;
    let path = "/events/subscribe";
    let wish = json!({
        "event_name": "end.call", "webhook_url": "https://crm.example.com/hook",
        "auth_type": "RequestBodyAuth", "auth_string": "s3cret", "auth_field": "token",
    });
    let made = site.ask(Some(CRM), "POST", path, &wish).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(site.ask(Some(CRM), "POST", path, &wish).await.status, 409);
    assert_eq!(site.ask(Some(DESK), "POST", path, &wish).await.status, 200);
    let listed = site.ask(Some(CRM), "GET", path, &Value::Null).await;
    let one = json!({
        "event_name": "end.call", "webhook_url": "https://crm.example.com/hook",
        "auth_type": "RequestBodyAuth", "auth_field": "token",
    });
    assert_eq!(listed.body, json!([one]));

    let stored = site.store.read("endpoints", table::all).await.unwrap();
    let known = api::endpoints::receivers(&stored, &site.subscribe);
    assert_eq!((known.len(), known[0].notices.as_slice()), (2, &["call.ended".to_owned()][..]));

    for (key, value) in [
        ("event_name", json!("call.over")),
        ("auth_type", json!("Digest")),
        ("auth_string", json!("")),
        ("webhook_url", json!("http://10.0.0.1/")),
    ] {
        let mut wrong = wish.clone();
        wrong["event_name"] = json!("start.call");
        wrong[key] = value;
        assert_eq!(site.ask(Some(CRM), "POST", path, &wrong).await.status, 422, "{wrong}");
    }
    let which = "/events/subscribe?event_name=end.call";
    assert_eq!(site.ask(Some(CRM), "DELETE", which, &Value::Null).await.status, 200);
    assert_eq!(site.ask(Some(CRM), "DELETE", which, &Value::Null).await.status, 204);
    assert_eq!(site.names().await, ["desk.end.call"]);
}
