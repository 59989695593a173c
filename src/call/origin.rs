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

/// A channel that Asterisk made and that runs an application passes no dialplan and tells nothing. What it dials tells, by
/// `b()` and `U()`, and in its linkedid whose call it is; who was picked up talks with whoever sits there.
pub(super) fn add_silent(parts: &mut Parts) {
    let dialled =
        |part: &Part| part.role == Some(Role::Called) && part.caller.is_none() && !part.is_plumbing();
    let Some(eldest) = parts.eldest().filter(|eldest| parts.by_uniqueid(eldest).is_none()) else { return };
    if !parts.list.iter().all(dialled) || parts.list.iter().all(|part| part.heard) {
        return;
    }
    let eldest = eldest.to_owned();
    let Some(started) = parts.list.iter().map(|part| part.started).min() else { return };
    let ended = parts.list.iter().map(|part| part.ended).collect::<Option<Vec<_>>>();
    let mut silent = Part::made_up(eldest, started);
    silent.role = Some(Role::Caller);
    silent.ended = ended.and_then(|ends| ends.into_iter().max());
    // Who hung up is known by the name of the channel.
    let sources = parts.list.iter().filter_map(|part| part.farewell.source.as_ref());
    let own = sources.filter(|name| parts.list.iter().all(|part| part.channel != **name)).min();
    if let Some(name) = own.filter(|name| !name.starts_with("dialplan/")) {
        silent.channel.clone_from(name);
        silent.farewell.source = Some(name.clone());
        silent.party.number = endpoint(name).filter(|own| is_number(own)).map(Into::into);
    }
    let source = &mut parts.pinned.source;
    fill(&mut source.number, silent.party.number.as_deref());
    parts.add(silent);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::Told;
    use super::super::{Call, Direction, Disposition, Numbering, Side};
    use super::*;

    /// 102 alone tells, and its end names `source`.
    fn dialled_by_an_application(source: &str) -> Told {
        let told = Told::default().tell(1.0, 2, "PJSIP/102", Kind::Ring, "num=102,name=Boris,caller=");
        let told = told.tell(2.0, 2, "PJSIP/102", Kind::Answer, "num=102,name=Boris,caller=");
        told.tell(
            9.0,
            2,
            "PJSIP/102",
            Kind::Hangup,
            &format!("cause=16,state=Up,hangupsource={source},caller="),
        )
    }

    fn call(told: &Told) -> Call {
        told.fold_with(&Numbering::new([r"^\d{3}$".to_owned()], []).unwrap()).call
    }

    #[test]
    fn whom_an_application_dialled_talked_with_somebody() {
        let call = call(&dialled_by_an_application("PJSIP/102-00000002"));
        assert_eq!((call.disposition, call.talk_ms), (Disposition::Answered, 7000));
        assert_eq!(call.answered_by.unwrap().number.as_deref(), Some("102"));
        assert_eq!((call.source, call.hung_up_by), (Party::default(), Some(Side::Called)));
    }

    #[test]
    fn who_made_an_application_dial_is_known_where_he_hung_up() {
        let told = dialled_by_an_application("PJSIP/101-00000000");
        let call = call(&told);
        assert_eq!(call.source, Party { number: Some("101".into()), name: None });
        assert_eq!((call.hung_up_by, call.direction), (Some(Side::Caller), Direction::Internal));
        assert_eq!(
            told.story(),
            [
                "Call from 101",
                "Boris (102) rang",
                "Boris (102) answered after 1 s",
                "Ended by the caller after 7 s"
            ]
        );
    }
}
