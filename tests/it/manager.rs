//! The program beside a manager interface that is played here: what it sends, and what becomes of what it hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::server::{PATIENCE, Server, calljournal, output, plain_call, said};

const ANSWERED: &[u8] = include_bytes!("../fixtures/ami/ast22/answered-ended-by-caller.ami");
const SECRET: &str = "the-secret-of-this-test";

/// A manager interface; each connection sends one of its streams when the list has been asked for, and then closes but
/// for the last.
struct Manager {
    at: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn play(streams: &[&[u8]], lets_in: bool) -> Manager {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let (log, streams) = (heard.clone(), streams.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in streams {
                let (socket, _) = listener.accept().unwrap();
                held.clear();
                held.extend(talk(socket, &stream, lets_in, &log));
            }
            std::thread::sleep(PATIENCE);
        });
        Manager { at, heard }
    }

    fn setting(&self) -> String {
        format!("[{{ host = \"{}\", user = \"journal\", secret = \"{SECRET}\", pbx = \"ast22\" }}]", self.at)
    }
}

/// Answers until the list was asked for, and sends the stream.
pub fn talk(
    mut socket: TcpStream,
    stream: &[u8],
    lets_in: bool,
    log: &Mutex<Vec<String>>,
) -> Option<TcpStream> {
    socket.write_all(b"Asterisk Call Manager/11.0.0\r\n").ok()?;
    let mut lines = BufReader::new(socket.try_clone().ok()?).lines().map_while(Result::ok);
    loop {
        let action: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let name = action.first()?.strip_prefix("Action: ")?.to_owned();
        log.lock().unwrap().extend(action);
        let answer = match name.as_str() {
            "Challenge" => "Response: Success\r\nChallenge: 149512345\r\n\r\n",
            "Login" if lets_in => "Response: Success\r\nMessage: Authentication accepted\r\n\r\n",
            "Login" => "Response: Error\r\nMessage: Authentication failed\r\n\r\n",
            "Ping" => "Response: Success\r\nPing: Pong\r\nTimestamp: 1795650140.000001\r\n\r\n",
            _ => {
                "Response: Success\r\nActionID: 1\r\nEventList: start\r\n\r\n\
                  Event: CoreShowChannelsComplete\r\nActionID: 1\r\nListItems: 0\r\n\r\n"
            }
        };
        socket.write_all(answer.as_bytes()).ok()?;
        if name == "CoreShowChannels" {
            let messages = stream.iter().position(|b| *b == b'\n').map_or(stream, |end| &stream[end + 1..]);
            socket.write_all(messages).ok()?;
            return Some(socket);
        }
    }
}

/// Waits until the only call is over, and gives it.
fn ended(dir: &std::path::Path) -> Value {
    for _ in 0..400 {
        let said = output(dir, &["calls", "--json"]);
        let calls: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        if calls[0]["state"] == "ended" {
            assert_eq!(calls.as_array().unwrap().len(), 1);
            return calls[0].clone();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no call ended");
}

#[test]
fn a_call_that_only_ami_tells_of_is_kept_whole_and_nothing_is_sent_that_could_change_one() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::play(&[ANSWERED], true);
    let server = Server::start(dir.path(), &[("CALLJOURNAL_AMI", &manager.setting())]);
    let call = ended(dir.path());
    assert_eq!((&call["pbx"], &call["disposition"]), (&Value::from("ast22"), &Value::from("ANSWERED")));
    assert_eq!(call["answered_by"]["number"], "101");
    assert_eq!(call["hung_up_by"], "caller");
    let (_, metrics) = server.page("/metrics");
    assert!(metrics.contains("calljournal_events_accepted_total{feed=\"ami\"}"), "{metrics}");
    let (_, said) = server.stop();
    let heard = manager.heard.lock().unwrap().clone();
    let actions: Vec<&String> = heard.iter().filter(|line| line.starts_with("Action: ")).collect();
    assert_eq!(actions, ["Action: Challenge", "Action: Login", "Action: Ping", "Action: CoreShowChannels"]);
    assert!(heard.contains(&"Events: call,agent".to_owned()), "{heard:?}");
    assert!(!heard.join("\n").contains(SECRET) && !said.join("\n").contains(SECRET));
}

#[test]
fn a_connection_that_breaks_comes_back_and_ends_what_ended_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    // Until they talk.
    let bridged = ANSWERED.windows(17).position(|w| w == b"Event: BridgeEnte").unwrap();
    let manager = Manager::play(&[&ANSWERED[..bridged], b""], true);
    let _server = Server::start(dir.path(), &[("CALLJOURNAL_AMI", &manager.setting())]);
    let call = ended(dir.path());
    assert_eq!(call["answered_by"]["number"], "101");
    assert_eq!((&call["end_time_known"], &call["ended_at"]), (&Value::from(false), &Value::Null));
}

