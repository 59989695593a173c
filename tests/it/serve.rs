//! `calljournal serve` as an administrator meets it: starts with nothing, stops cleanly, says how it is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::Receiver;

use serde_json::Value;

use super::server::{PATIENCE, Server, Telling, calljournal, count, output, plain_call, said};

pub fn show(dir: &std::path::Path, name: &str) -> Value {
    let shown = output(dir, &["show", name, "--json", "--events"]);
    assert!(shown.status.success(), "{}", said(&shown));
    serde_json::from_slice(&shown.stdout).unwrap()
}

#[test]
fn a_call_is_told_as_ended_when_its_grace_is_over_also_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: the notice stays in the outbox. The grace outlasts the first server on a busy machine.
    let crm = r#"[{ name = "crm", url = "http://127.0.0.1:1/" }]"#;
    let environment = [("CALLJOURNAL_NOTIFY", crm), ("CALLJOURNAL_CALL__GRACE_MS", "5000")];
    let server = Server::start(dir.path(), &environment);
    for telling in plain_call(0, 1_795_390_723) {
        assert!(telling.tell(server.agi));
    }
    assert_eq!(server.stop().0.code(), Some(0));
    let endings = || count(dir.path(), "SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'");
    assert_eq!(endings(), 0, "nobody waited for the grace");

    let server = Server::start(dir.path(), &environment);
    server.page_when("/healthz", |body| body.contains("\"notices_waiting\":1"));
    assert_eq!(endings(), 1);
    server.stop();
}

/// A receiver that takes everything; what came, head and body, comes out here.
pub fn posts_to(receiver: TcpListener) -> Receiver<String> {
    let (tell, posts) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for socket in receiver.incoming() {
            let mut socket = socket.unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut text = String::new();
            let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
            while body(&text).is_none_or(|body| serde_json::from_str::<Value>(&body).is_err()) {
                let mut bytes = [0; 4096];
                let len = socket.read(&mut bytes).unwrap();
                assert!(len > 0, "cut off: {text}");
                text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
            }
            socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            if tell.send(text).is_err() {
                return;
            }
        }
    });
    posts
}

#[test]
fn the_end_of_a_call_is_posted_once() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings =
        format!(r#"[{{ name = "crm", url = "http://{}/calls" }}]"#, receiver.local_addr().unwrap());
    let posts = posts_to(receiver);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("CALLJOURNAL_NOTIFY", &settings)]);
    for telling in plain_call(0, 1_795_390_723) {
        assert!(telling.tell(server.agi));
    }
    let post = posts.recv_timeout(PATIENCE).unwrap();
    assert!(post.starts_with("POST /calls HTTP/1.1") && post.contains("call.ended"), "{post}");
    assert!(post.contains("1795390723.0"), "{post}");
    server.page_when("/healthz", |body| body.contains("\"notices_waiting\":0"));
    server.stop();
    // The next one finds nothing left to tell.
    let server = Server::start(dir.path(), &[("CALLJOURNAL_NOTIFY", &settings)]);
    assert!(posts.recv_timeout(std::time::Duration::from_millis(500)).is_err(), "told twice");
    server.stop();
}

#[test]
fn what_was_received_before_the_stop_is_acknowledged_and_what_was_not_gets_failure() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[("CALLJOURNAL_AGI__ACK_TIMEOUT_MS", "2000")]);
    let unread = || {
        let unread = TcpStream::connect(server.agi).unwrap();
        unread.set_read_timeout(Some(PATIENCE)).unwrap();
        (&unread).write_all(b"agi_network: yes\n").unwrap();
        unread
    };
    let early = unread();
    let agi = server.agi;
    let told: Vec<_> = (0..40)
        .map(|n| {
            std::thread::spawn(move || {
                let uid = format!("1795390723.{n}");
                let telling = Telling::new("start", &uid, &uid, 1, 1_795_390_723_000, &[]);
                (telling.tell(agi), uid)
            })
        })
        .collect();
    // Some of them are not even accepted by then.
    let late: Vec<_> = (0..30).map(|_| unread()).collect();
    server.terminate();
    let acked: Vec<String> =
        told.into_iter().map(|t| t.join().unwrap()).filter_map(|(acked, uid)| acked.then_some(uid)).collect();
    for mut unread in late.into_iter().chain([early]) {
        let mut answer = String::new();
        let _ = unread.read_to_string(&mut answer);
        assert_eq!(answer, "FAILURE\n", "who was not read yet waits for an answer");
    }
    let (status, _) = server.wait();
    assert_eq!(status.code(), Some(0));

    // What was acknowledged is there for the next one, settled or not.
    let server = Server::start(dir.path(), &[]);
    server.page_when("/healthz", |body| body.contains("\"unsettled\":0"));
    for uid in acked {
        show(dir.path(), &uid);
    }
    server.stop();
}

