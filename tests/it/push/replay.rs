//! The recorded posts folded: any order, doubled, with and without what the dialplan told of the same call.

use calljournal::call::{
    Call, Direction, Disposition, Folded, Numbering, Outcome, Role, Side, State, fold, story,
};
use calljournal::event::{Event, Kind};
use calljournal::feed::push::post::{Read, Route, read};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    ABANDONED, ANSWERED, BLIND, BORN, HIDDEN_KEY, abandoned_by_dialplan, answered_by_dialplan,
    blind_by_dialplan, dialplan, heard, hidden, hidden_by_dialplan,
};

fn folded(events: &[Event]) -> Folded {
    fold(events, &Numbering::default()).unwrap()
}

fn call(events: &[Event]) -> Call {
    folded(events).call
}

fn lines(call: &Call) -> Vec<String> {
    story::tell(call, "en").into_iter().map(|line| line.text).collect()
}

#[test]
fn an_answered_call_is_told_from_posts_alone() {
    let folded = folded(&heard(ANSWERED));
    let call = &folded.call;
    assert!(folded.standing.all_ended);
    assert_eq!((call.state, call.disposition), (State::Ended, Disposition::Answered));
    assert_eq!(call.direction, Direction::Inbound);
    assert_eq!(call.source.number.as_deref(), Some("79190000001"));
    assert_eq!(call.source.name.as_deref(), Some("Анна, c;d"));
    assert_eq!((call.trunk.as_deref(), call.org.as_deref()), (Some("73510000001"), Some("org1")));
    assert_eq!(call.answered_by.as_ref().unwrap().number.as_deref(), Some("101"));
    assert_eq!(call.hung_up_by, None, "posts do not say who hung up");
    assert_eq!((call.wait_ms, call.talk_ms), (Some(1166), 2037));
    assert_eq!(
        lines(call),
        [
            "Call from Анна, c;d (79190000001) on 73510000001",
            "Boris (101) rang",
            "Boris (101) answered after 1 s",
            "Ended after 2 s",
        ]
    );
    assert_eq!(call.linkedid, "1795386100.6");
}

#[test]
fn a_caller_who_gives_up_is_known_by_what_his_line_said() {
    let call = call(&heard(ABANDONED));
    assert!(call.abandoned);
    assert_eq!((call.disposition, call.hung_up_by), (Disposition::NoAnswer, Some(Side::Caller)));
    assert_eq!(call.legs[1].outcome, Outcome::Cancelled);
}

#[test]
fn a_transferred_call_ends_with_its_last_channel() {
    let all = heard(BLIND);
    let call = call(&all);
    let ended = all.iter().filter(|e| e.uid == "1795386108.10").map(|e| e.at).max().unwrap();
    assert!(
        call.ended_at.unwrap() <= ended && call.ended_at.unwrap() > ended - SignedDuration::from_millis(20)
    );
    let who: Vec<_> = call.conversations.iter().map(|c| c.called.number.as_deref().unwrap()).collect();
    assert_eq!(who, ["101", "102"]);
    for known in 1..all.len() - 2 {
        let folded = folded(&all[..known]);
        assert!(!folded.standing.all_ended, "over after {known} posts: {}", folded.notes[known - 1]);
    }
}

#[test]
fn what_a_post_did_is_noted_and_noise_is_noted_as_noise() {
    let notes = folded(&heard(ANSWERED)).notes;
    let changed: Vec<&String> =
        notes.iter().filter(|n| !n.starts_with("no change") && !n.starts_with("dup")).collect();
    assert_eq!(
        changed,
        [
            "79190000001 calls 73510000001",
            "channel of 101 appeared",
            "leg 101 rings",
            "leg 101 answered; call talking",
            "channel of 101 ended",
            "channel of 79190000001 ended",
        ]
    );
    let mut both = answered_by_dialplan(true);
    let told = both.len();
    both.extend(heard(ANSWERED));
    let notes = folded(&both).notes;
    assert!(notes[told..].iter().all(|n| n.starts_with("no change") || n.starts_with("dup")), "{notes:#?}");
}

#[test]
fn a_channel_that_the_dialplan_does_not_hook_is_filled_in_and_holds_the_end() {
    let mut both = answered_by_dialplan(false);
    both.extend(heard(ANSWERED));
    let call = call(&both);
    assert_eq!(call.answered_by.as_ref().unwrap().number.as_deref(), Some("101"));
    assert_eq!(call.started_at, both[0].at);
    assert_eq!(call.source.name.as_deref(), Some("Anna"), "a name is never replaced");
    assert_eq!(call.hung_up_by, Some(Side::Caller));
    let without_its_end: Vec<Event> =
        both.into_iter().filter(|e| e.uid != "1795386100.7" || e.fact("cause").is_none()).collect();
    assert!(!folded(&without_its_end).standing.all_ended);
}

