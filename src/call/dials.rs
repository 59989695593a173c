//! Phones that told nothing themselves: what a `Dial()` left on the channel that ran it.
//!
//! Where only the caller's channel can be hooked, its own events say whom it dials (`ring` with `dials`) and, at the
//! next of them or at its end, what came of that. From this follow legs like those that phones tell of themselves. A
//! phone that did tell is never made up a second time.
//!
//! Asterisk (`app_dial`, `end_bridge_callback`) sets `DIALEDTIME` and `ANSWEREDTIME` when the bridge ends, and counts
//! them on the caller's channel: from its creation, and from its answer, which may lie before the Dial.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::fold::{Part, Parts, endpoint, fill, is_number, is_plumbing};
use super::legs::{Outcome, Role, gave_up_on};
use crate::event::Event;

/// How far the time of a phone that only ast-ami told of may be off.
const HEARD_WITHIN: SignedDuration = SignedDuration::from_secs(2);

/// One `Dial()` of a channel.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    /// When it began; where nobody said so, when its channel last entered the dialplan.
    pub at: Timestamp,
    /// Who was dialled, where the dialplan said so.
    pub numbers: Vec<String>,
    pub group: Option<String>,
    /// What it left behind, and when that was told. `None` while it runs.
    left: Option<(Timestamp, Left)>,
    /// When something else began to be done with its channel: if nobody had answered, it was over by then.
    over: Option<Timestamp>,
}

/// What a `Dial()` left in its channel's variables.
#[derive(Debug, Clone, Default)]
struct Left {
    status: Option<String>,
    /// Whether the channel that dialled was itself one of several and lost.
    elsewhere: bool,
    peer: Option<String>,
    peer_number: Option<String>,
    dialed: Option<SignedDuration>,
    answered: Option<SignedDuration>,
}

impl Left {
    fn of(event: &Event) -> Left {
        let text = |name: &str| event.fact(name).map(ToOwned::to_owned);
        let span = |name: &str| Some(SignedDuration::from_millis(event.fact(name)?.parse().ok()?));
        Left {
            status: text("dialstatus"),
            elsewhere: event.fact("cause") == Some("26"),
            peer: text("dialedpeername"),
            peer_number: text("dialedpeernumber"),
            dialed: span("dialedtime_ms"),
            answered: span("answeredtime_ms"),
        }
    }
}

impl Part {
    /// The channel is about to dial.
    pub(super) fn dials(&mut self, event: &Event, at: Timestamp) {
        self.dial_left(event, at);
        let numbers = event.fact("dials").unwrap_or_default().split('&');
        self.dials.push(Dial {
            at,
            numbers: numbers.map(str::trim).filter(|n| !n.is_empty()).map(Into::into).collect(),
            group: event.fact("group").map(Into::into),
            left: None,
            over: None,
        });
    }

    /// A step of the dialplan begins: whatever the channel dialled is over.
    pub(super) fn dialled_before(&mut self, at: Timestamp) {
        if let Some(dial) = self.dials.last_mut() {
            dial.over.get_or_insert(at);
        }
    }

    /// An event of the channel says what its last `Dial()` came to.
    pub(super) fn dial_left(&mut self, event: &Event, at: Timestamp) {
        let left = Left::of(event);
        let moved = self.entries.iter().rfind(|e| e.transferred).map(|e| e.at);
        let entered = self.entries.last().map_or(self.started, |e| e.at);
        if let Some(dial) = self.dials.last_mut() {
            // After a transfer the variables are another Dial's where they say how long that took: the one that the
            // transfer broke off did not come to count.
            let moved = moved.is_some_and(|moved| moved > dial.at);
            let of_another = moved && (left.dialed.is_some() || left.peer.is_none());
            if dial.left.is_none() && !of_another {
                dial.left = Some((at, left));
                return;
            }
            if !moved {
                return;
            }
        }
        if left.peer.is_some() {
            let left = Some((at, left));
            self.dials.push(Dial { at: entered, numbers: Vec::new(), group: None, left, over: None });
        }
    }

    /// Whom its last `Dial()` had put it through to, by the channel's name, and when that was over: a Dial goes on while its
    /// channel is parked.
    pub(super) fn dial_over(&self) -> Option<(&str, Timestamp)> {
        let (_, left) = self.dials.last()?.left.as_ref()?;
        Some((left.peer.as_deref()?, self.started.checked_add(left.dialed?).ok()?))
    }

