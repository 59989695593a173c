//! Phones that sent their caller on by themselves (302).
//!
//! Dial and Queue go on by a Local channel then, which enters the dialplan at the new number and knows by whose channel it
//! was sent on (Asterisk's `FORWARDERNAME`). The phone's own end may be told before Asterisk has set its cause, and then
//! looks like that of a phone that was given up: what the Local channel says counts. A Dial that tries somebody else when its time is
//! over leaves no such name.

use jiff::{SignedDuration, Timestamp};

use super::fold::{Entry, Part, Parts, fill};
use super::legs::{Leg, Outcome, Role};
use super::steps::{Step, What};

/// How soon after a phone sent its caller on the call goes on elsewhere, where the Local channel does not say by whom it was
/// sent on.
const FORWARDED_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// Gives the phones by which Local channels say that they were sent on their outcome, and those channels their group.
pub(super) fn arrange(parts: &mut Parts) {
    for place in 0..parts.list.len() {
        let Some(name) = parts.list[place].forwarder.clone() else { continue };
        let Some(phone) = parts.list.iter_mut().find(|part| part.channel == name) else { continue };
        if phone.role == Some(Role::Called) && phone.answered.is_none() {
            phone.outcome = Some(Outcome::Forwarded);
        }
        // One that was itself sent to stands for the first.
        let (group, caller) = (phone.group.clone(), phone.caller.clone());
        let group = group.or_else(|| caller.and_then(|uid| local_of(parts, &uid)?.group.clone()));
        fill(&mut parts.list[place].group, group.as_deref());
    }
}

/// The group of the phone that sent the call on to this one.
pub(super) fn group_behind<'p>(parts: &'p Parts, leg: &Leg) -> Option<&'p str> {
    local_of(parts, leg.caller.as_deref()?)?.group.as_deref()
}

/// The Local channel by which a call was sent on.
fn local_of<'p>(parts: &'p Parts, uniqueid: &str) -> Option<&'p Part> {
    parts.by_uniqueid(uniqueid).filter(|part| part.forwarder.is_some())
}

/// That a phone sent its caller on, and where to if that was told.
pub(super) fn step(parts: &Parts, leg: &Leg) -> Step {
    let ended = leg.ended_at.unwrap_or(leg.started_at);
    let known = parts.list.iter().find(|part| part.forwarder.as_ref() == Some(&leg.channel));
    let entry = known.and_then(|part| part.entries.first()).or_else(|| entered_then(parts, leg, ended));
    let at = entry.map_or(ended, |entry| entry.at.min(ended));
    let what = What::Forwarded { by: leg.party.clone(), to: entry.and_then(|entry| entry.exten.clone()) };
    Step { at, ended_at: Some(at), leg: leg.uniqueid.clone(), what }
}

