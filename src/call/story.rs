//! A call told to a person, line by line.
//!
//! Works on the finished [`Call`] alone, so what is told is what the call is. The texts are Fluent files under
//! `asset/`; this file decides what is worth a line and in which order. No channel names, no technical words.

mod ringing;
mod way;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::legs::{Outcome, millis};
use super::words::{Language, Texts, Value, Words};
use super::{Call, Consultation, Direction, How, Landing, Party, Side, Transfer, cause};

/// The sentences of a story, and how long something took.
pub const TEXTS: Texts =
    Texts { en: include_str!("../asset/story.en.ftl"), ru: include_str!("../asset/story.ru.ftl") };

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
    tell_in(call, &Words::new(Language::of(locale), &[&TEXTS]))
}

/// Tells `call` in words that were made before; [`TEXTS`] must be among them.
#[must_use]
pub fn tell_in(call: &Call, words: &Words) -> Vec<Line> {
    let mut lines = vec![beginning(call, words)];
    lines.extend(way::lines(call, words));
    lines.extend(ringing::lines(call, words));
    lines.extend(call.consultations.iter().flat_map(|one| consultation(call, one, words)));
    lines.extend(call.transfers.iter().map(|one| transfer(call, one, words)));
    lines.extend(
        call.remarks.iter().map(|r| {
            line(words, r.at, if r.recording { "recording" } else { "remark" }, &[("text", &r.text)])
        }),
    );
    // What was collected first stays in front among lines of one time: rang, answered, transferred.
    lines.sort_by_key(|line| line.at);
    lines.extend(ending(call, words));
    lines
}

fn line(words: &Words, at: Timestamp, id: &str, values: &[(&str, &String)]) -> Line {
    let values: Vec<(&str, Value<'_>)> = values.iter().map(|(name, text)| (*name, (*text).into())).collect();
    Line { at, text: words.say(id, &values) }
}

/// How long something took; nobody says "after 0 s".
fn length(ms: i64, words: &Words) -> String {
    if ms < 500 { words.plain("moment") } else { words.duration(ms) }
}

/// `Anna (102)`, or whichever of the two is known.
fn party(party: &Party, words: &Words) -> String {
    match (&party.name, &party.number) {
        (Some(name), Some(number)) if name != number => format!("{name} ({number})"),
        (Some(one), _) | (None, Some(one)) => one.clone(),
        (None, None) => words.plain("nobody"),
    }
}

fn beginning(call: &Call, words: &Words) -> Line {
    let who = party(&call.source, words);
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
    line(words, call.started_at, id, &[("who", &who), ("to", &to.unwrap_or_default())])
}

/// Somebody is asked while the other side waits; where that leads to a transfer, it has a line of its own.
fn consultation(call: &Call, one: &Consultation, words: &Words) -> Vec<Line> {
    let (who, waiting) = (party(&one.by, words), party(&one.waiting, words));
    let to = party(&known(call, one.to.as_deref()), words);
    let called = line(words, one.at, "consults", &[("who", &who), ("to", &to), ("waiting", &waiting)]);
    let back = one.returned_at.map(|at| line(words, at, "returned", &[("who", &who), ("waiting", &waiting)]));
    let left = one.left_at.map(|at| line(words, at, "left-waiting", &[("who", &waiting)]));
    [Some(called), back, left].into_iter().flatten().collect()
}

fn transfer(call: &Call, one: &Transfer, words: &Words) -> Line {
    let id = match (one.how, one.spoken) {
        (How::Blind, _) => "transferred-blind",
        (How::Attended, true) => "transferred-attended",
        (How::Attended, false) => "transferred-ringing",
    };
    let to = party(&known(call, one.to.as_deref()), words);
    line(words, one.at, id, &[("who", &party(&one.by, words)), ("to", &to)])
}

/// Whoever has this number, with the name that the phones know.
fn known(call: &Call, number: Option<&str>) -> Party {
    let leg = call.legs.iter().find(|leg| number.is_some() && leg.party.number.as_deref() == number);
    leg.map_or_else(|| Party { number: number.map(Into::into), name: None }, |leg| leg.party.clone())
}

/// A call that ends while its last transfer leads to nobody.
fn not_taken(call: &Call, at: Timestamp, words: &Words) -> Option<Line> {
    let last = call.transfers.last()?;
    let id = match last.outcome {
        Landing::Unanswered if call.hung_up_by == Some(Side::Caller) => "gave-up-transferred",
        Landing::Unanswered => "not-taken",
        Landing::Unknown if !last.spoken => "called-back",
        _ => return None,
    };
    call.conversations.iter().all(|talk| talk.began_at < last.at).then(|| {
        let wait = length(millis(last.at, at), words);
        line(words, at, id, &[("who", &party(&last.by, words)), ("wait", &wait)])
    })
}

fn ending(call: &Call, words: &Words) -> Option<Line> {
    if !call.end_time_known {
        let at =
            call.legs.iter().filter_map(|l| l.ended_at.or(l.answered_at)).max().unwrap_or(call.started_at);
        return Some(line(words, at, "lost", &[]));
    }
    let at = call.ended_at?;
    let wait = length(call.wait_ms.unwrap_or(0), words);
    let Some(last) = call.conversations.last() else {
        if let Some(text) = way::ending(call, &wait, words) {
            return Some(Line { at, text });
        }
        let id = match (call.abandoned, call.legs.iter().any(|l| l.outcome == Outcome::NoAnswer)) {
            (true, _) => "gave-up",
            (false, true) => "unanswered",
            (false, false) => "not-connected",
        };
        return Some(line(words, at, id, &[("wait", &wait)]));
    };
    if let Some(line) = not_taken(call, at, words) {
        return Some(line);
    }
    if let Some(text) = way::parked_to_the_end(call, words) {
        return Some(Line { at, text });
    }
    let id = match call.hung_up_by {
        Some(Side::Caller) => "ended-caller",
        Some(Side::Called) => "ended-called",
        Some(Side::Pbx) => "ended-pbx",
        None if call.cause.is_some_and(cause::is_loss) => "ended-lost",
        None => "ended",
    };
    let who = call.ended_by.as_ref().unwrap_or(&last.called);
    // A phone may be left alone in the call that the other side has ended.
    let hung_up = call.legs.iter().filter(|leg| call.ended_by.as_ref() == Some(&leg.party));
    let until = hung_up.filter_map(|leg| leg.ended_at).max().unwrap_or(at);
    let whole = length(call.answered_at.map_or(0, |answered| millis(answered, until)), words);
    Some(line(words, at, id, &[("who", &party(who, words)), ("talk", &whole)]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::words::check;
    use super::*;

    #[test]
    fn both_languages_have_the_same_sentences() {
        check::same_in_all_languages(&TEXTS);
    }

    #[test]
    fn a_duration_has_no_empty_parts() {
        let all = [
            (-1, "0 s", "0 с"),
            (59, "59 s", "59 с"),
            (60, "1 min", "1 мин"),
            (61, "1 min 1 s", "1 мин 1 с"),
            (3600, "1 h", "1 ч"),
            (7260, "2 h 1 min", "2 ч 1 мин"),
        ];
        let (english, russian) = (Words::new(Language::En, &[&TEXTS]), Words::new(Language::Ru, &[&TEXTS]));
        for (seconds, en, ru) in all {
            assert_eq!(english.duration(seconds * 1000), en);
            assert_eq!(russian.duration(seconds * 1000), ru);
        }
    }
}
