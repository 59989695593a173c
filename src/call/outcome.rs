//! What the parts of a call come to: where it stands, its disposition, who ended it and why.

use super::fold::{Part, Parts, endpoint, is_number};
use super::identity::earlier;
use super::legs::{Conversation, Leg, Outcome, Role, gave_up, legs, millis};
use super::steps::{Step, Voicemail, What, steps};
use super::talks::{Talks, talks};
use super::{Call, CallId, Direction, Disposition, Numbering, Side, State, cause};

/// The whole call; `None` where there is no part.
pub(super) fn finish(mut parts: Parts, numbering: &Numbering) -> Option<Call> {
    let pinned = std::mem::take(&mut parts.pinned);
    let Talks { conversations, consultations, transfers } = talks(&parts);
    let legs = legs(&parts, &conversations, numbering);
    let first = parts.first()?;
    let linkedid = parts.eldest()?.to_owned();
    let answer = conversations.first();
    let started_at = parts.list.iter().map(|p| p.started).min()?;
    let (over, ended_at) = (parts.all_ended(), parts.ended_at().flatten());
    let winner = answer.and_then(|c| legs.iter().find(|l| l.uniqueid == c.called_leg));
    let answered_at = winner.and_then(|l| l.answered_at);
    let direction = pinned.direction.unwrap_or_else(|| {
        direction(&parts, first, pinned.source.number.as_deref(), pinned.destination.as_deref(), numbering)
    });
    let trunk = pinned.trunk.or_else(|| trunk(&parts, first, direction, numbering));
    let steps = steps(&parts, &legs, &conversations);
    let (hung_up_by, ended_by) =
        match ended_at.and_then(|_| ended_by(&parts, first, &legs, &steps, conversations.last())) {
            Some((side, by)) => (Some(side), by.map(|part| part.party.clone())),
            None => (None, None),
        };
    let waited_until = answered_at.or(first.ended).or(ended_at);
    Some(Call {
        id: CallId::of(&parts.pbx, &linkedid),
        ids: ids(&parts),
        pbx: parts.pbx.clone(),
        key: pinned.key,
        state: state(&legs, &conversations, over),
        direction,
        org: pinned.org,
        trunk,
        source: pinned.source,
        destination: pinned.destination,
        context: pinned.context,
        started_at,
        answered_at,
        ended_at,
        end_time_known: !over || ended_at.is_some(),
        disposition: disposition(first, &legs, answer.is_some() || conference(&steps)),
        answered_by: answer.map(|c| c.called.clone()),
        hung_up_by,
        ended_by,
        cause: ended_at.and_then(|_| why(&parts, conversations.last())),
        wait_ms: waited_until.map(|until| millis(started_at, until)),
        talk_ms: conversations.iter().map(|c| c.talk_ms).sum(),
        abandoned: answer.is_none() && !served(&steps) && gave_up(first),
        queue: steps.iter().find_map(|step| match &step.what {
            What::Queue { name, .. } => Some(name.clone().unwrap_or_default()),
            _ => None,
        }),
        queue_wait_ms: queue_wait_ms(&steps),
        voicemail: voicemail(&steps),
        transfers,
        consultations,
        steps,
        remarks: parts.remarks.clone(),
        linkedid,
        conversations,
        legs,
    })
}

fn queue_wait_ms(steps: &[Step]) -> Option<i64> {
    let waits = steps.iter().filter_map(|step| match step.what {
        What::Queue { wait_ms, .. } => Some(wait_ms.unwrap_or(0)),
        _ => None,
    });
    waits.reduce(|all, one| all.saturating_add(one))
}

fn conference(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.what, What::Conference { .. }))
}

/// Whether the caller got what there was without a person who picks up.
fn served(steps: &[Step]) -> bool {
    voicemail(steps) == Some(Voicemail::Left) || conference(steps)
}

fn voicemail(steps: &[Step]) -> Option<Voicemail> {
    let boxes = steps.iter().filter_map(|step| match step.what {
        What::Voicemail { message: Some(true), .. } => Some(Voicemail::Left),
        What::Voicemail { .. } => Some(Voicemail::Reached),
        _ => None,
    });
    boxes.max()
}

/// The id of each linkedid that the call was ever known by, the earliest first.
fn ids(parts: &Parts) -> Vec<CallId> {
    let mut linkedids: Vec<&str> = parts.linkedids.iter().map(String::as_str).collect();
    linkedids.sort_by(|a, b| earlier(a, b));
    linkedids.into_iter().map(|linkedid| CallId::of(&parts.pbx, linkedid)).collect()
}

