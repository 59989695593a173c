//! Formats on their way: what a receiver gets over a real socket, or a program on its standard input, when the server is
//! killed and receivers lose their answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use calljournal::config::{Endpoint, Format};
use calljournal::store::outbox::{self, Notice};
use calljournal::store::{Lane, StoreError};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::Site;

const CALL: &str = "01a20a7b-6e18-8000-813e-87c6f56c4166";

/// A call from outside that rings 101, or is over.
fn call(disposition: &str) -> Value {
    json!({
        "id": CALL, "pbx": "office", "linkedid": "1795386100.6", "direction": "inbound", "trunk": "73510000001",
        "source": { "number": "79190000001", "name": "\"Ivan\"\r\nX-Evil: {{ 1 }}" }, "destination": "73510000001",
        "started_at": "2026-11-22T17:21:40.1Z", "ended_at": "2026-11-22T17:21:44Z", "disposition": disposition,
        "wait_ms": 1400, "talk_ms": 2000, "steps": [], "conversations": [],
        "remarks": [{ "text": "https://pbx.example.com/rec/a.wav", "recording": true }],
        "legs": [{ "role": "called", "number": "101", "trunk": null }],
    })
}

impl Site {
    fn tells(&mut self, name: &str, format: Format, url: &str) -> &mut Endpoint {
        self.sends_to(name, url, 2000);
        let endpoint = self.endpoints.last_mut().unwrap();
        (endpoint.format, endpoint.timezone) = (format, Some("UTC".to_owned()));
        endpoint
    }

    /// Writes a notice of the one call, as the settling does.
    async fn notice(&self, id: u128, kind: &'static str, data: &Value) {
        let created = self.clock.now();
        let about = json!({ "role": "called", "number": "101" });
        let body = json!({ "type": kind, "timestamp": created, "data": data, "about": about }).to_string();
        let notice = Notice { id: Uuid::from_u128(id), call: CALL.to_owned(), kind, created, body };
        let names: Vec<String> = self.endpoints.iter().map(|e| e.name.clone()).collect();
        let create = move |db: &mut _| -> Result<bool, StoreError> {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            outbox::create(db, &notice, &names)
        };
        assert!(self.store.write(Lane::Settle, "test", create).await.unwrap());
    }

    /// So late that whatever is tried again is due.
    fn wait_for_retries(&self) {
        self.clock.advance(SignedDuration::from_hours(1));
    }

    fn outcome(&self, id: u128) -> Option<String> {
        let id = Uuid::from_u128(id).to_string();
        let sql = format!("SELECT * FROM deliveries WHERE notice_id = '{id}'");
        let mut db = super::super::database(self.dir.path());
        let rows: Vec<super::Delivery> = diesel::RunQueryDsl::load(diesel::sql_query(sql), &mut db).unwrap();
        rows[0].outcome.clone()
    }
}

type Answers = dyn Fn(&str, usize) -> Option<(u16, String)> + Send + Sync;

/// A receiver that answers as `answers` says, by path and how often that was asked; with nothing it loses the answer.
#[derive(Clone)]
struct Fake {
    got: Arc<Mutex<Vec<(String, HeaderMap, String)>>>,
    answers: Arc<Answers>,
    url: String,
}

impl Fake {
    async fn new(answers: impl Fn(&str, usize) -> Option<(u16, String)> + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Fake { got: Arc::default(), answers: Arc::new(answers), url };
        let router = Router::new().fallback(take).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        fake
    }

    /// The last part of each path, with the JSON that was posted there.
    fn got(&self) -> Vec<(String, Value)> {
        let got = self.got.lock().unwrap();
        let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        got.iter().map(|(path, _, body)| (last(path), serde_json::from_str(body).unwrap())).collect()
    }

    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for (path, _) in self.got() {
            let method = path.trim_end_matches(".json").rsplit('.').next().unwrap().to_owned();
            *asked.entry(method).or_default() += 1;
        }
        asked
    }
}

async fn take(State(fake): State<Fake>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let path = uri.to_string();
    let before = {
        let mut got = fake.got.lock().unwrap();
        let before = got.iter().filter(|(other, ..)| *other == path).count();
        got.push((path.clone(), headers, String::from_utf8(body.to_vec()).unwrap()));
        before
    };
    match (fake.answers)(&path, before) {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), body),
        None => std::future::pending().await,
    }
}

