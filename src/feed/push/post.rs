//! What ast-ami posts, as events. Pure: bytes in, an [`Event`] or ast-cdr's answer out.
//!
//! There are two kinds of post. A *call event* knows a call by its key alone and says in one word what ast-ami
//! makes of it; its `end.call` comes twice or thrice, the first while a transferred call goes on, so it is kept
//! as a remark and ends nothing. A *channel event* is an AMI event with the call key beside it. Neither has a
//! time: it happened when it came.
//!
//! ast-ami tells one hangup in two posts that are alike to the byte. So an event's token is made of what the
//! post says. Its counter (`uid`) is left out: in both posts it is the same, and it begins again with every
//! start of ast-ami, so it would only tell apart what is not different.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::event::{Event, Facts, Feed, Kind, Token, clean, key};

/// Which of ast-cdr's two addresses a post came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/json/events`: calls by their key.
    Calls,
    /// `/json/chans`: channels.
    Channels,
}

/// What becomes of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// It is an event.
    Event(Box<Event>),
    /// It is well formed and says nothing about a call: another AMI event, say `NewCallerid`.
    Noise,
    /// ast-cdr would refuse it.
    Refused(Answer),
}

/// What ast-cdr answers. Codes and texts are its own: there are scripts that look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// 0 is well.
    pub code: u8,
    /// In words.
    pub description: &'static str,
}

impl Answer {
    /// The event is kept.
    pub const SAVED: Answer = Answer { code: 0, description: "Event saved" };
    /// No JSON object.
    pub const UNREADABLE: Answer = Answer { code: 1, description: "Unable to parse data" };
    /// A call event without `type`.
    pub const NO_TYPE: Answer = Answer { code: 2, description: "Field type not defined" };
    /// A channel event without `Event`.
    pub const NO_EVENT: Answer = Answer { code: 2, description: "Field Event not defined" };
    /// `type` is not `call_event`.
    pub const OTHER_TYPE: Answer = Answer { code: 3, description: "Unknown type value" };
    /// `params` is missing or no object.
    pub const NO_PARAMS: Answer = Answer { code: 4, description: "Field params not defined" };
    /// `event_name` is missing or none of the six.
    pub const OTHER_NAME: Answer =
        Answer { code: 5, description: "Field params\\event_name not defined or unknown" };
    /// `call_id` is missing.
    pub const NO_CALL: Answer = Answer { code: 6, description: "Field params\\call_id not defined" };
    /// It could not be made durable in time, or is about no channel.
    pub const NOT_SAVED: Answer = Answer { code: 10, description: "Cant save event" };

    /// The answer's body.
    #[must_use]
    pub fn json(self) -> String {
        let error = if self.code == 0 { "OK" } else { "ERROR" };
        serde_json::json!({ "error": error, "code": self.code, "description": self.description }).to_string()
    }
}

/// The words of call events.
const NAMES: [&str; 6] =
    ["start.call", "answer.call", "local.in.call", "start.talk", "end.local.call", "end.call"];

/// Reads a post that came to `route` of the server for `pbx` at `at`.
#[must_use]
pub fn read(route: Route, body: &[u8], pbx: &str, at: Timestamp) -> Read {
    let Ok(Value::Object(post)) = serde_json::from_str(&String::from_utf8_lossy(body)) else {
        return Read::Refused(Answer::UNREADABLE);
    };
    let told = match route {
        Route::Calls => call_event(&post),
        Route::Channels => channel_event(&post),
    };
    match told {
        Ok(Some(told)) => Read::Event(Box::new(told.event(pbx, at))),
        Ok(None) => Read::Noise,
        Err(answer) => Read::Refused(answer),
    }
}

/// What a post tells.
struct Told {
    kind: Kind,
    /// The first part of the token, for people who look for it.
    what: String,
    uid: String,
    linkedid: String,
    channel: String,
    facts: Facts,
}

impl Told {
    fn event(self, pbx: &str, at: Timestamp) -> Event {
        Event {
            token: self.token(),
            feed: Feed::Push,
            kind: self.kind,
            pbx: clean(pbx.as_bytes()),
            uid: self.uid,
            linkedid: self.linkedid,
            root: None,
            seq: None,
            at,
            timed: false,
            received: at,
            channel: self.channel,
            facts: self.facts,
            agi: Facts::new(),
        }
    }

