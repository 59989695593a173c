//! What a FastAGI session may count on, whatever the peer, the store or the machine does.

mod descriptors;
mod lines;
mod questions;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use calljournal::clock::Clock;
use calljournal::config;
use calljournal::event::{Event, Kind};
use calljournal::feed::agi::{self, Door, session::Answer};
use calljournal::intake::Intake;
use calljournal::store::Store;
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than anything here may take; a test that comes to it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const TOKEN: &str = "1795390723.7-1-start-1795390723.872815";
const ACK: &str = "SET VARIABLE CALLJOURNAL_ACK \"1795390723.7-1-start-1795390723.872815\"\n";

/// A store that does what a test needs.
#[derive(Clone, Default)]
struct Journal {
    events: Arc<Mutex<Vec<Event>>>,
    /// How long the disk takes.
    slow: Duration,
    refuses: bool,
    oldest_wait: Option<Duration>,
}

impl Journal {
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Door for Journal {
    async fn keep(&self, event: Event) -> Answer {
        assert!(event.fact("panic").is_none(), "as the test wished");
        if self.refuses {
            return Answer::Refused("the disk is full".to_owned());
        }
        let journal = self.clone();
        let kept = tokio::spawn(async move {
            sleep(journal.slow).await;
            let mut events = journal.events.lock().unwrap();
            if events.iter().any(|known| known.token == event.token) {
                return Answer::Known;
            }
            events.push(event);
            Answer::Kept
        });
        kept.await.unwrap()
    }

    fn oldest_wait(&self) -> Option<Duration> {
        self.oldest_wait
    }
}

struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    metrics: PrometheusHandle,
    _recorder: LocalRecorderGuard<'static>,
}

/// `[agi]` as it comes, but for `more`, and with a budget that a busy machine cannot miss by accident.
fn config_with(more: &str) -> config::Agi {
    let mut keys: toml::Table = toml::from_str(
        "listen = '127.0.0.1:0'\nallow = ['127.0.0.0/8']\nack_timeout_ms = 10000\nprelude_timeout_ms = 10000\n\
         session_timeout_ms = 10000\nmax_connections = 1024\nkeep_lines = true",
    )
    .unwrap();
    keys.extend(toml::from_str::<toml::Table>(more).unwrap());
    keys.try_into().unwrap()
}

impl Server {
    fn start(door: impl Door, more: &str) -> Server {
        // Tests run on one thread each, so what is counted on this thread is this server's.
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let metrics = recorder.handle();
        let guard = metrics::set_default_local_recorder(recorder);
        let agi = config_with(more);
        let pbx = toml::from_str("default = 'default'\npeers = { '127.0.0.1' = 'office' }").unwrap();
        let listener = agi::bind(agi.listen).unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(agi::run(listener, door, agi, pbx, Clock::system(), stop.clone()));
        Server { addr, stop, task, metrics, _recorder: guard }
    }

    async fn connect(&self) -> Peer {
        Peer(BufReader::new(TcpStream::connect(self.addr).await.unwrap()))
    }

    /// Sends a request and tells what the server said to it.
    async fn ask(&self, request: &[u8]) -> String {
        let mut peer = self.connect().await;
        peer.send(request).await;
        peer.line().await
    }

    /// Waits until so many sessions have ended like that.
    async fn ended(&self, outcome: &str, count: u64) {
        let wanted = format!("calljournal_agi_sessions_total{{outcome=\"{outcome}\"}} {count}\n");
        let counted = async {
            while !self.metrics.render().contains(&wanted) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, counted).await.is_err() {
            panic!("no {wanted} in\n{}", self.metrics.render());
        }
    }
}

/// What an Asterisk is to the server.
struct Peer(BufReader<TcpStream>);

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.0.read_line(&mut line)).await.unwrap().unwrap();
        line
    }

    /// All that still comes until the server closes in good order.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        timeout(PATIENCE, self.0.read_to_string(&mut rest)).await.unwrap().unwrap();
        rest
    }
}

