//! Blind transfers of which only the end of who made them tells.
//!
//! A call that is sent to a queue, a menu or a conference may pass no line that reports it. But Asterisk leaves on the
//! transferor's channel whom it sent on (`BLINDTRANSFER`), and on that one who did: of the two, the one that ends while
//! the other goes on has transferred. Where to is known from the phone that rings next, if any does.

use jiff::{SignedDuration, Timestamp};

use super::fold::{Part, Parts};
use super::legs::Role;
use super::taken::Taken;
use super::talks::Move;
use super::{How, Landing, Transfer};

/// How long a channel outlives the other one at least where it was not simply hung up with it.
const GOES_ON: SignedDuration = SignedDuration::from_secs(1);
/// How near to each other a transfer and the parking are that it led to.
const PARKED_WITHIN: SignedDuration = SignedDuration::from_secs(1);
/// How long before the transferor's end the next phone may have begun to ring.
const RINGS_WITHIN: SignedDuration = SignedDuration::from_secs(1);

/// Adds to `parts` the transfers that nobody told, and takes out those that were told and put a caller into parking.
pub(super) fn sent_on(parts: &mut Parts) {
    let moves = std::mem::take(&mut parts.moves);
    parts.moves = moves.into_iter().filter(|one| !parks(parts, one)).collect();
    let moves: Vec<Move> = parts.list.iter().filter_map(|by| sent_by(parts, by)).collect();
    parts.moves.extend(moves);
}

fn sent_by(parts: &Parts, by: &Part) -> Option<Move> {
    let ended = by.ended?;
    let sent = parts.list.iter().find(|part| Some(part.channel.as_str()) == by.farewell.sent.as_deref())?;
    let told = parts.moves.iter().any(|one| one.by.as_ref() == Some(&by.channel));
    let goes_on = |end: Timestamp| end.duration_since(ended) > GOES_ON;
    if told || by.is_plumbing() || was_parked(parts, by, sent) || !sent.ended.is_none_or(goes_on) {
        return None;
    }
    let next = rings_next(parts, by, ended);
    let transfer = Transfer {
        at: next.map_or(ended, |next| next.started.min(ended)),
        how: How::Blind,
        by: by.party.clone(),
        to: next.and_then(|next| next.group.clone().or(next.party.number.clone())),
        spoken: false,
        outcome: Landing::Open,
    };
    let (channel, by) = (Some(sent.uniqueid.clone()), Some(by.channel.clone()));
    Some(Move { transfer, channel, by, given_up: None })
}

fn parks(parts: &Parts, one: &Move) -> bool {
    let name = |uniqueid: &String| parts.by_uniqueid(uniqueid).map(|part| &part.channel);
    parts.taken.iter().any(|taken| match taken {
        Taken::Parked(parking) => {
            let near = parking.since.duration_since(one.transfer.at).abs() <= PARKED_WITHIN;
            let by = parking.parker.as_ref().and_then(name);
            near && one.channel.as_ref() == Some(&parking.who) && by.is_some() && by == one.by.as_ref()
        }
        Taken::Ringing { .. } => false,
    })
}

/// Parking is a blind transfer to Asterisk, and told otherwise.
fn was_parked(parts: &Parts, by: &Part, sent: &Part) -> bool {
    parts.taken.iter().any(|taken| match taken {
        Taken::Parked(parking) => {
            parking.who == sent.uniqueid && parking.parker.as_ref() == Some(&by.uniqueid)
        }
        Taken::Ringing { .. } => false,
    })
}

/// The first phone that rang after `by` had talked, and not long before it ended.
fn rings_next<'p>(parts: &'p Parts, by: &Part, ended: Timestamp) -> Option<&'p Part> {
    let from = ended.saturating_sub(RINGS_WITHIN).unwrap_or(ended).max(by.answered.unwrap_or(by.started));
    let called = parts.list.iter().filter(|part| part.role == Some(Role::Called) && !part.is_plumbing());
    called.filter(|part| part.started > from).min_by_key(|part| part.started)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Call;
    use super::super::tests::Told;
    use crate::event::Kind;

    const MEMBER: &str = "Local/102@from-queue-00000000;2";

    /// 101 talks with the caller until 10, when its channel says whom it sent on.
    fn sends_on() -> Told {
        let told = Told::default().comes_in().rings(0.1, 1, "101").answers(2.0, 1, "101");
        told.ends(10.0, 1, "101", "cause=16,blindtransfer=PJSIP/trunk-00000000")
    }

    fn transfers(call: &Call) -> Vec<(Option<&str>, Option<&str>)> {
        call.transfers.iter().map(|t| (t.by.number.as_deref(), t.to.as_deref())).collect()
    }

    #[test]
    fn a_transfer_to_a_queue_is_known_from_the_transferor_and_the_queues_phones() {
        let told =
            sends_on().tell(9.99, 5, MEMBER, Kind::Ring, "dials=102,group=400").answers(12.0, 2, "102");
        let told =
            told.ends(20.0, 2, "102", "cause=16").tell(20.0, 5, MEMBER, Kind::Hangup, "dialstatus=ANSWER");
        let call = told.ends(20.01, 0, "trunk", "cause=16,blindtransfer=PJSIP/101-00000001").fold().call;
        assert_eq!(transfers(&call), [(Some("101"), Some("400"))]);
    }

    #[test]
    fn a_transfer_to_where_no_phone_rings_goes_to_nobody_knows_where() {
        let call = sends_on().ends(30.0, 0, "trunk", "blindtransfer=PJSIP/101-00000001").fold().call;
        assert_eq!(transfers(&call), [(Some("101"), None)]);
    }

    #[test]
    fn who_ends_with_the_other_has_transferred_nothing() {
        let call = sends_on().ends(10.02, 0, "trunk", "cause=16").fold().call;
        assert_eq!(transfers(&call), []);
    }

    #[test]
    fn a_transfer_that_was_told_is_not_told_again() {
        let told = sends_on().tell(
            9.9,
            0,
            "PJSIP/trunk",
            Kind::Transfer,
            "how=blind,by=PJSIP/101-00000001,exten=102",
        );
        let call = told.ends(30.0, 0, "trunk", "blindtransfer=PJSIP/101-00000001").fold().call;
        assert_eq!(transfers(&call), [(Some("101"), Some("102"))]);
    }

    #[test]
    fn a_transfer_that_was_told_and_parked_the_caller_is_none() {
        let told = Told::default().comes_in().rings(0.1, 1, "101").answers(2.0, 1, "101");
        let told =
            told.tell(9.99, 0, "PJSIP/trunk", Kind::Transfer, "how=blind,by=PJSIP/101-00000001,exten=700");
        let told = told.ends(10.0, 1, "101", "cause=16").tell(
            20.0,
            0,
            "PJSIP/trunk",
            Kind::Note,
            "step=parked,name=701",
        );
        let call = told.ends(30.0, 0, "trunk", "cause=16").fold().call;
        assert_eq!(transfers(&call), []);
        assert_eq!(call.steps.len(), 1);
    }
}