/// The Local channel that entered the dialplan when the phone's leg ended.
fn entered_then<'p>(parts: &'p Parts, leg: &Leg, ended: Timestamp) -> Option<&'p Entry> {
    let until = ended.saturating_add(FORWARDED_WITHIN).unwrap_or(ended);
    let entries = parts.list.iter().filter(|part| part.is_plumbing()).flat_map(|part| &part.entries);
    let then = entries.filter(|entry| (leg.started_at..=until).contains(&entry.at));
    then.min_by_key(|entry| (entry.at < ended, entry.at))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{BORN, Told};
    use super::super::{Call, Left, Numbering, fold};
    use super::*;
    use crate::event::{Event, Kind};

    const LOCAL: &str = "Local/105@from-internal-00000003;2";

    /// 101 rings from 0.01 on, its end says `end`, and a Local channel that `knows` by whom it was sent on rings 105.
    fn sent_on(end: &str, entered: f64, knows: &str) -> Told {
        let told = Told::default().comes_in().rings(0.01, 1, "101").ends(0.4, 1, "101", end);
        let told = told.tell(entered, 3, LOCAL, Kind::Start, &format!("exten=105,ctx=from-internal{knows}"));
        told.rings(entered + 0.01, 4, "105")
            .answers(3.0, 4, "105")
            .tell(3.1, 3, LOCAL, Kind::Hangup, "cause=16,dialstatus=ANSWER,state=Up")
            .ends(9.0, 4, "105", "cause=16,hangupsource=PJSIP/trunk-00000000,state=Up")
            .ends(9.01, 0, "trunk", "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000,state=Up")
    }

    const KNOWS: &str = ",forwarder=PJSIP/101-00000001";

    fn outcome(call: &Call) -> Outcome {
        call.legs.iter().find(|leg| leg.party.number.as_deref() == Some("101")).unwrap().outcome
    }

    #[test]
    fn a_phone_whose_end_came_before_its_cause_has_sent_the_call_on_all_the_same() {
        for entered in [0.39, 0.402] {
            for end in [
                "cause=0,state=Ringing",
                "state=Ringing",
                "cause=23,hangupsource=PJSIP/101-00000001",
                "cause=16",
            ] {
                let told = sent_on(end, entered, KNOWS);
                assert_eq!(outcome(&told.fold().call), Outcome::Forwarded, "{end}");
                assert_eq!(
                    told.story()[1..4],
                    ["101 rang", "101 sent the call on to 105", "105 rang"],
                    "{end}"
                );
            }
        }
    }

    #[test]
    fn a_phone_that_was_given_up_for_another_one_has_not_sent_the_call_on() {
        let told = sent_on("cause=0,state=Ringing", 0.402, "");
        assert_eq!(outcome(&told.fold().call), Outcome::NoAnswer);
        let another = sent_on("cause=0,state=Ringing", 0.402, ",forwarder=PJSIP/109-00000009");
        assert_eq!(outcome(&another.fold().call), Outcome::NoAnswer);
    }

    #[test]
    fn whom_an_agents_phone_sends_a_caller_to_answers_for_the_queue() {
        let told =
            Told::default().comes_in().tell(0.0, 0, "PJSIP/trunk", Kind::Note, "step=queue,name=support");
        let told = told.tell(0.01, 1, "PJSIP/101", Kind::Ring, "group=support");
        let told =
            told.tell(0.02, 2, "PJSIP/102", Kind::Ring, "group=support").ends(0.4, 1, "101", "cause=23");
        let told = told.tell(0.39, 3, LOCAL, Kind::Start, &format!("exten=105{KNOWS}"));
        let args = format!("caller={BORN}.3");
        let told =
            told.tell(0.5, 4, "PJSIP/105", Kind::Ring, &args).tell(2.0, 4, "PJSIP/105", Kind::Answer, &args);
        let told = told.ends(2.01, 2, "102", "cause=26").ends(9.0, 4, "105", "cause=16,state=Up");
        let call = told.ends(9.01, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000").fold().call;
        assert!(matches!(call.steps[0].what, What::Queue { left: Left::Answered, .. }), "{:?}", call.steps);
        let groups: Vec<_> = call.legs.iter().map(|leg| leg.group.as_deref()).collect();
        assert_eq!(groups, [None, Some("support"), Some("support"), None]);
    }

    #[test]
    fn a_phone_that_was_picked_up_has_not_sent_the_call_on() {
        let told = Told::default().comes_in().rings(0.01, 1, "101").answers(0.2, 1, "101");
        let told = told.tell(0.3, 3, LOCAL, Kind::Start, &format!("exten=105{KNOWS}"));
        assert_eq!(outcome(&told.fold().call), Outcome::Answered);
    }

    proptest! {
        #[test]
        fn who_sent_a_call_on_is_told_the_same_in_any_order(
            events in Just(sent_on("cause=0,state=Ringing", 0.39, KNOWS).events().to_vec()).prop_shuffle()
        ) {
            let call = |events: &[Event]| fold(events, &Numbering::default()).unwrap().call;
            let told = call(&events);
            prop_assert_eq!(outcome(&told), Outcome::Forwarded);
            prop_assert_eq!(told, call(sent_on("cause=0,state=Ringing", 0.39, KNOWS).events()));
        }
    }
}