#[test]
fn times_that_were_filled_in_are_by_the_clock_of_the_pbx() {
    let by_one_clock: Vec<Event> = [answered_by_dialplan(false), heard(ANSWERED)].concat();
    for skew in [SignedDuration::from_secs(400), SignedDuration::from_secs(-3)] {
        let shifted =
            heard(ANSWERED).into_iter().map(|e| Event { at: e.at + skew, received: e.at + skew, ..e });
        let by_two: Vec<Event> = answered_by_dialplan(false).into_iter().chain(shifted).collect();
        assert_eq!(call(&by_two), call(&by_one_clock));
    }
    assert_eq!(call(&by_one_clock).talk_ms, 2037);
}

#[test]
fn a_phone_that_posts_told_of_is_not_made_up_from_what_dial_left() {
    let (a, chan) = ("1795386100.6", "PJSIP/trunk-00000006");
    let mut told = answered_by_dialplan(false);
    told[1] = dialplan(Kind::Ring, a, a, 2, 0.34, chan, "dials=101");
    let left = "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000006,dialedpeername=PJSIP/101-00000007,\
                dialedpeernumber=101,dialedtime_ms=3209,answeredtime_ms=2009";
    told.push(dialplan(Kind::Hangup, a, a, 3, 3.511, chan, left));
    for skew in [0, 5_000, -5_000] {
        let skew = SignedDuration::from_millis(skew);
        let shifted =
            heard(ANSWERED).into_iter().map(|e| Event { at: e.at + skew, received: e.at + skew, ..e });
        let call = call(&told.iter().cloned().chain(shifted).collect::<Vec<_>>());
        let legs: Vec<_> = call.legs.iter().map(|l| (l.channel.as_str(), l.outcome)).collect();
        assert_eq!(legs, [(chan, Outcome::Answered), ("PJSIP/101-00000007", Outcome::Answered)]);
    }
}

#[test]
fn nobodys_number_becomes_that_of_a_caller_who_hides_his() {
    let hidden = heard(ANSWERED).into_iter().filter(|e| !e.knows_key_alone()).map(|mut e| {
        e.facts.remove("key");
        if e.uid == "1795386100.6" {
            e.facts.remove("num");
        }
        e
    });
    let source = call(&hidden.collect::<Vec<_>>()).source;
    assert_eq!((source.number, source.name.as_deref()), (None, Some("Анна, c;d")));
}

#[test]
fn a_key_with_unknown_in_it_tells_the_line_and_no_caller() {
    let both = [hidden_by_dialplan(), hidden()].concat();
    let by_key_alone: Vec<Event> = hidden().into_iter().filter(Event::knows_key_alone).collect();
    assert_eq!(by_key_alone.len(), 6);
    for told in [hidden(), by_key_alone, both] {
        let call = call(&told);
        assert_eq!((call.key.as_deref(), call.source.number.as_deref()), (Some(HIDDEN_KEY), None));
        assert_eq!((call.direction, call.trunk.as_deref()), (Direction::Inbound, Some("73510000001")));
        assert_eq!(call.answered_by.as_ref().unwrap().number.as_deref(), Some("101"));
        let told = lines(&call).join("\n");
        assert!(!told.contains("<unknown>"), "{told}");
    }
}

#[test]
fn a_phone_was_not_picked_up_after_its_end_though_it_was_told_so() {
    let unanswered = answered_by_dialplan(true).into_iter().filter(|e| e.kind != Kind::Answer);
    let late = heard(ANSWERED).into_iter().map(|e| {
        let late = if e.kind == Kind::Answer { SignedDuration::from_secs(9) } else { SignedDuration::ZERO };
        Event { at: e.at + late, received: e.received + late, ..e }
    });
    let call = call(&unanswered.chain(late).collect::<Vec<_>>());
    assert_eq!(call.legs[1].answered_at, call.legs[1].ended_at);
    assert_eq!((call.disposition, call.talk_ms), (Disposition::Answered, 0));
}

#[test]
fn a_key_of_an_earlier_call_says_nothing_of_this_one() {
    let stale = heard(ANSWERED).into_iter().filter(|e| !e.knows_key_alone()).map(|mut e| {
        e.facts.insert("key".into(), "20261122-210740-79190000009-IN-73510000009".into());
        e
    });
    let call = call(&stale.collect::<Vec<_>>());
    assert_eq!((call.key, call.trunk, call.source.number.as_deref()), (None, None, Some("79190000001")));
}

#[test]
fn halves_of_a_local_channel_do_not_hold_the_end() {
    let mut all = heard(ANSWERED);
    let half = Event {
        uid: "1795386100.8".into(),
        channel: "Local/101@phones-00000001;1".into(),
        token: "half".parse().unwrap(),
        ..all[2].clone()
    };
    all.push(half);
    let folded = folded(&all);
    assert!(folded.standing.all_ended);
    assert_eq!(folded.call.legs.len(), 2);
}

