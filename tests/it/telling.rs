//! Which notices come of a call, to whom, and in which order.

use calljournal::event::{Event, Kind};
use calljournal::intake::Subscription;
use calljournal::intake::wanting::Only;
use serde_json::Value;

use super::intake::{Journal, answered, event, uid};

const ALL: [&str; 6] =
    ["call.started", "call.ringing", "call.answered", "call.transferred", "call.recorded", "call.ended"];

fn wants(endpoint: &str, kinds: &[&str], only: Only) -> Subscription {
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    Subscription { endpoint: endpoint.into(), kinds, corrections: true, only }
}

/// A journal that tells of everything.
fn talkative() -> Journal {
    let journal = Journal::open();
    journal.intake.subscribe(vec![wants("crm", &ALL, Only::default())]);
    journal
}

impl Journal {
    /// The kinds of what `endpoint` is told, in the order in which it is sent.
    fn told(&self, endpoint: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT n.kind AS s FROM deliveries d JOIN notices n ON n.id = d.notice_id
             WHERE d.endpoint = '{endpoint}' ORDER BY d.created_us, d.notice_id"
        ))
    }

    /// What was written down with the notices of this kind.
    fn bodies(&self, kind: &str) -> Vec<Value> {
        let bodies =
            self.texts(&format!("SELECT body AS s FROM notices WHERE kind = '{kind}' ORDER BY created_us"));
        bodies.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    }

    async fn hear(&self, events: &[Event], seconds: f64) {
        self.accept(events).await;
        self.pass(seconds).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_way_is_told_once_in_its_order_and_the_end_last() {
    let j = talkative();
    for event in answered(0) {
        j.hear(&[event.clone(), event], 0.0).await;
    }
    j.pass(30.0).await;
    assert_eq!(j.told("crm"), ["call.started", "call.ringing", "call.answered", "call.ended"]);
    let ringing = &j.bodies("call.ringing")[0];
    assert_eq!(ringing["about"]["leg"]["number"], "101");
    assert_eq!(ringing["data"]["state"], "ringing");
    assert_eq!(j.bodies("call.answered")[0]["about"]["leg"]["uniqueid"], uid(1));
    // The manual clock stood still meanwhile, and an order there is all the same.
    assert_eq!(j.number("SELECT COUNT(DISTINCT created_us) AS n FROM notices"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_in_each_language_is_written_down_with_what_is_told() {
    let j = talkative();
    j.hear(&answered(0), 30.0).await;
    let end = &j.bodies("call.ended")[0];
    let story = |language: &str| end["story"][language][0]["text"].as_str().unwrap().to_owned();
    assert!(story("en").contains("79990000000") && story("ru").contains("79990000000"));
    assert_ne!(story("en"), story("ru"));
    assert_eq!(end["story"]["en"][0]["at"], end["data"]["started_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_heard_of_when_it_is_over_has_an_end_and_nothing_before() {
    let j = talkative();
    j.clock.advance(jiff::SignedDuration::from_secs(3600));
    j.hear(&answered(0), 30.0).await;
    assert_eq!(j.told("crm"), ["call.ended"]);
    // Late news is a correction, whatever it is about.
    let late = event(Kind::Note, &uid(0), &uid(0), 3, 6, &["text=hello"]);
    j.hear(&[late], 30.0).await;
    assert_eq!(j.told("crm"), ["call.ended", "call.corrected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_the_end_alone_costs_no_other_notices() {
    let j = Journal::open();
    for event in answered(0) {
        j.hear(&[event], 0.0).await;
    }
    j.pass(30.0).await;
    assert_eq!(j.notices(), ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_and_recordings_are_told_with_what_they_are() {
    let j = talkative();
    let (a, b, c) = (uid(0), uid(1), uid(2));
    let caller = format!("caller={a}");
    for event in [
        event(Kind::Start, &a, &a, 1, 0, &["num=79990000000", "exten=100", "dir=in"]),
        event(Kind::Record, &a, &a, 2, 0, &["file=in.wav"]),
        event(Kind::Ring, &b, &a, 1, 1, &[&caller, "num=101"]),
        event(Kind::Answer, &b, &a, 2, 5, &[&caller, "num=101"]),
        event(Kind::Transfer, &a, &a, 3, 9, &["how=blind", "by=PJSIP/x-1795390723.1", "exten=102"]),
        event(Kind::Hangup, &b, &a, 3, 9, &["cause=16"]),
        event(Kind::Ring, &c, &a, 1, 10, &[&caller, "num=102"]),
        event(Kind::Answer, &c, &a, 2, 12, &[&caller, "num=102"]),
    ] {
        j.hear(&[event], 0.0).await;
    }
    let told = j.told("crm");
    let expected = [
        "call.started",
        "call.recorded",
        "call.ringing",
        "call.answered",
        "call.transferred",
        "call.ringing",
        "call.answered",
    ];
    assert_eq!(told, expected);
    assert_eq!(j.bodies("call.transferred")[0]["about"]["transfer"]["to"], "102");
    assert!(j.bodies("call.recorded")[0]["about"]["recording"]["text"].as_str().unwrap().contains("in.wav"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_asked_for_is_told_and_who_was_told_hears_of_a_correction() {
    let j = Journal::open();
    let missed = Only { missed: true, ..Only::default() };
    let long = Only { min_talk_ms: 1000, ..Only::default() };
    let silent = Subscription { corrections: false, ..wants("silent", &["call.ended"], Only::default()) };
    j.intake.subscribe(vec![wants("missed", &ALL, missed), wants("long", &["call.ended"], long), silent]);
    let all = answered(0);
    // Without its answer it looks missed.
    let (answer, rest): (Vec<Event>, Vec<Event>) = all.into_iter().partition(|e| e.kind == Kind::Answer);
    j.hear(&rest, 0.0).await;
    j.pass(60.0).await;
    assert_eq!((j.told("missed").len(), j.told("long").len()), (1, 0));
    j.hear(&answer, 60.0).await;
    assert_eq!(j.told("missed"), ["call.ended", "call.corrected"]);
    assert_eq!(j.told("long"), ["call.corrected"]);
    assert_eq!(j.told("silent"), ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_while_the_server_runs_is_told_of_the_next_call() {
    let j = Journal::open();
    j.hear(&answered(0), 30.0).await;
    j.intake.subscribe(vec![wants("late", &["call.ended"], Only::default())]);
    j.hear(&answered(10), 30.0).await;
    assert_eq!((j.told("crm").len(), j.told("late").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_that_were_told_of_and_are_one_are_told_as_one_before_the_end() {
    let j = talkative();
    let (a, b) = (uid(0), uid(5));
    j.hear(&[event(Kind::Start, &a, &a, 1, 0, &["num=79990000000"])], 0.0).await;
    j.hear(&[event(Kind::Start, &b, &b, 1, 1, &["num=101"])], 0.0).await;
    assert_eq!(j.told("crm"), ["call.started", "call.started"]);
    // The second channel is found to be in the first one's call.
    j.hear(&[event(Kind::Note, &b, &a, 2, 3, &["text=joined"])], 0.0).await;
    assert_eq!(j.told("crm"), ["call.started", "call.started", "call.merged"]);
    let merged = &j.bodies("call.merged")[0];
    assert_ne!(merged["data"]["from"], merged["data"]["into"]);
    for (n, seq, lid) in [(5, 3, &a), (0, 2, &a)] {
        j.hear(&[event(Kind::Hangup, &uid(n), lid, seq, 9, &["cause=16"])], 0.0).await;
    }
    j.pass(30.0).await;
    assert_eq!(j.told("crm")[3..], ["call.ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_any_order_each_thing_is_told_once_at_most_and_the_end_exactly_once() {
    let events = answered(0);
    for shift in 0..events.len() {
        let j = talkative();
        let mut order = events.clone();
        order.rotate_left(shift);
        if shift % 2 == 1 {
            order.reverse();
        }
        for event in order {
            j.hear(&[event], 0.1).await;
        }
        j.pass(60.0).await;
        let told = j.told("crm");
        let count = |kind: &str| told.iter().filter(|told| *told == kind).count();
        assert_eq!(count("call.ended"), 1, "{shift}: {told:?}");
        for kind in ALL {
            assert!(count(kind) <= 1, "{shift}: {told:?}");
        }
        assert_eq!(
            told.iter().position(|kind| kind == "call.ended"),
            Some(told.len() - 1 - count("call.corrected"))
        );
    }
}

/// Two calls that are found to be one: the first goes out, the second comes in.
async fn two_that_are_one(j: &Journal) {
    let (a, b) = (uid(0), uid(5));
    j.hear(&[event(Kind::Start, &a, &a, 1, 0, &["num=101", "dir=out"])], 0.0).await;
    j.hear(&[event(Kind::Start, &b, &b, 1, 1, &["num=79990000000", "dir=in"])], 0.0).await;
    j.hear(&[event(Kind::Note, &b, &a, 2, 3, &["text=joined"])], 0.0).await;
    for (n, seq) in [(5, 3), (0, 2)] {
        j.hear(&[event(Kind::Hangup, &uid(n), &a, seq, 9, &["cause=16"])], 0.0).await;
    }
    j.pass(30.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_of_a_beginning_is_told_the_end_also_where_the_call_became_another_one() {
    let j = Journal::open();
    let inbound = Only { direction: vec!["inbound".into()], ..Only::default() };
    let ends = wants("ends", &["call.ended"], inbound.clone());
    j.intake.subscribe(vec![wants("in", &ALL, inbound), ends]);
    two_that_are_one(&j).await;
    assert_eq!(j.told("in"), ["call.started", "call.merged", "call.ended"]);
    assert_eq!(j.told("ends"), [""; 0], "it is a call to the outside");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_heard_of_a_call_is_not_told_that_it_is_part_of_another_one() {
    let j = Journal::open();
    j.intake.subscribe(vec![
        wants("all", &ALL, Only::default()),
        wants("ends", &["call.ended"], Only::default()),
        wants("beginnings", &["call.started"], Only::default()),
    ]);
    two_that_are_one(&j).await;
    assert_eq!(j.told("all"), ["call.started", "call.started", "call.merged", "call.ended"]);
    assert_eq!(j.told("ends"), ["call.ended"]);
    let late = event(Kind::Note, &uid(0), &uid(0), 3, 6, &["text=hello"]);
    j.hear(&[late], 30.0).await;
    assert_eq!(j.told("ends"), ["call.ended", "call.corrected"]);
    assert_eq!(j.told("beginnings"), ["call.started", "call.started"], "it asked for nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_known_from_its_caller_alone_rings_once_whatever_else_is_told() {
    let j = talkative();
    let a = uid(0);
    for event in [
        event(Kind::Start, &a, &a, 1, 0, &["num=79990000000", "exten=100", "dir=in"]),
        event(Kind::Ring, &a, &a, 2, 1, &["dials=101%26102"]),
        event(Kind::Start, &uid(3), &a, 1, 2, &["num=103"]),
        event(Kind::Note, &a, &a, 3, 3, &["text=hello"]),
    ] {
        j.hear(&[event], 0.0).await;
    }
    let told = j.told("crm");
    let rang: Vec<Value> =
        j.bodies("call.ringing").iter().map(|body| body["about"]["leg"]["number"].clone()).collect();
    assert_eq!(rang, ["101", "102"], "{told:?}");
}
