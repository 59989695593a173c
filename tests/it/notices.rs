//! What a receiver of the standard format gets of calls that were made on real Asterisks, held against the schema that
//! documents it.
//!
//! The calls go through the door, event by event as they came; what lies in the outbox is then made into requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use calljournal::config::Endpoint;
use calljournal::event::Event;
use calljournal::intake::{Subscription, wanting};
use calljournal::notify::format::{self, Letter, Memory, Step, Task};
use jiff::{SignedDuration, Timestamp};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::intake::{Journal, RULES};
use crate::recorded::{CALLS, events, recorded};

const SCHEMA: &str = include_str!("../../docs/notice.schema.json");

/// All kinds that can be asked for.
const KINDS: [&str; 8] = [
    wanting::STARTED,
    wanting::RINGING,
    wanting::ANSWERED,
    wanting::TRANSFERRED,
    wanting::RECORDED,
    wanting::ENDED,
    wanting::CORRECTED,
    wanting::MERGED,
];

/// Nothing that is not documented gets past: receivers are told that fields may come, but each is to be described.
fn strictly(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            if keys.contains_key("properties") && !keys.contains_key("additionalProperties") {
                keys.insert("additionalProperties".into(), false.into());
            }
            for (_, under) in keys.iter_mut().filter(|(key, _)| !["if", "then"].contains(&key.as_str())) {
                strictly(under);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(strictly),
        _ => {}
    }
}

pub fn validator() -> Validator {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "this is no JSON Schema");
    strictly(&mut schema);
    jsonschema::validator_for(&schema).unwrap()
}

/// Lets the calls of one directory come in as they came, minutes late some of them: the notices, in their order.
async fn heard_of(directory: &Path) -> Vec<Letter> {
    let mut all: Vec<Event> = recorded(directory).iter().flat_map(|file| events(file)).collect();
    all.sort_by_key(|event| event.received);
    let journal = Journal::unreleased(tempfile::tempdir().unwrap(), all[0].received.as_second());
    let kinds = KINDS.map(ToOwned::to_owned).to_vec();
    journal.intake.subscribe(vec![Subscription {
        endpoint: "crm".into(),
        kinds,
        corrections: true,
        ..Subscription::default()
    }]);
    journal.intake.release_deadlines();
    for together in all.chunk_by(|a, b| b.received.duration_since(a.received) < RULES.grace / 2) {
        let wait = together[0].received.duration_since(journal.clock.now()).max(SignedDuration::ZERO);
        journal.pass(wait.as_secs_f64()).await;
        journal.accept(together).await;
        journal.pass(0.0).await;
    }
    journal.pass(100_000.0).await;
    let bodies = journal.texts("SELECT id || ' ' || body AS s FROM notices ORDER BY created_us");
    let letter = |row: String| {
        let (id, body) = row.split_once(' ').unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let kind = body["type"].as_str().unwrap().to_owned();
        let created = body["timestamp"].as_str().unwrap().parse().unwrap();
        Letter { id: id.to_owned(), call: String::new(), kind, created, body }
    };
    bodies.into_iter().map(letter).collect()
}

/// What is posted.
fn sent(letter: &Letter, locale: &str) -> Value {
    let endpoint = Endpoint {
        name: "crm".into(),
        url: "http://crm/".into(),
        locale: Some(locale.into()),
        ..Endpoint::default()
    };
    let task = Task { endpoint: &endpoint, letter, memory: &Memory::new(), at: Timestamp::UNIX_EPOCH };
    let Step::Send(message) = format::next(&task).unwrap() else { panic!("nothing is sent") };
    serde_json::from_str(&message.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_of_calls_of_real_asterisks_is_as_the_schema_has_it() {
    let validator = validator();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let directories = fs::read_dir(CALLS).unwrap().map(|entry| entry.unwrap().path());
    let heard = directories.map(|directory| tokio::spawn(async move { heard_of(&directory).await }));
    for letters in heard.collect::<Vec<_>>() {
        let mut ids = BTreeSet::new();
        for letter in letters.await.unwrap() {
            assert!(ids.insert(letter.id.clone()), "{} is there twice", letter.id);
            *seen.entry(letter.kind.clone()).or_default() += 1;
            for locale in ["en", "ru"] {
                let body = sent(&letter, locale);
                let wrong: Vec<String> =
                    validator.iter_errors(&body).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert!(wrong.is_empty(), "{}\n{body:#}", wrong.join("\n"));
            }
        }
    }
    println!("{seen:?}");
    for kind in KINDS.iter().filter(|kind| **kind != wanting::CORRECTED) {
        assert!(seen.contains_key(*kind), "no recorded call has {kind}: {seen:?}");
    }
}

#[test]
fn the_schema_refuses_what_is_no_notice() {
    let validator = validator();
    let merged = |more: Value| {
        let id = "01a20a7b-6e18-8000-813e-87c6f56c4166";
        let mut body = json!({ "type": "call.merged", "timestamp": "2026-11-23T22:16:35Z", "story": [],
                               "data": { "from": id, "into": id } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        validator.is_valid(&body)
    };
    assert!(merged(json!({})));
    for wrong in [
        json!({ "type": "call.unheard-of" }),
        json!({ "type": "call.ended" }),
        json!({ "timestamp": 1 }),
        json!({ "data": { "from": "x", "into": "y" } }),
        json!({ "about": {} }),
        json!({ "more": 1 }),
        json!({ "story": { "en": [], "ru": [] } }),
    ] {
        assert!(!merged(wrong.clone()), "{wrong}");
    }
}
