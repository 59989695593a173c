//! Which of several that tell of one thing is believed.
//!
//! A thing is one side of one channel: how it came into the call, its answer, a transfer, a step, its end. The dialplan
//! told it, or Asterisk's manager interface did, or both. The rules, in order:
//!
//! 1. What the dialplan told counts, and AMI's word for the same thing counts for nothing but what the dialplan left
//!    open of a channel's end.
//! 2. What the dialplan did not tell, AMI did: it counts as if the dialplan had told it.
//! 3. What ast-ami says is put under both (`hearsay.rs`), since it has no times.
//!
//! When AMI's connection came up, the channels that lived then are told as of a list, which knows their times to a second at
//! best; what the channel that dialled them knows of its `Dial()` goes before that, and so does the word of who answered.
//!
//! So more witnesses never make a second start, answer, transfer or end, and none of them is needed. A half of a Local
//! channel that AMI alone told of holds up no end: nobody would tell it where AMI is away.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::fold::{Farewell, Part, Parts, fill, is_plumbing};
use super::order::Placed;
use crate::event::{Event, Feed, Kind};

/// How far apart two may tell of one transfer.
const ONE_TRANSFER: SignedDuration = SignedDuration::from_secs(5);

/// Who told an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Witness {
    /// The channel itself, by the dialplan.
    Dialplan,
    /// Asterisk, by its manager interface.
    Ami,
    /// Somebody who heard of it.
    Hearsay,
    /// Asterisk, in what it wrote when the call was over.
    Record,
}

impl Witness {
    pub fn of(event: &Event) -> Witness {
        match event.feed {
            Feed::Agi | Feed::Spool => Witness::Dialplan,
            Feed::Ami => Witness::Ami,
            Feed::Push => Witness::Hearsay,
            Feed::Cdr | Feed::Cel => Witness::Record,
        }
    }
}

/// What AMI alone told of a leg.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ByAmi {
    /// That it rings: AMI knows of no groups.
    pub rings: bool,
    /// That it rang already, from a list: since when is known to a second.
    pub rang_before: bool,
    /// That it was picked up already, from a list: since when is not known.
    pub answered_before: bool,
    /// And nobody told that it rings no more.
    pub rings_on: bool,
}

impl ByAmi {
    pub fn rings(&mut self, event: &Event) {
        if event.feed == Feed::Ami {
            (self.rings, self.rang_before) = (true, !event.timed);
        }
    }

    pub fn answers(&mut self, event: &Event) {
        self.answered_before = event.feed == Feed::Ami && !event.timed;
    }
}

/// What the dialplan told of one channel.
#[derive(Debug, Default)]
struct Known<'e> {
    came: bool,
    called_itself: bool,
    answered: bool,
    ended: bool,
    transfers: Vec<&'e Event>,
    steps: Vec<&'e Event>,
}

/// The events of a call, parted into those that count and those of AMI that the dialplan told itself. Both stay in order.
pub(super) fn weigh(told: Vec<Placed<'_>>) -> (Vec<Placed<'_>>, Vec<Placed<'_>>) {
    if !told.iter().any(|placed| placed.event.feed == Feed::Ami) {
        return (told, Vec::new());
    }
    let mut known: HashMap<&str, Known<'_>> = HashMap::new();
    for placed in told.iter().filter(|placed| Witness::of(placed.event) == Witness::Dialplan) {
        known.entry(&placed.event.uid).or_default().hear(placed.event);
    }
    let counts = |placed: &Placed<'_>| {
        let event = placed.event;
        event.feed != Feed::Ami || !known.get(event.uid.as_str()).is_some_and(|known| known.told(event))
    };
    told.into_iter().partition(counts)
}

/// The channels whose end is waited for since this event: who tells, and who had it called.
pub(super) fn tells_its_end(event: &Event) -> impl Iterator<Item = &str> {
    let (own, caller) = match Witness::of(event) {
        _ if event.kind == Kind::Seen => (false, false),
        Witness::Ami => (!is_plumbing(&event.channel), false),
        // The log of channel events has all ends.
        Witness::Record => (true, false),
        Witness::Dialplan | Witness::Hearsay => (true, true),
    };
    let own = Some(event.uid.as_str()).filter(|_| own);
    [own, event.fact("caller").filter(|_| caller)].into_iter().flatten()
}

