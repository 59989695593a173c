//! Calls as the dialplan tells them, what they come to, and that no order or repetition changes it.
#![allow(clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::event::{Arrival, Asked, Event, Feed, Kind};

pub(super) const BORN: i64 = 1_795_390_723;

/// The events of one call on channels `.0` (the caller) to `.9`, in seconds after its start.
#[derive(Clone, Default)]
pub(super) struct Told {
    events: Vec<Event>,
    seq: [u32; 10],
}

impl Told {
    pub(super) fn tell(mut self, at: f64, serial: usize, chan: &str, kind: Kind, facts: &str) -> Told {
        self.seq[serial] += 1;
        let (seq, micros) = (self.seq[serial], BORN * 1_000_000 + (at * 1e6) as i64);
        let (uid, t) =
            (format!("{BORN}.{serial}"), format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
        let caller = if serial == 0 { String::new() } else { format!("{BORN}.0") };
        let args = format!(
            "v=1,token={uid}-{seq}-{kind}-{t},pbx=office,uid={uid},lid={BORN}.0,root={BORN}.0,seq={seq},t={t},\
             chan={chan}-0000000{serial},{facts},caller={caller}"
        );
        let received = Timestamp::from_microsecond(micros).unwrap() + SignedDuration::from_millis(3);
        let arrival = Arrival { feed: Feed::Agi, pbx: "default", at: received };
        self.events.push(Event::from_args(kind, args.split(',').map(str::as_bytes), arrival).unwrap());
        self
    }

    pub(super) fn comes_in(self) -> Told {
        let facts =
            "org=acme,dir=in,trunk=73512020318,exten=73512020318,ctx=from-trunk,num=79193393655,name=Anna";
        self.tell(0.0, 0, "PJSIP/trunk", Kind::Start, facts)
    }

    pub(super) fn rings(self, at: f64, serial: usize, phone: &str) -> Told {
        self.tell(at, serial, &format!("PJSIP/{phone}"), Kind::Ring, "num=73512020318,name=")
    }

    pub(super) fn answers(self, at: f64, serial: usize, phone: &str) -> Told {
        self.tell(at, serial, &format!("PJSIP/{phone}"), Kind::Answer, "num=73512020318")
    }

    pub(super) fn ends(self, at: f64, serial: usize, chan: &str, facts: &str) -> Told {
        self.tell(at, serial, &format!("PJSIP/{chan}"), Kind::Hangup, facts)
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// So many seconds after the call began.
    pub(super) fn at(seconds: f64) -> Timestamp {
        Timestamp::from_microsecond(BORN * 1_000_000 + (seconds * 1e6) as i64).unwrap()
    }

    /// What the pbx answered when it was asked about a channel.
    pub(super) fn sees(mut self, at: f64, serial: usize, told: &str) -> Told {
        let at = Told::at(at);
        let (uid, asked) = (format!("{BORN}.{serial}"), Asked { pbx: "office", at, timed: true });
        let linkedid = format!("{BORN}.0");
        self.events.extend(Event::seen(&asked, &uid, &linkedid, "", told == "alive", at));
        self
    }

    pub(super) fn fold(&self) -> Folded {
        self.fold_with(&Numbering::default())
    }

    pub(super) fn fold_with(&self, numbering: &Numbering) -> Folded {
        fold(&self.events, numbering).unwrap()
    }

    pub(super) fn story(&self) -> Vec<String> {
        story::tell(&self.fold().call, "en").into_iter().map(|line| line.text).collect()
    }
}

fn answered() -> Told {
    Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .answers(6.0, 1, "101")
        .ends(157.0, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000")
        .ends(157.001, 1, "101", "cause=16,hangupsource=PJSIP/trunk-00000000")
}

pub(super) fn ring_group() -> Told {
    Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .rings(0.02, 2, "102")
        .ends(6.0, 1, "101", "cause=26,state=Ringing")
        .answers(6.01, 2, "102")
        .ends(20.0, 2, "102", "cause=16,hangupsource=PJSIP/102-00000002")
        .ends(20.002, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/102-00000002")
}

fn abandoned() -> Told {
    Told::default().comes_in().rings(0.01, 1, "101").ends(12.0, 1, "101", "cause=127,state=Ringing").ends(
        12.006,
        0,
        "trunk",
        "cause=127,dialstatus=CANCEL,hangupsource=PJSIP/trunk-00000000",
    )
}

fn refused(cause: u16, dialstatus: &str) -> Told {
    Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .ends(2.0, 1, "101", &format!("cause={cause},state=Ringing"))
        .ends(
            2.01,
            0,
            "trunk",
            &format!("cause={cause},dialstatus={dialstatus},hangupsource=dialplan/builtin"),
        )
}

fn blind_transfer() -> Told {
    Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .answers(4.0, 1, "101")
        .tell(
            10.0,
            0,
            "PJSIP/trunk",
            Kind::Transfer,
            "how=blind,by=PJSIP/101-00000001,exten=102,ctx=from-internal",
        )
        .ends(10.002, 1, "101", "cause=16,blindtransfer=PJSIP/trunk-00000000")
        .rings(10.01, 2, "102")
        .answers(13.0, 2, "102")
        .ends(43.5, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000,via=h")
        .ends(43.5, 2, "102", "cause=16,hangupsource=PJSIP/trunk-00000000")
        .ends(43.51, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000,via=handler")
}

#[test]
fn an_answered_call_names_who_answered_and_counts_waiting_and_talking() {
    let call = answered().fold().call;
    assert_eq!(call.state, State::Ended);
    assert_eq!(call.disposition, Disposition::Answered);
    assert_eq!(call.answered_by.unwrap().number.as_deref(), Some("101"));
    assert_eq!(call.source.number.as_deref(), Some("79193393655"));
    assert_eq!((call.org.as_deref(), call.trunk.as_deref()), (Some("acme"), Some("73512020318")));
    assert_eq!(call.direction, Direction::Inbound);
    assert_eq!((call.wait_ms, call.talk_ms), (Some(6000), 151_000));
    assert_eq!(call.hung_up_by, Some(Side::Caller));
    assert_eq!(call.linkedid, format!("{BORN}.0"));
}

#[test]
fn an_answered_call_is_told_in_four_lines() {
    assert_eq!(
        answered().story(),
        [
            "Call from Anna (79193393655) on 73512020318",
            "101 rang",
            "101 answered after 6 s",
            "Ended by the caller after 2 min 31 s",
        ]
    );
}

#[test]
fn the_loser_of_a_ring_group_was_answered_elsewhere_and_has_no_line_of_its_own() {
    let told = ring_group();
    let call = told.fold().call;
    let outcomes: Vec<Outcome> = call.legs.iter().map(|l| l.outcome).collect();
    assert_eq!(outcomes, [Outcome::Answered, Outcome::Elsewhere, Outcome::Answered]);
    assert_eq!(call.hung_up_by, Some(Side::Called));
    assert_eq!(told.story()[1..], ["101, 102 rang", "102 answered after 6 s", "Ended by 102 after 14 s"]);
}

#[test]
fn a_phone_was_picked_up_when_the_first_other_was_hung_up_and_talks_when_it_was_put_through() {
    let told = Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .rings(0.02, 2, "102")
        .ends(6.0, 1, "101", "cause=26,state=Ringing")
        .answers(8.0, 2, "102")
        .ends(20.0, 2, "102", "cause=16")
        .ends(20.0, 0, "trunk", "cause=16,dialstatus=ANSWER");
    let call = told.fold().call;
    assert_eq!((call.wait_ms, call.legs[2].ring_ms, call.talk_ms), (Some(6000), Some(5980), 12_000));
}

#[test]
fn a_phone_that_was_given_up_while_the_next_one_began_to_ring_did_not_answer() {
    let told = Told::default()
        .comes_in()
        .rings(0.01, 1, "101")
        .rings(1.998, 2, "102")
        .ends(2.0, 1, "101", "cause=16,state=Ringing")
        .answers(3.0, 2, "102")
        .ends(20.0, 2, "102", "cause=16");
    let outcomes: Vec<Outcome> = told.fold().call.legs.iter().skip(1).map(|l| l.outcome).collect();
    assert_eq!(outcomes, [Outcome::NoAnswer, Outcome::Answered]);
}

#[test]
fn a_caller_who_gives_up_has_abandoned_the_call() {
    let told = abandoned();
    let call = told.fold().call;
    assert!(call.abandoned);
    assert_eq!(call.disposition, Disposition::NoAnswer);
    assert_eq!(call.hung_up_by, Some(Side::Caller));
    assert_eq!(call.legs[1].outcome, Outcome::Cancelled);
    assert_eq!(call.wait_ms, Some(12_006));
    assert_eq!(told.story()[1..], ["101 rang", "The caller gave up after 12 s"]);
}

#[test]
fn busy_declined_and_unanswered_are_told_apart() {
    for (cause, dialstatus, outcome, disposition, line) in [
        (17, "BUSY", Outcome::Busy, Disposition::Busy, "101 was busy"),
        (21, "CHANUNAVAIL", Outcome::Rejected, Disposition::NoAnswer, "101 declined"),
        (20, "CHANUNAVAIL", Outcome::Unreachable, Disposition::Failed, "101 could not be reached"),
        (0, "NOANSWER", Outcome::NoAnswer, Disposition::NoAnswer, "101 did not answer for 2 s"),
    ] {
        let told = refused(cause, dialstatus);
        let call = told.fold().call;
        assert_eq!(call.legs[1].outcome, outcome);
        assert_eq!(call.disposition, disposition);
        assert!(!call.abandoned);
        assert_eq!(told.story()[2], line);
    }
}

#[test]
fn a_transferred_call_goes_on_and_nobody_talks_while_the_target_rings() {
    let told = blind_transfer();
    let call = told.fold().call;
    assert_eq!(call.talk_ms, 6000 + 30_500);
    assert_eq!(call.transfers.len(), 1);
    assert_eq!(call.transfers[0].by.number.as_deref(), Some("101"));
    assert_eq!(call.transfers[0].to.as_deref(), Some("102"));
    assert_eq!(call.direction, Direction::Inbound);
    assert_eq!(
        told.story()[2..],
        [
            "101 answered after 4 s",
            "101 transferred the call to 102",
            "102 rang",
            "102 answered after 3 s",
            "Ended by the caller after 40 s",
        ]
    );
}

#[test]
fn the_rows_of_a_transferred_call_name_each_conversation_and_add_up() {
    let call = blind_transfer().fold().call;
    let rows = cdr::rows(&call);
    let told: Vec<_> = rows.iter().map(|r| (r.dst.as_str(), r.dstchannel.as_str(), r.billsec)).collect();
    assert_eq!(told, [("73512020318", "PJSIP/101-00000001", 6), ("102", "PJSIP/102-00000002", 30)]);
    assert_eq!(rows.iter().map(|r| r.billsec).sum::<i64>(), call.talk_ms / 1000);
}

#[test]
fn a_call_nobody_answered_has_one_row() {
    let rows = cdr::rows(&abandoned().fold().call);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].duration, rows[0].billsec, rows[0].disposition.as_str()), (12, 0, "NO ANSWER"));
}

#[test]
fn a_call_that_goes_on_has_no_rows_yet() {
    let mut told = answered();
    told.events.truncate(3);
    assert_eq!(cdr::rows(&told.fold().call), []);
}

#[test]
fn a_recording_that_is_told_again_is_one_recording() {
    let told = Told::default()
        .comes_in()
        .tell(1.0, 0, "PJSIP/trunk", Kind::Record, "file=/home/record/a.wav")
        .tell(9.0, 0, "PJSIP/trunk", Kind::Record, "file=/home/record/a.wav");
    assert_eq!(told.fold().call.remarks.len(), 1);
}

#[test]
fn the_second_end_of_a_channel_changes_nothing_and_says_so() {
    let folded = blind_transfer().fold();
    assert_eq!(folded.notes.last().unwrap(), "no change: channel of 79193393655 had ended before");
}

#[test]
fn a_call_is_over_with_its_last_channel_and_not_with_the_callers() {
    let whole = blind_transfer();
    for known in 1..whole.events.len() - 2 {
        assert!(
            !fold(&whole.events[..known], &Numbering::default()).unwrap().standing.all_ended,
            "over after {known} events"
        );
    }
    assert!(whole.fold().standing.all_ended);
}

#[test]
fn a_channel_that_is_known_to_report_is_waited_for_before_it_has() {
    let told = ring_group();
    let without_the_caller: Vec<Event> = told.events.into_iter().filter(|e| !e.uid.ends_with(".0")).collect();
    assert!(!fold(&without_the_caller, &Numbering::default()).unwrap().standing.all_ended);
}

#[test]
fn an_event_that_was_counted_and_is_missing_is_a_gap() {
    let mut told = ring_group();
    assert!(!told.fold().standing.gap);
    told.events.remove(1);
    assert!(told.fold().standing.gap);
}

#[test]
fn the_clock_of_a_pbx_may_run_backwards_without_changing_what_happened() {
    let mut told = answered();
    for event in told.events.iter_mut().filter(|e| e.kind == Kind::Hangup) {
        event.at = event.at.checked_sub(SignedDuration::from_secs(3600)).unwrap();
    }
    let call = told.fold().call;
    assert_eq!(call.state, State::Ended);
    assert!(call.talk_ms >= 0);
    assert_eq!(call.disposition, Disposition::Answered);
}

#[test]
fn a_channel_that_is_gone_ends_its_call_at_a_time_that_nobody_knows() {
    let mut told = answered();
    told.events.truncate(3);
    let talking = told.fold();
    assert!(!talking.standing.all_ended);
    for serial in [0, 1] {
        told = told.sees(500.0, serial, "gone");
    }
    let Folded { call, standing, notes } = told.fold();
    assert!(standing.all_ended);
    assert_eq!((call.state, call.ended_at, call.end_time_known), (State::Ended, None, false));
    assert_eq!((call.talk_ms, call.hung_up_by, call.cause), (0, None, None));
    assert_eq!((call.disposition, call.abandoned), (Disposition::Answered, false));
    assert_eq!(
        notes[3..],
        [
            "channel of 79193393655 is gone, its end was never told",
            "channel of 101 is gone, its end was never told",
        ]
    );
    let story = told.story();
    assert_eq!(story.last().unwrap(), "Nothing more was heard of this call; when it ended is not known");
}

#[test]
fn a_known_end_counts_where_it_came_after_the_others_were_seen_to_be_gone() {
    let told = answered_until_one_end(500.0, 600.0);
    let call = told.fold().call;
    assert_eq!((call.ended_at.map(|at| at.as_second() - BORN), call.end_time_known), (Some(600), true));
    // They were parted at some time before.
    assert_eq!((call.conversations[0].ended_at, call.talk_ms), (None, 0));
    let call = answered_until_one_end(500.0, 400.0).fold().call;
    assert_eq!((call.ended_at, call.end_time_known), (None, false));
    assert_eq!(call.talk_ms, 394_000);
}

/// The phone is seen to be gone, and the caller tells its end.
fn answered_until_one_end(gone: f64, ended: f64) -> Told {
    let mut told = answered();
    told.events.truncate(3);
    told.sees(gone, 1, "gone").ends(ended, 0, "trunk", "cause=16,dialstatus=ANSWER")
}

#[test]
fn an_end_that_is_told_late_counts_and_not_the_question() {
    let whole = answered().sees(500.0, 0, "gone").sees(500.0, 1, "gone");
    assert_eq!(whole.fold().call, answered().fold().call);
    assert_eq!(whole.fold().notes[6], "no change: channel of 101 had ended before");
}

#[test]
fn a_channel_that_tells_something_after_it_was_not_found_was_not_gone() {
    let told = Told::default().comes_in().rings(0.01, 1, "101").sees(1.0, 1, "gone").answers(4.0, 1, "101");
    let folded = told.fold();
    assert_eq!(folded.call.state, State::Talking);
    assert_eq!(folded.notes[2], "no change: the pbx does not know the channel of 101");
}

#[test]
fn a_channel_that_lives_in_another_call_joins_the_two() {
    let told = Told::default().comes_in().sees(60.0, 0, "alive");
    let mut folded = told.fold();
    assert_eq!(folded.notes[1], "no change: the pbx says that the channel of 79193393655 lives");
    let mut told = told;
    told.events[1].linkedid = format!("{}.9", BORN - 1);
    folded = told.fold();
    assert_eq!(folded.call.ids.len(), 2);
    assert_eq!(folded.call.id, CallId::of("office", &told.events[1].linkedid));
}

/// A transfer while the target rings takes the place of the channel that dialled it, with its variables.
#[test]
fn a_channel_that_counts_anew_is_told_by_the_clock() {
    let mut told = Told::default().comes_in().tell(1.0, 0, "PJSIP/trunk", Kind::Note, "text=before").tell(
        2.0,
        0,
        "PJSIP/trunk",
        Kind::Note,
        "text=later",
    );
    told.seq[0] = 0;
    let call = told.ends(9.0, 0, "trunk", "cause=16,via=h").ends(9.1, 0, "trunk", "cause=16").fold().call;
    let after = |at: Timestamp| at.duration_since(call.started_at).as_secs();
    let notes: Vec<i64> = call.remarks.iter().map(|remark| after(remark.at)).collect();
    assert_eq!(notes, [1, 2]);
}

#[test]
fn a_name_of_another_channel_never_becomes_the_callers() {
    let told = Told::default().tell(0.0, 0, "PJSIP/trunk", Kind::Start, "num=79193393655,exten=1").tell(
        1.0,
        1,
        "PJSIP/101",
        Kind::Start,
        "num=101,name=Boris,exten=102",
    );
    assert_eq!(told.fold().call.source, Party { number: Some("79193393655".into()), name: None });
}

fn any_call() -> impl Strategy<Value = Vec<Event>> {
    let calls = [answered(), ring_group(), abandoned(), refused(17, "BUSY"), blind_transfer()];
    proptest::sample::select(calls.map(|told| told.events).to_vec())
}

/// Arbitrary events on three channels of two linkedids: what no Asterisk would say.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..8usize, 0..3usize, 0..2usize, 0..6u32, 0..20i64, 0..4usize, 0..4usize);
    proptest::collection::vec(one, 1..16).prop_map(|all| {
        all.into_iter()
            .map(|(kind, uid, lid, seq, second, chan, dials)| {
                let told = ["gone", "alive"][dials % 2];
                let how = ["how=blind", "how=attended", "how=attended,attendedtransfer=SIP/102-2"][dials % 3];
                let dials = ["", "", ",dials=101&102", ",dials=103"][dials];
                let kind = Kind::ALL.get(kind).copied().unwrap_or(Kind::Seen);
                let chan = ["PJSIP/101-1", "Local/9@x-1;1", "SIP/102-2", ""][chan];
                let args = format!(
                    "v=1,token={uid}-{seq}-{kind}-{second},uid={BORN}.{uid},lid={BORN}.{lid},seq={seq},\
                     t={},chan={chan},num=10{uid},exten=1{seq},by=PJSIP/101-1,caller={BORN}.{lid},cause={second},\
                     dialedpeername={chan},dialedtime_ms={second}000,answeredtime_ms={second}00,told={told},forwarder=PJSIP/101-1,{how}{dials}",
                    BORN + second
                );
                let at = Timestamp::from_second(BORN + 30).unwrap();
                let arrival = Arrival { feed: Feed::Spool, pbx: "p", at };
                let event = Event::from_args(kind, args.split(',').map(str::as_bytes), arrival).unwrap();
                // An answer of the pbx is not one of the events that its channel counts.
                Event { seq: event.seq.filter(|_| kind != Kind::Seen), ..event }
            })
            .collect()
    })
}

/// The same events in another order, some of them told again, later and on another way.
fn retold(events: Vec<Event>) -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    let again = proptest::collection::vec(0..events.len(), 0..6);
    again.prop_flat_map(move |again| {
        let mut all = events.clone();
        all.extend(again.into_iter().map(|i| Event {
            feed: Feed::Spool,
            received: events[i].received + SignedDuration::from_secs(60),
            ..events[i].clone()
        }));
        (Just(events.clone()), Just(all).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn any_order_and_repetition_of_a_calls_events_folds_to_the_same_call(
        (told, retold) in any_call().prop_flat_map(retold)
    ) {
        prop_assert_eq!(fold(&told, &Numbering::default()).unwrap().call, fold(&retold, &Numbering::default()).unwrap().call);
    }

    #[test]
    fn any_order_and_repetition_of_any_events_folds_to_the_same_call(
        (told, retold) in any_events().prop_flat_map(retold)
    ) {
        prop_assert_eq!(fold(&told, &Numbering::default()).unwrap().call, fold(&retold, &Numbering::default()).unwrap().call);
    }

    #[test]
    fn what_any_event_did_can_be_told_in_russian(mut events in any_events(), heard in any::<u16>()) {
        for (n, event) in events.iter_mut().enumerate().filter(|(n, _)| (heard >> n) & 1 == 1) {
            event.feed = Feed::Push;
            if n % 4 == 0 {
                event.uid = "20260303-205705-79190000000-IN-73510000000".to_owned();
            }
            let more = [("event", ["end.call", "start.talk", ""][n % 3]), ("local", ["101", ""][n % 2])];
            event.facts.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let russian = words::Words::new(words::Language::Ru, &[&note::TEXTS]);
        for told in fold(&events, &Numbering::default()).unwrap().notes {
            prop_assert_ne!(note::tell_in(&told, &russian), told);
        }
    }

    #[test]
    fn times_of_any_call_are_never_negative_and_its_rows_add_up(events in any_events()) {
        let Folded { call, notes, .. } = fold(&events, &Numbering::default()).unwrap();
        prop_assert_eq!(notes.len(), events.len());
        let talks: Vec<&Conversation> = call.conversations.iter().filter(|c| c.talk_ms > 0).collect();
        for (n, talk) in talks.iter().enumerate() {
            let of = [&talk.caller_leg, &talk.called_leg];
            let mut later = talks[n + 1..].iter();
            let is_there = |c: &&&Conversation| of.contains(&&c.caller_leg) || of.contains(&&c.called_leg);
            prop_assert!(later.find(is_there).is_none_or(|c| Some(c.began_at) >= talk.ended_at));
        }
        let all_told = events.iter().all(|e| e.kind != Kind::Seen) && call.ended_at.is_some();
        prop_assert!(!all_told || call.conversations.iter().all(|c| c.ended_at.is_some()));
        prop_assert!(call.talk_ms >= 0 && call.wait_ms.is_none_or(|w| w >= 0));
        let rows = cdr::rows(&Call { state: State::Ended, ..call.clone() });
        prop_assert!(!rows.is_empty());
        prop_assert_eq!(rows.iter().map(|r| r.billsec).sum::<i64>(), call.talk_ms / 1000);
        prop_assert!(!story::tell(&call, "en").is_empty());
    }
}
