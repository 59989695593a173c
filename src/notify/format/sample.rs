//! Notices for the tests of formats: one call, told from its start to its end.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Heard, Letter, Memory, Message, Reply, Step, Task};
use crate::config::{Endpoint, Format, NOTICES};

pub const CALL: &str = "01a20a7b-6e18-8000-813e-87c6f56c4166";

/// A receiver of `format`, five hours ahead of UTC.
pub fn endpoint(format: Format) -> Endpoint {
    Endpoint {
        name: "crm".into(),
        url: "http://crm.example.com/hook/".into(),
        format,
        timezone: Some("Asia/Yekaterinburg".into()),
        record_url: Some("https://pbx.example.com/rec".into()),
        ..Endpoint::default()
    }
}

/// A call from outside that nobody has answered yet.
pub fn incoming() -> Value {
    json!({
        "id": CALL, "ids": [CALL], "pbx": "office", "linkedid": "1795386100.6", "key": null,
        "state": "started", "direction": "inbound", "org": "acme", "trunk": "73510000001",
        "source": { "number": "79190000001", "name": "Ivan" }, "destination": "73510000001",
        "started_at": "2026-11-22T17:21:40.1Z", "answered_at": null, "ended_at": null, "end_time_known": true,
        "disposition": "NO ANSWER", "answered_by": null, "hung_up_by": null, "cause": null,
        "wait_ms": null, "talk_ms": 0, "abandoned": false, "voicemail": null,
        "transfers": [], "steps": [], "remarks": [], "conversations": [],
        "legs": [leg("79190000001", "caller", "open")],
    })
}

pub fn leg(number: &str, role: &str, outcome: &str) -> Value {
    json!({ "uniqueid": format!("1795386100.{number}"), "number": number, "name": null, "role": role,
            "trunk": null, "outcome": outcome })
}

pub fn rung(mut call: Value, number: &str) -> Value {
    call["legs"].as_array_mut().expect("legs").push(leg(number, "called", "open"));
    call
}

/// `number` picked up, or was put through.
pub fn talking(mut call: Value, number: &str) -> Value {
    let caller = call["source"].clone();
    call["conversations"].as_array_mut().expect("conversations").push(json!({
        "caller": caller, "called": { "number": number, "name": null }, "ended_at": null,
    }));
    call["answered_at"] = json!("2026-11-22T17:21:41.5Z");
    call["answered_by"] = json!({ "number": number, "name": null });
    call["disposition"] = json!("ANSWERED");
    call
}

/// Ended after `talk_ms` of talking.
pub fn ended(mut call: Value, talk_ms: i64) -> Value {
    call["state"] = json!("ended");
    call["ended_at"] = json!("2026-11-22T17:21:43.6Z");
    call["wait_ms"] = json!(1400);
    call["talk_ms"] = json!(talk_ms);
    call
}

pub fn letter(kind: &str, call: &Value) -> Letter {
    about(kind, call, Value::Null)
}

pub fn about(kind: &str, call: &Value, about: Value) -> Letter {
    let created: Timestamp = "2026-11-22T17:21:45Z".parse().expect("a time");
    Letter {
        id: format!("01a20a7b-6e18-8000-9000-{:012x}", kind.len()),
        call: CALL.into(),
        kind: kind.into(),
        created,
        body: json!({
            "type": kind, "timestamp": created, "data": call, "about": about,
            "story": { "en": [{ "at": created, "text": "came in" }], "ru": [{ "at": created, "text": "вошёл" }] },
        }),
    }
}

pub fn merged(from: &str) -> Letter {
    letter("call.merged", &json!({ "from": from, "into": CALL }))
}

/// A receiver's side of the conversation, and what is remembered.
#[derive(Default)]
pub struct Post {
    pub memory: Memory,
    pub sent: Vec<Message>,
}

impl Post {
    /// Tells one notice as the delivery does; `answer` says what the receiver answers. The last status is returned.
    pub fn tell(
        &mut self,
        endpoint: &Endpoint,
        letter: &Letter,
        mut answer: impl FnMut(&Message) -> (u16, String),
    ) -> Result<Option<u16>, String> {
        for _ in 0..super::MOST_STEPS {
            let task = Task { endpoint, letter, memory: &self.memory, at: letter.created };
            let message = match super::next(&task)? {
                Step::Send(message) => message,
                Step::Nothing(_) => return Ok(None),
                Step::Run(_) => panic!("a program"),
            };
            let (status, body) = answer(&message);
            let reply =
                Reply { status: Some(status), body: body.into_bytes(), ..Reply::nothing(String::new()) };
            let Heard { remember, more, means } = super::heard(&task, &reply);
            self.memory.extend(remember);
            self.sent.push(message);
            if !more {
                return Ok(means.or(Some(status)));
            }
        }
        panic!("more than {} steps", super::MOST_STEPS);
    }

    /// The same with a receiver that is content.
    pub fn well(&mut self, endpoint: &Endpoint, letter: &Letter) -> Option<Value> {
        let before = self.sent.len();
        self.tell(endpoint, letter, |_| (200, String::new())).expect("it can be told");
        self.sent.get(before).map(|message| serde_json::from_str(&message.body).expect("JSON"))
    }
}

/// Any JSON that somebody could have written down as a notice, most of it with the keys that are looked for.
pub fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof!["\\PC{0,12}", "[0-9+]{0,14}", "[\"\\\\\r\n\u{0}{}%<>&]{0,9}"].prop_map(Value::from),
    ];
    let keys = prop_oneof![
        Just("number"),
        Just("name"),
        Just("role"),
        Just("text"),
        Just("recording"),
        Just("called"),
        Just("caller"),
        Just("step"),
        Just("at"),
        Just("leg"),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(keys.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// A letter of any kind in which some of what is said of the call is anything at all.
pub fn any_letter() -> impl Strategy<Value = Letter> {
    let kinds = prop::sample::select([&NOTICES[..], &["call.unheard-of"]].concat());
    let keys = prop::sample::select(
        incoming().as_object().expect("an object").keys().cloned().chain(["from".into()]).collect::<Vec<_>>(),
    );
    let changes = prop::collection::vec((keys, anything()), 0..6);
    (kinds, changes, anything()).prop_map(|(kind, changes, subject)| {
        let mut call = rung(talking(incoming(), "101"), "102");
        for (key, value) in changes {
            call[key] = value;
        }
        about(kind, &call, subject)
    })
}

/// That no value of a message can break out of the request.
pub fn is_sound(message: &Message) -> bool {
    let value = |v: &String| v.bytes().all(|b| b >= 32 && b != 127);
    let name =
        |n: &String| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let url = message.url.bytes().all(|b| b.is_ascii_graphic());
    url && message.headers.iter().all(|(n, v)| name(n) && value(v))
        && message.method.bytes().all(|b| b.is_ascii_uppercase())
}
