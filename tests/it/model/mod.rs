//! Calls drawn by lot, played in a model of channels and transfers, and held against what is told of them: in any
//! order of arrival, with any event told twice.

mod door;
mod notices;
mod plan;
mod world;

use calljournal::call::{Call, How, Numbering, Outcome, Role, State, fold};
use calljournal::event::Event;
use proptest::prelude::*;
use proptest::sample::Index;

use plan::plans;
use world::{Played, Talked, Truth, play};

/// How far a time may be off: the model's channels tell one after another, a millisecond each.
const WITHIN_MS: u64 = 20;

/// The one call that `events` come to.
fn call(events: &[Event]) -> Call {
    fold(events, &Numbering::default()).unwrap().call
}

fn told(call: &Call) -> Truth {
    let number = |party: &calljournal::call::Party| party.number.clone().unwrap_or_default();
    let ms = |at: jiff::Timestamp| (at.as_millisecond() - world::BEGINNING * 1000) as u64;
    let called = call.legs.iter().filter(|leg| leg.role == Role::Called);
    let mut rung: Vec<_> = called.map(|leg| (number(&leg.party), word(leg.outcome))).collect();
    rung.sort();
    let talks = call.conversations.iter().map(|talk| {
        let mut between = [number(&talk.caller), number(&talk.called)];
        between.sort();
        Talked { between, from_ms: ms(talk.began_at), to_ms: talk.ended_at.map_or(0, ms) }
    });
    Truth {
        linkedid: call.linkedid.clone(),
        ended_ms: call.ended_at.map_or(0, ms),
        answered_by: call.answered_by.as_ref().map(number),
        transfers: call
            .transfers
            .iter()
            .map(|t| (t.how == How::Attended, number(&t.by), t.to.clone().unwrap_or_default()))
            .collect(),
        talks: talks.collect(),
        rung,
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Busy => "busy",
        Outcome::Rejected => "rejected",
        Outcome::Elsewhere => "elsewhere",
        Outcome::Cancelled => "cancelled",
        Outcome::NoAnswer => "no_answer",
        _ => "something else",
    }
}

/// Fails unless `told` is `truth`, times but for [`WITHIN_MS`].
fn same(told: &Truth, truth: &Truth) -> Result<(), TestCaseError> {
    let near = |a: u64, b: u64| a.abs_diff(b) <= WITHIN_MS;
    let timeless = |t: &Truth| {
        let talks: Vec<_> = t.talks.iter().map(|talk| talk.between.clone()).collect();
        let mut rung = t.rung.clone();
        rung.sort();
        (t.linkedid.clone(), t.answered_by.clone(), t.transfers.clone(), talks, rung)
    };
    prop_assert_eq!(timeless(told), timeless(truth));
    prop_assert!(near(told.ended_ms, truth.ended_ms), "ended {} ms, not {}", told.ended_ms, truth.ended_ms);
    for (told, truth) in told.talks.iter().zip(&truth.talks) {
        let right = near(told.from_ms, truth.from_ms) && near(told.to_ms, truth.to_ms);
        prop_assert!(right, "{:?}, not {:?}", told, truth);
    }
    Ok(())
}

/// The events as they may come: in any order, some of them twice.
fn arrivals() -> impl Strategy<Value = (Vec<Index>, Vec<Index>)> {
    (proptest::collection::vec(any::<Index>(), 64), proptest::collection::vec(any::<Index>(), 0..6))
}

fn arrive(events: &[Event], (order, twice): &(Vec<Index>, Vec<Index>)) -> Vec<Event> {
    let mut all = events.to_vec();
    for again in twice {
        let mut copy = again.get(events).clone();
        copy.received += jiff::SignedDuration::from_secs(5);
        all.push(copy);
    }
    for (n, index) in order.iter().cycle().take(all.len()).enumerate() {
        let other = index.index(all.len());
        all.swap(n, other);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_told_of_a_call_is_what_happened(plan in plans(3)) {
        for Played { events, truth } in play(&plan, "model") {
            let call = call(&events);
            same(&told(&call), &truth)?;
            prop_assert_eq!(call.state, State::Ended);
            prop_assert_eq!(call.talk_ms, call.conversations.iter().map(|talk| talk.talk_ms).sum::<i64>());
        }
    }

    #[test]
    fn no_order_and_no_repetition_changes_it(plan in plans(3), arrival in arrivals()) {
        for Played { events, .. } in play(&plan, "model") {
            prop_assert_eq!(call(&arrive(&events, &arrival)), call(&events));
        }
    }

    #[test]
    fn nobody_talks_with_two_at_a_time(plan in plans(3)) {
        let call = call(&play(&plan, "model")[0].events);
        let mut talks: Vec<_> = call.conversations.iter().map(|talk| (talk.began_at, talk.ended_at)).collect();
        talks.sort();
        for pair in talks.windows(2) {
            prop_assert!(pair[0].1.is_some_and(|end| end <= pair[1].0), "{:?}", talks);
        }
    }

    #[test]
    fn a_call_goes_on_while_one_of_its_channels_lives(plan in plans(3), cut in any::<Index>()) {
        for Played { events, .. } in play(&plan, "model") {
            let so_far = &events[..1 + cut.index(events.len())];
            let folded = fold(so_far, &Numbering::default()).unwrap();
            prop_assert_eq!(folded.standing.all_ended, so_far.len() == events.len());
        }
    }
}