/// The lines that Asterisk 22 sends for `agi://127.0.0.1:4573/path`, with these arguments after the fixed ones.
fn request_to(path: &str, more: &[&[u8]]) -> Vec<u8> {
    let mut sent = b"agi_network: yes\n".to_vec();
    for (name, value) in [
        ("network_script", path),
        ("request", &format!("agi://127.0.0.1:4573/{path}")),
        ("channel", "PJSIP/trunk-00000007"),
        ("language", "en"),
        ("type", "PJSIP"),
        ("uniqueid", "1795390723.7"),
        ("version", "22.10.1"),
        ("callerid", "79193393655"),
        ("calleridname", "unknown"),
        ("callingpres", "0"),
        ("callingani2", "0"),
        ("callington", "0"),
        ("callingtns", "0"),
        ("dnid", "73512020318"),
        ("rdnis", "unknown"),
        ("context", "calljournal"),
        ("extension", "start"),
        ("priority", "9"),
        ("enhanced", "0.0"),
        ("accountcode", ""),
        ("threadid", "139711"),
    ] {
        sent.extend(format!("agi_{name}: {value}\n").into_bytes());
    }
    let token = format!("token={TOKEN}");
    let fixed = [
        "v=1",
        &token,
        "pbx=",
        "uid=1795390723.7",
        "lid=1795390723.7",
        "root=1795390723.7",
        "seq=1",
        "t=1795390723.872815",
        "chan=PJSIP%2Ftrunk-00000007",
    ];
    let args = fixed.iter().map(|arg| arg.as_bytes()).chain(more.iter().copied());
    for (n, arg) in args.enumerate() {
        sent.extend([format!("agi_arg_{}: ", n + 1).as_bytes(), arg, b"\n"].concat());
    }
    sent.push(b'\n');
    sent
}

fn request(more: &[&[u8]]) -> Vec<u8> {
    request_to("start", more)
}

#[tokio::test]
async fn a_session_written_line_by_line_is_kept_acknowledged_and_closed() {
    let journal = Journal::default();
    let server = Server::start(journal.clone(), "");
    let mut asterisk = server.connect().await;
    for line in request(&[b"org=sales"]).split_inclusive(|&b| b == b'\n') {
        asterisk.send(line).await;
    }
    assert_eq!(asterisk.line().await, ACK);
    asterisk.send(b"200 result=1\n").await;
    assert_eq!(asterisk.rest().await, "");
    server.ended("acked", 1).await;

    let [event] = journal.events().try_into().unwrap();
    assert_eq!((event.kind, event.uid.as_str(), event.pbx.as_str()), (Kind::Start, "1795390723.7", "office"));
    assert_eq!(event.fact("org"), Some("sales"));
    assert_eq!(event.agi["agi_dnid"], "73512020318");
    assert!(server.metrics.render().contains("calljournal_agi_ack_seconds_count 1\n"));
    assert!(server.metrics.render().contains("calljournal_agi_sessions 0\n"));
}

