//! What ast-ami told, put under what the dialplan told.
//!
//! It has no times of its own and comes in any order, so it is gathered channel by channel before it counts, and
//! only fills in: a channel that the dialplan does not hook, its ringing, its answer, its end; never a start, an
//! answer, an end or a name in place of one that was told. A channel that is known from here alone holds the
//! end of the call like any other, but for the halves of a Local channel. What ast-ami says of a call as a whole
//! ends nothing: it says `end.call` twice, and while a transferred call goes on. Where nothing else is known,
//! that is what the call is made of.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::fold::{Entry, Part, Parts, fill, is_number};
use super::order::Placed;
use super::{Direction, Role};
use crate::event::key::{CallKey, Way};
use crate::event::{Event, Kind};

/// Puts `heard` under what `parts` know, and writes into `notes` what each event did.
pub(super) fn fill_in(parts: &mut Parts, heard: &[Placed<'_>], notes: &mut [String]) {
    let mut channels: BTreeMap<&str, Vec<Placed<'_>>> = BTreeMap::new();
    for placed in heard {
        parts.belongs(placed.event);
        channels.entry(&placed.event.uid).or_default().push(*placed);
    }
    let lag = lag(parts, &channels);
    for of_channel in channels.values_mut() {
        for placed in of_channel.iter_mut() {
            placed.at = placed.at.saturating_sub(lag).unwrap_or(placed.at);
        }
        // Not by time: a `Newstate` may overtake its `Newchannel`.
        of_channel.sort_by_key(|p| (p.event.kind, p.at, &p.event.token));
    }
    let (by_key, channels): (Vec<_>, Vec<_>) =
        channels.into_values().partition(|of_channel| of_channel[0].event.knows_key_alone());
    for told in &channels {
        Channel::of(told).put_under(parts, told, notes);
    }
    parts.hook_someone();
    let by_key: Vec<Placed<'_>> = by_key.into_iter().flatten().collect();
    if parts.list.is_empty() {
        made_of(parts, &by_key);
    }
    for placed in &by_key {
        notes[placed.index] = remark(placed.event);
    }
    pin(parts, channels.iter().flatten().chain(&by_key).map(|p| p.event));
}

/// How far our clock is ahead of the pbx's, together with the time that a post takes: what both told of one
/// channel shows it, the smallest difference best. Zero where there is nothing to compare.
fn lag(parts: &Parts, channels: &BTreeMap<&str, Vec<Placed<'_>>>) -> SignedDuration {
    let told_by_both = channels.iter().filter_map(|(uid, heard)| Some((parts.by_uniqueid(uid)?, heard)));
    let lags = told_by_both.flat_map(|(part, heard)| {
        heard.iter().filter_map(|placed| {
            let told = match placed.event.kind {
                Kind::Start => part.entries.first()?.at,
                Kind::Answer => part.answered?,
                Kind::Hangup => part.ended?,
                _ => return None,
            };
            Some(placed.at.duration_since(told))
        })
    });
    lags.min().unwrap_or_default()
}

/// What was told of one channel, whatever order it came in.
struct Channel<'e> {
    uid: &'e str,
    first: Timestamp,
    start: Option<&'e Event>,
    rang: Option<Timestamp>,
    up: Option<Timestamp>,
    end: Option<(Timestamp, &'e Event)>,
    called: bool,
}

impl<'e> Channel<'e> {
    /// `told` is not empty and sorted by kind and time.
    fn of(told: &[Placed<'e>]) -> Channel<'e> {
        let first_of = |kind: Kind| told.iter().find(|p| p.event.kind == kind);
        let event = told[0].event;
        let start = first_of(Kind::Start).map(|p| p.event);
        let rang = first_of(Kind::Ring).map(|p| p.at);
        // A call's first channel that was never seen to be dialled is the caller's.
        let dialled = rang.is_some() || first_of(Kind::Note).is_some() || event.linkedid != event.uid;
        Channel {
            uid: &event.uid,
            first: told.iter().map(|p| p.at).min().unwrap_or(told[0].at),
            start,
            rang,
            up: first_of(Kind::Answer).map(|p| p.at),
            end: first_of(Kind::Hangup).map(|p| (p.at, p.event)),
            called: start.is_none() && dialled,
        }
    }

    fn put_under(&self, parts: &mut Parts, told: &[Placed<'e>], notes: &mut [String]) {
        let known = Known::of(parts.by_uniqueid(self.uid));
        let part = parts.part(told[0].event, self.first);
        part.heard = !known.any;
        if !known.start && self.first < part.started {
            part.started = self.first;
        }
        part.role.get_or_insert(if self.called { Role::Called } else { Role::Caller });
        for placed in told {
            part.names(placed.event);
        }
        self.beginning(part);
        self.ending(part);
        for placed in told {
            notes[placed.index] = self.note(part, &known, placed);
        }
        if !part.is_plumbing() || parts.is_hooked(self.uid) {
            parts.hook(self.uid);
        }
    }

    fn beginning(&self, part: &mut Part) {
        if part.role == Some(Role::Called) {
            part.rang = part.rang.or(self.rang);
            // It may have been told after the end.
            let end = part.ended.or(self.end.map(|(at, _)| at)).unwrap_or(Timestamp::MAX);
            let up = self.up.map(|at| at.min(end).max(part.started));
            part.answered = part.answered.or(up);
        } else if let Some(start) = self.start.filter(|_| part.entries.is_empty()) {
            let text = |name: &str| start.fact(name).map(Into::into);
            let at = part.started;
            part.entries.push(Entry { at, exten: text("exten"), context: text("ctx"), transferred: false });
        }
    }

    fn ending(&self, part: &mut Part) {
        let Some((at, event)) = self.end else { return };
        if part.ended.is_none() {
            part.ended = Some(at.max(part.started).max(part.answered.unwrap_or(at)));
            part.end_heard = true;
        }
        let said = &mut part.farewell;
        said.cause = said.cause.or(event.fact("cause").and_then(|c| c.parse().ok()).filter(|&c| c > 0));
        // SIP's word for a caller who gave up.
        let cancelled = event.fact("techcause") == Some("487") && self.up.is_none() && !self.called;
        if cancelled && said.dialstatus.is_none() {
            fill(&mut said.source, Some(&part.channel));
        }
    }

    fn note(&self, part: &Part, known: &Known, placed: &Placed<'_>) -> String {
        let (who, at) = (part.who(), placed.at);
        let no_change = |what: String| format!("no change: {what}");
        match placed.event.kind {
            Kind::Start if known.start => no_change(format!("{who} had entered the dialplan before")),
            Kind::Start => format!("{who} calls {}", placed.event.fact("exten").unwrap_or("the dialplan")),
            Kind::Ring if known.start => no_change(format!("leg {who} had been dialled before")),
            Kind::Ring => format!("leg {who} rings"),
            Kind::Answer if part.role == Some(Role::Caller) => {
                no_change(format!("the pbx took the call of {who}"))
            }
            Kind::Answer if known.answer => no_change(format!("leg {who} had answered before")),
            Kind::Answer if self.up == Some(at) => format!("leg {who} answered; call talking"),
            Kind::Answer => no_change(format!("leg {who} had answered before")),
            Kind::Hangup if known.end || self.end.is_none_or(|(end, _)| end != at) => {
                no_change(format!("channel of {who} had ended before"))
            }
            Kind::Hangup => format!("channel of {who} ended"),
            _ if known.any => no_change(format!("channel of {who} is known")),
            _ => format!("channel of {who} appeared"),
        }
    }
}

/// What the dialplan told of a channel.
struct Known {
    any: bool,
    start: bool,
    answer: bool,
    end: bool,
}

impl Known {
    fn of(part: Option<&Part>) -> Known {
        Known {
            any: part.is_some(),
            start: part.is_some_and(|p| !p.entries.is_empty() || p.rang.is_some() || !p.dials.is_empty()),
            answer: part.is_some_and(|p| p.answered.is_some()),
            end: part.is_some_and(|p| p.ended.is_some()),
        }
    }
}

/// A call of which no channel is known: who called, and the phones that are said to have rung and talked. Nothing
/// says when it ends.
fn made_of(parts: &mut Parts, by_key: &[Placed<'_>]) {
    let Some(first) = by_key.iter().min_by_key(|p| (p.at, &p.event.token)) else { return };
    let caller = parts.part(first.event, first.at);
    caller.role = Some(Role::Caller);
    fill(&mut caller.party.number, by_key.iter().find_map(|p| p.event.fact("num")));
    let exten = by_key.iter().find_map(|p| p.event.fact("trunk")).map(Into::into);
    caller.entries.push(Entry { at: first.at, exten, context: None, transferred: false });
    let uid = first.event.uid.clone();
    parts.hook(&uid);
    let mut phones: BTreeMap<&str, Vec<&Placed<'_>>> = BTreeMap::new();
    for placed in by_key {
        if let Some(local) = placed.event.fact("local") {
            phones.entry(local).or_default().push(placed);
        }
    }
    for (number, told) in phones {
        let Some(rang) = told.iter().map(|p| p.at).min() else { continue };
        let mut phone = Part::made_up(format!("{uid}>{number}"), rang);
        phone.party.number = Some(number.to_owned());
        phone.rang = Some(rang);
        phone.caller = Some(uid.clone());
        phone.answered =
            told.iter().filter(|p| p.event.fact("event") == Some("start.talk")).map(|p| p.at).min();
        parts.add(phone);
    }
}

fn remark(event: &Event) -> String {
    let word = event.fact("event").unwrap_or("a word");
    let who = event.fact("local").map(|n| format!(" for {n}")).unwrap_or_default();
    if word.starts_with("end.") {
        format!("no change: ast-ami says {word}{who}, also while a call goes on")
    } else {
        format!("no change where channels are known: ast-ami says {word}{who}")
    }
}

/// What nobody pinned yet: first what the call key says, whatever the channels say; then the caller's channel.
fn pin<'e>(parts: &mut Parts, heard: impl Iterator<Item = &'e Event> + Clone) {
    let first = parts.first().cloned();
    let is_first = |e: &&Event| first.as_ref().is_some_and(|p| p.uniqueid == e.uid);
    let of_first = |name: &'static str| heard.clone().filter(is_first).filter_map(|e| e.fact(name)).min();
    let named = || heard.clone().filter(|e| e.link().is_some() || e.knows_key_alone());
    // The call's own first channel knows its key and its org best.
    let key = named().filter(is_first).chain(named()).find_map(|e| e.fact("key"));
    let pinned = &mut parts.pinned;
    fill(&mut pinned.key, key);
    fill(&mut pinned.org, of_first("org").or_else(|| heard.clone().filter_map(|e| e.fact("org")).min()));
    let key = pinned.key.clone();
    if let Some(key) = key.as_deref().and_then(CallKey::parse) {
        let outside = (key.way == Some(Way::In)).then_some(key.number).flatten();
        fill(&mut pinned.source.number, key.source.filter(|n| is_number(n)));
        fill(&mut pinned.trunk, outside);
        fill(&mut pinned.destination, key.number);
        pinned.direction = pinned.direction.or(key.way.map(|way| match way {
            Way::In => Direction::Inbound,
            Way::Out => Direction::Outbound,
            Way::Local => Direction::Internal,
        }));
    }
    let Some(first) = &first else { return };
    if pinned.source_channel.is_none() {
        let number = first.role.filter(|role| *role == Role::Caller).and_then(|_| of_first("num"));
        fill(&mut pinned.source.number, number);
        let unnamed = pinned.source.number.is_none() || pinned.source.number == first.party.number;
        if unnamed && first.role != Some(Role::Called) {
            fill(&mut pinned.source.name, first.party.name.as_deref());
        }
    }
    if let Some(entry) = first.entries.first() {
        fill(&mut pinned.destination, entry.exten.as_deref());
        fill(&mut pinned.context, entry.context.as_deref());
    }
}
