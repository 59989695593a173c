//! What an Asterisk says: whole calls, event by event, as `dialplan/calljournal.conf` sends them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nothing waits longer; what would take so long is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events of one call.
pub const EVENTS_A_CALL: usize = 7;

/// Channels of one call.
const CHANNELS: u64 = 3;

/// Uniqueids are counted up over the whole run, as Asterisk does.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// One event: the lines that Asterisk sends for it, each with its line end, the empty one included.
pub struct Event {
    /// The lines.
    pub lines: Vec<Vec<u8>>,
}

/// A caller, a ring group of two, the second one answers: seven events of three channels.
pub fn call() -> Vec<Event> {
    let serial = SERIAL.fetch_add(CHANNELS, Ordering::Relaxed);
    call_of(since_epoch(), serial)
}

/// The call of the channels that begin at `at`, the first one with this serial.
pub fn call_of(at: Duration, serial: u64) -> Vec<Event> {
    let second = at.as_secs();
    let uid = |n: u64| format!("{second}.{}", serial + n);
    let caller = Channel { uid: uid(0), linkedid: uid(0), name: format!("PJSIP/trunk-{serial:08x}") };
    let phone = |n: u64| Channel {
        uid: uid(n),
        linkedid: uid(0),
        name: format!("PJSIP/{}-{:08x}", 100 + n, serial + n),
    };
    let (first, second_phone) = (phone(1), phone(2));
    let from = format!("caller={}", uid(0));
    let rings = |n: u64| {
        vec!["group=sales".to_owned(), from.clone(), format!("num={}", 100 + n), format!("name=User{n}")]
    };
    let after = |ms: u64| at + Duration::from_millis(ms);
    vec![
        caller.tells("start", 1, at, &START.map(str::to_owned)),
        first.tells("ring", 1, after(1), &rings(1)),
        second_phone.tells("ring", 1, after(2), &rings(2)),
        first.tells("hangup", 2, after(3), &ending("Ringing", 26, "")),
        second_phone.tells(
            "answer",
            2,
            after(4),
            &[from.clone(), "num=102".to_owned(), "name=User2".to_owned()],
        ),
        second_phone.tells("hangup", 3, after(5), &ending("Up", 16, "")),
        caller.tells("hangup", 2, after(6), &ending("Up", 16, "ANSWER")),
    ]
}

/// The next event of a queue that rings phones for ever: a phone rings (odd) or is given up on (even).
pub fn queue(at: Duration, n: u64) -> Event {
    let (second, serial) = (at.as_secs(), 1 + n.saturating_sub(1) / 2);
    let linkedid = format!("{second}.0");
    let at = at + Duration::from_millis(n);
    if n == 0 {
        let caller = Channel { uid: linkedid.clone(), linkedid, name: "PJSIP/trunk-00000000".to_owned() };
        return caller.tells("start", 1, at, &START.map(str::to_owned));
    }
    let phone = Channel {
        uid: format!("{second}.{serial}"),
        linkedid: linkedid.clone(),
        name: format!("PJSIP/101-{serial:08x}"),
    };
    if !n.is_multiple_of(2) {
        phone.tells(
            "ring",
            1,
            at,
            &["group=queue".to_owned(), format!("caller={linkedid}"), "num=101".to_owned()],
        )
    } else {
        phone.tells("hangup", 2, at, &ending("Ringing", 0, ""))
    }
}

const START: [&str; 11] = [
    "org=main",
    "dir=in",
    "trunk=73512020318",
    "exten=73512020318",
    "ctx=from-trunk",
    "num=79193393655",
    "name=%D0%98%D0%B2%D0%B0%D0%BD%20%D0%9F%D0%B5%D1%82%D1%80%D0%BE%D0%B2",
    "key=",
    "acct=",
    "state=Ring",
    "caller=",
];

fn ending(state: &str, cause: u16, dialstatus: &str) -> Vec<String> {
    let mut said = vec![
        format!("state={state}"),
        format!("cause={cause}"),
        "hangupsource=".to_owned(),
        format!("dialstatus={dialstatus}"),
    ];
    said.extend(
        ["dialedpeername=", "dialedpeernumber=", "dialedtime_ms=", "answeredtime_ms=", "ringtime_ms="]
            .map(str::to_owned),
    );
    said.extend(
        ["blindtransfer=", "attendedtransfer=", "bridgepeer=", "queuestatus=", "via=handler"]
            .map(str::to_owned),
    );
    said
}

