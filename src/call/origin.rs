//! Calls that Asterisk was asked to make: by a click, a call file, a callback. The caller's own phone rings first.
//!
//! Such a channel enters the dialplan when its phone has been picked up, and says so (`origin`). Where Asterisk made it by
//! a Local channel, nobody sits at that: who was reached by its other half is the caller.

use jiff::{SignedDuration, Timestamp};

use super::Party;
use super::fold::{Part, Parts, Pinned, endpoint, fill, is_number, is_plumbing};
use super::legs::{Role, millis};
use super::order::Placed;
use crate::event::{Event, Kind};

/// How long a caller's own phone may have rung.
const LONGEST_RING: SignedDuration = SignedDuration::from_mins(10);

/// The caller's own phone rang before he called anybody.
#[derive(Debug, Clone)]
pub(super) struct RangFirst {
    pub at: Timestamp,
    pub leg: String,
    pub who: Party,
    /// In milliseconds, where it is known.
    pub ring_ms: Option<i64>,
}

/// Who sits at a channel that Asterisk made: whom the marker names, else whose phone it is. What its caller ID says may
/// be the number that is called: phones show it while they ring.
pub(super) fn caller(event: &Event) -> Option<Party> {
    let marker = event.fact("origin")?;
    let told = event.fact("num").filter(|n| *n != "unknown");
    let plumbing = is_plumbing(&event.channel);
    let own = endpoint(&event.channel).filter(|own| is_number(own) && !plumbing);
    let number = Some(marker).filter(|m| is_number(m)).or(own).or(told.filter(|_| !plumbing));
    let name = event.fact("name").filter(|_| number.is_some() && told == number);
    Some(Party { number: number.map(Into::into), name: name.map(Into::into) })
}

/// When the channel was made, where it says so: before it entered the dialplan, and not long before.
pub(super) fn born(event: &Event, entered: Timestamp) -> Option<Timestamp> {
    event.fact("origin")?;
    let (seconds, micros) = event.fact("born")?.split_once('.')?;
    let micros: i64 = format!("{micros:0<6}").get(..6)?.parse().ok()?;
    let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
    let born = Timestamp::from_microsecond(micros).ok()?;
    (born <= entered && entered.duration_since(born) <= LONGEST_RING).then_some(born)
}

/// What such a call is about is said where its caller enters the dialplan, not where his own phone is dialled.
pub(super) fn pin(pinned: &mut Pinned, told: &[Placed<'_>]) {
    let begins = |event: &Event| event.kind == Kind::Start && event.uid == event.linkedid;
    let made = told.iter().map(|placed| placed.event).find(|e| begins(e) && e.fact("origin").is_some());
    if let Some(event) = made {
        pinned.learn(event);
    }
}

/// Puts the caller into his place.
pub(super) fn put_right(parts: &mut Parts) {
    let Some(first) = parts.first().filter(|first| first.originated).cloned() else { return };
    if !first.is_plumbing() {
        let entered = first.entries.first().map_or(first.started, |entry| entry.at);
        let ring_ms = (first.started < entered).then(|| millis(first.started, entered));
        let (at, leg, who) = (first.started, first.uniqueid, first.party);
        parts.rang_first = Some(RangFirst { at, leg, who, ring_ms });
        return;
    }
    let Some(place) = reached_by_other_half(parts, &first) else { return };
    let Some(caller) = parts.list.get_mut(place) else { return };
    let ring_ms = caller.answered.take().map(|at| millis(caller.started, at));
    caller.role = Some(Role::Caller);
    caller.caller = None;
    caller.entries.clone_from(&first.entries);
    fill(&mut caller.farewell.dialstatus, first.farewell.dialstatus.as_deref());
    let (at, leg, who) = (caller.started, caller.uniqueid.clone(), caller.party.clone());
    for part in &mut parts.list {
        if part.uniqueid == first.uniqueid {
            part.entries.clear();
        } else if part.caller.as_ref() == Some(&first.uniqueid) {
            part.caller = Some(leg.clone());
        }
    }
    let source = &mut parts.pinned.source;
    if source.number.is_none() || source.number == who.number {
        *source = who.clone();
    }
    parts.stand_in(&first.uniqueid, place);
    parts.rang_first = Some(RangFirst { at, leg, who, ring_ms });
}

/// The first phone that was picked up of those that the other half of a Local channel called.
fn reached_by_other_half(parts: &Parts, half: &Part) -> Option<usize> {
    let (name, _) = half.channel.rsplit_once(';')?;
    let is_other =
        |p: &Part| p.uniqueid != half.uniqueid && p.channel.rsplit_once(';').is_some_and(|(n, _)| n == name);
    let other = parts.list.iter().find(|p| is_other(p))?;
    let reached = parts.list.iter().enumerate().filter(|(_, p)| {
        p.role == Some(Role::Called) && p.caller.as_ref() == Some(&other.uniqueid) && p.answered.is_some()
    });
    reached.min_by_key(|(_, p)| p.answered).map(|(place, _)| place)
}