#[test]
fn a_log_in_that_is_refused_is_told_with_what_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let manager = Manager::play(&[b""], false);
    let server = Server::start(dir.path(), &[("CALLJOURNAL_AMI", &manager.setting())]);
    for _ in 0..200 {
        if manager.heard.lock().unwrap().iter().any(|line| line == "Action: Login") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let greeting = server.greeting.join("\n");
    let (_, said) = server.stop();
    let said = format!("{greeting}\n{}", said.join("\n"));
    assert!(
        said.contains("AMI is down: the log-in was refused") && said.contains("compare user and secret"),
        "{said}"
    );
    assert!(!said.contains(SECRET));
}

/// A typo in `[[ami]] pbx`: the manager's setting has `ast22`, and the dialplan sends `test`.
#[test]
fn an_ami_under_a_name_that_its_dialplan_does_not_send_is_a_warning_with_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let channel = |serial: u64, second: u64| {
        let uid = format!("{second}.{serial}");
        format!(
            "Event: Newchannel\r\nTimestamp: {second}.000001\r\nChannel: PJSIP/{uid}\r\nChannelStateDesc: Ring\r\n\
             CallerIDNum: 101\r\nContext: from-internal\r\nExten: 102\r\nUniqueid: {uid}\r\nLinkedid: {uid}\r\n\r\n"
        )
    };
    let calls = [(0, 1_795_390_723), (8, 1_795_390_800), (16, 1_795_390_900)];
    let stream: String = calls.iter().map(|(serial, second)| channel(*serial, *second)).collect();
    let stream = format!("Asterisk Call Manager/11.0.0\r\n{stream}");
    let manager = Manager::play(&[stream.as_bytes()], true);
    let server = Server::start(dir.path(), &[("CALLJOURNAL_AMI", &manager.setting())]);
    for (serial, second) in calls {
        let call = plain_call(serial, second);
        assert!(call.iter().all(|telling| telling.tell(server.agi)));
    }
    let (told, todo) = ("what the dialplan tells of \\\"test\\\"", "pbx = \\\"test\\\"");
    let health = server.page_when("/healthz", |body| body.contains(told));
    assert!(health.contains("AMI tells of \\\"ast22\\\"") && health.contains(todo), "{health}");
    let http = server.http.to_string();
    let asked = |arguments: &[&str]| {
        let mut command = calljournal(dir.path(), arguments);
        command.env("CALLJOURNAL_HTTP__LISTEN", &http).env("CALLJOURNAL_AGI__LISTEN", "127.0.0.1:0");
        said(&command.output().unwrap())
    };
    let status = asked(&["status"]);
    assert!(status.contains("AMI tells of \"ast22\" what the dialplan tells of \"test\""), "{status}");
    let (_, log) = server.stop();
    assert_eq!(log.iter().filter(|line| line.contains("each call is there twice")).count(), 1, "{log:?}");
    let checked = asked(&["check"]);
    assert!(checked.contains("write under its [[ami]]:  pbx = \"test\""), "{checked}");
}
