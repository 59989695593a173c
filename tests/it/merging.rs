//! Calls that share channels are one call, whatever order their events come in, however often, and however late.
//!
//! Calls are drawn at random: each a few channels, some of which come to belong to another call at some moment, as
//! transfers and pickups have it. What is made of all their events at once is what must come of them in any other way,
//! and of what was told outside on that way nothing may be told twice or lead nowhere.

use std::collections::{BTreeMap, BTreeSet};

use calljournal::call::Call;
use calljournal::event::{Event, Feed, Kind};
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::intake::{Journal, answered, event, uid};

/// A channel: its call, when it comes, how long it lives, and the call that it is in at its end.
type Channel = (usize, i64, i64, usize);

/// Calls, as all their events in the order of time: any, and those of callers who talk with one channel that stays up.
fn calls() -> impl Strategy<Value = Vec<Event>> {
    let channel = (0..4usize, 0..20i64, 1..30i64, 0..8usize);
    let any = proptest::collection::vec(channel, 2..9);
    let caller = (1..5usize, 0..30i64, 1..8i64, 0..2usize);
    let callers = proptest::collection::vec(caller, 1..7);
    let resident = callers.prop_map(|callers| {
        let mut all = vec![(0, 0, 60, 0)];
        all.extend(callers.into_iter().map(|(call, begins, lives, to)| (call, begins, lives, to * call)));
        all
    });
    prop_oneof![any, resident].prop_map(|channels| {
        let mut first: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, (call, ..)) in channels.iter().enumerate() {
            first.entry(*call).or_insert(n);
        }
        let mut told: Vec<Event> =
            channels.iter().enumerate().flat_map(|(n, channel)| of_channel(n, channel, &first)).collect();
        told.sort_by_key(|event| event.at);
        told
    })
}

/// The first channel of a call calls, the others are called.
fn of_channel(
    n: usize,
    (call, begins, lives, moves_to): &Channel,
    first: &BTreeMap<usize, usize>,
) -> Vec<Event> {
    let name = |n: usize| uid(n as u32);
    let (own, root) = (name(n), name(first[call]));
    // Most channels stay where they are.
    let last = first.get(moves_to).map_or_else(|| root.clone(), |other| name(*other));
    let (begins, ends) = (begins + n as i64, begins + n as i64 + lives);
    let number = format!("num=10{n}");
    let caller = format!("caller={root}");
    let mut told = if first[call] == n {
        vec![event(Kind::Start, &own, &root, 1, begins, &[&number, "exten=100", "dir=in"])]
    } else {
        vec![
            event(Kind::Ring, &own, &root, 1, begins, &[&number, &caller]),
            event(Kind::Answer, &own, &root, 2, begins + lives / 2, &[&number, &caller]),
        ]
    };
    told.push(event(Kind::Hangup, &own, &last, told.len() as u32 + 1, ends, &["cause=16"]));
    told.iter_mut().for_each(|event| event.root = Some(root.clone()));
    told
}

/// What comes at one time, and how many seconds pass after it.
type Batch = (Vec<Event>, i64);

/// The same events in another order, some of them twice, in batches that lie apart by nothing, by more than the grace
/// or by more than a call may be silent.
fn retold(told: &[Event]) -> impl Strategy<Value = Vec<Batch>> + use<> {
    let (count, told) = (told.len(), told.to_vec());
    let again = proptest::collection::vec(0..count, 0..4);
    let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
    let cuts =
        proptest::collection::vec((1..count.max(2), proptest::sample::select(vec![0, 3, 60, 15_000])), 1..5);
    // Half of the time it comes in the order in which it happened, as it mostly does.
    (again, order, cuts, any::<bool>()).prop_map(move |(again, mut order, cuts, shuffled)| {
        if !shuffled {
            order.sort_unstable();
        }
        let mut all: Vec<Event> = order.iter().map(|n| told[*n].clone()).collect();
        all.extend(again.iter().map(|n| Event { feed: Feed::Spool, ..told[*n].clone() }));
        let mut batches = Vec::new();
        for (size, pause) in cuts {
            let rest = all.split_off(size.min(all.len()));
            batches.push((std::mem::replace(&mut all, rest), pause));
        }
        batches.push((all, 0));
        batches
    })
}

/// What came of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    calls: Vec<Call>,
    /// The call of each channel.
    members: Vec<String>,
}

