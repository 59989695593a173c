//! The lines of a story that tell which phones rang and what came of it.
//!
//! Phones that ring together are one line. A queue rings the same phones again and again: they are told once, and at the
//! end how often, so that an hour of ringing is as short as a minute.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::super::legs::{Leg, Outcome, Role, millis};
use super::super::words::{Value, Words};
use super::super::{Call, Left, What};
use super::{Line, length, line, party};

/// How often a phone is told to ring each time; one that is rung more often is told how often.
const TOLD_EACH: usize = 2;

/// Phones that begin to ring within this time are told in one line, in milliseconds.
const TOGETHER_MS: i64 = 1000;

/// The lines for all phones that were rung.
pub(super) fn lines(call: &Call, words: &Words) -> Vec<Line> {
    let again = Again::of(call);
    let mut lines = ringing(call, &again, words);
    lines.extend(again.lines(words));
    lines.extend(again.outcomes(call, words));
    lines
}

/// A phone that one channel rang, under which it may be rung again; after a transfer that is another matter.
type Phone<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, usize);

fn phone<'a>(call: &Call, leg: &'a Leg) -> Phone<'a> {
    let transfers = call.transfers.iter().filter(|transfer| transfer.at <= leg.started_at).count();
    (leg.caller.as_deref(), leg.group.as_deref(), leg.party.number.as_deref(), transfers)
}

/// How often each phone was rung, by the channel that rang it.
struct Again<'a> {
    call: &'a Call,
    rings: HashMap<Phone<'a>, Vec<&'a Leg>>,
    /// In order of appearance.
    order: Vec<Phone<'a>>,
}

