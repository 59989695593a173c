//! What the parts of a call come to: where it stands, its disposition, who ended it and why.

use jiff::Timestamp;

use super::fold::{Part, Parts};
use super::identity::earlier;
use super::legs::{Conversation, Leg, Outcome, Role, conversations, gave_up, legs, millis};
use super::{Call, CallId, Direction, Disposition, Side, State};

/// The whole call; `None` where there is no part.
pub(super) fn finish(mut parts: Parts) -> Option<Call> {
    let pinned = std::mem::take(&mut parts.pinned);
    let conversations = conversations(&parts);
    let legs = legs(&parts, &conversations);
    let first = parts.first()?;
    let linkedid = parts.eldest()?.to_owned();
    let answer = conversations.first();
    let started_at = parts.list.iter().map(|p| p.started).min()?;
    let ended_at = ended_at(&parts);
    let winner = answer.and_then(|c| legs.iter().find(|l| l.uniqueid == c.called_leg));
    let answered_at = winner.and_then(|l| l.answered_at);
    let waited_until = answered_at.or(first.ended).or(ended_at);
    Some(Call {
        id: CallId::of(&parts.pbx, &linkedid),
        ids: ids(&parts),
        pbx: parts.pbx.clone(),
        key: pinned.key,
        state: state(&legs, &conversations, ended_at.is_some()),
        direction: pinned.direction.unwrap_or(Direction::Unknown),
        org: pinned.org,
        trunk: pinned.trunk,
        source: pinned.source,
        destination: pinned.destination,
        context: pinned.context,
        started_at,
        answered_at,
        ended_at,
        end_time_known: true,
        disposition: disposition(first, &legs, answer.is_some()),
        answered_by: answer.map(|c| c.called.clone()),
        hung_up_by: ended_at.and_then(|_| hung_up_by(&parts, first, &legs, conversations.last())),
        cause: ended_at.and_then(|_| last_to_end(&parts)?.farewell.cause),
        wait_ms: waited_until.map(|until| millis(started_at, until)),
        talk_ms: conversations.iter().map(|c| c.talk_ms).sum(),
        abandoned: answer.is_none() && gave_up(first),
        transfers: parts.transfers.clone(),
        remarks: parts.remarks.clone(),
        linkedid,
        conversations,
        legs,
    })
}

/// The id of each linkedid that the call was ever known by, the earliest first.
fn ids(parts: &Parts) -> Vec<CallId> {
    let mut linkedids: Vec<&str> = parts.linkedids.iter().map(String::as_str).collect();
    linkedids.sort_by(|a, b| earlier(a, b));
    linkedids.into_iter().map(|linkedid| CallId::of(&parts.pbx, linkedid)).collect()
}

fn ended_at(parts: &Parts) -> Option<Timestamp> {
    if parts.all_ended() { parts.list.iter().filter_map(|p| p.ended).max() } else { None }
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
fn hung_up_by(parts: &Parts, first: &Part, legs: &[Leg], last: Option<&Conversation>) -> Option<Side> {
    // Where a phone rang after the last conversation, the call did not end with it.
    let last =
        last.filter(|c| legs.iter().all(|l| l.role != Role::Called || Some(l.started_at) <= c.ended_at));
    let Some(last) = last else { return Some(who_gave_up(first, legs)) };
    let caller = parts.by_uniqueid(&last.caller_leg)?;
    let called = parts.by_uniqueid(&last.called_leg)?;
    let side = |part: &Part| if part.uniqueid == first.uniqueid { Side::Caller } else { Side::Called };
    let sources = [caller, called].into_iter().filter_map(|p| p.farewell.source.as_deref());
    for source in sources {
        if source == caller.channel {
            return Some(side(caller));
        } else if source == called.channel {
            return Some(side(called));
        } else if source.starts_with("dialplan/") {
            return Some(Side::Pbx);
        }
    }
    // After a transfer Asterisk names nobody: who ended first has hung up.
    Some(side(if called.ended < caller.ended { called } else { caller }))
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

fn last_to_end(parts: &Parts) -> Option<&Part> {
    parts.list.iter().filter(|p| !p.is_plumbing()).max_by_key(|p| p.ended)
}