/// Hands the batches to one node after the other. The database of one process is not for two.
async fn play(j: &Journal, batches: &[Batch]) -> Outcome {
    let other = super::on_postgres().then(|| j.another_node());
    for (n, (events, pause)) in batches.iter().enumerate() {
        let now = j.clock.now();
        let events: Vec<Event> = events.iter().map(|e| Event { received: now, ..e.clone() }).collect();
        let node = other.as_ref().filter(|_| n % 2 == 1).unwrap_or(&j.intake);
        node.accept(events).await.unwrap();
        // On two nodes it may also come while the other one is at it.
        if *pause > 0 || other.is_none() {
            j.pass(*pause as f64).await;
        }
    }
    j.pass(120.0).await;
    if let Some(other) = other {
        other.stop().await;
    }
    j.intake.stop().await;
    let docs = super::texts(&mut j.sql(), "SELECT doc AS s FROM calls ORDER BY id");
    let members = "SELECT pbx || ' ' || channel || ' ' || call_id AS s FROM members ORDER BY channel";
    Outcome {
        calls: docs.iter().map(|doc| serde_json::from_str(doc).unwrap()).collect(),
        members: super::texts(&mut j.sql(), members),
    }
}

/// The notices in the order in which they were created.
fn notices(j: &Journal) -> Vec<Value> {
    let bodies = super::texts(&mut j.sql(), "SELECT body AS s FROM notices ORDER BY created_us, kind");
    bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

/// Who listened outside knows each call once, each under a name that leads to it, and as it is.
fn told_rightly(outcome: &Outcome, notices: &[Value]) -> Result<(), TestCaseError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |kind: &'static str| notices.iter().filter(move |notice| notice["type"] == kind);
    for call in &outcome.calls {
        let ids: BTreeSet<String> = call.ids.iter().map(ToString::to_string).collect();
        let ended: Vec<String> =
            of("call.ended").map(|n| text(&n["data"]["id"])).filter(|id| ids.contains(id)).collect();
        let merged = of("call.merged").filter(|n| ids.contains(&text(&n["data"]["from"]))).count();
        prop_assert_eq!(ended.iter().collect::<BTreeSet<_>>().len(), ended.len(), "ended twice");
        prop_assert!(ended.len() <= merged + 1, "{} ends, {} merges of {}", ended.len(), merged, call.id);
        let last =
            notices.iter().rfind(|n| n["type"] != "call.merged" && ids.contains(&text(&n["data"]["id"])));
        let last: Call = serde_json::from_value(last.unwrap()["data"].clone()).unwrap();
        prop_assert_eq!(&last, call, "told otherwise than it is");
    }
    let known: BTreeSet<String> =
        outcome.calls.iter().flat_map(|c| &c.ids).map(ToString::to_string).collect();
    for notice in notices {
        let named = [&notice["data"]["id"], &notice["data"]["from"], &notice["data"]["into"]];
        let named = named.into_iter().map(text).filter(|id| !id.is_empty());
        for id in named {
            prop_assert!(known.contains(&id), "{} leads nowhere", id);
        }
    }
    Ok(())
}

#[test]
fn any_order_delay_and_repetition_comes_to_the_same_calls_each_told_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(if super::on_postgres() { 4 } else { 12 });
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    });
    let strategy = calls().prop_flat_map(|told| (retold(&told), Just(told)));
    let tried = runner.run(&strategy, |(batches, told)| {
        runtime.block_on(async {
            let (at_once, piecemeal) = (Journal::open(), Journal::open());
            at_once.clock.advance(SignedDuration::from_secs(100));
            piecemeal.clock.advance(SignedDuration::from_secs(100));
            let wanted = play(&at_once, &[(told, 0)]).await;
            told_rightly(&wanted, &notices(&at_once))?;
            let outcome = play(&piecemeal, &batches).await;
            prop_assert_eq!(&outcome, &wanted);
            told_rightly(&outcome, &notices(&piecemeal))
        })
    });
    tried.unwrap();
}

#[tokio::test]
async fn equal_uniqueids_of_two_pbxes_are_two_calls() {
    let j = Journal::open();
    let here = answered(1);
    let there = here.iter().map(|event| Event { pbx: "branch".to_owned(), ..event.clone() });
    let there: Vec<Event> = there.collect();
    j.accept(&here[..3]).await;
    j.accept(&there).await;
    j.pass(30.0).await;
    let calls = "SELECT pbx || ' ' || state AS s FROM calls ORDER BY pbx";
    assert_eq!(super::texts(&mut j.sql(), calls), ["branch ended", "office talking"]);
    j.accept(&here[3..]).await;
    j.pass(30.0).await;
    assert_eq!(j.notices(), ["call.ended", "call.ended"]);
}
