//! A call told to a person, line by line.
//!
//! Works on the finished [`Call`] alone, so what is told is what the call is. The texts are Fluent files under
//! `asset/`; this file decides what is worth a line and in which order. No channel names, no technical words.

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::legs::{Leg, Outcome, Role, millis};
use super::{Call, Direction, How, Party, Side};

const ENGLISH: &str = include_str!("../asset/story.en.ftl");

/// Phones that begin to ring within this time are told in one line, in milliseconds.
const TOGETHER_MS: i64 = 1000;

/// One thing that a person cares for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What, in the language asked for.
    pub text: String,
}

/// Tells `call` in the language of `locale`; English where that one is not there.
#[must_use]
pub fn tell(call: &Call, locale: &str) -> Vec<Line> {
    let words = Words::of(locale);
    let mut lines = vec![beginning(call, &words)];
    lines.extend(ringing(call, &words));
    lines.extend(call.legs.iter().filter_map(|leg| outcome(leg, &words)));
    lines.extend(call.transfers.iter().map(|t| {
        let id = if t.how == How::Blind { "transferred-blind" } else { "transferred-attended" };
        let target = Party { number: t.to.clone(), name: None };
        words.line(t.at, id, &[("who", words.party(&t.by)), ("to", words.party(&target))])
    }));
    lines.extend(call.remarks.iter().map(|r| {
        words.line(r.at, if r.recording { "recording" } else { "remark" }, &[("text", r.text.clone())])
    }));
    // What was collected first stays in front among lines of one time: rang, answered, transferred.
    lines.sort_by_key(|line| line.at);
    lines.extend(ending(call, &words));
    lines
}

fn beginning(call: &Call, words: &Words) -> Line {
    let who = words.party(&call.source);
    // A person knows the line by its name or number; the dialled number stands for it where it has none.
    let to = match call.direction {
        Direction::Inbound => call.trunk.clone().or_else(|| call.destination.clone()),
        _ => call.destination.clone(),
    };
    let id = match (call.direction, &to) {
        (_, None) => "call-nowhere",
        (Direction::Inbound, _) => "call-in",
        (Direction::Outbound | Direction::Internal, _) => "call-out",
        (Direction::Unknown, _) => "call-plain",
    };
    words.line(call.started_at, id, &[("who", who), ("to", to.unwrap_or_default())])
}

/// One line for phones that ring together.
fn ringing(call: &Call, words: &Words) -> Vec<Line> {
    let mut together: Vec<Vec<&Leg>> = Vec::new();
    for leg in call.legs.iter().filter(|l| l.role == Role::Called && l.ring_ms != Some(0)) {
        let joins = |legs: &&mut Vec<&Leg>| {
            let first = legs[0];
            first.caller == leg.caller
                && first.group == leg.group
                && millis(first.started_at, leg.started_at) < TOGETHER_MS
        };
        match together.last_mut().filter(joins) {
            Some(legs) => legs.push(leg),
            None => together.push(vec![leg]),
        }
    }
    let tell = |legs: &Vec<&Leg>| {
        let who = legs.iter().map(|l| words.party(&l.party)).collect::<Vec<_>>().join(", ");
        match &legs[0].group {
            Some(group) => {
                words.line(legs[0].started_at, "rang-group", &[("group", group.clone()), ("who", who)])
            }
            None => words.line(legs[0].started_at, "rang", &[("who", who)]),
        }
    };
    together.iter().map(tell).collect()
}

/// What came of a phone that rang; of those that lost the race, or that the caller gave up on, there is nothing
/// to tell.
fn outcome(leg: &Leg, words: &Words) -> Option<Line> {
    let id = match leg.outcome {
        Outcome::Answered if leg.role == Role::Called => "answered",
        Outcome::Busy => "busy",
        Outcome::Rejected => "rejected",
        Outcome::Unreachable => "unreachable",
        Outcome::NoAnswer => "no-answer",
        _ => return None,
    };
    let at = leg.answered_at.or(leg.ended_at)?;
    Some(words.line(
        at,
        id,
        &[("who", words.party(&leg.party)), ("wait", words.duration(leg.ring_ms.unwrap_or(0)))],
    ))
}

fn ending(call: &Call, words: &Words) -> Option<Line> {
    if !call.end_time_known {
        let at =
            call.legs.iter().filter_map(|l| l.ended_at.or(l.answered_at)).max().unwrap_or(call.started_at);
        return Some(words.line(at, "lost", &[]));
    }
    let at = call.ended_at?;
    let wait = words.duration(call.wait_ms.unwrap_or(0));
    let Some(last) = call.conversations.last() else {
        let id = match (call.abandoned, call.legs.iter().any(|l| l.outcome == Outcome::NoAnswer)) {
            (true, _) => "gave-up",
            (false, true) => "unanswered",
            (false, false) => "not-connected",
        };
        return Some(words.line(at, id, &[("wait", wait)]));
    };
    let id = match call.hung_up_by {
        Some(Side::Caller) => "ended-caller",
        Some(Side::Called) => "ended-called",
        Some(Side::Pbx) => "ended-pbx",
        None => "ended",
    };
    let whole = words.duration(call.answered_at.map_or(0, |answered| millis(answered, at)));
    Some(words.line(at, id, &[("who", words.party(&last.called)), ("talk", whole)]))
}

/// The texts of one language.
struct Words(FluentBundle<FluentResource>);

impl Words {
    fn of(_locale: &str) -> Words {
        // The file is part of the program and read by a test: what an error leaves out is seen there.
        let resource = FluentResource::try_new(ENGLISH.to_owned()).unwrap_or_else(|(partial, _)| partial);
        let mut bundle = FluentBundle::new(vec!["en".parse().unwrap_or_default()]);
        // The marks that keep right-to-left names apart would be noise in a terminal and in JSON.
        bundle.set_use_isolating(false);
        bundle.add_resource_overriding(resource);
        Words(bundle)
    }

    fn line(&self, at: Timestamp, id: &str, values: &[(&str, String)]) -> Line {
        let mut args = FluentArgs::new();
        for (name, value) in values {
            args.set(*name, value.clone());
        }
        Line { at, text: self.say(id, &args) }
    }

    fn say(&self, id: &str, args: &FluentArgs<'_>) -> String {
        let Some(pattern) = self.0.get_message(id).and_then(|m| m.value()) else { return id.to_owned() };
        self.0.format_pattern(pattern, Some(args), &mut Vec::new()).into_owned()
    }

    /// `Anna (102)`, or whichever of the two is known.
    fn party(&self, party: &Party) -> String {
        match (&party.name, &party.number) {
            (Some(name), Some(number)) => format!("{name} ({number})"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => self.say("nobody", &FluentArgs::new()),
        }
    }

    /// Rounded to seconds, and to minutes from an hour on.
    fn duration(&self, ms: i64) -> String {
        let seconds = (ms + 500) / 1000;
        let mut args = FluentArgs::new();
        args.set("hours", seconds / 3600);
        args.set("minutes", seconds % 3600 / 60);
        args.set("seconds", seconds % 60);
        self.say("duration", &args)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_whole() {
        FluentResource::try_new(ENGLISH.to_owned()).unwrap();
    }

    #[test]
    fn a_duration_has_no_empty_parts() {
        let all =
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (7260, "2 h 1 min")];
        for (seconds, text) in all {
            assert_eq!(Words::of("en").duration(seconds * 1000), text);
        }
    }
}