impl Parts {
    /// An event of AMI that the dialplan told itself.
    pub(super) fn repeat(&mut self, event: &Event) -> String {
        self.belongs(event);
        let Some(part) = self.by_uniqueid_mut(&event.uid) else {
            return "no change: the dialplan told it of a channel".to_owned();
        };
        let who = part.who();
        match event.kind {
            Kind::Hangup => {
                part.farewell.learn(event);
                format!("no change: channel of {who} had ended before")
            }
            Kind::Answer => format!("no change: leg {who} had answered before"),
            Kind::Ring => format!("no change: leg {who} had been dialled before"),
            Kind::Start => format!("no change: {who} had entered the dialplan before"),
            _ => format!("no change: the dialplan told it of {who}"),
        }
    }
}

impl Parts {
    /// A phone that AMI alone told to ring, and of which nobody told more, rings no longer than who dialled it is there, and
    /// not after another one was picked up in its place: so an AMI that goes away holds up no end.
    pub(super) fn stop_ringing(&mut self, told: &[Placed<'_>]) {
        if !told.iter().any(|placed| placed.event.feed == Feed::Ami) {
            return;
        }
        let by_dialplan = told.iter().filter(|placed| Witness::of(placed.event) == Witness::Dialplan);
        let by_dialplan: HashSet<&str> = by_dialplan.map(|placed| placed.event.uid.as_str()).collect();
        let rings = |part: &Part| {
            part.rang.is_some()
                && part.answered.is_none()
                && part.ended.is_none()
                && !by_dialplan.contains(part.uniqueid.as_str())
        };
        let over = |part: &Part| {
            let caller_left = self.by_uniqueid(part.caller.as_deref()?)?.ended;
            let rivals = self.list.iter().filter(|rival| rival.caller == part.caller);
            let picked_up = rivals.filter_map(|rival| rival.answered).filter(|at| *at >= part.started).min();
            [caller_left, picked_up].into_iter().flatten().min()
        };
        let stopped = self.list.iter().filter(|part| rings(part));
        let stopped: Vec<(String, Timestamp)> =
            stopped.filter_map(|part| Some((part.uniqueid.clone(), over(part)?.max(part.started)))).collect();
        for (uniqueid, at) in stopped {
            self.open.remove(&uniqueid);
            if let Some(part) = self.by_uniqueid_mut(&uniqueid) {
                (part.ended, part.by_ami.rings_on) = (Some(at), true);
            }
        }
    }
}

impl Farewell {
    /// Takes in what is not known yet: `h` and the hangup handler both tell, and AMI may.
    pub(super) fn learn(&mut self, event: &Event) {
        self.cause = self.cause.or(event.fact("cause").and_then(|c| c.parse().ok()).filter(|&c| c > 0));
        fill(&mut self.dialstatus, event.fact("dialstatus"));
        self.up |= event.fact("state") == Some("Up");
        fill(&mut self.source, event.fact("hangupsource"));
        fill(&mut self.connected, event.fact("attendedtransfer"));
        fill(&mut self.dialled, event.fact("dialedpeernumber"));
        fill(&mut self.parked, event.fact("parkingspace"));
        fill(&mut self.waited_at, event.fact("parked"));
        fill(&mut self.sent, event.fact("blindtransfer"));
    }
}

impl<'e> Known<'e> {
    fn hear(&mut self, event: &'e Event) {
        match event.kind {
            Kind::Start => (self.came, self.called_itself) = (true, true),
            // That is about whom it dials, and not about itself.
            Kind::Ring => self.came |= event.fact("dials").is_none(),
            Kind::Answer => self.answered = true,
            Kind::Transfer => self.transfers.push(event),
            Kind::Note if event.fact("step").is_some() => self.steps.push(event),
            Kind::Hangup => self.ended = true,
            Kind::Note | Kind::Record | Kind::Seen => {}
        }
    }

