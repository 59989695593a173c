//! Who wants to be told of which call.
//!
//! Pure: a call as it is at the moment, and what a receiver asked for. Knows nothing of what was told before.

use crate::call::{Call, Direction, Disposition};

/// A channel of a call was told of.
pub const STARTED: &str = "call.started";
/// A phone rings.
pub const RINGING: &str = "call.ringing";
/// A phone was picked up.
pub const ANSWERED: &str = "call.answered";
/// Somebody was put through to another phone.
pub const TRANSFERRED: &str = "call.transferred";
/// There is a recording.
pub const RECORDED: &str = "call.recorded";
/// The call is over.
pub const ENDED: &str = "call.ended";
/// It was told otherwise than it is.
pub const CORRECTED: &str = "call.corrected";
/// Two calls are one.
pub const MERGED: &str = "call.merged";

/// A feed does not tell what it should.
pub const FEED_DOWN: &str = "feed.down";
/// It does again.
pub const FEED_UP: &str = "feed.up";

/// The kinds that tell of a call while it goes on.
const ON_THE_WAY: [&str; 5] = [STARTED, RINGING, ANSWERED, TRANSFERRED, RECORDED];

/// Who wants to be told of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The endpoint's name.
    pub endpoint: String,
    /// Kinds of notices, `call.ended`.
    pub kinds: Vec<String>,
    /// Whether corrections and merges are wanted with `call.ended`.
    pub corrections: bool,
    /// Of which calls.
    pub only: Only,
}

/// Which calls are wanted; where nothing is set, all are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    /// Of these organisations.
    pub org: Vec<String>,
    /// `inbound` and so on.
    pub direction: Vec<String>,
    /// Over these trunks.
    pub trunk: Vec<String>,
    /// With these dispositions, in the words of Asterisk's CDR.
    pub disposition: Vec<String>,
    /// From outside, and answered by nobody.
    pub missed: bool,
    /// With so much talking, in milliseconds.
    pub min_talk_ms: i64,
}

impl Subscription {
    /// Whether a notice of this kind is wanted of any call.
    pub(super) fn takes(&self, kind: &str) -> bool {
        let named = |kind: &str| self.kinds.iter().any(|wanted| wanted == kind);
        // Corrections and merges speak of what was told at the end.
        named(kind) || ([CORRECTED, MERGED].contains(&kind) && self.corrections && named(ENDED))
    }

    /// Whether it is wanted of this call.
    pub(super) fn wants(&self, kind: &str, call: &Call) -> bool {
        self.takes(kind) && self.only.lets(call, ON_THE_WAY.contains(&kind))
    }

    /// Whether anything is wanted of a call that goes on.
    pub(super) fn is_impatient(&self) -> bool {
        ON_THE_WAY.iter().any(|kind| self.takes(kind))
    }
}

impl Only {
    /// Whether a call is among those that are wanted. What is known at its end alone is not true of one that goes on.
    fn lets(&self, call: &Call, goes_on: bool) -> bool {
        let of = |wanted: &[String], is: Option<&str>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.iter().any(|one| one == is))
        };
        let at_the_end = !self.disposition.is_empty() || self.missed || self.min_talk_ms > 0;
        let missed = call.direction == Direction::Inbound && call.disposition != Disposition::Answered;
        of(&self.org, call.org.as_deref())
            && of(&self.direction, Some(call.direction.as_str()))
            && of(&self.trunk, call.trunk.as_deref())
            && !(goes_on && at_the_end)
            && of(&self.disposition, Some(call.disposition.as_str()))
            && (missed || !self.missed)
            && call.talk_ms >= self.min_talk_ms
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::call::{Numbering, fold};
    use crate::event::{Arrival, Event, Feed, Kind};

    /// A call from outside on 73512020318 for the org acme, that nobody has answered yet.
    fn call() -> Call {
        let args = "v=1,token=1795390723.1-1-start-1795390723.000001,uid=1795390723.1,lid=1795390723.1,seq=1,\
                    t=1795390723.000001,dir=in,org=acme,trunk=73512020318,num=79190000001";
        let at = jiff::Timestamp::from_second(1_795_390_724).unwrap();
        let arrival = Arrival { feed: Feed::Agi, pbx: "office", at };
        let event = Event::from_args(Kind::Start, args.split(',').map(str::as_bytes), arrival).unwrap();
        fold(&[event], &Numbering::default()).unwrap().call
    }

    fn wants(only: Only, kind: &str, call: &Call) -> bool {
        let kinds = vec![ENDED.to_owned(), RINGING.to_owned()];
        Subscription { endpoint: "crm".into(), kinds, corrections: true, only }.wants(kind, call)
    }

    #[test]
    fn where_nothing_is_set_all_calls_are_told_in_the_kinds_that_were_asked_for() {
        for (kind, wanted) in [
            (ENDED, true),
            (CORRECTED, true),
            (MERGED, true),
            (RINGING, true),
            (STARTED, false),
            (ANSWERED, false),
        ] {
            assert_eq!(wants(Only::default(), kind, &call()), wanted, "{kind}");
        }
        let without = Subscription { kinds: vec![ENDED.to_owned()], ..Subscription::default() };
        assert!(
            without.wants(ENDED, &call()) && !without.wants(CORRECTED, &call()) && !without.is_impatient()
        );
        let alone = Subscription { kinds: vec![CORRECTED.to_owned()], ..Subscription::default() };
        assert!(alone.wants(CORRECTED, &call()) && !alone.wants(MERGED, &call()));
    }

    #[test]
    fn only_calls_that_match_all_that_is_set_are_told() {
        let list = |word: &str| vec![word.to_owned(), "other".to_owned()];
        let cases = [
            (Only { org: list("acme"), ..Only::default() }, true),
            (Only { org: list("umbrella"), ..Only::default() }, false),
            (Only { direction: list("inbound"), ..Only::default() }, true),
            (Only { direction: list("outbound"), ..Only::default() }, false),
            (Only { trunk: list("73512020318"), ..Only::default() }, true),
            (Only { trunk: list("73510000000"), org: list("acme"), ..Only::default() }, false),
        ];
        for (only, wanted) in cases {
            assert_eq!(wants(only.clone(), ENDED, &call()), wanted, "{only:?}");
            assert_eq!(wants(only.clone(), RINGING, &call()), wanted, "{only:?}");
        }
        let nameless = Call { org: None, trunk: None, ..call() };
        assert!(!wants(Only { org: list("acme"), ..Only::default() }, ENDED, &nameless));
    }

    #[test]
    fn what_is_known_at_the_end_alone_is_asked_at_the_end_alone() {
        let answered = Call { disposition: Disposition::Answered, talk_ms: 5000, ..call() };
        let missed = Only { missed: true, ..Only::default() };
        let long = Only { min_talk_ms: 5000, ..Only::default() };
        let busy = Only { disposition: vec!["BUSY".to_owned()], ..Only::default() };
        assert!(wants(missed.clone(), ENDED, &call()) && !wants(missed.clone(), ENDED, &answered));
        assert!(wants(long.clone(), ENDED, &answered) && !wants(long.clone(), ENDED, &call()));
        assert!(!wants(busy.clone(), ENDED, &answered));
        let outbound = Call { direction: Direction::Outbound, ..call() };
        assert!(!wants(missed.clone(), ENDED, &outbound));
        for only in [missed, long, busy] {
            assert!(!wants(only, RINGING, &answered));
        }
    }
}
