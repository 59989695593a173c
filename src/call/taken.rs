//! Calls that somebody took: off a phone that rang at somebody else's, or out of parking.
//!
//! Asterisk tells neither. Who picks up answers under a linkedid of his own, with the root of the call that rang. Who takes
//! a parked caller says before that he will (`step` with `parked`), and ends under the caller's linkedid; a caller whom
//! nobody took says the same when he comes back.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::fold::{Part, Parts};
use super::legs::{Outcome, Role};
use crate::event::Event;

/// How near to a pickup the phone ends that rang until then.
const STOPS_WITHIN: SignedDuration = SignedDuration::from_secs(2);

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
    /// Who took him; nobody where he went back.
    pub by: Option<String>,
}

/// Whether the channel that answers was not rung, but took a call that rang elsewhere.
pub(super) fn is_pickup(part: &Part, event: &Event) -> bool {
    let of_another = event.root.as_ref().is_some_and(|root| *root != event.linkedid);
    of_another && part.rang.is_none() && !part.is_plumbing() && event.fact("caller").is_some()
}

/// Works out what was taken, and gives those who took it their part.
pub(super) fn arrange(parts: &mut Parts) {
    let concerned =
        |part: &&Part| part.picked_up || part.parked().is_some() || part.farewell.parked.is_some();
    if !parts.list.iter().any(|part| concerned(&part)) {
        return;
    }
    let floor = Floor::of(parts);
    let taken =
        |part| floor.picked_up(part).or_else(|| floor.taken_back(part)).or_else(|| floor.went_back(part));
    let taken: Vec<Taken> = parts.list.iter().filter(concerned).filter_map(taken).collect();
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
        Some(Taken::Parked(Parking { who, parker, place: Some(place), since, until: None, by: None }))
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
        })
    }
}
