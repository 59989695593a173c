//! Whether a call is over, and when to look again.
//!
//! "A hangup came" is not the end: a call is over when every channel known to it has ended, nothing joined for
//! the grace time, and no event of its channels is known to be missing. Pure: the present and the rules are
//! handed in.

use jiff::{SignedDuration, Timestamp};

use super::{Call, State};

/// The times that decide an end.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long nothing may join after the last end.
    pub grace: SignedDuration,
    /// How long an event that is known to be missing is waited for.
    pub gap: SignedDuration,
    /// How long a call may be silent before its end is told as unknown.
    pub lost: SignedDuration,
}

/// What the events of a call say of its end, whatever time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether every channel known to the call has ended.
    pub all_ended: bool,
    /// Whether a sequence number of one of its channels is missing.
    pub gap: bool,
    /// When the last of its events reached us.
    pub last_heard: Timestamp,
}

/// What that means now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The call goes on, or something may still join it: look again then.
    Open {
        /// The first time at which the verdict can change without a new event.
        look_again: Timestamp,
    },
    /// The call is over.
    Over,
    /// Nothing was heard of it for so long that its end is told as unknown.
    Lost,
}

impl Standing {
    /// Judges the call at `now`.
    #[must_use]
    pub fn judge(&self, rules: &Rules, now: Timestamp) -> Verdict {
        let (wait, then) = match (self.all_ended, self.gap) {
            (true, false) => (rules.grace, Verdict::Over),
            (true, true) => (rules.gap.max(rules.grace), Verdict::Over),
            (false, _) => (rules.lost, Verdict::Lost),
        };
        let due = self.last_heard.saturating_add(wait).unwrap_or(Timestamp::MAX);
        if now >= due { then } else { Verdict::Open { look_again: due } }
    }

    /// Judges `call` at `now` and has it say so where it is over; else answers when to look again.
    pub fn conclude(&self, call: &mut Call, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        let verdict = self.judge(rules, now);
        if let Verdict::Open { look_again } = verdict {
            return Some(look_again);
        }
        call.state = State::Ended;
        if verdict == Verdict::Lost {
            (call.ended_at, call.end_time_known) = (None, false);
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        grace: SignedDuration::from_millis(1500),
        gap: SignedDuration::from_secs(30),
        lost: SignedDuration::from_secs(14_400),
    };

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_microsecond((seconds * 1e6) as i64).unwrap()
    }

    fn judge(all_ended: bool, gap: bool, now: f64) -> Verdict {
        Standing { all_ended, gap, last_heard: at(100.0) }.judge(&RULES, at(now))
    }

    #[test]
    fn a_call_is_over_when_the_grace_has_passed_and_not_before() {
        assert_eq!(judge(true, false, 101.4), Verdict::Open { look_again: at(101.5) });
        assert_eq!(judge(true, false, 101.5), Verdict::Over);
    }

    #[test]
    fn a_missing_event_is_waited_for_but_not_for_ever() {
        assert_eq!(judge(true, true, 129.0), Verdict::Open { look_again: at(130.0) });
        assert_eq!(judge(true, true, 130.0), Verdict::Over);
    }

    #[test]
    fn a_silent_call_is_lost_after_hours_and_not_said_to_be_over() {
        assert_eq!(judge(false, false, 200.0), Verdict::Open { look_again: at(14_500.0) });
        assert_eq!(judge(false, true, 14_500.0), Verdict::Lost);
    }
}