#[test]
fn a_call_known_by_its_key_alone_tells_who_rang_and_talked_and_never_ends_by_itself() {
    let all: Vec<Event> = heard(ANSWERED).into_iter().filter(Event::knows_key_alone).collect();
    let folded = folded(&all);
    assert!(!folded.standing.all_ended);
    let call = folded.call;
    assert_eq!(call.ended_at, None);
    assert_eq!((call.direction, call.trunk.as_deref()), (Direction::Inbound, Some("73510000001")));
    assert_eq!(call.source.number.as_deref(), Some("79190000001"));
    assert_eq!(call.answered_by.unwrap().number.as_deref(), Some("101"));
}

/// What is told of a call in whatever order and at whatever times its posts came: not when, and not in which order.
fn shape(call: &Call) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut legs: Vec<_> = call
        .legs
        .iter()
        .map(|l| (l.uniqueid.clone(), l.party.clone(), l.role, l.outcome, l.ended_at.is_some(), l.cause))
        .collect();
    legs.sort_by(|a, b| a.0.cmp(&b.0));
    let answered: std::collections::BTreeSet<_> =
        call.conversations.iter().map(|c| (c.caller_leg.clone(), c.called_leg.clone())).collect();
    (
        (call.id, call.ids.clone(), call.key.clone(), call.state, call.direction, call.org.clone()),
        (call.trunk.clone(), call.source.clone(), call.destination.clone(), call.context.clone()),
        (call.disposition, call.abandoned, legs, answered),
    )
}

fn recorded() -> impl Strategy<Value = Vec<Event>> {
    proptest::sample::select(vec![heard(ANSWERED), heard(ABANDONED), heard(BLIND), hidden()])
}

/// Posts and dialplan events that no Asterisk would make, on three channels of two linkedids with two keys.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..8usize, 0..3usize, 0..2usize, 0..2usize, 0..20i64);
    proptest::collection::vec(one, 1..14).prop_map(|all| {
        let event = |(n, (what, uid, lid, key, second)): (usize, (usize, usize, usize, usize, i64))| {
            let at = Timestamp::from_second(BORN + second).unwrap();
            let (uid, lid) = (format!("{BORN}.{uid}"), format!("{BORN}.{lid}"));
            let key =
                ["20261122-222140-79190000001-IN-73510000001", "20261122-222140-101-OUT-89190000001"][key];
            let (name, state) = [
                ("Newchannel", "Down"),
                ("Newstate", "Ring"),
                ("Newstate", "Ringing"),
                ("Newstate", "Up"),
                ("Hangup", "Hangup"),
            ][what.min(4)];
            let channel = ["PJSIP/101-1", "Local/9@x-1;1", ""][n % 3];
            let word = ["start.call", "start.talk", "end.call"][n % 3];
            let (route, body) = match what {
                0..=4 => (
                    Route::Channels,
                    serde_json::json!({
                        "Event": name, "ChannelStateDesc": state, "Uniqueid": uid, "Linkedid": lid,
                        "Channel": channel, "CallerIDNum": format!("10{}", n % 4),
                        "Exten": "7", "Cause": second, "variables": { "monitor": key, "org": null },
                    }),
                ),
                5 => (
                    Route::Calls,
                    serde_json::json!({ "type": "call_event", "params": {
                        "event_name": word, "call_id": key,
                        "real_local_number": format!("10{}", n % 4),
                    }}),
                ),
                _ => {
                    let kind = Kind::ALL[second as usize % 7];
                    return dialplan(
                        kind,
                        &uid,
                        &lid,
                        1 + n as u32,
                        second as f64,
                        "PJSIP/101-1",
                        "num=101,exten=7",
                    );
                }
            };
            match read(route, body.to_string().as_bytes(), "office", at) {
                Read::Event(event) => *event,
                other => panic!("{other:?}"),
            }
        };
        all.into_iter().enumerate().map(event).collect()
    })
}

/// Some told again, all shuffled.
fn shuffled(events: Vec<Event>) -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    let again = proptest::collection::vec(0..events.len(), 0..8);
    again.prop_flat_map(move |again| {
        let mut all = events.clone();
        all.extend(again.into_iter().map(|i| Event {
            at: events[i].at + SignedDuration::from_secs(1),
            received: events[i].received + SignedDuration::from_secs(1),
            ..events[i].clone()
        }));
        (Just(events.clone()), Just(all).prop_shuffle())
    })
}