/// Which way a call goes where the dialplan does not say: by the line it came in on, else by whose numbers they are.
fn direction(
    parts: &Parts,
    first: &Part,
    source: Option<&str>,
    destination: Option<&str>,
    numbering: &Numbering,
) -> Direction {
    if numbering.trunk_of(&first.channel).is_some() {
        return Direction::Inbound;
    }
    let own = |number: Option<&str>| number.is_some_and(|n| numbering.is_internal(n));
    let foreign =
        |number: Option<&str>| numbering.knows_numbers() && number.is_some_and(is_number) && !own(number);
    // A phone may show the company's outside number: its channel says whose it is.
    let from_own = own(source) || own(endpoint(&first.channel));
    let goes_out = || outside_line(parts, numbering).is_some();
    match (from_own, foreign(source)) {
        (true, _) if own(destination) => Direction::Internal,
        (true, _) if foreign(destination) || goes_out() => Direction::Outbound,
        (true, _) => Direction::Internal,
        (false, true) => Direction::Inbound,
        (false, false) if goes_out() => Direction::Outbound,
        (false, false) => Direction::Unknown,
    }
}

/// The line to the outside, where the dialplan does not name it.
fn trunk(parts: &Parts, first: &Part, direction: Direction, numbering: &Numbering) -> Option<String> {
    let channel = match direction {
        Direction::Inbound => first,
        Direction::Outbound => outside_line(parts, numbering)?,
        Direction::Internal | Direction::Unknown => return None,
    };
    numbering.trunk_of(&channel.channel).map(Into::into)
}

/// The called leg on a trunk: the one that answered, else the first that was tried.
fn outside_line<'p>(parts: &'p Parts, numbering: &Numbering) -> Option<&'p Part> {
    let lines = || {
        let called = parts.list.iter().filter(|p| p.role == Some(Role::Called));
        called.filter(|p| numbering.trunk_of(&p.channel).is_some())
    };
    lines().find(|p| p.answered.is_some()).or_else(|| lines().next())
}

fn state(legs: &[Leg], conversations: &[Conversation], ended: bool) -> State {
    if ended {
        State::Ended
    } else if conversations.iter().any(|c| c.ended_at.is_none()) {
        State::Talking
    } else if legs.iter().any(|l| l.role == Role::Called && l.outcome == Outcome::Open) {
        State::Ringing
    } else {
        State::Started
    }
}

/// The caller's `DIALSTATUS` decides where nobody answered (Asterisk: `app_dial`), else what the legs say.
fn disposition(first: &Part, legs: &[Leg], answered: bool) -> Disposition {
    if answered {
        return Disposition::Answered;
    }
    let mut called = legs.iter().filter(|l| l.role == Role::Called).peekable();
    let rang = called.peek().is_some();
    match first.farewell.dialstatus.as_deref() {
        Some("BUSY") => Disposition::Busy,
        Some("CONGESTION") => Disposition::Congestion,
        // Asterisk's CDR does not blame the line for a person who declined.
        Some("CHANUNAVAIL") if legs.iter().all(|l| l.outcome != Outcome::Rejected) => Disposition::Failed,
        None if rang && called.all(|l| l.outcome == Outcome::Busy) => Disposition::Busy,
        _ => Disposition::NoAnswer,
    }
}

/// Who ended the last conversation, or the wait for one.
fn ended_by<'p>(
    parts: &'p Parts,
    first: &'p Part,
    legs: &[Leg],
    steps: &[Step],
    last: Option<&Conversation>,
) -> Option<(Side, Option<&'p Part>)> {
    // Where a phone rang after the last conversation, the call did not end with it.
    let last =
        last.filter(|c| legs.iter().all(|l| l.role != Role::Called || Some(l.started_at) <= c.ended_at));
    let Some(last) = last else {
        let unknown = first.end_heard && !gave_up(first);
        return (!unknown).then(|| (who_gave_up(first, legs), None));
    };
    let caller = parts.by_uniqueid(&last.caller_leg)?;
    let called = parts.by_uniqueid(&last.called_leg)?;
    let person = |part: &'p Part| {
        let side = if part.uniqueid == first.uniqueid { Side::Caller } else { Side::Called };
        Some((side, Some(part)))
    };
    let sources = [caller, called].into_iter().filter_map(|p| p.farewell.source.as_deref());
    for source in sources {
        if source == caller.channel {
            return person(caller);
        } else if source == called.channel {
            return person(called);
        } else if source.starts_with("dialplan/") && !caller.is_plumbing() {
            return Some((Side::Pbx, None));
        }
    }
    // Of two ends of which one was merely heard of, none is known to be the first.
    if caller.end_heard || called.end_heard {
        return None;
    }
    // The connection broke.
    if lost(caller).or(lost(called)).is_some() {
        return None;
    }
    // The caller's own channel told nothing, and the phone says that it did not hang up.
    if caller.is_plumbing() {
        return Some((Side::Caller, None));
    }
    // Asterisk names whoever hangs up, until a channel is moved: where none was, a limit of the dialplan ended both.
    if !was_moved(parts, steps) {
        return Some((Side::Pbx, None));
    }
    // After that it names nobody, and who ended first has hung up.
    person(if called.ended < caller.ended { called } else { caller })
}