    /// When the channel itself was answered, where an ended `Dial()` counted from there.
    fn up_since(&self) -> Option<Timestamp> {
        let counted = self.dials.iter().filter_map(|dial| {
            let (_, left) = dial.left.as_ref()?;
            self.started.checked_add(left.dialed? - left.answered?).ok()
        });
        counted.min()
    }
}

/// What one `Dial()` came to.
struct Outcomes {
    /// When it was over; `None` while it runs.
    ended: Option<Timestamp>,
    /// The channel that was picked up, and when.
    winner: Option<(String, Timestamp)>,
    winner_number: Option<String>,
    /// What came of the others.
    others: Option<Outcome>,
}

/// Adds to `parts` the phones that were dialled and told nothing, and to those that told less what Dial knew.
pub(super) fn unheard(parts: &mut Parts) {
    let dialled: Vec<(usize, usize)> = parts
        .list
        .iter()
        .enumerate()
        .flat_map(|(p, part)| (0..part.dials.len()).map(move |d| (p, d)))
        .collect();
    for (p, d) in dialled {
        let result = result(parts, p, d);
        hear(parts, p, d, &result);
    }
    untold_answers(parts);
}

/// A phone that was up when it ended had been picked up, also where nobody told, or a list of AMI's some time later: by a
/// `Queue()` without its answer's subroutine. Since when follows from the first that was hung up for it (cause 26); of one
/// that rang alone the whole time counts as talking, or that since the list.
fn untold_answers(parts: &mut Parts) {
    let untold = |p: &Part| {
        p.role == Some(Role::Called)
            && p.rang.is_some()
            && (p.answered.is_none() && p.farewell.up || p.by_ami.answered_before)
            && !p.is_plumbing()
    };
    if !parts.list.iter().any(untold) {
        return;
    }
    let mut lost: HashMap<String, Vec<Timestamp>> = HashMap::new();
    for part in parts.list.iter().filter(|part| part.farewell.cause == Some(26)) {
        let ended = part.ended.into_iter();
        lost.entry(part.caller.clone().unwrap_or_default()).or_default().extend(ended);
    }
    for part in parts.list.iter_mut().filter(|part| untold(part)) {
        let rivals = lost.get(part.caller.as_deref().unwrap_or_default());
        let until = part.answered.or(part.ended).unwrap_or(Timestamp::MAX);
        let ends = rivals.into_iter().flatten().filter(|at| (part.started..=until).contains(at));
        part.answered = Some(ends.min().copied().or(part.answered).unwrap_or(part.started));
    }
}

fn result(parts: &Parts, p: usize, d: usize) -> Outcomes {
    let part = &parts.list[p];
    let dial = &part.dials[d];
    let moved = part.entries.iter().filter(|e| e.transferred && e.at > dial.at).map(|e| e.at).min();
    let Some((told, left)) = &dial.left else {
        // The transfer parted the two; who had answered is known from who transferred.
        let others = moved.map(|_| Outcome::Elsewhere).or(dial.over.map(|_| Outcome::NoAnswer));
        return Outcomes { ended: moved.or(dial.over), winner: None, winner_number: None, others };
    };
    let counted = left.dialed.and_then(|span| part.started.saturating_add(span).ok());
    let over = dial.over.filter(|_| left.peer.is_none());
    let ended = [Some(*told), counted, moved, over].into_iter().flatten().min().unwrap_or(*told).max(dial.at);
    // A channel that had been answered before it dialled says nothing of when the phone was picked up: the whole Dial
    // counts as talking then.
    let answered = part.up_since().unwrap_or(ended).clamp(dial.at, ended);
    let winner = left.peer.clone().map(|peer| (peer, answered));
    let others = match left.status.as_deref() {
        Some("ANSWER") => Outcome::Elsewhere,
        Some("BUSY") => Outcome::Busy,
        Some("CHANUNAVAIL" | "CONGESTION") => Outcome::Unreachable,
        Some("CANCEL") if left.elsewhere => Outcome::Elsewhere,
        // A queue that rings a member by a Local channel gives it up when its time is over, too.
        Some("CANCEL")
            if part.is_plumbing() && !parts.first().is_some_and(|p| gave_up_on(p, dial.at, ended)) =>
        {
            Outcome::NoAnswer
        }
        Some("CANCEL") => Outcome::Cancelled,
        _ if winner.is_some() => Outcome::Elsewhere,
        _ => Outcome::NoAnswer,
    };
    Outcomes { ended: Some(ended), winner, winner_number: left.peer_number.clone(), others: Some(others) }
}