impl<'a> Again<'a> {
    fn of(call: &'a Call) -> Again<'a> {
        let mut again = Again { call, rings: HashMap::new(), order: Vec::new() };
        for leg in rung(call) {
            let rings = again.rings.entry(phone(call, leg)).or_default();
            if rings.is_empty() {
                again.order.push(phone(call, leg));
            }
            rings.push(leg);
        }
        again
    }

    /// Whether this ringing of the phone is told by itself.
    fn is_told(&self, leg: &Leg) -> bool {
        let first = || self.rings.get(&phone(self.call, leg)).and_then(|rings| rings.first());
        !self.is_often(leg) || first().is_none_or(|l| l.uniqueid == leg.uniqueid)
    }

    /// What came of each phone; the same thing only once of each.
    fn outcomes(&self, call: &Call, words: &Words) -> Vec<Line> {
        let mut told = HashSet::new();
        let called = call.legs.iter().filter(|leg| leg.role == Role::Called);
        called
            .filter(|leg| {
                leg.outcome == Outcome::Answered
                    || !self.is_often(leg)
                    || told.insert((phone(call, leg), leg.outcome))
            })
            .filter(|leg| leg.outcome != Outcome::NoAnswer || !(self.is_often(leg) || in_vain(call, leg)))
            .filter_map(|leg| outcome(call, leg, words))
            .collect()
    }

    /// Of whom it is told how often he was rung.
    fn is_often(&self, leg: &Leg) -> bool {
        self.rings.get(&phone(self.call, leg)).is_some_and(|rings| rings.len() > TOLD_EACH)
    }

    /// How often the phones of one caller were rung, when the last of them stopped.
    fn lines(&self, words: &Words) -> Vec<Line> {
        let mut by_caller: Vec<(Option<&str>, Timestamp, Vec<String>)> = Vec::new();
        for key in &self.order {
            let Some(rings) = self.rings.get(key).filter(|rings| rings.len() > TOLD_EACH) else { continue };
            let (Some(first), Some(last)) = (rings.first(), rings.last()) else { continue };
            let who = party(&first.party, words);
            let times = words.say("times", &[("who", Value::Text(&who)), ("count", rings.len().into())]);
            let at = last.answered_at.or(last.ended_at).unwrap_or(last.started_at);
            match by_caller.iter_mut().find(|(caller, ..)| *caller == first.caller.as_deref()) {
                Some((_, until, all)) => {
                    *until = at.max(*until);
                    all.push(times);
                }
                None => by_caller.push((first.caller.as_deref(), at, vec![times])),
            }
        }
        let tell =
            |(_, at, all): (_, _, Vec<String>)| line(words, at, "rang-often", &[("who", &all.join(", "))]);
        by_caller.into_iter().map(tell).collect()
    }
}

fn rung(call: &Call) -> impl Iterator<Item = &Leg> {
    call.legs.iter().filter(|l| l.role == Role::Called && l.ring_ms != Some(0))
}

/// One line for phones that ring together.
fn ringing(call: &Call, again: &Again<'_>, words: &Words) -> Vec<Line> {
    let mut together: Vec<Vec<&Leg>> = Vec::new();
    for leg in rung(call).filter(|leg| again.is_told(leg)) {
        let joins = |legs: &&mut Vec<&Leg>| {
            legs.first().is_some_and(|first| {
                first.caller == leg.caller
                    && first.group == leg.group
                    && millis(first.started_at, leg.started_at) < TOGETHER_MS
                    && first.ended_at.is_none_or(|end| leg.started_at < end)
            })
        };
        match together.last_mut().filter(joins) {
            Some(legs) => legs.push(leg),
            None => together.push(vec![leg]),
        }
    }
    let tell = |legs: &Vec<&Leg>| {
        let first = legs.first()?;
        let who = legs.iter().map(|l| party(&l.party, words)).collect::<Vec<_>>().join(", ");
        let mut values = vec![("who", Value::Text(&who)), ("count", legs.len().into())];
        let group = first.group.as_ref().filter(|group| !is_queue(call, group));
        values.extend(group.map(|group| ("group", group.into())));
        let id = if group.is_some() { "rang-group" } else { "rang" };
        Some(Line { at: first.started_at, text: words.say(id, &values) })
    };
    together.iter().filter_map(tell).collect()
}

/// Whether the phone rang in a queue of which it is told that nobody answered there.
fn in_vain(call: &Call, leg: &Leg) -> bool {
    let of_leg = |queue: &Option<String>| queue.is_some() && *queue == leg.group;
    let mut queues = call.steps.iter().filter_map(|step| match &step.what {
        What::Queue { name, left, .. } if of_leg(name) => Some(*left),
        _ => None,
    });
    queues.next().is_some_and(|left| left != Left::Answered) && queues.all(|left| left != Left::Answered)
}

/// Whether the group is a queue that the caller is told to have joined.
fn is_queue(call: &Call, group: &str) -> bool {
    call.steps.iter().any(|step| matches!(&step.what, What::Queue { name: Some(name), .. } if name == group))
}

/// What came of a phone that rang; of those that lost the race, or that the caller gave up on, there is nothing
/// to tell.
fn outcome(call: &Call, leg: &Leg, words: &Words) -> Option<Line> {
    let id = match leg.outcome {
        Outcome::Answered if leg.role == Role::Called => "answered",
        Outcome::Busy => "busy",
        Outcome::Rejected => "rejected",
        Outcome::Unreachable if failed_line(call, leg).is_some() => "unreachable-line",
        Outcome::Unreachable => "unreachable",
        Outcome::NoAnswer => "no-answer",
        _ => return None,
    };
    let at = leg.answered_at.or(leg.ended_at)?;
    let wait = length(leg.ring_ms.unwrap_or(0), words);
    let trunk = failed_line(call, leg).cloned().unwrap_or_default();
    Some(line(words, at, id, &[("who", &party(&leg.party, words)), ("wait", &wait), ("line", &trunk)]))
}

/// The line on which the number could not be reached, where it was tried on another one too.
fn failed_line<'a>(call: &Call, leg: &'a Leg) -> Option<&'a String> {
    let trunk = leg.trunk.as_ref()?;
    let other =
        |l: &&Leg| l.role == Role::Called && l.party.number == leg.party.number && l.trunk != leg.trunk;
    call.legs.iter().any(|l| other(&l)).then_some(trunk)
}
