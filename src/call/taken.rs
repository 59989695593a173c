//! Calls that somebody took: off a phone that rang at somebody else's, or out of parking.
//!
//! Asterisk tells neither. Who picks up answers under a linkedid of his own, with the root of the call that rang. Who takes
//! a parked caller says before that he will (`step` with `parked`), and ends under the caller's linkedid; a caller whom
//! nobody took says the same when he comes back. One who hangs up while he is parked is in the Dial all the time that rang who
//! parked him: it outlasts the phone, which ended without having hung up.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::cause;
use super::fold::{Part, Parts};
use super::legs::{Outcome, Role};
use super::steps::Back;
use crate::event::Event;

/// How near to a pickup the phone ends that rang until then.
const STOPS_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// How long a Dial outlasts its phone at least where the caller was parked.
const OUTLASTS: SignedDuration = SignedDuration::from_secs(1);

/// What was taken, and by whom: uniqueids.
#[derive(Debug, Clone)]
pub(super) enum Taken {
    /// Off a phone that rang.
    Ringing { by: String, from: Option<String>, at: Timestamp },
    /// Out of parking.
    Parked(Parking),
}

/// A caller was parked.
#[derive(Debug, Clone)]
pub(super) struct Parking {
    pub who: String,
    pub parker: Option<String>,
    pub place: Option<String>,
    pub since: Timestamp,
    /// Until when; `None` where nobody told.
    pub until: Option<Timestamp>,
    /// Who took him, if anybody did.
    pub by: Option<String>,
    pub back: Back,
}

/// Whether the channel that answers was not rung, but took a call that rang elsewhere.
pub(super) fn is_pickup(part: &Part, event: &Event) -> bool {
    let of_another = event.root.as_ref().is_some_and(|root| *root != event.linkedid);
    of_another && part.rang.is_none() && !part.is_plumbing() && event.fact("caller").is_some()
}

/// Works out what was taken, and gives those who took it their part.
pub(super) fn arrange(parts: &mut Parts) {
    let concerned = |part: &&Part| {
        part.picked_up
            || part.parked().is_some()
            || part.farewell.parked.is_some()
            || part.farewell.waited_at.is_some()
            || part.dial_over().is_some()
    };
    if !parts.list.iter().any(|part| concerned(&part)) {
        return;
    }
    let floor = Floor::of(parts);
    let taken = |part| {
        let known = floor.picked_up(part).or_else(|| floor.taken_back(part));
        known.or_else(|| floor.went_back(part)).or_else(|| floor.gave_up(part))
    };
    let mut taken: Vec<Taken> = parts.list.iter().filter(concerned).filter_map(taken).collect();
    drop_what_was_missed(&mut taken);
    for one in &taken {
        match one {
            Taken::Ringing { from: Some(from), .. } => {
                if let Some(phone) = parts.by_uniqueid_mut(from) {
                    phone.outcome = Some(Outcome::Elsewhere);
                }
            }
            Taken::Parked(Parking { who, by: Some(by), until, .. }) => {
                if let Some(taker) = parts.by_uniqueid_mut(by) {
                    taker.role = Some(Role::Called);
                    taker.answered = *until;
                    taker.caller = Some(who.clone());
                }
            }
            _ => {}
        }
    }
    parts.taken = taken;
}

/// AMI, which saw somebody being parked and not that he was taken back, says at his end that he is parked still.
fn drop_what_was_missed(taken: &mut Vec<Taken>) {
    let back: Vec<(String, Option<Timestamp>)> = taken
        .iter()
        .filter_map(|one| match one {
            Taken::Parked(parking) if parking.by.is_some() => Some((parking.who.clone(), parking.until)),
            _ => None,
        })
        .collect();
    taken.retain(|one| match one {
        Taken::Parked(Parking { who, since, back: Back::GaveUp, .. }) => {
            back.iter().all(|(taken, until)| taken != who || until.is_none_or(|until| *since > until))
        }
        _ => true,
    });
}

/// Who was called by whom.
struct Floor<'a> {
    parts: &'a Parts,
    /// By the channel that had them called; those of nobody by no name.
    called: HashMap<&'a str, Vec<&'a Part>>,
}

