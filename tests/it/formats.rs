//! What receivers of each format hear of calls that were made on real Asterisks, notice by notice as the calls grew.

use std::collections::BTreeSet;

use calljournal::call::{Call, Direction, Role};
use calljournal::config::{Endpoint, Format};
use calljournal::notify::format::{self, Letter, MOST_STEPS, Memory, Message, Step, Task};
use calljournal::notify::http::Reply;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::recorded::calls_as_they_grew;

/// The notices of a call that had grown to `calls`, one after the other.
fn letters(calls: &[Call]) -> Vec<Letter> {
    let mut letters: Vec<Letter> = Vec::new();
    let mut rang = BTreeSet::new();
    let mut answered = BTreeSet::new();
    let mut transfers = 0;
    for call in calls {
        let mut tell = |kind: &str, about: Value| {
            let body = json!({ "type": kind, "timestamp": call.started_at, "data": call, "about": about });
            let id = format!("notice-{}", letters.len());
            letters.push(Letter {
                id,
                call: call.id.to_string(),
                kind: kind.into(),
                created: call.started_at,
                body,
            });
        };
        if rang.insert(String::new()) {
            tell("call.started", Value::Null);
        }
        for leg in call.legs.iter().filter(|leg| leg.role == Role::Called) {
            if rang.insert(leg.uniqueid.clone()) {
                tell("call.ringing", json!({ "leg": leg }));
            }
            if leg.answered_at.is_some() && answered.insert(leg.uniqueid.clone()) {
                tell("call.answered", json!({ "leg": leg, "first": answered.len() == 1 }));
            }
        }
        if call.transfers.len() > transfers {
            transfers = call.transfers.len();
            tell("call.transferred", json!({ "transfer": call.transfers.last() }));
        }
    }
    let over = calls.last().unwrap();
    let body = json!({ "type": "call.ended", "timestamp": over.started_at, "data": over, "about": null });
    let id = format!("notice-{}", letters.len());
    letters.push(Letter {
        id,
        call: over.id.to_string(),
        kind: "call.ended".into(),
        created: over.started_at,
        body,
    });
    letters
}

/// What a receiver that is content with everything gets.
fn heard(format: Format, letters: &[Letter]) -> Vec<Message> {
    let endpoint = Endpoint {
        name: "crm".into(),
        url: "https://crm.example.com/rest/1/x".into(),
        format,
        timezone: Some("UTC".into()),
        ..Endpoint::default()
    };
    let (mut memory, mut sent) = (Memory::new(), Vec::new());
    for letter in letters {
        for step in 0.. {
            assert!(step < MOST_STEPS, "too many steps");
            let task = Task { endpoint: &endpoint, letter, memory: &memory, at: Timestamp::UNIX_EPOCH };
            let Step::Send(message) = format::next(&task).unwrap() else { break };
            let register = message.url.contains("register");
            let body =
                if register { json!({ "result": { "CALL_ID": "x" } }) } else { json!({ "result": {} }) };
            let reply =
                Reply { status: Some(200), body: body.to_string().into(), ..Reply::nothing(String::new()) };
            let heard = format::heard(&task, &reply);
            memory.extend(heard.remember);
            sent.push(message);
            if !heard.more {
                break;
            }
        }
    }
    sent
}

fn bodies(messages: &[Message]) -> Vec<Value> {
    messages.iter().map(|message| serde_json::from_str(&message.body).unwrap()).collect()
}

/// The names of events, with the phone that each is about.
fn told(events: &[Value]) -> Vec<(&str, Option<&str>)> {
    events.iter().map(|e| (name(e), e["params"]["real_local_number"].as_str())).collect()
}

fn name(event: &Value) -> &str {
    let places = [&event["event_name"], &event["params"]["event_name"]];
    places.into_iter().find_map(Value::as_str).unwrap()
}

/// From its start to its one end, by way of those who talked, each of them once in a row.
fn is_in_order(told: &[(&str, Option<&str>)]) -> bool {
    let count = |name: &str| told.iter().filter(|(other, _)| *other == name).count();
    let talkers: Vec<_> = told.iter().filter(|(name, _)| *name == "start.talk").collect();
    told.first().is_some_and(|first| first.0 == "start.call")
        && told.last().is_some_and(|last| last.0 == "end.call")
        && count("start.call") == 1
        && count("end.call") == 1
        && talkers.windows(2).all(|two| two[0] != two[1])
}

#[test]
fn receivers_hear_of_recorded_calls_from_their_start_to_their_one_end() {
    let (mut inbound, mut others) = (0, 0);
    for (file, calls) in calls_as_they_grew() {
        let (letters, call, file) = (letters(&calls), calls.last().unwrap(), file.display());
        let ast_cdr = bodies(&heard(Format::AstCdr, &letters));
        let vpbx = bodies(&heard(Format::Vpbx, &letters));
        match call.direction {
            Direction::Inbound => {
                assert!(is_in_order(&told(&ast_cdr)), "{file}: {:?}", told(&ast_cdr));
                assert!(
                    ast_cdr.iter().all(|e| e["params"]["call_id"] == ast_cdr[0]["params"]["call_id"]),
                    "{file}"
                );
                inbound += 1;
            }
            _ => {
                assert!(ast_cdr.is_empty(), "{file}");
                others += 1;
            }
        }
        assert!(is_in_order(&told(&vpbx)), "{file}: {:?}", told(&vpbx));
        let own =
            told(&vpbx).iter().all(|(name, phone)| !name.starts_with("local.") || phone.is_some_and(is_own));
        assert!(own, "{file}: {:?}", told(&vpbx));
        assert!(vpbx.iter().all(|e| e["params"]["call_id"] == vpbx[0]["params"]["call_id"]), "{file}");
        assert_eq!(vpbx.last().unwrap()["params"]["billsec"], call.talk_ms / 1000, "{file}");
    }
    assert!(inbound > 100 && others > 20, "{inbound} {others}");
}

#[test]
fn bitrix24_learns_of_recorded_calls_with_a_number_outside_and_of_each_once() {
    for (file, calls) in calls_as_they_grew() {
        let (call, file) = (calls.last().unwrap(), file.display());
        let messages = heard(Format::Bitrix24, &letters(&calls));
        let methods: Vec<&str> = messages.iter().map(|m| m.url.rsplit('.').nth(1).unwrap()).collect();
        let phones: Vec<Value> =
            bodies(&messages).iter().map(|said| said["USER_PHONE_INNER"].clone()).collect();
        let rang = call.legs.iter().any(|leg| leg.party.number.as_deref().is_some_and(is_own));
        match call.direction {
            Direction::Inbound | Direction::Outbound if rang => {
                assert_eq!(methods, ["register", "finish"], "{file}");
                let own = phones.iter().all(|phone| phone.as_str().is_some_and(is_own));
                assert!(own, "{file}: {phones:?}");
            }
            _ => assert!(methods.is_empty(), "{file}: {methods:?}"),
        }
    }
}

fn is_own(number: &str) -> bool {
    number.len() == 3
}

#[test]
fn the_call_on_which_templates_are_tried_has_all_that_a_call_has() {
    let text = include_str!("../../src/asset/trial-call.json");
    let call: Call = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), json!(call));
    let full = |list: usize| assert!(list > 0);
    full(
        call.legs.len()
            * call.conversations.len()
            * call.transfers.len()
            * call.steps.len()
            * call.remarks.len(),
    );
}