/// Gives the phones of one `Dial()` what it knew of them.
fn hear(parts: &mut Parts, p: usize, d: usize, result: &Outcomes) {
    let (dialler, dial) = (parts.list[p].uniqueid.clone(), parts.list[p].dials[d].clone());
    // Behind a Local channel, a queue's for each member, it is the call's first channel that calls.
    let calls = if parts.list[p].is_plumbing() { parts.first() } else { None }.unwrap_or(&parts.list[p]);
    let caller = Some(calls.uniqueid.clone());
    let winner = unknown_winner(parts, &dial, result);
    let won = winner.map(|(channel, at)| (number_of(channel, result, &dial), channel, at));
    // The phone that told its answer itself knows better than the Dial since when.
    let picked_up = result.winner.as_ref().map(|(channel, at)| {
        parts.list.iter().find(|p| p.channel == *channel).and_then(|p| p.answered).unwrap_or(*at)
    });
    let gone: HashSet<String> =
        parts.list.iter().filter(|p| parts.gone(p).is_some()).map(|p| p.uniqueid.clone()).collect();
    // Who was sent on lives on.
    let sent_on = parts.list[p].farewell.sent.is_some() || parts.list[p].farewell.connected.is_some();
    let extra = won.iter().map(|(number, ..)| number).filter(|n| !dial.numbers.contains(n));
    for number in dial.numbers.iter().chain(extra) {
        let known = |p: &&mut Part| rang_in(p, &dial, result) && p.party.number.as_ref() == Some(number);
        if let Some(known) = parts.list.iter_mut().find(known) {
            // A phone that told nothing but its answer rang from the Dial on, and in its group.
            if known.rang.is_none() && known.answered.is_some() && !known.made_up && !known.heard {
                known.started = dial.at;
                fill(&mut known.group, dial.group.as_deref());
            }
            if known.by_ami.rings {
                fill(&mut known.group, dial.group.as_deref());
            }
            if known.by_ami.rang_before {
                (known.started, known.rang) = (dial.at, Some(dial.at));
            }
            // It stopped ringing when another one was picked up.
            let picked_up = picked_up.filter(|at| known.answered.is_none() && *at >= known.started);
            let over = picked_up.or(result.ended);
            if let (true, Some(over)) = (known.by_ami.rings_on, over) {
                known.ended = known.ended.map(|ended| ended.min(over));
                known.outcome = known.outcome.or(result.others);
            }
            if known.by_ami.rings && !sent_on && gone.contains(&known.uniqueid) {
                known.ended = known.ended.or(over);
            }
            continue;
        }
        let mut part = Part::made_up(format!("{dialler}>{}", parts.list.len()), dial.at);
        part.party.number = Some(number.clone());
        part.group.clone_from(&dial.group);
        part.caller.clone_from(&caller);
        part.ended = result.ended;
        if let Some((_, channel, at)) = won.iter().find(|(won, ..)| won == number) {
            part.channel = (*channel).to_owned();
            part.answered = Some(*at);
        } else {
            part.outcome = result.others;
            // The others stopped ringing when one was picked up.
            part.ended = picked_up.or(part.ended);
        }
        parts.add(part);
    }
}

fn rang_in(part: &Part, dial: &Dial, result: &Outcomes) -> bool {
    let until = result.ended.unwrap_or(Timestamp::MAX);
    let began = if part.heard { dial.at.saturating_sub(HEARD_WITHIN).unwrap_or(dial.at) } else { dial.at };
    part.role == Some(Role::Called) && (began..=until).contains(&part.started)
}