/// Bitrix24's three methods. Each call that is registered has a name of its own.
fn bitrix24(path: &str, before: usize) -> Option<(u16, String)> {
    if path.ends_with("/telephony.externalcall.register.json") {
        let call_id = format!("externalCall.{}", before + 1);
        return Some((200, json!({ "result": { "CALL_ID": call_id }, "time": {} }).to_string()));
    }
    let known = ["/telephony.externalcall.finish.json", "/telephony.externalCall.attachRecord.json"];
    if known.iter().any(|end| path.ends_with(end)) {
        return Some((200, json!({ "result": {}, "time": {} }).to_string()));
    }
    Some((
        404,
        json!({ "error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!" }).to_string(),
    ))
}

fn counts(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|(method, count)| ((*method).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bitrix24_s_name_of_a_call_survives_a_kill_between_register_and_finish() {
    let fake = Fake::new(bitrix24).await;
    let mut site = Site::new();
    site.tells("b24", Format::Bitrix24, &format!("{}/rest/1/s3cret/", fake.url));
    site.notice(1, "call.ringing", &call("NO ANSWER")).await;
    site.start();
    site.until("it is registered", |s| s.outcome(1).is_some()).await;
    site.die().await;
    site.notice(2, "call.ended", &call("ANSWERED")).await;
    site.wait_for_retries();
    site.start();
    site.until("it is finished", |s| s.outcome(2).is_some()).await;
    site.stop().await;
    assert_eq!(fake.asked(), counts(&[("register", 1), ("finish", 1), ("attachRecord", 1)]));
    let got = fake.got();
    assert!(got[1..].iter().all(|(_, said)| said["CALL_ID"] == "externalCall.1"), "{got:?}");
    assert_eq!((&got[1].1["STATUS_CODE"], &got[1].1["DURATION"]), (&json!("200"), &json!(2)));
    assert_eq!(site.outcome(2).as_deref(), Some("delivered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_whose_answer_was_lost_is_made_again_and_the_call_finished_once() {
    let lost = |path: &str, before: usize| match path.contains("register") && before == 0 {
        true => None,
        false => bitrix24(path, before),
    };
    let fake = Fake::new(lost).await;
    let mut site = Site::new();
    site.tells("b24", Format::Bitrix24, &format!("{}/rest/1/s3cret/", fake.url)).timeout_ms = 300;
    site.notice(1, "call.ended", &call("ANSWERED")).await;
    site.start();
    site.until("the answer is waited for in vain", |s| s.deliveries()[0].detail.is_some()).await;
    site.wait_for_retries();
    site.until("it is finished", |s| s.outcome(1).is_some()).await;
    site.stop().await;
    assert_eq!(fake.asked(), counts(&[("register", 2), ("finish", 1), ("attachRecord", 1)]));
    assert_eq!(fake.got()[2].1["CALL_ID"], "externalCall.2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_registration_is_refused_is_tried_once_more_at_its_end() {
    let refuses = |path: &str, before: usize| match path.contains("register") {
        true => {
            Some((400, json!({ "error": "ERROR_CORE", "error_description": "no such user" }).to_string()))
        }
        false => bitrix24(path, before),
    };
    let fake = Fake::new(refuses).await;
    let mut site = Site::new();
    site.tells("b24", Format::Bitrix24, &format!("{}/rest/1/s3cret/", fake.url));
    site.notice(1, "call.ringing", &call("NO ANSWER")).await;
    site.notice(2, "call.ended", &call("NO ANSWER")).await;
    site.start();
    site.until("both are refused", |s| s.outcome(1).is_some() && s.outcome(2).is_some()).await;
    site.stop().await;
    assert_eq!((site.outcome(1).as_deref(), site.outcome(2).as_deref()), (Some("refused"), Some("refused")));
    assert_eq!(fake.asked(), counts(&[("register", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_is_tried_again_without_those_before_it() {
    let fails = |path: &str, before: usize| match path.contains("attachRecord") && before == 0 {
        true => Some((400, json!({ "error": "", "error_description": "file is not there" }).to_string())),
        false => bitrix24(path, before),
    };
    let fake = Fake::new(fails).await;
    let mut site = Site::new();
    site.tells("b24", Format::Bitrix24, &format!("{}/rest/1/s3cret/", fake.url));
    site.notice(1, "call.ended", &call("ANSWERED")).await;
    site.start();
    site.until("the recording is not there", |s| s.deliveries()[0].detail.is_some()).await;
    assert_eq!(site.outcome(1), None);
    site.wait_for_retries();
    site.until("it is attached", |s| s.outcome(1).is_some()).await;
    site.stop().await;
    assert_eq!(fake.asked(), counts(&[("register", 1), ("finish", 1), ("attachRecord", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_of_call_events_hear_each_once_over_a_kill_and_nothing_after_the_end() {
    let fake = Fake::new(|_, _| Some((200, "OK: all ok".to_owned()))).await;
    let mut site = Site::new();
    site.tells("ast-cdr", Format::AstCdr, &format!("{}/a", fake.url));
    site.notice(1, "call.started", &call("NO ANSWER")).await;
    site.notice(2, "call.ringing", &call("NO ANSWER")).await;
    site.start();
    site.until("it is told", |s| s.outcome(2).is_some()).await;
    site.die().await;
    let mut late = call("NO ANSWER");
    late["source"]["number"] = json!("79195555555");
    site.notice(3, "call.ended", &late).await;
    site.notice(4, "call.corrected", &late).await;
    site.wait_for_retries();
    site.start();
    site.until("all is told", |s| s.outcome(4).is_some()).await;
    site.stop().await;
    let names: Vec<String> =
        fake.got().iter().map(|(_, e)| e["params"]["event_name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["start.call", "local.in.call", "end.call"]);
    let id = json!("20261122-172140-79190000001-IN-73510000001");
    assert!(fake.got().iter().all(|(path, e)| path == "push" && e["params"]["call_id"] == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_reaches_its_receiver_with_a_hostile_name_in_its_place() {
    let fake = Fake::new(|_, _| Some((200, String::new()))).await;
    let mut site = Site::new();
    let endpoint =
        site.tells("mine", Format::Template, &format!("{}/c/{{{{ call.source.name }}}}", fake.url));
    endpoint.headers = BTreeMap::from([("X-Name".to_owned(), "{{ call.source.name }}".to_owned())]);
    endpoint.body = Some(r#"{"name": {{ call.source.name | tojson }}}"#.to_owned());
    site.notice(1, "call.ended", &call("ANSWERED")).await;
    site.start();
    site.until("it is told", |s| s.outcome(1).is_some()).await;
    site.stop().await;
    let got = fake.got.lock().unwrap().clone();
    let (path, headers, body) = &got[0];
    assert_eq!(path, "/c/%22Ivan%22%0D%0AX-Evil%3A%20%7B%7B%201%20%7D%7D");
    assert_eq!(
        (headers["x-name"].to_str().unwrap(), headers.get("x-evil")),
        ("\"Ivan\"  X-Evil: {{ 1 }}", None)
    );
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["name"], "\"Ivan\"\r\nX-Evil: {{ 1 }}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_asks_for_it_is_run_again_with_the_same_notice() {
    let mut site = Site::new();
    let dir = site.dir.path().display().to_string();
    let script = "cat >>$0/read; if [ -e $0/once ]; then exit 0; fi; touch $0/once; echo later >&2; exit 75";
    site.tells("mine", Format::Command, "").command =
        ["/bin/sh", "-c", script, dir.as_str()].map(str::to_owned).to_vec();
    site.notice(1, "call.ended", &call("ANSWERED")).await;
    site.start();
    site.until("it is to be run again", |s| s.deliveries()[0].detail.is_some()).await;
    assert_eq!(site.outcome(1), None);
    site.wait_for_retries();
    site.until("it is done", |s| s.outcome(1).is_some()).await;
    site.stop().await;
    assert_eq!(site.outcome(1).as_deref(), Some("delivered"));
    let read = std::fs::read_to_string(site.dir.path().join("read")).unwrap();
    let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(read.len() == 2 && read[0] == read[1] && read[0]["id"] == Uuid::from_u128(1).to_string());
    assert_eq!(read[0]["data"], call("ANSWERED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hangs_costs_its_own_attempt_alone() {
    let fake = Fake::new(|_, _| Some((200, String::new()))).await;
    let mut site = Site::new();
    let hangs = site.tells("hangs", Format::Command, "");
    (hangs.command, hangs.timeout_ms) = (["/bin/sleep", "600"].map(str::to_owned).to_vec(), 400);
    site.tells("other", Format::Standard, &fake.url);
    site.notice(1, "call.ended", &call("ANSWERED")).await;
    site.start();
    let told = |s: &Site| s.outcomes("other")[0].as_deref() == Some("delivered");
    site.until("the other one has it", told).await;
    let killed = |s: &Site| {
        let detail = s.deliveries().into_iter().find(|d| d.endpoint == "hangs").unwrap().detail;
        detail.is_some_and(|detail| detail.contains("was killed"))
    };
    site.until("it is killed", killed).await;
    site.stop().await;
}