/// As if they had come in this order, ten milliseconds apart.
fn come_so(events: Vec<Event>) -> Vec<Event> {
    let at = |n: usize| Timestamp::from_millisecond(BORN * 1000 + 10 * n as i64).unwrap();
    events.into_iter().enumerate().map(|(n, e)| Event { at: at(n), received: at(n), ..e }).collect()
}

proptest! {
    #[test]
    fn any_order_and_repetition_of_posts_folds_to_the_same_call(
        (told, retold) in recorded().prop_flat_map(shuffled)
    ) {
        prop_assert_eq!(call(&told), call(&retold));
    }

    #[test]
    fn any_order_and_repetition_of_any_posts_and_events_folds_to_the_same_call(
        (told, retold) in any_events().prop_flat_map(shuffled)
    ) {
        let (folded, again) = (folded(&told), folded(&retold));
        prop_assert_eq!(&folded.call, &again.call);
        prop_assert_eq!(folded.standing.all_ended, again.standing.all_ended);
        prop_assert_eq!(folded.notes.len(), told.len());
        let call = folded.call;
        prop_assert!(call.talk_ms >= 0 && call.wait_ms.is_none_or(|w| w >= 0));
        prop_assert!(call.ended_at.is_none_or(|end| end >= call.started_at));
        let in_turn = |from: Option<Timestamp>, to: Option<Timestamp>| from.zip(to).is_none_or(|(from, to)| from <= to);
        // The dialplan may be made to say anything.
        let only_heard = |uid: &str| told.iter().all(|e| e.uid != uid || e.is_hearsay());
        for leg in call.legs.iter().filter(|l| only_heard(&l.uniqueid)) {
            prop_assert!(in_turn(Some(leg.started_at), leg.answered_at));
            prop_assert!(in_turn(leg.answered_at.or(Some(leg.started_at)), leg.ended_at));
        }
        prop_assert!(call.conversations.iter().all(|c| c.ended_at.is_none_or(|end| end >= c.began_at)));
        prop_assert!(!lines(&call).is_empty());
    }

    #[test]
    fn posts_that_arrive_in_any_order_tell_of_the_same_call(
        (told, retold) in recorded().prop_flat_map(shuffled)
    ) {
        let (told, retold) = (folded(&come_so(told)), folded(&come_so(retold)));
        prop_assert!(told.standing.all_ended && retold.standing.all_ended);
        prop_assert_eq!(shape(&told.call), shape(&retold.call));
    }

    #[test]
    fn posts_in_any_order_change_nothing_that_the_dialplan_told(
        (told, posts) in proptest::sample::select(vec![
            (answered_by_dialplan(true), heard(ANSWERED)),
            (abandoned_by_dialplan(true), heard(ABANDONED)),
            (blind_by_dialplan(), heard(BLIND)),
            (hidden_by_dialplan(), hidden()),
        ]).prop_flat_map(|(told, posts)| (Just(told), shuffled(posts)))
    ) {
        let alone = call(&told);
        for arrived in [posts.1.clone(), come_so(posts.1)] {
            let mut all = told.clone();
            all.extend(arrived);
            let mut both = call(&all);
            // What was not known before may be filled in: names, causes, an org; and the key is one more name.
            prop_assert_eq!(both.ids.len(), alone.ids.len() + 1);
            both.ids.clone_from(&alone.ids);
            both.org = None;
            for (leg, before) in both.legs.iter_mut().zip(&alone.legs) {
                prop_assert!(before.party.name.is_none() || leg.party.name == before.party.name);
                leg.party.name.clone_from(&before.party.name);
            }
            for (c, before) in both.conversations.iter_mut().zip(&alone.conversations) {
                (c.called.name, c.caller.name) = (before.called.name.clone(), before.caller.name.clone());
            }
            for (t, before) in both.transfers.iter_mut().zip(&alone.transfers) {
                t.by.name.clone_from(&before.by.name);
            }
            both.answered_by = alone.answered_by.clone();
            prop_assert_eq!(both.ended_by.take().map(|p| p.number), alone.ended_by.clone().map(|p| p.number));
            both.ended_by.clone_from(&alone.ended_by);
            prop_assert_eq!(&both, &alone);
        }
    }

    #[test]
    fn any_part_of_the_posts_in_any_order_gives_a_call(
        events in recorded().prop_flat_map(|all| {
            let len = all.len();
            proptest::sample::subsequence(all, 1..len).prop_shuffle()
        })
    ) {
        let folded = folded(&events);
        prop_assert_eq!(folded.notes.len(), events.len());
        prop_assert!(folded.call.talk_ms >= 0 && folded.call.wait_ms.is_none_or(|w| w >= 0));
        prop_assert!(folded.call.legs.iter().all(|l| l.role == Role::Caller || l.ring_ms.is_none_or(|r| r >= 0)));
        prop_assert!(!lines(&folded.call).is_empty());
    }
}
