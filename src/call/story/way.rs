//! The lines of a story that tell what was done with a caller on the way: menus, queues, voicemail and the like.

use super::super::legs::millis;
use super::super::words::{Value, Words};
use super::super::{Back, Call, Choice, Left, Party, Side, Step, What};
use super::{Line, length, line, party};

/// An answer this long after joining the queue is told with the whole wait, in milliseconds: the phone that answered
/// rang for a part of it alone.
const WAITED_MS: i64 = 1000;

/// The lines of all steps.
pub(super) fn lines(call: &Call, words: &Words) -> Vec<Line> {
    call.steps.iter().flat_map(|step| of(call, step, words)).collect()
}

fn of(call: &Call, step: &Step, words: &Words) -> Vec<Line> {
    let at = step.at;
    match &step.what {
        What::Menu { name, choice } => {
            let (id, digits) = match choice {
                Choice::Unknown => ("menu", ""),
                Choice::Nothing => ("menu-nothing", ""),
                Choice::Wrong => ("menu-wrong", ""),
                Choice::Digits(digits) => ("menu-chose", digits.as_str()),
            };
            vec![named(words, step, id, name.as_deref(), &[("digits", digits.into())])]
        }
        What::Queue { name, position, left, wait_ms } => {
            queue(call, step, name.as_deref(), *position, *left, *wait_ms, words)
        }
        What::Voicemail { mailbox, message } => {
            let id = match message {
                Some(true) => "voicemail-left",
                Some(false) => "voicemail-nothing",
                None => "voicemail",
            };
            vec![named(words, step, id, mailbox.as_deref(), &[])]
        }
        What::Conference { room } => vec![named(words, step, "conference", room.as_deref(), &[])],
        What::Announcement { name } => vec![named(words, step, "announcement", name.as_deref(), &[])],
        What::RangFirst { who, ring_ms } => {
            let id = if ring_ms.is_some() { "rang-first-for" } else { "rang-first" };
            let (who, wait) = (party(who, words), length(ring_ms.unwrap_or(0), words));
            vec![line(words, at, id, &[("who", &who), ("wait", &wait)])]
        }
        What::PickedUp { by, from } => {
            let id = if from.is_some() { "picked-up" } else { "picked-up-somewhere" };
            let from = from.as_ref().map(|from| party(from, words)).unwrap_or_default();
            vec![line(words, at, id, &[("who", &party(by, words)), ("from", &from)])]
        }
        What::Parked { by, place, back, taken_by } => {
            parked(step, by, place.as_deref(), *back, taken_by, words)
        }
        What::Held { by } => {
            let id = if step.ended_at.is_some() { "held-for" } else { "held" };
            let wait = length(step.ended_at.map_or(0, |end| millis(at, end)), words);
            vec![line(words, at, id, &[("who", &party(by, words)), ("wait", &wait)])]
        }
        What::Forwarded { by, to } => {
            let who = party(by, words);
            let to = to.clone().unwrap_or_else(|| words.plain("elsewhere"));
            vec![line(words, at, "forwarded", &[("who", &who), ("to", &to)])]
        }
    }
}

