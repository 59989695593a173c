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

/// What the dialplan told of one channel.
#[derive(Debug, Default)]
struct Known<'e> {
    came: bool,
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
    /// A phone that AMI alone told to ring, and of which nobody told more, rings no longer than who dialled it is there:
    /// so an AMI that goes away holds up no end.
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
        let over = |part: &Part| self.by_uniqueid(part.caller.as_deref()?)?.ended;
        let stopped = self.list.iter().filter(|part| rings(part));
        let stopped: Vec<(String, Timestamp)> =
            stopped.filter_map(|part| Some((part.uniqueid.clone(), over(part)?.max(part.started)))).collect();
        for (uniqueid, at) in stopped {
            self.open.remove(&uniqueid);
            if let Some(part) = self.by_uniqueid_mut(&uniqueid) {
                part.ended = Some(at);
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
        fill(&mut self.sent, event.fact("blindtransfer"));
    }
}

impl<'e> Known<'e> {
    fn hear(&mut self, event: &'e Event) {
        match event.kind {
            Kind::Start => self.came = true,
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
            Kind::Start | Kind::Ring => self.came,
            Kind::Answer => self.answered,
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
