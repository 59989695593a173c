//! The spool of another host, brought by `calljournal spool send`: once, whoever dies on the way.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::server::{PATIENCE, Server, calljournal, count, plain_call, said};

const BRANCH: &str = "branch-0123456789abcdef";
const CRM: &str = "crm-0123456789abcdef";

/// How often somebody is killed, and the calls that come in between.
const ROUNDS: u64 = 16;
const CALLS: u64 = 160;

/// Nobody listens there, so notices stay to be counted.
const SETTINGS: [(&str, &str); 4] = [
    (
        "CALLJOURNAL_TOKEN",
        r#"[{ name = "branch", secret = "branch-0123456789abcdef", may = ["spool"] }, { name = "crm", secret = "crm-0123456789abcdef" }]"#,
    ),
    ("CALLJOURNAL_NOTIFY", r#"[{ name = "crm", url = "http://127.0.0.1:1/" }]"#),
    ("CALLJOURNAL_CALL__GRACE_MS", "100"),
    ("CALLJOURNAL_SPOOL__POLL_MS", "50"),
];

/// A directory with a server's journal and another host's spool.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("spool")).unwrap();
    std::fs::create_dir(dir.path().join("remote")).unwrap();
    dir
}

/// `spool send` of `dir/remote` to `to`, as the host `name`.
fn sender(dir: &Path, to: &str, name: &str, more: &[&str]) -> Command {
    let mut command = calljournal(dir, &["spool", "send", "--to", to, "--dir", "remote", "--host", name]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn send(dir: &Path, to: SocketAddr, more: &[&str]) -> Output {
    sender(dir, &format!("http://{to}"), "branch", more).output().unwrap()
}

/// The lines of the calls with these numbers, as one Asterisk wrote them down.
fn calls(numbers: std::ops::Range<u64>) -> String {
    let tellings = numbers.flat_map(|n| plain_call(n * 2, 1_795_390_000 + n));
    tellings.map(|telling| telling.frame()).collect()
}

/// Appends as Asterisk does.
fn append(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).create(true).open(dir.join("remote").join(name)).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// Nothing was written to it for so many hours.
fn rest(dir: &Path, name: &str, hours: u64) {
    let file = OpenOptions::new().append(true).open(dir.join("remote").join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
}

fn events(dir: &Path) -> i64 {
    count(dir, "SELECT count(*) AS n FROM events")
}

fn bytes_taken(dir: &Path) -> u64 {
    count(dir, "SELECT CAST(coalesce(sum(taken), 0) AS BIGINT) AS n FROM sent_marks").unsigned_abs()
}

/// The status and the text of a request with a body of bytes.
fn ask(to: SocketAddr, token: Option<&str>, query: &str, body: &[u8]) -> (u16, String) {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /api/v1/spool?{query} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    let _ = socket.write_all(body);
    let mut text = Vec::new();
    let _ = socket.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).unwrap_or("0").parse().unwrap();
    (status, text)
}

fn query(host: &str, file: &str, offset: u64) -> String {
    format!("host={host}&file={file}&head={}&offset={offset}", "0123456789abcdef".repeat(2))
}

#[test]
fn what_is_sent_arrives_once_however_often_sender_and_server_are_killed() {
    let site = site();
    let dir = site.path();
    let (mut server, mut partly) = (Server::start(dir, &SETTINGS), 0);
    for n in 0..ROUNDS {
        // Every other round writes on where the one before did.
        append(dir, &format!("ast1-20261123{:02}.spool", n / 2), calls(n * CALLS..(n + 1) * CALLS));
        append(dir, &format!("ast1-20261123{:02}.spool", n / 2), b"no event\xff\n");
        let to = format!("http://{}", server.http);
        let mut running = sender(dir, &to, "branch", &["--token", BRANCH]).spawn().unwrap();
        // From hardly begun to well under way; each third time it is the server that dies.
        let before = i64::try_from(n * CALLS * 5).unwrap();
        let begun = Instant::now();
        while n % 4 > 0 && events(dir) <= before && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(n * 7 % 40));
        if n % 3 == 2 {
            server.kill();
            server = Server::start(dir, &SETTINGS);
        }
        running.kill().unwrap();
        running.wait().unwrap();
        partly +=
            usize::from((before + 1..before + 5 * i64::try_from(CALLS).unwrap()).contains(&events(dir)));
    }
    println!("{partly} of {ROUNDS} kills fell into the middle");
    let output = send(dir, server.http, &["--token", BRANCH]);
    assert!(output.status.success(), "{}", said(&output));
    let wanted = i64::try_from(ROUNDS * CALLS).unwrap();
    server.page_when("/healthz", |body| {
        let health: serde_json::Value = serde_json::from_str(body).unwrap();
        health["notices_waiting"] == wanted && health["unsettled"] == 0
    });
    assert_eq!(events(dir), wanted * 5);
    assert_eq!(count(dir, "SELECT count(DISTINCT token) AS n FROM events"), wanted * 5);
    assert_eq!(count(dir, "SELECT count(*) AS n FROM notices WHERE kind = 'call.ended'"), wanted);
    let there = std::fs::read_dir(dir.join("remote")).unwrap();
    let size: u64 = there.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(bytes_taken(dir), size, "each byte is behind a mark");
    let again = send(dir, server.http, &["--token", BRANCH]);
    assert!(said(&again).contains("No new event") && !said(&again).contains("known"), "{}", said(&again));
}

#[test]
fn a_file_is_deleted_when_the_server_has_it_and_nothing_was_written_for_hours() {
    let site = site();
    let dir = site.path();
    let server = Server::start(dir, &SETTINGS);
    append(dir, "old.spool", calls(0..2));
    append(dir, "torn.spool", format!("{}cj1 half", calls(2..3)));
    append(dir, "empty.spool", "");
    for name in ["old.spool", "torn.spool", "empty.spool"] {
        rest(dir, name, 3);
    }
    append(dir, "young.spool", calls(3..4));
    append(dir, "not ours.spool", calls(4..5));
    rest(dir, "not ours.spool", 3);
    let output = send(dir, server.http, &["--delete-after", "0"]);
    assert!(output.status.success() && said(&output).contains("not ours.spool"), "{}", said(&output));
    assert!(dir.join("remote/old.spool").exists(), "0 keeps all");
    let output = send(dir, server.http, &[]);
    let left: std::collections::BTreeSet<String> = std::fs::read_dir(dir.join("remote"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), ["not ours.spool", "young.spool"]);
    assert!(
        said(&output).contains("3 files") && said(&output).contains("1 line was never"),
        "{}",
        said(&output)
    );
    assert_eq!(events(dir), 20);
}

#[test]
fn nothing_is_deleted_that_the_server_did_not_take() {
    let site = site();
    let dir = site.path();
    append(dir, "old.spool", calls(0..2));
    rest(dir, "old.spool", 30);
    // It has a port and never says anything that makes sense.
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = liar.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in liar.incoming().flatten() {
            let _ = socket.read(&mut [0; 4096]);
            let body = r#"{"taken":0,"garbage":0,"fresh":10,"duplicates":0}"#;
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let output = send(dir, address, &["--token", BRANCH]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(dir.join("remote/old.spool").exists());
}

#[test]
fn what_is_in_the_way_is_said_in_words() {
    let site = site();
    let dir = site.path();
    append(dir, "ast1.spool", calls(0..1));
    let server = Server::start(dir, &SETTINGS);
    // Through a proxy the peer's address says nothing, so a token counts: here a wrong one does.
    for (token, words) in
        [("wrong", "does not know this token"), (CRM, "may = [\"spool\"] is not set for it")]
    {
        let output = send(dir, server.http, &["--token", token]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!said(&output).contains(CRM), "a token was shown");
    }
    let wrong = format!("http://{}/elsewhere", server.http);
    let output = sender(dir, &wrong, "branch", &[]).output().unwrap();
    assert!(said(&output).contains("takes no spools"), "{}", said(&output));
    let output = sender(dir, &format!("https://{}", server.http), "branch", &[]).output().unwrap();
    assert!(said(&output).contains("does not speak TLS"), "{}", said(&output));
    let (dead, closed) = (server.http, dir.join("none"));
    server.stop();
    let output = send(dir, dead, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("nobody listens") && said(&output).contains("sent next time"),
        "{}",
        said(&output)
    );
    let output = send(dir, dead, &["--token-file", closed.to_str().unwrap()]);
    assert!(said(&output).contains("--token-file"), "{}", said(&output));
    assert_eq!(events(dir), 0);
}

#[test]
fn two_hosts_may_have_files_of_one_name_and_one_of_them_twice() {
    let site = site();
    let dir = site.path();
    let server = Server::start(dir, &SETTINGS);
    let to = format!("http://{}", server.http);
    for (host, range) in [("a", 0..1), ("b", 1..2), ("b", 2..5)] {
        let _ = std::fs::remove_file(dir.join("remote/default-2026112300.spool"));
        append(dir, "default-2026112300.spool", calls(range));
        let output = sender(dir, &to, host, &[]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(events(dir), 25);
    assert_eq!(count(dir, "SELECT count(*) AS n FROM sent_marks"), 3);
}

#[test]
fn a_hostile_portion_is_refused_or_costs_itself() {
    let site = site();
    let dir = site.path();
    let server = Server::start(dir, &SETTINGS);
    let to = server.http;
    let good = calls(0..1);
    for (host, file) in [
        ("..", "a.spool"),
        ("h", "../../etc/passwd"),
        ("h", "%2Fetc%2Fa.spool"),
        ("h", ".spool"),
        ("h", "a.txt"),
        ("", "a.spool"),
        ("h%00", "a.spool"),
        ("h", &format!("{}.spool", "a".repeat(65))),
    ] {
        let (status, text) = ask(to, Some(BRANCH), &query(host, file, 0), good.as_bytes());
        assert_eq!(status, 400, "{host} {file}: {text}");
    }
    for wrong in ["host=h", "host=h&file=a.spool&head=xyz", "host=h&file=a.spool&head=0&offset=-1", ""] {
        assert_eq!(ask(to, Some(BRANCH), wrong, good.as_bytes()).0, 400, "{wrong}");
    }
    assert_eq!(ask(to, Some("wrong"), &query("h", "a.spool", 0), good.as_bytes()).0, 401);
    assert_eq!(ask(to, Some(CRM), &query("h", "a.spool", 0), good.as_bytes()).0, 403);
    let large = vec![b'x'; 70_000];
    assert_eq!(ask(to, Some(BRANCH), &query("h", "a.spool", 0), &large).0, 413);
    assert_eq!(ask(to, Some(BRANCH), &query("h", "a.spool", 7), good.as_bytes()).0, 409);
    assert_eq!(
        ask(to, Some(BRANCH), &query("h", "a.spool", i64::MAX.unsigned_abs()), good.as_bytes()).0,
        400
    );
    assert_eq!(events(dir), 0);
    let rubble = [b"\x00\xff<b>\ncj1 x y\n", good.as_bytes(), b"cj1 half"].concat();
    let (status, text) = ask(to, Some(BRANCH), &query("h", "a.spool", 0), &rubble);
    assert!(status == 200 && text.contains("\"fresh\":5") && text.contains("\"garbage\":14"), "{text}");
    assert_eq!(bytes_taken(dir), (rubble.len() - "cj1 half".len()) as u64);
    // The same once more: the mark has gone on.
    let (status, text) = ask(to, Some(BRANCH), &query("h", "a.spool", 0), &rubble);
    assert!(status == 409 && text.contains(&format!("\"taken\":{}", bytes_taken(dir))), "{text}");
    assert_eq!(events(dir), 5);
}

#[test]
fn who_follows_sends_what_comes_and_stops_when_told_to() {
    let site = site();
    let dir = site.path();
    let server = Server::start(dir, &SETTINGS);
    append(dir, "ast1.spool", calls(0..1));
    let to = format!("http://{}", server.http);
    let mut running = sender(dir, &to, "branch", &["--follow"]).spawn().unwrap();
    server.page_when("/metrics", |_| events(dir) == 5);
    let second = send(dir, server.http, &[]);
    assert!(said(&second).contains("another"), "two at once: {}", said(&second));
    append(dir, "ast1.spool", calls(1..2));
    append(dir, "ast2.spool", calls(2..3));
    server.page_when("/metrics", |_| events(dir) == 15);
    let pid = running.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    assert!(running.wait().unwrap().success());
    let mut text = String::new();
    running.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("10 events were sent"), "{text}");
}
