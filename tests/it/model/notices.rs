//! What is told of calls of the model while they go on: each thing once, whatever comes twice, late, in another order or to
//! another node; and of calls that come as they happen, all that happened.

use std::collections::{BTreeMap, BTreeSet};

use calljournal::call::{Call, CallId};
use calljournal::event::Event;
use calljournal::intake::Subscription;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::door::{deal, drawn, joined};
use super::world::Played;
use crate::intake::Journal;
use crate::nodes::Site;

const KINDS: [&str; 6] =
    ["call.started", "call.ringing", "call.answered", "call.transferred", "call.recorded", "call.ended"];

fn everything() -> Vec<Subscription> {
    let kinds = KINDS.map(ToOwned::to_owned).to_vec();
    vec![Subscription { endpoint: "crm".into(), kinds, corrections: true, ..Subscription::default() }]
}

/// What was told of the calls that are one now: what each notice of a kind is about.
type Told = BTreeMap<CallId, BTreeMap<String, Vec<String>>>;

fn told(bodies: Vec<String>, calls: &BTreeMap<CallId, Call>) -> Told {
    let mut told = Told::new();
    for body in bodies {
        let body: Value = serde_json::from_str(&body).unwrap();
        let name = if body["type"] == "call.merged" { "from" } else { "id" };
        let own: CallId = body["data"][name].as_str().unwrap().parse().unwrap();
        let now = calls.values().find(|call| call.ids.contains(&own)).expect("told of a call that is none");
        let about = match &body["about"] {
            Value::Null => own.to_string(),
            about if about["leg"].is_object() => about["leg"]["uniqueid"].as_str().unwrap().to_owned(),
            about => about["transfer"]["by"]["number"].as_str().unwrap().to_owned(),
        };
        let kind = body["type"].as_str().unwrap().to_owned();
        told.entry(now.id).or_default().entry(kind).or_default().push(about);
    }
    told
}

/// What there was to tell of a call: who picked up, and who made the transfers.
fn happened(call: &Call) -> (BTreeSet<String>, Vec<String>) {
    let up = call.legs.iter().filter(|leg| leg.ring_ms.is_some() && leg.answered_at.is_some());
    let mut transfers: Vec<String> =
        call.transfers.iter().map(|one| one.by.number.clone().unwrap_or_default()).collect();
    transfers.sort();
    (up.map(|leg| leg.uniqueid.clone()).collect(), transfers)
}

fn calls(docs: Vec<String>) -> BTreeMap<CallId, Call> {
    let calls = docs.iter().map(|doc| serde_json::from_str::<Call>(doc).unwrap());
    calls.map(|call| (call.id, call)).collect()
}

const DOCS: &str = "SELECT doc AS s FROM calls";
const BODIES: &str = "SELECT body AS s FROM notices ORDER BY created_us";

/// Each thing is told once at most, and one end of each name that the call had.
fn nothing_twice(told: &Told) {
    for (id, kinds) in told {
        for (kind, about) in kinds {
            // One may transfer a call twice.
            if ["call.corrected", "call.transferred"].contains(&kind.as_str()) {
                continue;
            }
            let different: BTreeSet<&String> = about.iter().collect();
            assert_eq!(different.len(), about.len(), "{kind} of {id}: {about:?}");
        }
        let ended = kinds.get("call.ended").map_or(0, Vec::len);
        let merged = kinds.get("call.merged").map_or(0, Vec::len);
        assert!((1..=1 + merged).contains(&ended), "{ended} ends and {merged} merges of {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_no_order_and_twice_is_told_once() {
    let played = drawn(40);
    let journal = Journal::open();
    journal.intake.subscribe(everything());
    deal(&played, std::slice::from_ref(&journal.intake)).await;
    journal.pass(1_000_000.0).await;
    let calls = calls(journal.texts(DOCS));
    let told = told(journal.texts(BODIES), &calls);
    assert_eq!(told.len(), calls.len());
    nothing_twice(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_tell_nothing_twice() {
    let Some(site) = Site::open(2) else { return };
    let played = drawn(40);
    site.nodes.iter().for_each(|node| node.subscribe(everything()));
    deal(&played, &site.nodes).await;
    site.pass(1_000_000.0).await;
    let calls = calls(site.texts(DOCS));
    let told = told(site.texts(BODIES), &calls);
    assert_eq!(told.len(), calls.len());
    nothing_twice(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_as_they_happen_are_told_with_all_answers_and_transfers_also_where_two_become_one() {
    let played: Vec<Played> = drawn(120).into_iter().filter(joined).take(12).collect();
    let mut events: Vec<Event> = played.iter().flat_map(|played| played.events.clone()).collect();
    events.sort_by_key(|event| event.received);
    let journal = Journal::open();
    journal.intake.subscribe(everything());
    let near = |a: Timestamp, b: Timestamp| b.duration_since(a) < SignedDuration::from_millis(100);
    for together in events.chunk_by(|a, b| near(a.received, b.received)) {
        let wait = together[0].received.duration_since(journal.clock.now()).max(SignedDuration::ZERO);
        journal.pass(wait.as_secs_f64()).await;
        journal.accept(together).await;
        journal.pass(0.0).await;
    }
    journal.pass(1_000_000.0).await;
    let calls = calls(journal.texts(DOCS));
    let told = told(journal.texts(BODIES), &calls);
    nothing_twice(&told);
    for (id, call) in &calls {
        let of = |kind: &str| told[id].get(kind).cloned().unwrap_or_default();
        let (up, transfers) = happened(call);
        assert_eq!(of("call.answered").into_iter().collect::<BTreeSet<_>>(), up, "answers of {id}");
        let mut transferred = of("call.transferred");
        transferred.sort();
        assert_eq!(transferred, transfers, "transfers of {id}");
        let called: BTreeSet<String> = call.legs.iter().map(|leg| leg.uniqueid.clone()).collect();
        assert!(of("call.ringing").iter().all(|rang| called.contains(rang)), "of {id}");
        let merged = of("call.merged").len();
        assert_eq!(of("call.started").len(), merged + 1, "each name that was told is led to the call: {id}");
        assert_eq!(of("call.ended").len(), 1, "{id}");
    }
}
