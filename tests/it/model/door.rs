//! Calls of the model through the door, dealt to the nodes of one database: what is stored and what is told of them.

use std::collections::BTreeMap;

use calljournal::call::{Call, CallId, Numbering, fold};
use calljournal::event::Event;
use calljournal::intake::Intake;
use jiff::SignedDuration;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::plan::plans;
use super::world::{Played, play};
use crate::intake::Journal;
use crate::nodes::Site;

/// Calls drawn by lot, always the same ones, each on a pbx of its own.
pub fn drawn(count: usize) -> Vec<Played> {
    let mut runner = TestRunner::deterministic();
    let plans = plans(2);
    let mut play = |n| play(&plans.new_tree(&mut runner).unwrap().current(), &format!("pbx{n}"));
    (0..count).flat_map(&mut play).collect()
}

/// Whether two calls became one in it.
pub fn joined(played: &Played) -> bool {
    played.events.iter().any(|event| event.fact("attendedtransfer").is_some())
}

/// What must be in the table of calls, by id.
fn wanted(calls: &[Played]) -> BTreeMap<CallId, String> {
    let of = |played: &Played| {
        let call = fold(&played.events, &Numbering::default()).unwrap().call;
        (call.id, serde_json::to_string(&call).unwrap())
    };
    calls.iter().map(of).collect()
}

/// Deals cards: always the same ones.
struct Dealer(u64);

impl Dealer {
    fn to(&mut self, places: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % places
    }
}

/// Hands the events of all calls to the nodes, in no order, some of them to two.
pub async fn deal(calls: &[Played], nodes: &[Intake]) {
    let mut dealer = Dealer(3);
    let mut events: Vec<Event> = calls.iter().flat_map(|played| played.events.clone()).collect();
    let again: Vec<Event> = events.iter().step_by(7).cloned().collect();
    events.extend(again);
    for n in (1..events.len()).rev() {
        events.swap(n, dealer.to(n + 1));
    }
    for batch in events.chunks(5) {
        nodes[dealer.to(nodes.len())].accept(batch.to_vec()).await.unwrap();
    }
}

const CALLS: &str = "SELECT doc AS s FROM calls";
const ENDED: &str = "SELECT kind AS s FROM notices";

fn stored(docs: Vec<String>) -> BTreeMap<CallId, String> {
    let id = |doc: &str| serde_json::from_str::<Call>(doc).unwrap().id;
    docs.into_iter().map(|doc| (id(&doc), doc)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_events_come_in_no_order_are_what_happened_and_end_once() {
    let calls = drawn(60);
    let journal = Journal::open();
    deal(&calls, std::slice::from_ref(&journal.intake)).await;
    journal.pass(1_000_000.0).await;
    assert_eq!(stored(journal.texts(CALLS)), wanted(&calls));
    assert_eq!(journal.texts(ENDED), vec!["call.ended"; calls.len()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_share_the_events_of_all_calls_come_to_the_same() {
    let Some(site) = Site::open(2) else { return };
    let calls = drawn(60);
    deal(&calls, &site.nodes).await;
    site.pass(1_000_000.0).await;
    assert_eq!(stored(site.texts(CALLS)), wanted(&calls));
    assert_eq!(site.texts(ENDED), vec!["call.ended"; calls.len()]);
}

/// What was told of the calls that are one now: the ids that were told as ended, those that were told to lead to another
/// one, and what was said last of the call as a whole.
#[derive(Default)]
struct Told {
    ended: Vec<CallId>,
    merged: Vec<CallId>,
    last: Option<serde_json::Value>,
}

fn told(bodies: Vec<String>, calls: &BTreeMap<CallId, Call>) -> BTreeMap<CallId, Told> {
    let mut told: BTreeMap<CallId, Told> = BTreeMap::new();
    for body in bodies {
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        let id = |name: &str| body["data"][name].as_str().unwrap().parse::<CallId>().unwrap();
        let own = if body["type"] == "call.merged" { id("from") } else { id("id") };
        let now =
            calls.values().find(|call| call.ids.contains(&own)).expect("told of a call that is none").id;
        let told = told.entry(now).or_default();
        match body["type"].as_str().unwrap() {
            "call.merged" => told.merged.push(own),
            "call.ended" => {
                told.ended.push(own);
                told.last = Some(body["data"].clone());
            }
            _ => told.last = Some(body["data"].clone()),
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_corrects_and_merges_and_ends_no_call_twice() {
    let mut dealer = Dealer(11);
    let played: Vec<Played> = drawn(80).into_iter().filter(joined).take(10).collect();
    let mut events: Vec<Event> = played.iter().flat_map(|played| played.events.clone()).collect();
    // Some channels told the file, minutes before it is read: of these nothing is missed before they are known.
    let mut late: BTreeMap<(String, String), i64> = BTreeMap::new();
    for event in &mut events {
        let of_channel = late.entry((event.pbx.clone(), event.uid.clone()));
        let late = of_channel.or_insert_with(|| [0, 0, 0, 40, 4000][dealer.to(5)]);
        event.received += SignedDuration::from_secs(*late);
    }
    events.sort_by_key(|event| event.received);
    let journal = Journal::open();
    for together in
        events.chunk_by(|a, b| b.received.duration_since(a.received) < SignedDuration::from_secs(1))
    {
        let wait = together[0].received.duration_since(journal.clock.now()).max(SignedDuration::ZERO);
        journal.pass(wait.as_secs_f64()).await;
        journal.accept(together).await;
        journal.pass(0.0).await;
    }
    journal.pass(1_000_000.0).await;

    let docs = journal.texts("SELECT doc AS s FROM calls");
    let calls: Vec<Call> = docs.iter().map(|doc| serde_json::from_str(doc).unwrap()).collect();
    let calls: BTreeMap<CallId, Call> = calls.into_iter().map(|call| (call.id, call)).collect();
    let true_ids: Vec<CallId> = wanted(&played).into_keys().collect();
    assert_eq!(calls.keys().copied().collect::<Vec<_>>(), true_ids);
    let told = told(journal.texts("SELECT body AS s FROM notices ORDER BY created_us"), &calls);
    let kinds = journal.texts("SELECT DISTINCT kind AS s FROM notices ORDER BY kind");
    assert_eq!(kinds, ["call.corrected", "call.ended", "call.merged"], "this shows less than it says");
    for (id, call) in &calls {
        let Told { ended, merged, last } = told.get(id).expect("no end was told");
        let of_survivor = ended.iter().filter(|told| *told == id).count();
        assert!(of_survivor <= 1, "the end of {id} is told {of_survivor} times");
        let others: Vec<&CallId> = ended.iter().filter(|told| *told != id).collect();
        assert!(
            others.iter().all(|told| merged.contains(told)),
            "{ended:?} are told as ended, {merged:?} as merged"
        );
        let last = last.as_ref().unwrap();
        assert_eq!(last["ended_at"], serde_json::to_value(call.ended_at).unwrap(), "of {id}");
        assert_eq!(last["talk_ms"], call.talk_ms, "of {id}");
    }
}