fn named(words: &Words, step: &Step, id: &str, name: Option<&str>, more: &[(&str, Value<'_>)]) -> Line {
    Line { at: step.at, text: sentence(words, id, name, more) }
}

/// A sentence about something that may have no name: it has a form of its own then.
fn sentence(words: &Words, id: &str, name: Option<&str>, more: &[(&str, Value<'_>)]) -> String {
    let mut values = vec![("name", Value::Text(name.unwrap_or_default()))];
    values.push(("named", if name.is_some() { "yes" } else { "no" }.into()));
    values.extend_from_slice(more);
    words.say(id, &values)
}

/// Two lines: parked, and what came of it.
fn parked(
    step: &Step,
    by: &Option<Party>,
    place: Option<&str>,
    back: Back,
    taken_by: &Option<Party>,
    words: &Words,
) -> Vec<Line> {
    let who = |whom: &Option<Party>| whom.as_ref().map_or_else(|| words.plain("nobody"), |p| party(p, words));
    let (parker, taker) = (who(by), who(taken_by));
    let until = step.ended_at.unwrap_or(step.at);
    let wait = length(millis(step.at, until), words);
    let parked = named(words, step, "parked", place, &[("who", (&parker).into())]);
    let then = match (back, step.ended_at) {
        (Back::Taken, _) => line(words, until, "parked-taken", &[("who", &taker), ("wait", &wait)]),
        (Back::Returned, Some(_)) => {
            line(words, until, "parked-returned-after", &[("who", &parker), ("wait", &wait)])
        }
        (Back::Returned, None) => line(words, until, "parked-returned", &[("who", &parker)]),
        // That is how the call ended.
        (Back::GaveUp, _) => return vec![parked],
    };
    vec![parked, then]
}

fn queue(
    call: &Call,
    step: &Step,
    name: Option<&str>,
    position: Option<u32>,
    left: Left,
    wait_ms: Option<i64>,
    words: &Words,
) -> Vec<Line> {
    let wait = length(wait_ms.unwrap_or(0), words);
    let tell = |id: &str, at| {
        let place = Value::Number(position.unwrap_or(0).into());
        let values = [("wait", Value::Text(&wait)), ("position", place)];
        Line { at, ..named(words, step, id, name, &values) }
    };
    let end = step.ended_at.unwrap_or(step.at);
    let joined = if position.is_some_and(|place| place > 1) { "queue-behind" } else { "queue" };
    let mut lines = match left {
        Left::Unmanned | Left::Full => Vec::new(),
        _ => vec![tell(joined, step.at)],
    };
    lines.extend(match left {
        Left::Answered if rang_late(call, step) => Some(tell("queue-waited", end)),
        Left::Timeout => Some(tell("queue-timeout", end)),
        Left::Unmanned => Some(tell("queue-unmanned", end)),
        Left::Full => Some(tell("queue-full", end)),
        Left::Elsewhere => Some(tell("queue-left", end)),
        // That the caller gave up is how the call ended.
        Left::Answered | Left::Waiting | Left::Abandoned => None,
    });
    lines
}

/// Whether the phone that was picked up in the end did not ring from the start.
fn rang_late(call: &Call, step: &Step) -> bool {
    let answered = call.legs.iter().find(|leg| leg.answered_at.is_some() && leg.answered_at == step.ended_at);
    answered.is_some_and(|leg| millis(step.at, leg.started_at) >= WAITED_MS)
}

/// How a call ended whose caller hung up while he was parked.
pub(super) fn parked_to_the_end(call: &Call, words: &Words) -> Option<String> {
    let step = call.steps.last()?;
    matches!(step.what, What::Parked { back: Back::GaveUp, .. }).then(|| {
        let wait = length(step.ended_at.map_or(0, |end| millis(step.at, end)), words);
        words.say("gave-up-parked", &[("wait", (&wait).into())])
    })
}

/// How a call ended in which nobody talked, where the last thing was a step that this speaks of.
pub(super) fn ending(call: &Call, waited: &str, words: &Words) -> Option<String> {
    match &call.steps.last()?.what {
        What::Queue { name, left: Left::Abandoned, wait_ms, .. } => {
            let wait = wait_ms.map_or(waited.to_owned(), |ms| length(ms, words));
            Some(sentence(words, "gave-up-queue", name.as_deref(), &[("wait", (&wait).into())]))
        }
        What::Voicemail { .. } | What::Conference { .. } | What::Announcement { .. } | What::Menu { .. } => {
            let by_caller = call.hung_up_by == Some(Side::Caller);
            let id = if by_caller { "ended-caller-way" } else { "ended-pbx-way" };
            Some(sentence(words, id, None, &[("wait", waited.into())]))
        }
        _ => None,
    }
}