impl<'a> Floor<'a> {
    fn of(parts: &'a Parts) -> Floor<'a> {
        let mut called: HashMap<&str, Vec<&Part>> = HashMap::new();
        for part in parts.list.iter().filter(|part| part.role == Some(Role::Called)) {
            called.entry(part.caller.as_deref().unwrap_or_default()).or_default().push(part);
        }
        Floor { parts, called }
    }

    fn called_by(&self, caller: Option<&str>) -> &[&'a Part] {
        self.called.get(caller.unwrap_or_default()).map_or(&[], Vec::as_slice)
    }

    /// Who talked with a channel, and until when.
    fn talks(&self, who: &'a Part) -> impl Iterator<Item = (&'a Part, Option<Timestamp>)> + use<'_, 'a> {
        let caller = who.caller.as_deref().filter(|_| who.answered.is_some());
        let caller = caller.and_then(|uniqueid| self.parts.by_uniqueid(uniqueid));
        let called =
            self.called_by(Some(&who.uniqueid)).iter().copied().filter(|part| part.answered.is_some());
        called.chain(caller).map(|with| (with, with.ended))
    }

    fn picked_up(&self, picker: &'a Part) -> Option<Taken> {
        let at = picker.answered.filter(|_| picker.picked_up)?;
        let near = |end: Timestamp| end.duration_since(at).abs() <= STOPS_WITHIN;
        let rang = self.called_by(picker.caller.as_deref()).iter().filter(|part| {
            part.uniqueid != picker.uniqueid && part.answered.is_none() && part.ended.is_some_and(near)
        });
        // Of a group, the one whose number Dial left with whoever took its place.
        let number = picker.farewell.dialled.as_deref();
        let from = rang.min_by_key(|part| (part.party.number.as_deref() != number, part.started));
        Some(Taken::Ringing { by: picker.uniqueid.clone(), from: from.map(|part| part.uniqueid.clone()), at })
    }

    /// A channel that said it would take what is parked, and ended in another's call.
    fn taken_back(&self, taker: &'a Part) -> Option<Taken> {
        let (place, at) = taker.parked().filter(|_| taker.joined.is_some())?;
        let waits = |part: &&Part| {
            let lives = part.started < at && part.ended.is_none_or(|end| end > at);
            lives && !part.is_plumbing() && part.uniqueid != taker.uniqueid && self.is_alone(part, at)
        };
        let who = self.parts.first().filter(waits).or_else(|| self.parts.list.iter().find(waits))?;
        Some(self.parked(who, place, at, Some(taker)))
    }

    /// A channel that said it was parked, and had talked before.
    fn went_back(&self, who: &'a Part) -> Option<Taken> {
        if let Some((place, at)) = who.parked() {
            let had_talked = who.joined.is_none()
                && self.talks(who).any(|(_, until)| until.is_some_and(|until| until <= at));
            return had_talked.then(|| self.parked(who, place, at, None));
        }
        // Where nobody tells of the way back, Asterisk leaves the place where he was parked.
        let place = who.farewell.parked.clone()?;
        let talks = self.talks(who).filter_map(|(with, until)| Some((until?, with)));
        let (since, parker) = talks.min_by_key(|(until, _)| *until)?;
        let (who, parker) = (who.uniqueid.clone(), Some(parker.uniqueid.clone()));
        let back = Back::Returned;
        Some(Taken::Parked(Parking { who, parker, place: Some(place), since, until: None, by: None, back }))
    }

    /// A caller who hung up when he was parked.
    fn gave_up(&self, who: &'a Part) -> Option<Taken> {
        let Some(place) = who.farewell.waited_at.clone() else { return self.was_left_alone(who) };
        let talks = self.talks(who).filter_map(|(with, until)| Some((until?, with)));
        let (since, parker) = talks.max_by_key(|(until, _)| *until)?;
        let (who, parker, until) = (who.uniqueid.clone(), Some(parker.uniqueid.clone()), who.ended);
        let (place, back) = (Some(place), Back::GaveUp);
        Some(Taken::Parked(Parking { who, parker, place, since, until, by: None, back }))
    }

    /// Nobody said that he was parked, but he hung up when he had been alone for a while in the Dial that rang who had
    /// talked to him.
    fn was_left_alone(&self, who: &'a Part) -> Option<Taken> {
        let (peer, over) = who.dial_over()?;
        let hung_up = who.farewell.source.as_deref() == Some(&who.channel) && !who.end_heard;
        let until = who.ended.filter(|_| hung_up)?;
        let parker = self.called_by(Some(&who.uniqueid)).iter().find(|part| part.channel == peer)?;
        let since = parker.ended.filter(|_| parker.answered.is_some() && was_taken_away(parker))?;
        let alone = |part: &Part| part.uniqueid == who.uniqueid || part.ended.is_some_and(|end| end <= since);
        let outlasts = over.min(until).duration_since(since) > OUTLASTS;
        let moved = self.parts.moves.iter().any(|one| one.transfer.at >= since) || who.goes_on(since);
        (outlasts && !moved && self.parts.list.iter().all(alone)).then(|| {
            let (who, parker, until) = (who.uniqueid.clone(), Some(parker.uniqueid.clone()), Some(until));
            Taken::Parked(Parking { who, parker, place: None, since, until, by: None, back: Back::GaveUp })
        })
    }

    fn is_alone(&self, who: &'a Part, at: Timestamp) -> bool {
        self.talks(who).all(|(_, until)| until.is_some_and(|until| until <= at))
    }

    fn parked(&self, who: &'a Part, place: Option<String>, at: Timestamp, by: Option<&Part>) -> Taken {
        let talks = self.talks(who).filter_map(|(with, until)| Some((until?, with)));
        let last = talks.filter(|(until, _)| *until <= at).max_by_key(|(until, _)| *until);
        Taken::Parked(Parking {
            who: who.uniqueid.clone(),
            parker: last.map(|(_, with)| with.uniqueid.clone()),
            place,
            since: last.map_or(at, |(until, _)| until),
            until: Some(at),
            by: by.map(|part| part.uniqueid.clone()),
            back: if by.is_some() { Back::Taken } else { Back::Returned },
        })
    }
}

/// Whether a phone that talked ended though neither it nor the other side hung up, and it transferred nobody.
fn was_taken_away(phone: &Part) -> bool {
    let said = &phone.farewell;
    let transferred = said.connected.is_some() || said.sent.is_some();
    said.up
        && said.source.is_none()
        && !transferred
        && !said.cause.is_some_and(cause::is_loss)
        && !phone.end_heard
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::Told;
    use super::super::{Side, What};
    use super::*;

    const LEFT: &str = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,hangupsource=PJSIP/trunk-00000000,state=Up";

    /// 101 talks from 1 to 3 and ends as `phone` says; its caller hangs up at 7, when the Dial has lasted `dialed` ms.
    fn left_alone(phone: &str, dialed: i64) -> Told {
        let told = Told::default().comes_in().rings(0.01, 1, "101").answers(1.0, 1, "101");
        let left = format!("{LEFT},dialedtime_ms={dialed},answeredtime_ms={}", dialed - 1000);
        told.ends(3.0, 1, "101", phone).ends(7.0, 0, "trunk", &left)
    }

    fn back(told: &Told) -> Option<Back> {
        told.fold().call.steps.iter().find_map(|step| match step.what {
            What::Parked { back, .. } => Some(back),
            _ => None,
        })
    }

    #[test]
    fn a_caller_whose_dial_outlasts_the_phone_was_parked_and_gave_up() {
        let told = left_alone("cause=16,state=Up", 7000);
        assert_eq!(back(&told), Some(Back::GaveUp));
        let call = told.fold().call;
        assert_eq!((call.talk_ms, call.hung_up_by, call.abandoned), (2000, Some(Side::Caller), false));
        assert_eq!(
            told.story()[2..],
            [
                "101 answered after 1 s",
                "101 parked the call",
                "Nobody took it back for 4 s, and the caller hung up",
            ]
        );
    }

    #[test]
    fn a_caller_who_was_parked_when_he_hung_up_gave_up_there() {
        let told = Told::default().comes_in().rings(0.01, 1, "101").answers(1.0, 1, "101");
        let told = told.ends(3.0, 1, "101", "cause=16,state=Up").ends(7.0, 0, "trunk", "cause=16,parked=701");
        assert_eq!(back(&told), Some(Back::GaveUp));
        assert!(
            matches!(&told.fold().call.steps[0].what, What::Parked { place, .. } if place.as_deref() == Some("701"))
        );
    }

    #[test]
    fn a_caller_who_goes_on_in_the_dialplan_was_not_parked() {
        assert_eq!(back(&left_alone("cause=16,state=Up", 3010)), None);
    }

    #[test]
    fn a_phone_that_hung_up_or_transferred_has_not_parked() {
        for end in [
            "cause=16,state=Up,hangupsource=PJSIP/101-00000001",
            "cause=16,state=Up,blindtransfer=PJSIP/trunk-00000000",
            "cause=16,state=Up,attendedtransfer=PJSIP/trunk-00000000",
            "cause=44,state=Up",
        ] {
            assert_eq!(back(&left_alone(end, 7000)), None, "{end}");
        }
    }

    #[test]
    fn who_is_with_somebody_when_he_hangs_up_was_not_parked() {
        let told = left_alone("cause=16,state=Up", 7000).rings(5.0, 2, "102").answers(6.0, 2, "102");
        assert_eq!(back(&told.ends(7.0, 2, "102", "cause=16,state=Up")), None);
    }
}