#[tokio::test]
async fn whatever_an_asterisk_can_send_is_acknowledged() {
    let most: Vec<Vec<u8>> = (0..118).map(|n| format!("new{n}=kept").into_bytes()).collect();
    let most: Vec<&[u8]> = most.iter().map(Vec::as_slice).collect();
    let long = [b"x=".as_slice(), &[b'y'; 8000]].concat();
    let text = String::from_utf8(request(&[])).unwrap();
    let name = |bytes: &[u8]| {
        let plain = request(&[]);
        let at = text.find("calleridname: unknown").unwrap() + 14;
        [&plain[..at], bytes, &plain[at + 7..]].concat()
    };
    for (what, sent) in [
        ("127 arguments", request(&most)),
        ("an argument of 8,000 bytes", request(&[&long])),
        ("a name cut inside a character", name(b"\xd0\x98\xd0")),
        ("a name in Latin-1", name(b"M\xfcller: \"a\"")),
        ("an unknown line", text.replace("agi_enhanced", "agi_of_tomorrow").into_bytes()),
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("a query", request_to("start?x=/y", &[])),
        ("a longer path", request_to("calljournal/v1/start", &[])),
    ] {
        let journal = Journal::default();
        let server = Server::start(journal.clone(), "");
        assert_eq!(server.ask(&sent).await, ACK, "{what}");
        assert_eq!(journal.events().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_character_split_over_two_reads_is_one_character() {
    let journal = Journal::default();
    let server = Server::start(journal.clone(), "");
    let mut asterisk = server.connect().await;
    for byte in request(&["name=Иван".as_bytes()]) {
        asterisk.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(asterisk.line().await, ACK);
    assert_eq!(journal.events()[0].fact("name"), Some("Иван"));
}

#[tokio::test]
async fn every_reply_to_the_ack_and_none_is_a_normal_end() {
    let usage = "520-Invalid command syntax.  Proper usage follows:\nUsage: SET VARIABLE <x> <y>\n\n520 End of proper usage.\n";
    let replies = [
        "200 result=1\n",
        "HANGUP\n200 result=1\n",
        "510 Invalid or unknown command\n",
        "511 Command Not Permitted on a dead channel or intercept routine\n",
        usage,
        "what is this\n",
    ];
    let server = Server::start(Journal::default(), "");
    for reply in replies {
        let mut asterisk = server.connect().await;
        asterisk.send(&request(&[])).await;
        assert_eq!(asterisk.line().await, ACK, "{reply}");
        asterisk.send(reply.as_bytes()).await;
        assert_eq!(asterisk.rest().await, "", "{reply}");
    }
    // The end of the connection instead of a reply.
    assert_eq!(server.ask(&request(&[])).await, ACK);
    server.ended("acked", 1).await;
    server.ended("duplicate", 6).await;
}

#[tokio::test]
async fn a_hangup_is_no_reply() {
    let server = Server::start(Journal::default(), "");
    let mut asterisk = server.connect().await;
    asterisk.send(&request(&[])).await;
    assert_eq!(asterisk.line().await, ACK);
    asterisk.send(b"HANGUP\n").await;
    // Still there: it waits for the reply.
    assert!(timeout(Duration::from_millis(200), asterisk.line()).await.is_err());
    asterisk.send(b"200 result=1\n").await;
    assert_eq!(asterisk.rest().await, "");
}

#[tokio::test]
async fn a_peer_that_never_replies_is_closed_after_the_deadline() {
    let server = Server::start(Journal::default(), "session_timeout_ms = 300");
    let mut asterisk = server.connect().await;
    asterisk.send(&request(&[])).await;
    assert_eq!(asterisk.line().await, ACK);
    assert_eq!(asterisk.rest().await, "");
    server.ended("acked", 1).await;
}

#[tokio::test]
async fn what_is_no_event_gets_failure_and_is_counted() {
    let journal = Journal::default();
    let server = Server::start(journal.clone(), "");
    let text = String::from_utf8(request(&[])).unwrap();
    let malformed = [
        request_to("", &[]),
        request_to("restart", &[]),
        request_to("start/x/y/z/../..", &[]),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        text.replace("v=1", "v=2").into_bytes(),
        text.replace(TOKEN, "a\" \"b").into_bytes(),
        text.replace("agi_arg_3", "agi_arg_1").into_bytes(),
        "agi_x: y\n".repeat(257).into_bytes(),
    ];
    let count = malformed.len() as u64;
    for sent in malformed {
        let mut peer = server.connect().await;
        peer.send(&sent).await;
        assert_eq!(peer.line().await, "FAILURE\n", "{}", String::from_utf8_lossy(&sent));
    }
    server.ended("malformed", count).await;
    assert!(journal.events().is_empty());
}

#[tokio::test]
async fn a_peer_that_is_refused_while_it_still_writes_is_not_reset() {
    let server = Server::start(Journal::default(), "");
    let mut asterisk = server.connect().await;
    asterisk.send(b"no colon\n").await;
    assert_eq!(asterisk.line().await, "FAILURE\n");
    for line in request(&[]).split_inclusive(|&b| b == b'\n') {
        asterisk.send(line).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(asterisk.rest().await, "");
}

#[tokio::test]
async fn a_line_without_end_is_not_read_to_its_end() {
    let server = Server::start(Journal::default(), "");
    let mut peer = server.connect().await;
    let piece = vec![b'x'; 1 << 16];
    let mut sent = 0;
    // Writing fails once the server has closed: what was sent until then is what sockets hold.
    while sent < 64 << 20 && timeout(PATIENCE, peer.0.write_all(&piece)).await.unwrap().is_ok() {
        sent += piece.len();
    }
    assert!(sent < 32 << 20, "the server read {sent} bytes");
    server.ended("malformed", 1).await;
    assert_eq!(server.ask(&request(&[])).await, ACK);
}

#[tokio::test]
async fn idle_and_trickling_peers_hold_up_nobody_and_are_closed_at_the_deadline() {
    let server = Server::start(Journal::default(), "prelude_timeout_ms = 500");
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(server.connect().await);
    }
    let mut trickling = server.connect().await;
    trickling.send(b"agi_network: yes\nagi_x").await;
    assert_eq!(server.ask(&request(&[])).await, ACK);
    server.ended("timeout", 201).await;
    for peer in idle.iter_mut().chain([&mut trickling]) {
        assert_eq!(peer.rest().await, "FAILURE\n");
    }
}

#[tokio::test]
async fn over_the_limit_a_peer_is_told_at_once_until_idle_ones_are_gone() {
    let server = Server::start(Journal::default(), "max_connections = 4\nprelude_timeout_ms = 1000");
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(server.connect().await);
    }
    assert_eq!(server.connect().await.line().await, "FAILURE\n");
    server.ended("over_limit", 1).await;
    server.ended("timeout", 4).await;
    drop(idle);
    assert_eq!(server.ask(&request(&[])).await, ACK);
}

#[tokio::test]
async fn a_peer_that_connects_and_leaves_is_counted_and_forgotten() {
    let server = Server::start(Journal::default(), "");
    for sent in [b"".as_slice(), b"agi_network: yes\n"] {
        let mut peer = server.connect().await;
        peer.send(sent).await;
    }
    server.ended("closed_early", 2).await;
    assert_eq!(server.ask(&request(&[])).await, ACK);
}

#[tokio::test]
async fn a_panic_stays_in_its_session() {
    let server = Server::start(Journal::default(), "");
    let mut bystander = server.connect().await;
    assert_eq!(server.ask(&request(&[b"panic=now"])).await, "");
    server.ended("panic", 1).await;
    bystander.send(&request(&[])).await;
    assert_eq!(bystander.line().await, ACK);
    assert!(server.metrics.render().contains("calljournal_agi_sessions 1\n"));
}

#[tokio::test]
async fn a_slow_store_costs_the_budget_and_the_event_counts_once_all_the_same() {
    let journal = Journal { slow: Duration::from_millis(800), ..Journal::default() };
    let server = Server::start(journal.clone(), "ack_timeout_ms = 100");
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    assert!(journal.events().is_empty(), "the failure came before the event was kept");
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    server.ended("failure_late", 2).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(journal.events().len(), 1);
}

#[tokio::test]
async fn a_store_that_is_behind_is_not_asked() {
    let journal = Journal { oldest_wait: Some(Duration::from_secs(11)), ..Journal::default() };
    let server = Server::start(journal.clone(), "");
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    server.ended("failure_busy", 1).await;
    assert!(journal.events().is_empty());
}

#[tokio::test]
async fn what_the_store_refuses_gets_failure() {
    let server = Server::start(Journal { refuses: true, ..Journal::default() }, "");
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    server.ended("failure_store", 1).await;
}

#[tokio::test]
async fn a_peer_of_another_network_is_closed_unheard() {
    let journal = Journal::default();
    let server = Server::start(journal.clone(), "allow = ['10.0.0.0/8', '::1/128']");
    let mut peer = server.connect().await;
    let mut said = Vec::new();
    // The close may come as an end or as a reset.
    let _ = timeout(PATIENCE, peer.0.read_to_end(&mut said)).await.unwrap();
    assert!(said.is_empty());
    server.ended("refused_network", 1).await;
    assert!(journal.events().is_empty());
}

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let writer = move || log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(writer)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_secret_opens_the_door_and_is_neither_kept_nor_logged() {
    let log = Log::default();
    let _guard = log.listen();
    let journal = Journal::default();
    let server = Server::start(journal.clone(), "secret = 's3cret-of-ours'");
    assert_eq!(server.ask(&request(&[b"secret=not-ours"])).await, "FAILURE\n");
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    assert!(journal.events().is_empty());
    assert_eq!(server.ask(&request(&[b"secret=s3cret-of-ours"])).await, ACK);
    server.ended("refused_secret", 2).await;
    server.ended("acked", 1).await;

    let kept = serde_json::to_string(&journal.events()).unwrap();
    for text in [kept, log.text()] {
        assert!(!text.contains("ours"), "{text}");
    }
}

#[tokio::test]
async fn the_log_names_call_and_channel_and_repeats_no_trouble() {
    let log = Log::default();
    let _guard = log.listen();
    let server = Server::start(Journal::default(), "");
    assert_eq!(server.ask(&request(&[])).await, ACK);
    for _ in 0..50 {
        assert_eq!(server.ask(b"\x1b[31mhello\n\n").await, "FAILURE\n");
    }
    server.ended("acked", 1).await;
    server.ended("malformed", 50).await;

    let text = log.text();
    let told = text.lines().find(|line| line.contains("acked")).unwrap();
    assert!(told.contains("1795390723.7") && told.contains("PJSIP/trunk-00000007"), "{told}");
    let trouble: Vec<_> = text.lines().filter(|line| line.contains("malformed")).collect();
    assert_eq!(trouble.len(), 1, "{trouble:?}");
    assert!(trouble[0].contains("127.0.0.1") && trouble[0].contains("no colon"), "{trouble:?}");
    assert!(!text.contains("hello"));
}

#[tokio::test]
async fn a_stop_acknowledges_what_is_on_its_way_and_fails_what_was_not_read() {
    let journal = Journal { slow: Duration::from_millis(500), ..Journal::default() };
    let server = Server::start(journal.clone(), "");
    let mut unread = server.connect().await;
    unread.send(b"agi_network: yes\n").await;
    let mut storing = server.connect().await;
    storing.send(&request(&[])).await;
    while !server.metrics.render().contains("calljournal_agi_sessions 2\n") {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(100)).await;

    server.stop.cancel();
    assert_eq!(unread.line().await, "FAILURE\n");
    assert_eq!(storing.line().await, ACK);
    assert_eq!(journal.events().len(), 1);
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
    drop(unread);
    // `storing` says nothing more, and the server does not wait for it for ever.
    server.ended("failure_stopping", 1).await;
    server.ended("acked", 1).await;
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_ack_means_that_the_journal_has_the_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/j.db", dir.path().display())).unwrap();
    let intake = Intake::start(store, Clock::system(), crate::intake::RULES.into());
    let server = Server::start(intake.clone(), "");
    assert_eq!(server.ask(&request(&[])).await, ACK);
    assert_eq!(server.ask(&request(&[])).await, ACK);
    server.ended("acked", 1).await;
    server.ended("duplicate", 1).await;
    intake.stop().await;
    assert_eq!(server.ask(&request(&[])).await, "FAILURE\n");
    server.ended("failure_store", 1).await;
}

#[tokio::test]
async fn a_burst_of_sessions_is_acknowledged_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite://{}/j.db", dir.path().display())).unwrap();
    let intake = Intake::start(store, Clock::system(), crate::intake::RULES.into());
    let server = Server::start(intake, "");
    let text = String::from_utf8(request(&[])).unwrap();
    let mut peers = Vec::new();
    for n in 0..300 {
        let mut peer = server.connect().await;
        peer.send(text.replace(TOKEN, &format!("burst-{n}")).as_bytes()).await;
        peers.push(peer);
    }
    for (n, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.line().await, format!("SET VARIABLE CALLJOURNAL_ACK \"burst-{n}\"\n"));
        peer.send(b"200 result=1\n").await;
    }
    server.ended("acked", 300).await;
}

#[tokio::test]
async fn an_address_in_use_is_explained() {
    let server = Server::start(Journal::default(), "");
    let error = format!("{:#}", agi::bind(server.addr).unwrap_err());
    for word in [&server.addr.to_string(), "core-fastagi", "wazo-agid", "ivozprovider", "[agi] listen"] {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}