/// Whether a channel of the call was transferred, picked up or parked.
fn was_moved(parts: &Parts, steps: &[Step]) -> bool {
    let connected = || parts.list.iter().any(|part| part.farewell.connected.is_some());
    let taken = |step: &Step| matches!(step.what, What::PickedUp { .. } | What::Parked { .. });
    !parts.moves.is_empty() || !parts.by_code.is_empty() || connected() || steps.iter().any(taken)
}

fn who_gave_up(first: &Part, legs: &[Leg]) -> Side {
    let mut called = legs.iter().filter(|l| l.role == Role::Called).peekable();
    if gave_up(first) {
        Side::Caller
    } else if called.peek().is_some() && called.all(|l| l.outcome == Outcome::Rejected) {
        Side::Called
    } else {
        Side::Pbx
    }
}

/// Why the call ended: what broke the last conversation, else what its last channel says.
fn why(parts: &Parts, last: Option<&Conversation>) -> Option<u16> {
    let leg = |uniqueid: &str| parts.by_uniqueid(uniqueid).and_then(lost);
    let broken = last.and_then(|last| leg(&last.caller_leg).or_else(|| leg(&last.called_leg)));
    broken.or_else(|| last_to_end(parts)?.farewell.cause)
}

/// The cause of a channel's end where that was a lost connection: nobody is named who hung up.
fn lost(part: &Part) -> Option<u16> {
    part.farewell.cause.filter(|cause| part.farewell.source.is_none() && cause::is_loss(*cause))
}

fn last_to_end(parts: &Parts) -> Option<&Part> {
    parts.list.iter().filter(|p| !p.is_plumbing()).max_by_key(|p| p.ended)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::Told;
    use super::*;
    use crate::event::Kind;

    fn numbering() -> Numbering {
        let trunk = ("PJSIP/line-*".to_owned(), "the line".to_owned());
        Numbering::new([r"^\d{2,4}$".to_owned()], [trunk]).unwrap()
    }

    /// The direction and the trunk of a call of which the dialplan said neither.
    fn worked_out(chan: &str, num: &str, exten: &str, dialled: Option<&str>) -> (Direction, Option<String>) {
        let mut told = Told::default().tell(0.0, 0, chan, Kind::Start, &format!("num={num},exten={exten}"));
        if let Some(dialled) = dialled {
            told = told.tell(0.1, 1, dialled, Kind::Ring, "num=");
        }
        let call = told.fold_with(&numbering()).call;
        (call.direction, call.trunk)
    }

    #[test]
    fn a_call_that_begins_on_a_trunk_came_in_on_it() {
        let line = || Some("the line".to_owned());
        assert_eq!(worked_out("PJSIP/line", "105", "101", None), (Direction::Inbound, line()));
        assert_eq!(
            worked_out("PJSIP/101", "101", "89193393655", Some("PJSIP/line")),
            (Direction::Outbound, line())
        );
    }

    #[test]
    fn numbers_decide_where_no_line_is_known() {
        let direction = |chan, num, exten| worked_out(chan, num, exten, None).0;
        assert_eq!(direction("PJSIP/101", "101", "102"), Direction::Internal);
        assert_eq!(direction("PJSIP/101", "101", "*97"), Direction::Internal);
        assert_eq!(direction("PJSIP/101", "101", "89193393655"), Direction::Outbound);
        assert_eq!(direction("PJSIP/other", "79193393655", "73512020318"), Direction::Inbound);
        assert_eq!(direction("PJSIP/other", "anonymous", "101"), Direction::Unknown);
        // A phone that shows the company's outside number.
        assert_eq!(direction("PJSIP/101", "73512020318", "89193393655"), Direction::Outbound);
    }

    #[test]
    fn a_call_from_outside_that_is_sent_on_to_outside_came_in() {
        let (direction, _) = worked_out("PJSIP/other", "79193393655", "73512020318", Some("PJSIP/line"));
        assert_eq!(direction, Direction::Inbound);
    }

    /// Whichever of the two ends first by some microseconds.
    #[test]
    fn who_falls_off_the_network_has_not_hung_up_and_nor_has_the_other() {
        for (caller, phone) in [(9.0, 9.001), (9.001, 9.0)] {
            let told = Told::default()
                .comes_in()
                .rings(0.01, 1, "101")
                .answers(3.0, 1, "101")
                .ends(caller, 0, "trunk", "cause=16,dialstatus=ANSWER")
                .ends(phone, 1, "101", "cause=44");
            let call = told.fold().call;
            assert_eq!((call.hung_up_by, call.cause), (None, Some(44)));
            assert_eq!(told.story().last().unwrap(), "The connection was lost after 6 s");
        }
    }

    #[test]
    fn what_the_dialplan_says_is_not_worked_out() {
        let call = Told::default().comes_in().fold_with(&numbering()).call;
        assert_eq!((call.direction, call.trunk.as_deref()), (Direction::Inbound, Some("73512020318")));
    }

    #[test]
    fn without_patterns_no_number_is_foreign() {
        let told = Told::default().tell(0.0, 0, "PJSIP/101", Kind::Start, "num=101,exten=102");
        assert_eq!(told.fold().call.direction, Direction::Unknown);
    }
}
