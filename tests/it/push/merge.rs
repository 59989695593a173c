//! Posts and the dialplan's events through the door: one call with one end, whatever came first.

use calljournal::call::{Disposition, Outcome, Side, State};
use calljournal::event::{Event, Feed, Kind};
use calljournal::feed::push::post::{Read, Route, read};
use calljournal::intake::Intake;
use calljournal::store::Store;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::intake::{Journal, RULES};
use super::super::{on_postgres, url};
use super::{
    ABANDONED, ANSWERED, BLIND, BORN, HIDDEN_KEY, abandoned_by_dialplan, answered_by_dialplan,
    blind_by_dialplan, dialplan, heard, hidden, hidden_by_dialplan,
};

const KEY: &str = "20261122-222140-79190000001-IN-73510000001";

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_second(BORN).unwrap() + SignedDuration::from_secs_f64(seconds)
}

/// A journal whose clock stands at [`BORN`].
fn journal() -> Journal {
    let journal = Journal::unreleased(tempfile::tempdir().unwrap(), BORN);
    journal.intake.release_deadlines();
    journal
}

/// Hands in each event when it came, and lets all be settled in between.
async fn play(journal: &Journal, events: &[Event]) {
    for event in events {
        let wait = event.received.duration_since(journal.clock.now()).max(SignedDuration::ZERO);
        journal.pass(wait.as_secs_f64()).await;
        journal.accept(std::slice::from_ref(event)).await;
        journal.pass(0.0).await;
    }
}

