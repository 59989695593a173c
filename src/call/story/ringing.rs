//! The lines of a story that tell which phones rang and what came of it.
//!
//! Phones that ring together are one line. A queue rings the same phones again and again: they are told once, and at the
//! end how often, so that an hour of ringing is as short as a minute.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::super::fold::endpoint;
use super::super::legs::{Leg, Outcome, Role, millis};
use super::super::words::{Value, Words};
use super::super::{Back, Call, Left, What};
use super::{Line, length, line, party};

/// How often a phone is told to ring each time; one that is rung more often is told how often.
const TOLD_EACH: usize = 2;

/// Phones that begin to ring within this time are told in one line, in milliseconds.
const TOGETHER_MS: i64 = 1000;

/// The lines for all phones that were rung.
pub(super) fn lines(call: &Call, words: &Words) -> Vec<Line> {
    let rings = Rings::of(call);
    let mut lines = rings.begin(words);
    lines.extend(rings.how_often(words));
    lines.extend(rings.outcomes(words));
    lines
}

/// A phone as one channel rang it: who had it rung, in which group, its number and its line.
type Phone<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn phone(leg: &Leg) -> Phone<'_> {
    (leg.caller.as_deref(), leg.group.as_deref(), leg.party.number.as_deref(), endpoint(&leg.channel))
}

/// The phones that were rung, each as often as it was until it was picked up or the call was transferred: what rings later
/// is another matter.
struct Rings<'a> {
    call: &'a Call,
    /// All of them, one ring after another.
    rung: Vec<&'a Leg>,
    /// By phone, in order of appearance.
    by_phone: Vec<Vec<&'a Leg>>,
    /// Where in `by_phone` a leg is, by its uniqueid.
    places: HashMap<&'a str, usize>,
    /// The queues that are told to have been joined, and whether an agent answered there.
    queues: HashMap<&'a str, bool>,
}