#[test]
fn sigint_stops_it_as_sigterm_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let pid = server.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn two_that_start_at_once_on_one_new_database_both_work() {
    let dir = tempfile::tempdir().unwrap();
    let starts: Vec<_> = (0..2)
        .map(|_| {
            let path = dir.path().to_owned();
            std::thread::spawn(move || Server::start(&path, &[]))
        })
        .collect();
    let servers: Vec<Server> = starts.into_iter().map(|s| s.join().unwrap()).collect();
    for (n, server) in servers.iter().enumerate() {
        let uid = format!("1795390723.{n}");
        assert!(Telling::new("start", &uid, &uid, 1, 1_795_390_723_000, &[]).tell(server.agi));
    }
    for server in servers {
        assert_eq!(server.stop().0.code(), Some(0));
    }
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = calljournal(dir.path(), &["serve"])
        .env("CALLJOURNAL_AGI__LISTEN", taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = said(&ended);
    assert!(said.contains("core-fastagi") && said.contains("listen"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "something was made");
}

#[test]
fn health_readiness_and_metrics_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    assert!(plain_call(0, 1_795_390_723)[0].tell(server.agi));
    let (status, body) = server.page("/healthz");
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &health["status"]), (200, &Value::from("ok")));
    for number in ["unsettled", "unsettled_age_s", "notices_waiting"] {
        assert!(health[number].is_number(), "{body}");
    }
    assert_eq!(health["warnings"], serde_json::json!([]));
    assert_eq!(server.page("/readyz").0, 200);
    assert_eq!(server.page("/nothing").0, 404);
    let told = [
        "calljournal_agi_ack_seconds_count 1",
        "calljournal_events_unsettled ",
        "calljournal_events_idle_total 0",
    ];
    let body = server.page_when("/metrics", |body| told.iter().all(|line| body.contains(line)));
    for line in [
        "calljournal_agi_sessions_total{outcome=\"acked\"} 1",
        "calljournal_events_accepted_total{feed=\"agi\"} 1",
        "# TYPE calljournal_agi_ack_seconds histogram",
        "# HELP calljournal_events_unsettled ",
        "calljournal_accept_queue 0",
    ] {
        assert!(body.contains(line), "{line} is not in\n{body}");
    }
    server.stop();
}

#[test]
fn two_asterisks_under_one_name_are_a_warning_and_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    // Channels of one and of the other: their serials go back and forth.
    for (serial, second) in [(500, 0), (7, 1), (501, 2), (8, 3), (502, 4)] {
        assert!(plain_call(serial, 1_795_390_723 + second)[0].tell(server.agi));
    }
    let body = server.page_when("/healthz", |body| body.contains("two Asterisks seem to go by the name"));
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["warnings"].as_array().map(Vec::len), Some(1), "{body}");
    server.page_when("/metrics", |body| body.contains("calljournal_pbx_names_shared 1"));
    server.stop();
}

#[test]
fn systemd_hears_ready_then_that_it_lives_then_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut bytes = [0; 256];
        let len = systemd.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).trim().to_owned()
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = Server::start(dir.path(), &environment);
    // A start that takes its time is alive before it is ready.
    let mut heard = hear();
    while heard == "WATCHDOG=1" {
        heard = hear();
    }
    assert_eq!(heard, "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");
    server.terminate();
    let mut last = hear();
    while last == "WATCHDOG=1" {
        last = hear();
    }
    assert_eq!(last, "STOPPING=1");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn who_subscribes_over_http_is_told_at_once_signed_in_his_language_and_after_a_restart_too() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/calls", receiver.local_addr().unwrap());
    let posts = posts_to(receiver);
    let dir = tempfile::tempdir().unwrap();
    let environment = [("CALLJOURNAL_SUBSCRIBE__REACH", "127.0.0.0/8")];
    let server = Server::start(dir.path(), &environment);
    let wish = serde_json::json!({ "name": "crm", "url": url, "notices": ["call.answered", "call.ended"], "locale": "ru" });
    let (status, made) = server.post("/api/v1/endpoints", &wish.to_string());
    assert_eq!(status, 201, "{made}");
    let secret = serde_json::from_str::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned();
    let mut call = plain_call(0, just_now());
    for telling in call.drain(..3) {
        assert!(telling.tell(server.agi));
    }
    let answered = verified(&posts.recv_timeout(PATIENCE).unwrap(), &secret);
    assert_eq!(
        (&answered["type"], &answered["about"]["leg"]["number"]),
        (&"call.answered".into(), &"101".into())
    );
    server.stop();

    let server = Server::start(dir.path(), &environment);
    for telling in call {
        assert!(telling.tell(server.agi));
    }
    let ended = verified(&posts.recv_timeout(PATIENCE).unwrap(), &secret);
    assert_eq!(ended["type"], "call.ended");
    assert!(ended["story"].to_string().contains("отвечает"), "{}", ended["story"]);
    server.stop();
}

/// A call of this second is over by now.
fn just_now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() - 10
}

/// The body of a post, once its signature was verified by somebody else's program.
fn verified(post: &str, secret: &str) -> Value {
    let (head, body) = post.split_once("\r\n\r\n").unwrap();
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let headers: axum::http::HeaderMap = headers.collect();
    standardwebhooks::Webhook::new(secret).unwrap().verify(body.as_bytes(), &headers).unwrap();
    serde_json::from_str(body).unwrap()
}
