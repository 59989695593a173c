//! Who put a call on hold, and for how long.
//!
//! The dialplan hears nothing of it: Asterisk's manager interface alone tells (`Hold`, `Unhold`). A hold lasts until it is
//! taken back, and no longer than the channel of who made it. Knows nothing of whom somebody talked with meanwhile: that
//! is told as a consultation.

use std::collections::HashMap;

use jiff::Timestamp;

use super::fold::Parts;
use super::steps::{Step, What};
use crate::event::Event;

/// All holds of a call.
#[derive(Debug, Default)]
pub(super) struct Holds {
    list: Vec<Hold>,
    /// Which one a channel has not taken back, by its uniqueid.
    open: HashMap<String, usize>,
}

#[derive(Debug)]
struct Hold {
    /// The channel of who holds.
    uniqueid: String,
    at: Timestamp,
    until: Option<Timestamp>,
}

impl Parts {
    /// A channel puts whoever it talks with on hold, or takes him back.
    pub(super) fn hold(&mut self, event: &Event, at: Timestamp) -> String {
        let who = self.part(event, at).who();
        let Holds { list, open } = &mut self.holds;
        if event.fact("hold") == Some("on") {
            if open.contains_key(&event.uid) {
                return format!("no change: {who} had put the call on hold before");
            }
            open.insert(event.uid.clone(), list.len());
            list.push(Hold { uniqueid: event.uid.clone(), at, until: None });
            return format!("{who} puts the call on hold");
        }
        match open.remove(&event.uid).and_then(|place| list.get_mut(place)) {
            Some(hold) => {
                hold.until = Some(at);
                format!("{who} takes the call off hold")
            }
            None => format!("no change: {who} had nobody on hold"),
        }
    }
}

/// The holds of a call as steps of it.
pub(super) fn steps(parts: &Parts) -> impl Iterator<Item = Step> {
    parts.holds.list.iter().filter_map(|hold| {
        let part = parts.by_uniqueid(&hold.uniqueid)?;
        let over = [hold.until, part.ended].into_iter().flatten().min();
        Some(Step {
            at: hold.at,
            ended_at: over.map(|over| over.max(hold.at)),
            leg: hold.uniqueid.clone(),
            what: What::Held { by: part.party.clone() },
        })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::story::tell;
    use super::super::tests::Told;
    use super::*;
    use crate::event::Kind;

    fn talks() -> Told {
        Told::default().comes_in().rings(0.1, 1, "101").answers(2.0, 1, "101")
    }

    fn holds(told: Told, second: f64, how: &str) -> Told {
        told.tell(second, 1, "PJSIP/101", Kind::Note, &format!("hold={how}"))
    }

    fn over(told: Told) -> Told {
        told.ends(60.0, 1, "101", "cause=16").ends(60.1, 0, "trunk", "cause=16")
    }

    /// From when to when, in seconds after the call's begin.
    fn of(told: &Told) -> Vec<(i64, Option<i64>)> {
        let call = told.fold().call;
        let since = |at: Timestamp| at.duration_since(call.started_at).as_secs();
        call.steps.iter().map(|step| (since(step.at), step.ended_at.map(since))).collect()
    }

    #[test]
    fn a_hold_lasts_until_it_is_taken_back_and_no_longer_than_its_channel() {
        let told = holds(holds(talks(), 10.0, "on"), 45.0, "off");
        assert_eq!(of(&told), [(10, Some(45))]);
        let again = holds(told, 50.0, "on");
        assert_eq!(of(&again), [(10, Some(45)), (50, None)]);
        assert_eq!(of(&over(again)), [(10, Some(45)), (50, Some(60))]);
    }

    #[test]
    fn who_tells_twice_or_takes_back_what_was_not_held_changes_nothing() {
        let told = holds(holds(holds(holds(talks(), 5.0, "off"), 10.0, "on"), 12.0, "on"), 20.0, "off");
        assert_eq!(of(&told), [(10, Some(20))]);
        let call = over(told).fold();
        assert_eq!(
            call.notes.iter().filter(|note| note.contains("hold") && note.starts_with("no change")).count(),
            2
        );
    }

    #[test]
    fn a_hold_is_told_with_its_length_in_both_languages() {
        let call = over(holds(holds(talks(), 10.0, "on"), 45.0, "off")).fold().call;
        let says =
            |locale| tell(&call, locale).into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
        assert!(says("en").contains("101 put the call on hold for 35 s"), "{}", says("en"));
        assert!(says("ru").contains("101 ставит звонок на удержание (35 с)"), "{}", says("ru"));
        assert_eq!(call.talk_ms, over(talks()).fold().call.talk_ms, "who waits on hold is still in the call");
    }
}
