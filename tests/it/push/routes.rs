//! The routes, as ast-ami, a stranger and garbage meet them: raw HTTP to the real server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;

use super::super::database;
use super::super::server::{PATIENCE, Server, count};
use super::{ANSWERED, posts};

const SAVED: &str = r#"{"error":"OK","code":0,"description":"Event saved"}"#;

/// Posts that cannot be late on a busy machine.
const PATIENT: (&str, &str) = ("CALLJOURNAL_PUSH__ACK_TIMEOUT_MS", "10000");

/// What a machine that does something else may take longer than the budget of an answer.
pub const BUSY: Duration = Duration::from_secs(1);

/// Sends bytes and gives back the status and the body of the answer; 0 where there was none.
fn send(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have heard enough before all is sent.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).unwrap_or_default())
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// As `curl -d` does.
pub fn post(server: &Server, path: &str, body: &[u8]) -> (u16, String) {
    send(server, &request(path, "Content-Type: application/x-www-form-urlencoded\r\n", body))
}

/// The code of an answer of ast-cdr's.
pub fn code(answer: &(u16, String)) -> u64 {
    assert_eq!(answer.0, 200, "{answer:?}");
    let answer: serde_json::Value = serde_json::from_str(&answer.1).unwrap();
    assert_eq!(answer["error"], if answer["code"] == 0 { "OK" } else { "ERROR" });
    assert!(answer["description"].is_string());
    answer["code"].as_u64().unwrap()
}

fn events(dir: &std::path::Path) -> i64 {
    count(dir, "SELECT COUNT(*) AS n FROM events")
}

#[test]
fn ast_ami_is_answered_as_ast_cdr_answers_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    for path in ["/json/events/test", "/json/chans/test"] {
        assert_eq!(server.page(path), (200, "OK: test OK".to_owned()));
    }
    for recorded in posts(ANSWERED) {
        let answer = post(&server, &recorded.path, recorded.body.as_bytes());
        assert_eq!(answer, (200, SAVED.to_owned()), "{}", recorded.body);
    }
    // Four posts were told twice, to the byte: two talks and ends of the call, two ends of channels.
    assert_eq!(events(dir.path()), posts(ANSWERED).len() as i64 - 4);
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    assert_eq!(count(dir.path(), "SELECT COUNT(*) AS n FROM calls"), 1);
    let metrics = server.page("/metrics").1;
    for line in ["{outcome=\"saved\"} 11", "{outcome=\"duplicate\"} 4"] {
        assert!(metrics.contains(&format!("calljournal_push_posts_total{line}")), "{metrics}");
    }
    server.stop();
}

#[test]
fn every_route_of_ast_cdr_is_there_whatever_the_content_type_says() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    let recorded = posts(ANSWERED);
    let (call, channel) = (&recorded[0], &recorded[1]);
    for (path, body) in [
        ("/json/events/push", &call.body),
        ("/json/events", &call.body),
        ("/json", &call.body),
        ("/json/chans/push", &channel.body),
        ("/json/chan-events/push", &channel.body),
    ] {
        for kind in ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"] {
            assert_eq!(
                send(&server, &request(path, kind, body.as_bytes())),
                (200, SAVED.to_owned()),
                "{path} {kind}"
            );
        }
    }
    // As PHP does without a library.
    let old = String::from_utf8(request("/json", "Connection: close\r\n", call.body.as_bytes())).unwrap();
    assert_eq!(send(&server, old.replace("HTTP/1.1", "HTTP/1.0").as_bytes()), (200, SAVED.to_owned()));
    assert_eq!(events(dir.path()), 2);
    assert_eq!(server.page("/json/events/push").0, 405);
    server.stop();
}