/// Who was picked up, where that phone told nothing itself. One that did learns what only Dial knew.
fn unknown_winner<'r>(parts: &mut Parts, dial: &Dial, result: &'r Outcomes) -> Option<(&'r str, Timestamp)> {
    let (channel, at) = result.winner.as_ref()?;
    if let Some(known) = parts.list.iter_mut().find(|part| part.channel == *channel) {
        if known.by_ami.answered_before {
            (known.answered, known.by_ami.answered_before) = (Some(*at), false);
        }
        known.answered.get_or_insert(*at);
        // Who picks up what rings at another's phone was not rung himself.
        let dialled = known.party.number.as_ref().is_some_and(|number| dial.numbers.contains(number));
        let since_unknown = known.rang.is_none() || known.by_ami.rang_before;
        if since_unknown && known.started > dial.at && dialled {
            known.started = dial.at;
        }
        if dialled || dial.numbers.is_empty() {
            fill(&mut known.group, dial.group.as_deref());
        }
        return None;
    }
    // A Local channel is not what was picked up: the phone behind it tells, or is told of, by itself. And where
    // nobody said who was dialled, it may be any of those that told.
    let somebody_told = parts.list.iter().any(|part| rang_in(part, dial, result) && !part.made_up);
    let in_doubt = dial.numbers.is_empty() || is_plumbing(channel);
    (!in_doubt || !somebody_told).then_some((channel, *at))
}

