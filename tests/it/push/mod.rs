//! What ast-ami posts: recorded from a real one on Asterisk 22, with invented numbers and names.

mod answers;
mod merge;
mod replay;
mod routes;

use calljournal::event::{Arrival, Event, Feed, Kind};
use calljournal::feed::push::post::{Read, Route, read};
use jiff::{SignedDuration, Timestamp};

pub const ANSWERED: &str = include_str!("fixtures/answered.jsonl");
pub const ABANDONED: &str = include_str!("fixtures/abandoned.jsonl");
pub const BLIND: &str = include_str!("fixtures/blind.jsonl");

/// The second in which the recorded calls began.
pub const BORN: i64 = 1_795_386_100;

/// One recorded post.
pub struct Post {
    pub at: Timestamp,
    pub path: String,
    pub body: String,
}

pub fn posts(recorded: &str) -> Vec<Post> {
    let post = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let micros = (line["t"].as_f64().unwrap() * 1e6) as i64;
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Post { at: Timestamp::from_microsecond(micros).unwrap(), path: text("path"), body: text("body") }
    };
    recorded.lines().map(post).collect()
}

/// The events of recorded posts, those told twice too.
pub fn heard(recorded: &str) -> Vec<Event> {
    let event = |post: Post| {
        let route = if post.path.contains("chans") { Route::Channels } else { Route::Calls };
        match read(route, post.body.as_bytes(), "office", post.at) {
            Read::Event(event) => *event,
            other => panic!("{other:?}: {}", post.body),
        }
    };
    posts(recorded).into_iter().map(event).collect()
}

/// What the dialplan tells at `at` of its channel, which is named by its serial; `seconds` after [`BORN`].
pub fn dialplan(kind: Kind, uid: &str, lid: &str, seq: u32, seconds: f64, chan: &str, facts: &str) -> Event {
    let at = Timestamp::from_second(BORN).unwrap() + SignedDuration::from_secs_f64(seconds);
    let t = format!("{}.{:06}", at.as_second(), at.subsec_microsecond());
    let args = format!(
        "v=1,token={uid}-{seq}-{kind}-{t},pbx=office,uid={uid},lid={lid},root={lid},seq={seq},t={t},chan={chan},{facts}"
    );
    let arrival = Arrival { feed: Feed::Agi, pbx: "x", at: at + SignedDuration::from_millis(3) };
    Event::from_args(kind, args.split(',').map(str::as_bytes), arrival).unwrap()
}

/// The dialplan's events of the answered call; with `phones`, those of the phone that was rung too.
pub fn answered_by_dialplan(phones: bool) -> Vec<Event> {
    let (a, b) = ("1795386100.6", "1795386100.7");
    let facts = "key=20261122-222140-79190000001-IN-73510000001,dir=in,trunk=73510000001,exten=73510000001,\
                 ctx=from-trunk,num=79190000001,name=Anna";
    let left = "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000006";
    let phone = "caller=1795386100.6,num=73510000001";
    let mut told = vec![
        dialplan(Kind::Start, a, a, 1, 0.302, "PJSIP/trunk-00000006", facts),
        dialplan(Kind::Hangup, a, a, 2, 3.511, "PJSIP/trunk-00000006", left),
    ];
    if phones {
        told.extend([
            dialplan(Kind::Ring, b, a, 1, 0.351, "PJSIP/101-00000007", phone),
            dialplan(Kind::Answer, b, a, 2, 1.502, "PJSIP/101-00000007", phone),
            dialplan(Kind::Hangup, b, a, 3, 3.509, "PJSIP/101-00000007", "cause=16"),
        ]);
    }
    told
}

/// The dialplan's events of the call that rang at 101 until the caller gave up; with `phones`, those of the phone
/// that was rung too. Causes and `hangupsource` are as Asterisk 16 and 22 give them.
pub fn abandoned_by_dialplan(phones: bool) -> Vec<Event> {
    let (a, b) = ("1795386104.8", "1795386104.9");
    let facts = "key=20261122-222144-79190000001-IN-73510000001,dir=in,trunk=73510000001,exten=73510000001,\
                 ctx=from-trunk,num=79190000001,name=Anna";
    let left = "cause=127,dialstatus=CANCEL,hangupsource=PJSIP/trunk-00000008";
    let mut told = vec![
        dialplan(Kind::Start, a, a, 1, 4.736, "PJSIP/trunk-00000008", facts),
        dialplan(Kind::Hangup, a, a, 2, 6.951, "PJSIP/trunk-00000008", left),
    ];
    if phones {
        let phone = "caller=1795386104.8,num=73510000001";
        told.extend([
            dialplan(Kind::Ring, b, a, 1, 4.766, "PJSIP/101-00000009", phone),
            dialplan(Kind::Hangup, b, a, 2, 6.947, "PJSIP/101-00000009", "cause=127"),
        ]);
    }
    told
}

/// The answered call as one of a caller who hides his number: ast-lite makes the key of Asterisk's word for that.
pub const HIDDEN_KEY: &str = "20261122-222140-<unknown>-IN-73510000001";

/// Its recorded posts.
pub fn hidden() -> Vec<Event> {
    heard(&ANSWERED.replace("79190000001", "<unknown>"))
}

/// Its events of the dialplan.
pub fn hidden_by_dialplan() -> Vec<Event> {
    let mut told = answered_by_dialplan(true);
    for event in told.iter_mut().filter(|event| event.facts.contains_key("key")) {
        event.facts.insert("key".into(), HIDDEN_KEY.into());
        event.facts.insert("num".into(), String::new());
    }
    told
}

/// The dialplan's events of the call that 101 transferred to 102.
pub fn blind_by_dialplan() -> Vec<Event> {
    let (a, b, c) = ("1795386108.10", "1795386108.11", "1795386111.12");
    let chan = "PJSIP/trunk-0000000a";
    let facts = "key=20261122-222148-79190000001-IN-73510000001,dir=in,trunk=73510000001,exten=73510000001,\
                 ctx=from-trunk,num=79190000001,name=Anna";
    let sent_on = "how=blind,by=PJSIP/101-0000000b,exten=102,ctx=from-internal";
    let phone = "caller=1795386108.10,num=73510000001";
    vec![
        dialplan(Kind::Start, a, a, 1, 8.19, chan, facts),
        dialplan(Kind::Ring, b, a, 1, 8.22, "PJSIP/101-0000000b", phone),
        dialplan(Kind::Answer, b, a, 2, 9.37, "PJSIP/101-0000000b", phone),
        dialplan(Kind::Transfer, a, a, 2, 11.392, chan, sent_on),
        dialplan(
            Kind::Hangup,
            b,
            a,
            3,
            11.394,
            "PJSIP/101-0000000b",
            "cause=16,blindtransfer=PJSIP/trunk-0000000a",
        ),
        dialplan(Kind::Ring, c, a, 1, 11.43, "PJSIP/102-0000000c", phone),
        dialplan(Kind::Answer, c, a, 2, 12.57, "PJSIP/102-0000000c", phone),
        dialplan(Kind::Hangup, c, a, 3, 16.412, "PJSIP/102-0000000c", "cause=16"),
        dialplan(Kind::Hangup, a, a, 3, 16.414, chan, "cause=16,dialstatus=ANSWER"),
    ]
}