#[test]
fn garbage_is_answered_with_its_code_and_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    let deep = format!("{{\"type\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let megabytes = format!("{{\"type\":\"{}\"}}", "x".repeat(3 << 20));
    for (body, wanted) in [
        (&b""[..], 1),
        (b"\xff\xfe\x00", 1),
        (b"null", 1),
        (b"a=1&b=2", 1),
        (deep.as_bytes(), 1),
        (megabytes.as_bytes(), 1),
        (b"{}", 2),
        (br#"{"type":{"a":1}}"#, 2),
        (br#"{"type":"vm_event"}"#, 3),
        (br#"{"type":"call_event","params":7}"#, 4),
        (br#"{"type":"call_event","params":{"event_name":["end.call"]}}"#, 5),
        (br#"{"type":"call_event","params":{"event_name":"end.call","call_id":""}}"#, 6),
    ] {
        assert_eq!(
            code(&post(&server, "/json/events/push", body)),
            wanted,
            "{:?}",
            &body[..body.len().min(80)]
        );
    }
    for (body, wanted) in
        [(&b"{"[..], 1), (br#"{"Event":""}"#, 2), (br#"{"Event":"Hangup","Uniqueid":{}}"#, 10)]
    {
        assert_eq!(code(&post(&server, "/json/chans/push", body)), wanted);
    }
    assert_eq!(events(dir.path()), 0);
    assert_eq!(server.page("/healthz").0, 200);
    server.stop();
}

#[test]
fn other_ami_events_are_answered_as_saved_and_counted_as_noise() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    let body = br#"{"Event":"NewCallerid","Uniqueid":"1795386100.6","Channel":"PJSIP/trunk-00000006"}"#;
    assert_eq!(post(&server, "/json/chans/push", body), (200, SAVED.to_owned()));
    assert_eq!(events(dir.path()), 0);
    assert!(server.page("/metrics").1.contains("calljournal_push_posts_total{outcome=\"noise\"} 1"));
    server.stop();
}

#[test]
fn a_body_in_chunks_is_read_and_one_that_does_not_come_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    let body = &posts(ANSWERED)[1].body;
    let (front, back) = body.split_at(100);
    let head = "POST /json/chans/push HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = format!("{head}{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", front.len(), back.len());
    assert_eq!(send(&server, chunks.as_bytes()), (200, SAVED.to_owned()));
    let broken = format!("{head}zz\r\n{front}\r\n0\r\n\r\n");
    assert_ne!(send(&server, broken.as_bytes()).1, SAVED);

    let mut slow = TcpStream::connect(server.http).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"POST /json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n{\"ty").unwrap();
    assert_eq!(post(&server, "/json/chans/push", body.as_bytes()).1, SAVED);
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("application/problem+json"), "{answer}");
    server.stop();
}

#[test]
fn who_asks_before_he_sends_a_body_is_told_to_go_on() {
    // Older curl asks where a body has more than 1 KiB, and waits a second for the answer.
    const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT]);
    let body = posts(ANSWERED)[1]
        .body
        .replace("CallerIDName\":\"", &format!("CallerIDName\":\"{}", "x".repeat(900)));
    assert!(body.len() > 1024);
    let asks = |headers: &str| {
        let bytes =
            request("/json/chans/push", &format!("{headers}Expect: 100-continue\r\n"), body.as_bytes());
        let (head, body) = bytes.split_at(bytes.len() - body.len());
        let mut socket = TcpStream::connect(server.http).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(head).unwrap();
        (socket, body.to_vec())
    };

    let (mut socket, rest) = asks("");
    let mut go_on = [0; GO_ON.len()];
    socket.read_exact(&mut go_on).unwrap();
    assert_eq!(String::from_utf8_lossy(&go_on), GO_ON);
    socket.write_all(&rest).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(SAVED), "{answer}");
    assert_eq!(events(dir.path()), 1);

    // Who does not wait for it is answered as well.
    let (mut socket, rest) = asks("");
    socket.write_all(&rest).unwrap();
    answer.clear();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(SAVED), "{answer}");

    // Who may not post hears that instead, and sends nothing.
    let (mut socket, _) = asks("Origin: http://evil.example\r\n");
    answer.clear();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    server.stop();
}

#[test]
fn what_cannot_be_saved_in_time_is_said_so_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let budget = Duration::from_millis(200);
    let server = Server::start(dir.path(), &[("CALLJOURNAL_PUSH__ACK_TIMEOUT_MS", "200")]);
    let body = &posts(ANSWERED)[1].body;
    let mut holder = database(dir.path());
    holder.batch_execute(super::super::held_alone()).unwrap();
    // The second finds one that has waited too long, and need not wait itself.
    for _ in 0..2 {
        let asked = Instant::now();
        assert_eq!(code(&post(&server, "/json/chans/push", body.as_bytes())), 10);
        let waited = asked.elapsed();
        assert!(waited < budget + BUSY, "{waited:?}");
    }
    holder.batch_execute("ROLLBACK").unwrap();
    // It is kept all the same, and counts once.
    let mut waited = Duration::ZERO;
    while events(dir.path()) == 0 {
        assert!(waited < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
        waited += Duration::from_millis(20);
    }
    server.stop();
    assert_eq!(events(dir.path()), 1);
}

#[test]
fn a_stranger_is_turned_away_and_the_secret_opens() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT, ("CALLJOURNAL_PUSH__SECRET", "s3cret-s3cret-s3cret")]);
    let body = posts(ANSWERED)[1].body.clone();
    let ask = |path: &str, headers: &str, host: &str| {
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        send(&server, text.as_bytes())
    };
    let path = "/json/chans/push";
    for (headers, host) in [
        ("Origin: http://evil.example\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 10.0.0.1\r\n", "127.0.0.1"),
        ("Forwarded: for=10.0.0.1\r\n", "127.0.0.1"),
        ("", "evil.example"),
    ] {
        let (status, said) = ask(path, headers, host);
        assert_eq!(status, 403, "{headers} {host}");
        assert!(said.contains("\"status\":403") && said.contains("[push] allow"), "{said}");
    }
    for wrong in ["wrong", "s3cret-s3cret-s3creT", "s3cret-s3cret-s3cret-and-more"] {
        assert_eq!(ask(&format!("/push/{wrong}{path}"), "", "127.0.0.1").0, 403);
    }
    assert_eq!(events(dir.path()), 0);
    for host in ["127.0.0.1:8573", "localhost", "[::1]:80"] {
        assert_eq!(ask(path, "", host).0, 200, "{host}");
    }
    let behind_a_proxy =
        ask(&format!("/push/s3cret-s3cret-s3cret{path}"), "X-Forwarded-For: 10.0.0.1\r\n", "a.example");
    assert_eq!(behind_a_proxy, (200, SAVED.to_owned()));
    assert_eq!(server.page("/push/s3cret-s3cret-s3cret/json/events/test"), (200, "OK: test OK".to_owned()));
    let (_, said) = server.stop();
    assert!(!said.join("\n").contains("s3cret-"), "the secret is in the log");
}

#[test]
fn a_network_that_is_allowed_may_post_by_any_name_and_switched_off_nobody_may() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[PATIENT, ("CALLJOURNAL_PUSH__ALLOW", "127.0.0.0/8")]);
    let body = &posts(ANSWERED)[1].body;
    let named = String::from_utf8(request("/json/chans/push", "", body.as_bytes())).unwrap();
    assert_eq!(send(&server, named.replace("127.0.0.1", "pbx.example").as_bytes()).0, 200);
    server.stop();
    let server = Server::start(dir.path(), &[("CALLJOURNAL_PUSH__ENABLED", "false")]);
    assert_eq!(server.page("/json/events/test").0, 404);
    server.stop();
}