/// The number of the phone that was picked up: in its channel's name, or the only one that was dialled.
fn number_of(channel: &str, result: &Outcomes, dial: &Dial) -> String {
    let own = endpoint(channel);
    if let Some(own) = own.filter(|own| dial.numbers.iter().any(|n| n == own)) {
        return own.to_owned();
    }
    if let [only] = dial.numbers.as_slice() {
        return only.clone();
    }
    // `DIALEDPEERNUMBER` is what stood behind the slash in Dial: `101`, or `73512020318@trunk`.
    let dialled = result.winner_number.as_deref().map(|n| n.split(['@', '/']).next().unwrap_or(n));
    own.filter(|n| is_number(n)).or(dialled).or(own).unwrap_or(channel).to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::Told;
    use super::super::{Call, Disposition, Side};
    use super::*;
    use crate::event::Kind;

    const TRUNK: &str = "PJSIP/trunk";

    /// A caller's channel that is the only one to tell.
    fn dials(at: f64, facts: &str) -> Told {
        Told::default().comes_in().tell(at, 0, TRUNK, Kind::Ring, facts)
    }

    fn legs(call: &Call) -> Vec<(Option<&str>, Outcome, Option<i64>, i64)> {
        let called = call.legs.iter().filter(|l| l.role == Role::Called);
        called.map(|l| (l.party.number.as_deref(), l.outcome, l.ring_ms, l.talk_ms)).collect()
    }

    #[test]
    fn who_answered_and_when_follows_from_what_dial_left_on_the_caller() {
        let call = dials(1.0, "dials=101&102,group=sales")
            .ends(
                31.0,
                0,
                "trunk",
                "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/102-00000002,dialedpeername=PJSIP/102-00000002,\
                 dialedpeernumber=102,dialedtime_ms=31000,answeredtime_ms=24000,ringtime_ms=100",
            )
            .fold()
            .call;
        assert_eq!(call.answered_by.as_ref().unwrap().number.as_deref(), Some("102"));
        assert_eq!((call.wait_ms, call.talk_ms), (Some(7000), 24_000));
        assert_eq!(call.hung_up_by, Some(Side::Called));
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Elsewhere, Some(6000), 0),
                (Some("102"), Outcome::Answered, Some(6000), 24_000)
            ]
        );
        assert_eq!(call.legs[1].group.as_deref(), Some("sales"));
    }

    #[test]
    fn a_phone_that_was_up_at_its_end_had_answered_when_the_other_was_hung_up_for_it() {
        let told = Told::default()
            .comes_in()
            .rings(1.0, 1, "101")
            .rings(1.0, 2, "102")
            .ends(4.0, 1, "101", "cause=26,state=Ringing")
            .ends(20.0, 2, "102", "cause=16,state=Up")
            .ends(20.1, 0, "trunk", "cause=16,state=Up");
        let call = told.fold().call;
        assert_eq!(call.disposition, Disposition::Answered);
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Elsewhere, Some(3000), 0),
                (Some("102"), Outcome::Answered, Some(3000), 16_000)
            ]
        );
    }

    #[test]
    fn an_unanswered_dial_leaves_legs_that_nobody_picked_up() {
        let end = "cause=16,dialstatus=NOANSWER,hangupsource=dialplan/builtin";
        let call = dials(1.0, "dials=101").ends(21.0, 0, "trunk", end).fold().call;
        assert_eq!(call.disposition, Disposition::NoAnswer);
        assert_eq!(legs(&call), [(Some("101"), Outcome::NoAnswer, Some(20_000), 0)]);
    }

    #[test]
    fn a_queues_channel_that_lost_dialled_a_phone_that_rang_elsewhere() {
        const MEMBER: &str = "Local/101@from-queue-00000000;2";
        let told = Told::default().comes_in().tell(1.0, 5, MEMBER, Kind::Ring, "dials=101,group=400");
        let left = "cause=26,dialstatus=CANCEL";
        let call = told.tell(3.0, 5, MEMBER, Kind::Hangup, left).fold().call;
        assert_eq!(legs(&call), [(Some("101"), Outcome::Elsewhere, Some(2000), 0)]);
    }

    #[test]
    fn a_queues_channel_that_the_queue_gave_up_dialled_a_phone_that_did_not_answer() {
        const MEMBER: &str = "Local/101@from-queue-00000000;2";
        let rung = |told: Told| told.tell(1.0, 5, MEMBER, Kind::Ring, "dials=101,group=400");
        let given_up =
            rung(Told::default().comes_in()).tell(4.0, 5, MEMBER, Kind::Hangup, "dialstatus=CANCEL");
        let source = "hangupsource=PJSIP/trunk-00000000";
        let later = given_up.clone().ends(9.0, 0, "trunk", source).fold().call;
        assert_eq!(legs(&later), [(Some("101"), Outcome::NoAnswer, Some(3000), 0)]);
        let at_once = given_up.ends(4.01, 0, "trunk", source).fold().call;
        assert_eq!(legs(&at_once), [(Some("101"), Outcome::Cancelled, Some(3000), 0)]);
    }

    #[test]
    fn a_phone_that_nobody_picked_up_rang_until_something_else_was_done_with_the_caller() {
        let told = dials(1.0, "dials=101").tell(21.0, 0, TRUNK, Kind::Note, "step=voicemail,name=101");
        let so_far = told.clone().fold().call;
        assert_eq!(legs(&so_far), [(Some("101"), Outcome::NoAnswer, Some(20_000), 0)]);
        let call = told.ends(40.0, 0, "trunk", "cause=16,dialstatus=NOANSWER,vmstatus=SUCCESS").fold().call;
        assert_eq!(legs(&call), [(Some("101"), Outcome::NoAnswer, Some(20_000), 0)]);
    }

    #[test]
    fn who_picks_up_a_phone_of_a_group_is_not_of_the_group() {
        let told =
            dials(1.0, "dials=101&102,group=sales").answers(6.0, 1, "105").ends(30.0, 1, "105", "cause=16");
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/105-00000001,dialedtime_ms=30000,answeredtime_ms=24000";
        let call = told.ends(30.01, 0, "trunk", left).fold().call;
        let groups = |call: &Call| call.legs.iter().skip(1).map(|l| l.group.clone()).collect::<Vec<_>>();
        assert_eq!(call.answered_by.as_ref().unwrap().number.as_deref(), Some("105"));
        assert_eq!(groups(&call), [Some("sales".to_owned()), Some("sales".to_owned()), None]);
    }

    #[test]
    fn what_tells_for_itself_is_not_made_up_for_the_channel_that_dials_it() {
        let call = dials(1.0, "dials=&,group=105").answers(6.0, 1, "105").fold().call;
        assert_eq!(legs(&call), [(Some("105"), Outcome::Answered, Some(0), 0)]);
    }

    #[test]
    fn each_dial_of_a_hunt_ends_where_the_next_one_begins() {
        let call = dials(1.0, "dials=101")
            .tell(11.0, 0, TRUNK, Kind::Ring, "dials=102,dialstatus=BUSY")
            .ends(
                40.0,
                0,
                "trunk",
                "cause=16,dialstatus=ANSWER,hangupsource=PJSIP/trunk-00000000,\
                 dialedpeername=PJSIP/102-00000007,dialedtime_ms=40000,answeredtime_ms=20000",
            )
            .fold()
            .call;
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Busy, Some(10_000), 0),
                (Some("102"), Outcome::Answered, Some(9000), 20_000)
            ]
        );
        assert_eq!(call.hung_up_by, Some(Side::Caller));
    }

    #[test]
    fn who_talked_before_a_transfer_is_known_from_the_next_dial_and_since_when_from_the_last() {
        let call = dials(1.0, "dials=101")
            .tell(20.0, 0, TRUNK, Kind::Transfer, "how=blind,by=PJSIP/101-00000001,exten=102")
            .tell(20.5, 0, TRUNK, Kind::Ring, "dials=102,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001")
            .ends(
                50.0,
                0,
                "trunk",
                "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/102-00000002,dialedtime_ms=50000,answeredtime_ms=43000",
            )
            .fold()
            .call;
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Answered, Some(6000), 13_000),
                (Some("102"), Outcome::Answered, Some(0), 29_500)
            ]
        );
    }

    #[test]
    fn a_transfer_to_where_nobody_tells_leaves_who_talked_before() {
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001";
        let call = dials(1.0, "dials=101&102")
            .tell(20.0, 0, TRUNK, Kind::Transfer, "how=blind,by=PJSIP/101-00000001,exten=voicemail")
            .ends(30.0, 0, "trunk", left)
            .fold()
            .call;
        assert_eq!(call.answered_by.unwrap().number.as_deref(), Some("101"));
    }

    #[test]
    fn what_comes_after_the_conversation_is_not_talking() {
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedtime_ms=31000,answeredtime_ms=24000";
        let call = dials(1.0, "dials=101").ends(60.0, 0, "trunk", left).fold().call;
        assert_eq!((call.wait_ms, call.talk_ms), (Some(7000), 24_000));
    }

    #[test]
    fn a_caller_that_says_nothing_of_its_dials_still_knows_who_answered() {
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedtime_ms=31000,answeredtime_ms=24000";
        let call = Told::default().comes_in().ends(31.0, 0, "trunk", left).fold().call;
        assert_eq!(call.answered_by.unwrap().number.as_deref(), Some("101"));
        assert_eq!((call.wait_ms, call.talk_ms), (Some(7000), 24_000));
    }

    #[test]
    fn phones_that_tell_themselves_are_not_made_up_again() {
        let told = Told::default()
            .comes_in()
            .rings(0.01, 1, "101")
            .answers(6.0, 1, "101")
            .ends(30.0, 1, "101", "cause=16");
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedtime_ms=30000,answeredtime_ms=24000";
        let call = told.ends(30.0, 0, "trunk", left).fold().call;
        assert_eq!(call.legs.len(), 2);
        assert_eq!(call.talk_ms, 24_000);
    }

    #[test]
    fn a_phone_that_told_its_answer_alone_rang_from_the_dial_on() {
        let told = dials(1.0, "dials=101&102").answers(6.0, 1, "101").ends(30.0, 1, "101", "cause=16");
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedtime_ms=30000,answeredtime_ms=24000";
        let call = told.ends(30.01, 0, "trunk", left).fold().call;
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Answered, Some(5000), 24_000),
                (Some("102"), Outcome::Elsewhere, Some(5000), 0)
            ]
        );
    }

    #[test]
    fn the_others_rang_until_the_phone_that_was_picked_up_says_it_was() {
        // The caller heard a greeting: his channel has been up since 1.0, and alone knows nothing of 6.0.
        let told = dials(2.0, "dials=101&102").answers(6.0, 1, "101").ends(30.0, 1, "101", "cause=16");
        let left = "cause=16,dialstatus=ANSWER,dialedpeername=PJSIP/101-00000001,dialedtime_ms=30000,answeredtime_ms=29000";
        let call = told.ends(30.01, 0, "trunk", left).fold().call;
        assert_eq!(
            legs(&call),
            [
                (Some("101"), Outcome::Answered, Some(4000), 24_000),
                (Some("102"), Outcome::Elsewhere, Some(4000), 0)
            ]
        );
    }

    #[test]
    fn a_phone_that_answered_belongs_to_its_group_while_it_talks() {
        let call = dials(1.0, "dials=101&102,group=sales").answers(6.0, 1, "101").fold().call;
        let groups: Vec<_> = call.legs.iter().skip(1).map(|leg| leg.group.as_deref()).collect();
        assert_eq!(groups, [Some("sales"), Some("sales")]);
        assert_eq!(legs(&call)[0], (Some("101"), Outcome::Answered, Some(5000), 0));
    }

    #[test]
    fn a_running_dial_rings() {
        let call = dials(1.0, "dials=101").fold().call;
        assert_eq!(call.state, super::super::State::Ringing);
        assert_eq!(legs(&call), [(Some("101"), Outcome::Open, None, 0)]);
    }
}