    fn told(&self, event: &Event) -> bool {
        let same = |fact: &str, one: &&&Event| one.fact(fact) == event.fact(fact);
        match event.kind {
            Kind::Start => self.came,
            // A list knows neither since when a phone rings nor who had it called, and of one that took a call off another
            // phone not even that it was never called: who answered by its own word needs no such guess.
            Kind::Ring => self.came || (self.answered && !event.timed),
            // To a list, who was rung to make a call looks like who is called.
            Kind::Answer => self.answered || (self.called_itself && !event.timed),
            Kind::Hangup => self.ended,
            Kind::Transfer => {
                let near = |one: &&&Event| one.at.duration_since(event.at).abs() <= ONE_TRANSFER;
                self.transfers.iter().any(|one| near(&one) && same("by", &one))
            }
            Kind::Note => self.steps.iter().any(|one| same("step", &one)),
            Kind::Record | Kind::Seen => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{BORN, Told, ring_group};
    use super::super::{Numbering, Outcome, fold, legs::Leg};
    use super::*;

    /// As AMI tells it, some milliseconds later.
    fn by_ami(told: &Told) -> Vec<Event> {
        let later = |event: &Event| {
            let at = event.at.checked_add(SignedDuration::from_millis(7)).unwrap();
            let token =
                format!("{}-ami-{}-{}", event.uid, event.kind, event.at.as_microsecond()).parse().unwrap();
            Event { feed: Feed::Ami, token, seq: None, root: None, at, ..event.clone() }
        };
        told.events().iter().map(later).collect()
    }

    fn legs(events: &[Event]) -> Vec<(Option<String>, Option<String>, Outcome)> {
        let told = |leg: &Leg| (leg.party.number.clone(), leg.group.clone(), leg.outcome);
        fold(events, &Numbering::default()).unwrap().call.legs.iter().map(told).collect()
    }

    #[test]
    fn what_both_told_counts_once_and_the_dialplans_times_count() {
        let told = ring_group();
        let both: Vec<Event> = by_ami(&told).into_iter().chain(told.events().to_vec()).collect();
        let folded = fold(&both, &Numbering::default()).unwrap();
        assert_eq!(folded.call, told.fold().call);
        let idle = folded.notes.iter().filter(|note| note.starts_with("no change")).count();
        assert_eq!(idle, told.events().len(), "{:?}", folded.notes);
    }

    #[test]
    fn what_the_dialplan_left_open_of_an_end_ami_fills_in() {
        let told = Told::default().comes_in().rings(0.1, 1, "101").answers(2.0, 1, "101");
        let silent = told.clone().ends(9.0, 0, "trunk", "cause=16").ends(9.0, 1, "101", "cause=16");
        let knows = told.ends(9.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000").ends(
            9.0,
            1,
            "101",
            "cause=16,hangupsource=PJSIP/trunk-00000000",
        );
        let both: Vec<Event> = silent.events().iter().cloned().chain(by_ami(&knows)).collect();
        assert_eq!(fold(&both, &Numbering::default()).unwrap().call, knows.fold().call);
    }

    #[test]
    fn phones_that_ami_alone_told_of_are_of_the_group_that_the_dialplan_dialled() {
        let ends = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/102-00000002,dialedtime_ms=20000,answeredtime_ms=14000";
        let told = Told::default()
            .comes_in()
            .tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101&102,group=sales")
            .ends(20.0, 0, "trunk", ends);
        let both: Vec<Event> = told.events().iter().cloned().chain(by_ami(&ring_group())).collect();
        let leg = |number: &str, outcome| (Some(number.to_owned()), Some("sales".to_owned()), outcome);
        assert_eq!(legs(&both)[1..], [leg("101", Outcome::Elsewhere), leg("102", Outcome::Answered)]);
    }

    #[test]
    fn a_phone_that_only_ami_told_to_ring_holds_up_no_end_when_ami_is_cut() {
        let dialplan = Told::default().comes_in().ends(
            12.0,
            0,
            "trunk",
            "cause=127,dialstatus=CANCEL,hangupsource=PJSIP/trunk-00000000",
        );
        let rings = by_ami(&Told::default().rings(0.1, 1, "101"));
        let both: Vec<Event> = dialplan.events().iter().cloned().chain(rings).collect();
        let folded = fold(&both, &Numbering::default()).unwrap();
        assert!(folded.standing.all_ended && folded.call.end_time_known);
        assert_eq!(folded.call.legs[1].outcome, Outcome::Cancelled);
    }

    /// As the list of living channels has it when AMI's connection comes up at `at`.
    fn listed(told: &Told, at: f64) -> Vec<Event> {
        let late = |event: Event| Event { timed: false, at: Told::at(at), ..event };
        by_ami(told).into_iter().map(late).collect()
    }

    #[test]
    fn a_phone_that_rang_when_ami_came_up_rang_from_its_dial_on_and_answered_when_the_dial_says() {
        let dialplan = Told::default()
            .comes_in()
            .tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101,group=sales")
            .ends(20.0, 0, "trunk", "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedpeernumber=101,dialedtime_ms=20000,answeredtime_ms=14000");
        let rings = listed(&Told::default().rings(0.1, 1, "101"), 0.9);
        let answered = listed(&Told::default().answers(6.0, 1, "101"), 8.0);
        let ends = by_ami(&Told::default().ends(20.0, 1, "101", "cause=16"));
        let all: Vec<Event> =
            dialplan.events().iter().cloned().chain(rings).chain(answered).chain(ends).collect();
        let call = fold(&all, &Numbering::default()).unwrap().call;
        let phone = &call.legs[1];
        assert_eq!((call.wait_ms, call.talk_ms), (Some(6000), 14_000));
        assert_eq!((phone.ring_ms, phone.outcome), (Some(5995), Outcome::Answered));
    }

    #[test]
    fn a_phone_rings_no_longer_than_until_another_one_was_picked_up_when_ami_is_cut_meanwhile() {
        let dialplan = Told::default().comes_in().rings(0.1, 1, "101").answers(4.0, 1, "101");
        let dialplan = dialplan.ends(9.0, 1, "101", "cause=16").ends(9.0, 0, "trunk", "cause=16");
        let rings = by_ami(&Told::default().rings(0.1, 2, "102"));
        let all: Vec<Event> = dialplan.events().iter().cloned().chain(rings).collect();
        let call = fold(&all, &Numbering::default()).unwrap().call;
        let other = call.legs.iter().find(|leg| leg.party.number.as_deref() == Some("102")).unwrap();
        assert_eq!((other.ring_ms, other.outcome), (Some(3893), Outcome::Elsewhere));
    }

    #[test]
    fn a_phone_whose_last_ring_nobody_told_rang_until_its_dial_was_over() {
        let dialplan = Told::default()
            .comes_in()
            .tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101")
            .tell(6.0, 0, "PJSIP/trunk", Kind::Note, "step=voicemail,dialstatus=NOANSWER")
            .ends(9.0, 0, "trunk", "cause=16,dialstatus=NOANSWER");
        let rings = by_ami(&Told::default().rings(0.1, 1, "101"));
        let all: Vec<Event> = dialplan.events().iter().cloned().chain(rings).collect();
        let call = fold(&all, &Numbering::default()).unwrap().call;
        assert_eq!((call.legs[1].ring_ms, call.legs[1].outcome), (Some(5893), Outcome::NoAnswer));
    }

    #[test]
    fn a_phone_that_ami_tells_the_end_of_just_after_its_caller_went_on_was_not_given_up_on() {
        let dialplan = Told::default()
            .comes_in()
            .tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101")
            .tell(2.0, 0, "PJSIP/trunk", Kind::Note, "step=voicemail,name=101")
            .ends(2.8, 0, "trunk", "cause=0,dialstatus=NOANSWER,hangupsource=PJSIP/trunk-00000000");
        let phone = by_ami(&Told::default().rings(0.1, 1, "101").ends(2.001, 1, "101", "cause=0"));
        let all: Vec<Event> = dialplan.events().iter().cloned().chain(phone).collect();
        assert_eq!(fold(&all, &Numbering::default()).unwrap().call.legs[1].outcome, Outcome::NoAnswer);
    }

    #[test]
    fn a_phone_whose_end_nobody_told_was_gone_when_its_dial_was_over() {
        let ends = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedpeernumber=101,dialedtime_ms=9000,\
                    answeredtime_ms=7000,hangupsource=PJSIP/trunk-00000000";
        let dialplan = Told::default().comes_in().tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101");
        let dialplan = dialplan.ends(9.0, 0, "trunk", ends);
        let ami = by_ami(&Told::default().rings(0.1, 1, "101").answers(2.0, 1, "101"));
        let gone = Told::default().sees(12.0, 1, "gone");
        let gone = gone.events().iter().map(|event| Event { feed: Feed::Ami, ..event.clone() });
        let all: Vec<Event> = dialplan.events().iter().cloned().chain(ami).chain(gone).collect();
        let call = fold(&all, &Numbering::default()).unwrap().call;
        assert_eq!((call.end_time_known, call.ended_at), (true, Some(Told::at(9.0))));
        assert_eq!(call.legs[1].talk_ms, 6993);
    }

    #[test]
    fn who_answered_by_the_dialplans_word_was_called_by_whom_that_names_and_not_by_whom_a_list_guesses() {
        let dialplan = Told::default()
            .comes_in()
            .rings(0.1, 1, "101")
            .answers(1.0, 1, "101")
            .tell(
                4.0,
                2,
                "Local/103@from-internal-00000000;2",
                Kind::Transfer,
                "how=attended,by=PJSIP/101-00000001,num=101,exten=103",
            )
            .tell(4.01, 2, "Local/103@from-internal-00000000;2", Kind::Ring, "dials=103")
            .tell(5.0, 3, "PJSIP/103", Kind::Answer, "num=103");
        let of_local = |mut event: Event| {
            if event.uid.ends_with(".3") {
                event.facts.insert("caller".to_owned(), format!("{BORN}.2"));
            }
            event
        };
        let dialplan = dialplan
            .ends(7.0, 1, "101", "cause=16")
            .tell(7.3, 2, "Local/103@from-internal-00000000;2", Kind::Hangup, "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/103-00000003,dialedtime_ms=3290,answeredtime_ms=2300")
            .ends(9.0, 3, "103", "cause=16")
            .ends(9.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000");
        let dialplan: Vec<Event> = dialplan.events().iter().cloned().map(of_local).collect();
        let alone = fold(&dialplan, &Numbering::default()).unwrap().call;
        let guess = listed(&Told::default().rings(4.5, 3, "103"), 4.5);
        let both: Vec<Event> = dialplan.into_iter().chain(guess).collect();
        assert_eq!(fold(&both, &Numbering::default()).unwrap().call, alone);
        assert_eq!(alone.conversations.len(), 3, "the consultation is told");
    }

    #[test]
    fn who_takes_a_call_off_another_phone_was_not_rung_himself_also_where_a_list_has_him_among_the_called() {
        let own = |mut event: Event| {
            if event.uid.ends_with(".2") && event.kind == Kind::Answer {
                event.linkedid = format!("{BORN}.2");
            }
            event
        };
        let dialplan = Told::default()
            .comes_in()
            .rings(0.1, 1, "101")
            .ends(1.5, 1, "101", "cause=16")
            .answers(1.501, 2, "103")
            .ends(4.0, 2, "103", "cause=16")
            .ends(4.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000");
        let dialplan: Vec<Event> = dialplan.events().iter().cloned().map(own).collect();
        let alone = fold(&dialplan, &Numbering::default()).unwrap().call;
        let guess = listed(&Told::default().rings(0.9, 2, "103"), 0.9);
        let both: Vec<Event> = dialplan.into_iter().chain(guess).collect();
        assert_eq!(fold(&both, &Numbering::default()).unwrap().call, alone);
        assert_eq!(alone.steps.len(), 1, "a pickup: {:?}", alone.steps);
    }

    #[test]
    fn a_phone_that_a_list_found_picked_up_was_so_when_those_beside_it_were_hung_up_for_it() {
        let dialplan = Told::default().comes_in().rings(0.1, 1, "101").rings(0.1, 2, "102");
        let dialplan = dialplan
            .ends(1.3, 1, "101", "cause=26")
            .ends(4.0, 2, "102", "cause=16,state=Up")
            .ends(4.0, 0, "trunk", "cause=16,hangupsource=PJSIP/trunk-00000000");
        let alone = dialplan.fold().call;
        let answered = listed(&Told::default().answers(1.7, 2, "102"), 1.7);
        let both: Vec<Event> = dialplan.events().iter().cloned().chain(answered).collect();
        assert_eq!(fold(&both, &Numbering::default()).unwrap().call, alone);
        assert_eq!(alone.talk_ms, 2700);
    }

    #[test]
    fn a_phone_whose_last_ring_nobody_told_rang_until_the_dial_says_that_another_was_picked_up() {
        let ends = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/102-00000002,dialedpeernumber=102,dialedtime_ms=9000,\
                    answeredtime_ms=7000,hangupsource=PJSIP/trunk-00000000";
        let dialplan = Told::default().comes_in().tell(0.005, 0, "PJSIP/trunk", Kind::Ring, "dials=101&102");
        let dialplan = dialplan.ends(9.0, 0, "trunk", ends);
        let rings = by_ami(&Told::default().rings(0.1, 1, "101").rings(0.1, 2, "102"));
        let gone = |at: f64| {
            let gone = Told::default().sees(at, 1, "gone");
            gone.events().iter().map(|event| Event { feed: Feed::Ami, ..event.clone() }).collect::<Vec<_>>()
        };
        let answered = listed(&Told::default().answers(3.0, 2, "102"), 3.0);
        for back in [[gone(3.0), answered], [gone(12.0), Vec::new()]] {
            let all: Vec<Event> = dialplan
                .events()
                .iter()
                .cloned()
                .chain(rings.clone())
                .chain(back.into_iter().flatten())
                .collect();
            let call = fold(&all, &Numbering::default()).unwrap().call;
            let rang = |number: &str| {
                let leg = call.legs.iter().find(|leg| leg.party.number.as_deref() == Some(number)).unwrap();
                (leg.ring_ms, leg.outcome)
            };
            let meant = ((Some(1893), Outcome::Elsewhere), (Some(1893), Outcome::Answered));
            assert_eq!((rang("101"), rang("102")), meant);
        }
    }
}