/// One call event about the call of `key`, that came then.
fn said(word: &str, key: &str, seconds: f64) -> Event {
    let source = key.split('-').nth(2).unwrap();
    let body = serde_json::json!({
        "type": "call_event",
        "params": { "event_name": word, "call_id": key, "src_phone": source, "dst_phone": "73510000001" },
    });
    match read(Route::Calls, body.to_string().as_bytes(), "office", at(seconds)) {
        Read::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn starts(serial: u32, seconds: f64, key: &str) -> Event {
    starts_as(&format!("{BORN}.{serial}"), seconds, key)
}

fn starts_as(uid: &str, seconds: f64, key: &str) -> Event {
    let facts = format!("key={key},exten=73510000001,num=79190000001");
    dialplan(Kind::Start, uid, uid, 1, seconds, "PJSIP/trunk-00000006", &facts)
}

fn ends(serial: u32, seconds: f64) -> Event {
    let uid = format!("{BORN}.{serial}");
    dialplan(
        Kind::Hangup,
        &uid,
        &uid,
        2,
        seconds,
        &format!("PJSIP/trunk-{serial:08}"),
        "cause=16,dialstatus=CANCEL",
    )
}

fn calls(journal: &Journal) -> i64 {
    journal.number("SELECT COUNT(*) AS n FROM calls")
}

/// The recorded calls, by posts alone and together with what the dialplan tells of them.
fn scenarios() -> [(&'static str, Vec<Event>); 10] {
    let both = |told: Vec<Event>, posts: Vec<Event>| [told, posts].concat();
    [
        ("answered, heard", heard(ANSWERED)),
        ("abandoned, heard", heard(ABANDONED)),
        ("transferred, heard", heard(BLIND)),
        ("hidden, heard", hidden()),
        ("answered", both(answered_by_dialplan(true), heard(ANSWERED))),
        ("answered, caller hooked", both(answered_by_dialplan(false), heard(ANSWERED))),
        ("abandoned", both(abandoned_by_dialplan(true), heard(ABANDONED))),
        ("abandoned, caller hooked", both(abandoned_by_dialplan(false), heard(ABANDONED))),
        ("transferred", both(blind_by_dialplan(), heard(BLIND))),
        ("hidden", both(hidden_by_dialplan(), hidden())),
    ]
}

#[test]
fn posts_and_the_dialplan_in_any_order_make_one_call_with_one_end() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for (name, events) in scenarios() {
        let pieces = proptest::collection::vec(1..6usize, events.len());
        let orders = (Just(events).prop_shuffle(), pieces);
        let config = Config { failure_persistence: None, ..Config::with_cases(2) };
        let mut runner = TestRunner::new(config);
        let done =
            runner.run(&orders, |(events, pieces)| tokio.block_on(in_this_order(name, events, &pieces)));
        done.unwrap();
    }
}

/// Hands the events in so, in pieces of these sizes.
async fn in_this_order(name: &str, events: Vec<Event>, pieces: &[usize]) -> Result<(), TestCaseError> {
    let journal = journal();
    // Ten milliseconds apart: nothing is late enough to come after the end.
    let came_so = |(n, event): (usize, Event)| {
        let came = at(0.01 * n as f64);
        let at = if event.feed == Feed::Push { came } else { event.at };
        Event { at, received: came, ..event }
    };
    let events: Vec<Event> = events.into_iter().enumerate().map(came_so).collect();
    let mut rest = events.as_slice();
    for &size in pieces {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        if let Some(last) = piece.last() {
            let wait = last.received.duration_since(journal.clock.now());
            journal.accept(piece).await;
            journal.pass(wait.as_secs_f64().max(0.0)).await;
        }
    }
    prop_assert_eq!(journal.notices(), [""; 0], "{}", name);
    journal.pass(2.0).await;
    prop_assert_eq!(journal.notices(), ["call.ended"], "{}", name);
    prop_assert_eq!(calls(&journal), 1, "{}", name);
    prop_assert_eq!(journal.number("SELECT COUNT(*) AS n FROM events WHERE note IS NULL"), 0, "{}", name);
    journal.intake.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transferred_call_is_not_told_as_ended_by_the_early_end_call() {
    for told in [Vec::new(), blind_by_dialplan()] {
        let journal = journal();
        let mut all = heard(BLIND);
        all.extend(told);
        all.sort_by_key(|e| e.received);
        let last_end = all.iter().filter(|e| e.kind == Kind::Hangup).map(|e| e.received).max().unwrap();
        for event in &all {
            play(&journal, std::slice::from_ref(event)).await;
            assert_eq!(journal.notices(), [""; 0], "after {}", event.token);
        }
        journal.pass(1.4).await;
        assert_eq!(journal.notices(), [""; 0]);
        journal.pass(0.2).await;
        assert_eq!(journal.notices(), ["call.ended"]);
        let call = journal.store.call("1795386108.10").await.unwrap().unwrap().call;
        assert_eq!(call.state, State::Ended);
        assert!(last_end.duration_since(call.ended_at.unwrap()) < SignedDuration::from_millis(60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_comes_before_the_dialplans_first_event_tells_of_the_same_call() {
    let journal = journal();
    play(&journal, &[said("start.call", KEY, 0.1)]).await;
    assert_eq!(calls(&journal), 1);
    play(&journal, &[starts(6, 2.5, KEY)]).await;
    play(&journal, &[said("end.call", KEY, 5.0), ends(6, 5.1), said("end.call", KEY, 5.2)]).await;
    assert_eq!(calls(&journal), 1);
    journal.pass(10.0).await;
    assert_eq!(journal.notices(), ["call.ended"]);
    // By whichever name it is asked for.
    let id = journal.store.call("1795386100.6").await.unwrap().unwrap().call;
    for name in &id.ids {
        assert_eq!(journal.store.call(&name.to_string()).await.unwrap().unwrap().call.id, id.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_call_of_both_is_told_as_the_dialplan_told_it() {
    for phones in [true, false] {
        let journal = journal();
        let mut all = [abandoned_by_dialplan(phones), heard(ABANDONED)].concat();
        all.sort_by_key(|e| e.received);
        play(&journal, &all).await;
        assert_eq!(journal.notices(), [""; 0], "the grace is not over");
        journal.pass(2.0).await;
        assert_eq!(journal.notices(), ["call.ended"]);
        let call = journal.store.call("1795386104.8").await.unwrap().unwrap().call;
        assert!(call.abandoned);
        assert_eq!((call.disposition, call.hung_up_by), (Disposition::NoAnswer, Some(Side::Caller)));
        let rung: Vec<_> = call.legs.iter().skip(1).map(|l| (l.party.number.as_deref(), l.outcome)).collect();
        assert_eq!(rung, [(Some("101"), Outcome::Cancelled)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hides_his_number_is_found_by_his_key_all_the_same() {
    let journal = journal();
    play(&journal, &[said("start.call", HIDDEN_KEY, 0.1)]).await;
    let uid = format!("{BORN}.6");
    // As the dialplan spells it.
    let facts = "key=20261122-222140-%3Cunknown%3E-IN-73510000001,exten=73510000001,num=";
    let starts = dialplan(Kind::Start, &uid, &uid, 1, 0.3, "PJSIP/trunk-00000006", facts);
    play(&journal, &[starts, said("end.call", HIDDEN_KEY, 2.0), ends(6, 2.1)]).await;
    journal.pass(10.0).await;
    assert_eq!(journal.notices(), ["call.ended"]);
    assert_eq!(calls(&journal), 1);
    let call = journal.store.call(HIDDEN_KEY).await.unwrap().unwrap().call;
    assert_eq!((call.linkedid.as_str(), call.key.as_deref()), (uid.as_str(), Some(HIDDEN_KEY)));
    assert_eq!(call.source.number, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_with_one_key_are_two_calls() {
    let journal = journal();
    let posts = [said("start.call", KEY, 0.5), said("start.talk", KEY, 1.0), said("end.call", KEY, 3.0)];
    play(&journal, &[starts(6, 0.4, KEY)]).await;
    play(&journal, &posts[..1]).await;
    play(&journal, &[starts(8, 0.6, KEY)]).await;
    play(&journal, &posts[1..]).await;
    assert_eq!(calls(&journal), 2);
    play(&journal, &[ends(6, 4.0)]).await;
    journal.pass(3.0).await;
    assert_eq!(journal.notices(), ["call.ended"]);
    play(&journal, &[ends(8, 8.0)]).await;
    journal.pass(3.0).await;
    assert_eq!(journal.notices(), ["call.ended", "call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_with_one_key_are_two_calls_also_when_all_is_settled_at_once() {
    let journal = journal();
    let all =
        [said("start.call", KEY, 0.5), starts(6, 0.4, KEY), starts(8, 0.6, KEY), said("end.call", KEY, 0.7)];
    journal.accept(&all).await;
    journal.pass(1.0).await;
    assert_eq!(calls(&journal), 2);
    let first = journal.store.call("1795386100.6").await.unwrap().unwrap();
    assert_eq!(first.call.ids.len(), 2, "the posts are about the first that named the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_channel_inherited_from_an_earlier_call_joins_nothing() {
    let journal = journal();
    let later = format!("{}.6", BORN + 120);
    play(&journal, &[said("start.call", KEY, 0.5), starts_as(&later, 120.0, KEY)]).await;
    assert_eq!(calls(&journal), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_meet_though_the_pbx_has_another_time_than_we() {
    let journal = journal();
    let skewed = heard(ANSWERED).into_iter().map(|e| {
        let at = e.at + SignedDuration::from_secs(400);
        Event { at, received: at, ..e }
    });
    play(&journal, &skewed.collect::<Vec<_>>()).await;
    assert_eq!(calls(&journal), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_share_posts_and_dialplan_events_tell_each_call_once() {
    if !on_postgres() {
        return;
    }
    for round in 0..6usize {
        let journal = journal();
        let store = Store::open(&url(journal.dir.path())).unwrap();
        let other = Intake::start(store, journal.clock.clone(), RULES.into());
        other.release_deadlines();
        journal.pass(20.0).await;
        let came = journal.clock.now();
        let phones = round % 2 == 0;
        let told = [
            answered_by_dialplan(phones),
            heard(ANSWERED),
            abandoned_by_dialplan(phones),
            heard(ABANDONED),
            blind_by_dialplan(),
            heard(BLIND),
        ];
        let mut tasks = tokio::task::JoinSet::new();
        for (n, event) in told.concat().into_iter().enumerate() {
            let at = if event.feed == Feed::Push { came } else { event.at };
            let event = Event { at, received: came, ..event };
            let node = if (n * 7 + round) % 3 == 0 { &journal.intake } else { &other };
            let node = node.clone();
            tasks.spawn(async move { node.accept(vec![event]).await.unwrap() });
        }
        tasks.join_all().await;
        journal.pass(0.0).await;
        assert_eq!(calls(&journal), 3);
        journal.pass(3.0).await;
        assert_eq!(journal.notices(), ["call.ended"; 3]);
        other.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_known_by_its_key_alone_ends_as_unknown_and_once() {
    let journal = journal();
    let key = "20261122-222140-79190000002-IN-73510000001";
    play(&journal, &[said("start.call", key, 0.1), said("end.call", key, 3.0), said("end.call", key, 3.1)])
        .await;
    journal.pass(14_000.0).await;
    assert_eq!(journal.notices(), [""; 0]);
    journal.pass(500.0).await;
    assert_eq!(journal.notices(), ["call.ended"]);
    let calls = journal.store.call(key).await.unwrap().unwrap().call;
    assert!(!calls.end_time_known);
    assert_eq!(calls.ended_at, None);
}