impl<'a> Rings<'a> {
    fn of(call: &'a Call) -> Rings<'a> {
        let takers = takers(call);
        let was_rung = |leg: &&Leg| leg.role == Role::Called && !takers.contains(leg.uniqueid.as_str());
        let mut rings = Rings {
            call,
            rung: call.legs.iter().filter(was_rung).collect(),
            by_phone: Vec::new(),
            places: HashMap::new(),
            queues: HashMap::new(),
        };
        for step in &call.steps {
            if let What::Queue { name: Some(name), left, .. } = &step.what {
                *rings.queues.entry(name).or_default() |= *left == Left::Answered;
            }
        }
        let transfers_until = |at: Timestamp| call.transfers.partition_point(|transfer| transfer.at <= at);
        let mut latest: HashMap<Phone<'a>, usize> = HashMap::new();
        for leg in rings.rung.clone() {
            let goes_on = |place: &usize| {
                let last = rings.by_phone.get(*place).and_then(|all| all.last());
                last.is_some_and(|last| {
                    last.outcome != Outcome::Answered
                        && transfers_until(last.started_at) == transfers_until(leg.started_at)
                })
            };
            let place = latest.get(&phone(leg)).copied().filter(goes_on).unwrap_or(rings.by_phone.len());
            match rings.by_phone.get_mut(place) {
                Some(all) => all.push(leg),
                None => rings.by_phone.push(vec![leg]),
            }
            latest.insert(phone(leg), place);
            rings.places.insert(&leg.uniqueid, place);
        }
        rings
    }

    /// All rings of the phone that this is one of.
    fn same(&self, leg: &Leg) -> &[&'a Leg] {
        let place = self.places.get(leg.uniqueid.as_str());
        place.and_then(|place| self.by_phone.get(*place)).map_or(&[], Vec::as_slice)
    }

    /// Of whom it is told how often he was rung.
    fn is_often(&self, leg: &Leg) -> bool {
        self.same(leg).len() > TOLD_EACH
    }

    /// One line for phones that ring together; those that ring often, for the first time.
    fn begin(&self, words: &Words) -> Vec<Line> {
        let is_told = |leg: &&&Leg| {
            let first = || self.same(leg).first().is_none_or(|first| first.uniqueid == leg.uniqueid);
            !self.is_often(leg) || first()
        };
        let mut together: Vec<Vec<&Leg>> = Vec::new();
        for leg in self.rung.iter().filter(|leg| leg.ring_ms != Some(0)).filter(is_told) {
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
            // That the caller joined the queue is told by itself.
            let group = first.group.as_ref().filter(|group| !self.queues.contains_key(group.as_str()));
            values.extend(group.map(|group| ("group", group.into())));
            let id = if group.is_some() { "rang-group" } else { "rang" };
            Some(Line { at: first.started_at, text: words.say(id, &values) })
        };
        together.iter().filter_map(tell).collect()
    }

    /// What came of each phone. Of those that rang often the same thing only once, and not that they did not answer.
    fn outcomes(&self, words: &Words) -> Vec<Line> {
        let mut told = HashSet::new();
        let news = |leg: &&&Leg| {
            let place = self.places.get(leg.uniqueid.as_str());
            leg.outcome == Outcome::Answered || !self.is_often(leg) || told.insert((place, leg.outcome))
        };
        let unsaid =
            |leg: &Leg| leg.outcome == Outcome::NoAnswer && (self.is_often(leg) || self.in_vain(leg));
        self.rung
            .iter()
            .filter(news)
            .filter(|leg| !unsaid(leg))
            .filter_map(|leg| outcome(self.call, leg, words))
            .collect()
    }

    /// Whether the phone rang in a queue of which it is told that nobody answered there.
    fn in_vain(&self, leg: &Leg) -> bool {
        leg.group.as_deref().and_then(|group| self.queues.get(group)) == Some(&false)
    }

    /// How often the phones of one caller were rung, when the last of them stopped.
    fn how_often(&self, words: &Words) -> Vec<Line> {
        let mut by_caller: Vec<(Option<&str>, Timestamp, Vec<String>)> = Vec::new();
        for rings in self.by_phone.iter().filter(|rings| rings.len() > TOLD_EACH) {
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

/// The legs that were not rung, but took the call: that has a line of its own.
fn takers(call: &Call) -> HashSet<&str> {
    let taken = |what: &What| matches!(what, What::PickedUp { .. } | What::Parked { back: Back::Taken, .. });
    call.steps.iter().filter(|step| taken(&step.what)).map(|step| step.leg.as_str()).collect()
}

/// What came of a phone that rang; of those that lost the race, or that the caller gave up on, there is nothing
/// to tell.
fn outcome(call: &Call, leg: &Leg, words: &Words) -> Option<Line> {
    let line_that_failed = if leg.outcome == Outcome::Unreachable { failed_line(call, leg) } else { None };
    let id = match leg.outcome {
        Outcome::Answered if leg.role == Role::Called => "answered",
        Outcome::Busy => "busy",
        Outcome::Rejected => "rejected",
        Outcome::Unreachable if line_that_failed.is_some() => "unreachable-line",
        Outcome::Unreachable => "unreachable",
        Outcome::NoAnswer => "no-answer",
        _ => return None,
    };
    let at = leg.answered_at.or(leg.ended_at)?;
    let wait = length(leg.ring_ms.unwrap_or(0), words);
    let trunk = line_that_failed.cloned().unwrap_or_default();
    Some(line(words, at, id, &[("who", &party(&leg.party, words)), ("wait", &wait), ("line", &trunk)]))
}

/// The line on which the number could not be reached, where it was tried on another one too.
fn failed_line<'a>(call: &Call, leg: &'a Leg) -> Option<&'a String> {
    let trunk = leg.trunk.as_ref()?;
    let other =
        |l: &&Leg| l.role == Role::Called && l.party.number == leg.party.number && l.trunk != leg.trunk;
    call.legs.iter().any(|l| other(&l)).then_some(trunk)
}