    /// `newstate-1795386100.7-` and a hash of all that is told.
    fn token(&self) -> Token {
        let mut hash = Sha256::new();
        let told = [self.kind.as_str(), &self.what, &self.uid, &self.linkedid, &self.channel];
        let facts = self.facts.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for part in told.into_iter().chain(facts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let plain = |text: &str, most: usize| -> String {
            text.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(most).collect()
        };
        let text = format!("{}-{}-{hash}", plain(&self.what, 16), plain(&self.uid, 44));
        #[allow(clippy::expect_used)] // filtered and cut in the lines above
        Token::try_from(text).expect("a token's own letters")
    }
}

fn call_event(post: &Map<String, Value>) -> Result<Option<Told>, Answer> {
    let kind = value(post, "type").ok_or(Answer::NO_TYPE)?;
    if kind != "call_event" {
        return Err(Answer::OTHER_TYPE);
    }
    let params = post.get("params").and_then(Value::as_object).ok_or(Answer::NO_PARAMS)?;
    let name = value(params, "event_name").filter(|name| NAMES.contains(&name.as_str()));
    let name = name.ok_or(Answer::OTHER_NAME)?;
    let call = value(params, "call_id").ok_or(Answer::NO_CALL)?;
    let mut facts = Facts::new();
    let from = [("num", "src_phone"), ("trunk", "dst_phone"), ("local", "real_local_number")];
    facts.extend(from.into_iter().filter_map(|(fact, field)| Some((fact.to_owned(), known(params, field)?))));
    facts.insert("key".to_owned(), call.clone());
    facts.insert("event".to_owned(), name.clone());
    let uid = key::name_of(&call);
    Ok(Some(Told { kind: Kind::Note, what: name, linkedid: uid.clone(), uid, channel: String::new(), facts }))
}

fn channel_event(post: &Map<String, Value>) -> Result<Option<Told>, Answer> {
    let event = value(post, "Event").ok_or(Answer::NO_EVENT)?;
    let state = known(post, "ChannelStateDesc").unwrap_or_default();
    let kind = match (event.as_str(), state.as_str()) {
        ("Hangup", _) => Kind::Hangup,
        ("Newchannel" | "Newstate", "Ring") => Kind::Start,
        ("Newchannel" | "Newstate", "Ringing") => Kind::Ring,
        ("Newchannel" | "Newstate", "Up") => Kind::Answer,
        // Made to be dialled, as a rule; what it is for shows when it rings.
        ("Newchannel", _) => Kind::Note,
        _ => return Ok(None),
    };
    let uid = known(post, "Uniqueid").filter(|uid| !key::is_key(uid)).ok_or(Answer::NOT_SAVED)?;
    let mut facts = Facts::new();
    let from = [
        ("num", "CallerIDNum"),
        ("name", "CallerIDName"),
        ("connected", "ConnectedLineNum"),
        ("exten", "Exten"),
        ("ctx", "Context"),
        ("cause", "Cause"),
        ("techcause", "TechCause"),
    ];
    facts.extend(from.into_iter().filter_map(|(fact, field)| Some((fact.to_owned(), known(post, field)?))));
    if let Some(variables) = post.get("variables").and_then(Value::as_object) {
        let from = [("key", "monitor"), ("org", "org")];
        facts.extend(
            from.into_iter().filter_map(|(fact, field)| Some((fact.to_owned(), known(variables, field)?))),
        );
    }
    facts.insert("event".to_owned(), event.clone());
    facts.insert("state".to_owned(), state);
    Ok(Some(Told {
        kind,
        what: event.to_lowercase(),
        linkedid: known(post, "Linkedid").filter(|lid| !key::is_key(lid)).unwrap_or_else(|| uid.clone()),
        uid,
        channel: known(post, "Channel").unwrap_or_default(),
        facts,
    }))
}

/// A field's text, where it has any: numbers count as they are written, what has parts counts as absent.
fn value(object: &Map<String, Value>, field: &str) -> Option<String> {
    let text = match object.get(field)? {
        Value::String(text) => clean(text.as_bytes()),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// A field's text, unless that is Asterisk's word for not knowing.
fn known(object: &Map<String, Value>, field: &str) -> Option<String> {
    value(object, field).filter(|text| text != "<unknown>")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALL: &str = r#"{"type":"call_event","params":{"src_phone":"79190000001","call_id":"20261122-222140-79190000001-IN-73510000001","dst_phone":"73510000001","real_local_number":"101","event_name":"start.talk"}}"#;
    const RINGING: &str = r#"{"Event":"Newstate","Channel":"PJSIP\/101-00000007","ChannelState":"5","ChannelStateDesc":"Ringing","CallerIDNum":"101","CallerIDName":"<unknown>","ConnectedLineNum":"79190000001","Context":"from-internal","Exten":"73510000001","Uniqueid":"1795386100.7","Linkedid":"1795386100.6","uid":9,"variables":{"monitor":"20261122-222140-79190000001-IN-73510000001","org":null}}"#;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_386_101).unwrap()
    }

    fn event(route: Route, body: &str) -> Event {
        match read(route, body.as_bytes(), "office", now()) {
            Read::Event(event) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn answer(route: Route, body: &str) -> u8 {
        match read(route, body.as_bytes(), "office", now()) {
            Read::Refused(answer) => answer.code,
            Read::Event(_) | Read::Noise => 0,
        }
    }

    #[test]
    fn a_channel_event_names_its_channel_and_the_key_of_its_call() {
        let event = event(Route::Channels, RINGING);
        assert_eq!((event.kind, event.feed, event.timed, event.seq), (Kind::Ring, Feed::Push, false, None));
        assert_eq!((event.uid.as_str(), event.linkedid.as_str()), ("1795386100.7", "1795386100.6"));
        assert_eq!(event.channel, "PJSIP/101-00000007");
        assert_eq!(event.fact("num"), Some("101"));
        assert_eq!((event.fact("name"), event.fact("org")), (None, None));
        assert_eq!(event.key().unwrap().number, Some("73510000001"));
        assert!(event.link().is_some());
    }

    #[test]
    fn a_call_event_is_a_remark_about_a_call_of_which_only_the_key_is_known() {
        let event = event(Route::Calls, CALL);
        assert_eq!(event.kind, Kind::Note);
        assert!(event.knows_key_alone());
        assert_eq!(event.fact("event"), Some("start.talk"));
        assert_eq!(event.fact("local"), Some("101"));
    }

    #[test]
    fn an_end_call_is_no_hangup() {
        let event = event(Route::Calls, &CALL.replace("start.talk", "end.call"));
        assert_eq!(event.kind, Kind::Note);
    }

    #[test]
    fn states_say_what_a_channel_is_for_and_other_events_are_noise() {
        let kind = |event: &str, state: &str| {
            let body = RINGING.replace("Newstate", event).replace("Ringing", state);
            match read(Route::Channels, body.as_bytes(), "office", now()) {
                Read::Event(event) => Some(event.kind),
                _ => None,
            }
        };
        assert_eq!(kind("Newchannel", "Ring"), Some(Kind::Start));
        assert_eq!(kind("Newchannel", "Down"), Some(Kind::Note));
        assert_eq!(kind("Newstate", "Ringing"), Some(Kind::Ring));
        assert_eq!(kind("Newstate", "Up"), Some(Kind::Answer));
        assert_eq!(kind("Hangup", "Hangup"), Some(Kind::Hangup));
        for (event, state) in [("NewCallerid", "Up"), ("Rename", ""), ("Newstate", "Busy"), ("Cdr", "x")] {
            assert_eq!(kind(event, state), None, "{event} {state}");
        }
    }

    #[test]
    fn the_same_post_has_the_same_token_whatever_the_counter_says_and_another_post_another() {
        let token = |body: &str| event(Route::Channels, body).token;
        assert_eq!(token(RINGING), token(&RINGING.replace("\"uid\":9", "\"uid\":10")));
        assert_ne!(token(RINGING), token(&RINGING.replace("Ringing", "Up")));
        assert_ne!(token(RINGING), token(&RINGING.replace("1795386100.7", "1795386100.8")));
        assert!(token(RINGING).as_str().starts_with("newstate-1795386100.7-"));
    }

    #[test]
    fn what_is_wrong_is_answered_as_ast_cdr_does() {
        for (body, code) in [
            ("", 1),
            ("[]", 1),
            ("\"x\"", 1),
            ("{", 1),
            ("{}", 2),
            (r#"{"type":null}"#, 2),
            (r#"{"type":"other"}"#, 3),
            (r#"{"type":5}"#, 3),
            (r#"{"type":"call_event"}"#, 4),
            (r#"{"type":"call_event","params":[]}"#, 4),
            (r#"{"type":"call_event","params":{}}"#, 5),
            (r#"{"type":"call_event","params":{"event_name":"x","call_id":"1"}}"#, 5),
            (r#"{"type":"call_event","params":{"event_name":"end.call"}}"#, 6),
            (r#"{"type":"call_event","params":{"event_name":"end.call","call_id":{}}}"#, 6),
            (r#"{"type":"call_event","params":{"event_name":"end.call","call_id":7}}"#, 0),
        ] {
            assert_eq!(answer(Route::Calls, body), code, "{body}");
        }
        for (body, code) in [
            ("nonsense", 1),
            ("{}", 2),
            (r#"{"Event":"Newchannel"}"#, 10),
            (r#"{"Event":"Hangup","Uniqueid":"20261122-222140-1-IN-2"}"#, 10),
            (r#"{"Event":"FullyBooted"}"#, 0),
        ] {
            assert_eq!(answer(Route::Channels, body), code, "{body}");
        }
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(answer(Route::Calls, &format!("{{\"type\":{deep}}}")), 1);
    }

    #[test]
    fn a_call_id_that_looks_like_a_uniqueid_names_no_channel() {
        let event =
            event(Route::Calls, &CALL.replace("20261122-222140-79190000001-IN-73510000001", "1795386100.6"));
        assert_eq!(event.uid, "key:1795386100.6");
    }

    proptest! {
        #[test]
        fn any_values_give_a_bounded_event_with_a_token(uid in ".{1,300}", name in ".{0,3000}", state in "Ring|Up|\\PC*") {
            let body = serde_json::json!({
                "Event": "Newchannel", "ChannelStateDesc": state, "Uniqueid": uid, "Linkedid": name,
                "CallerIDName": name, "Channel": name, "variables": { "monitor": name, "org": uid },
            });
            if let Read::Event(event) = read(Route::Channels, body.to_string().as_bytes(), "p", now()) {
                prop_assert!(event.facts.values().all(|v| v.len() <= crate::event::MAX_VALUE));
                prop_assert!(event.channel.len() <= crate::event::MAX_VALUE);
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(Route::Calls, &bytes, "p", now());
            let _ = read(Route::Channels, &bytes, "p", now());
        }
    }
}