struct Channel {
    uid: String,
    linkedid: String,
    name: String,
}

impl Channel {
    fn tells(&self, kind: &str, seq: u32, at: Duration, own: &[String]) -> Event {
        let time = format!("{}.{:06}", at.as_secs(), at.subsec_micros());
        let Channel { uid, linkedid, name } = self;
        let mut lines = environment(kind, uid, name);
        let mut arguments = vec![
            "v=1".to_owned(),
            format!("token={uid}-{seq}-{kind}-{time}"),
            "pbx=bench".to_owned(),
            format!("uid={uid}"),
            format!("lid={linkedid}"),
            format!("root={linkedid}"),
            format!("seq={seq}"),
            format!("t={time}"),
            format!("chan={}", name.replace('/', "%2F")),
        ];
        arguments.extend_from_slice(own);
        lines.extend(arguments.iter().enumerate().map(|(n, a)| format!("agi_arg_{}: {a}\n", n + 1)));
        lines.push("\n".to_owned());
        Event { lines: lines.into_iter().map(String::into_bytes).collect() }
    }
}

/// The 22 lines of Asterisk 22 for a request with a path.
fn environment(kind: &str, uid: &str, channel: &str) -> Vec<String> {
    vec![
        "agi_network: yes\n".to_owned(),
        format!("agi_network_script: {kind}\n"),
        format!("agi_request: agi://127.0.0.1:4573/{kind}\n"),
        format!("agi_channel: {channel}\n"),
        "agi_language: en\n".to_owned(),
        "agi_type: PJSIP\n".to_owned(),
        format!("agi_uniqueid: {uid}\n"),
        "agi_version: 22.10.1~dfsg+~cs6.17.60671434-1\n".to_owned(),
        "agi_callerid: 79193393655\n".to_owned(),
        "agi_calleridname: Иван Петров\n".to_owned(),
        "agi_callingpres: 0\n".to_owned(),
        "agi_callingani2: 0\n".to_owned(),
        "agi_callington: 0\n".to_owned(),
        "agi_callingtns: 0\n".to_owned(),
        "agi_dnid: 73512020318\n".to_owned(),
        "agi_rdnis: unknown\n".to_owned(),
        "agi_context: calljournal\n".to_owned(),
        "agi_extension: event\n".to_owned(),
        "agi_priority: 22\n".to_owned(),
        "agi_enhanced: 0.0\n".to_owned(),
        "agi_accountcode: \n".to_owned(),
        "agi_threadid: 140484762961600\n".to_owned(),
    ]
}

/// One session as `res_agi.c` holds it: each line is a write of its own, the reply goes out when the command has
/// come, and `HANGUP` into whatever is left of the connection. Answers with the time from `since` to the command.
///
/// # Errors
/// What the socket says, or that the server answered with no command.
pub fn tell(server: SocketAddr, event: &Event, since: Instant) -> io::Result<Duration> {
    let mut socket = TcpStream::connect_timeout(&server, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    for line in &event.lines {
        socket.write_all(line)?;
    }
    let mut heard = [0; 512];
    let mut filled = 0;
    while !heard[..filled].contains(&b'\n') {
        match socket.read(&mut heard[filled..])? {
            0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a command")),
            n => filled += n,
        }
    }
    let answered = since.elapsed();
    if !heard.starts_with(b"SET VARIABLE ") {
        let said = String::from_utf8_lossy(&heard[..filled]).trim().to_owned();
        return Err(io::Error::other(format!("the server answered {said:?}")));
    }
    socket.write_all(b"200 result=1\n")?;
    // After its ack a session may ask which channels live. Asterisk answers; one that did not would hold its call.
    while let Ok(n @ 1..) = socket.read(&mut heard) {
        for _ in heard[..n].iter().filter(|&&byte| byte == b'\n') {
            let _ = socket.write_all(b"200 result=1 (0)\n");
        }
    }
    let _ = socket.write_all(b"HANGUP\n");
    Ok(answered)
}

/// The time by the machine's clock.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
