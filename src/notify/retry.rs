//! When a notice is tried again, and when no more.
//!
//! Pure: the schedule is data, what a receiver answered and a number for the jitter come in, what to do comes out.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use sha2::{Digest, Sha256};

/// How long is waited after each attempt that failed; one more ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

/// Waiting times are stretched or shortened by up to this part, so that what failed together comes back apart.
const JITTER: f64 = 0.2;

/// Longest time that a receiver may ask us to wait, unless the schedule waits longer anyway.
const MOST_ASKED: Duration = Duration::from_secs(3600);

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered with this status, and may have asked for a pause.
    Status(u16, Option<Duration>),
    /// There was no answer: no connection, a broken one, or too late.
    Nothing,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Delivered,
    /// The receiver never wants it (410).
    Gone,
    /// The receiver says that the request is wrong, which it will be the next time too.
    Refused,
    /// The schedule is over.
    Dead,
    /// Try again after this time.
    Again(Duration),
}

impl Default for Schedule {
    /// A little over 27 hours in all.
    fn default() -> Schedule {
        Schedule::of_seconds(&[5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000])
    }
}

impl Schedule {
    /// One that waits so many seconds after the first failed attempt, the second, and so on.
    #[must_use]
    pub fn of_seconds(seconds: &[u64]) -> Schedule {
        Schedule(seconds.iter().map(|s| Duration::from_secs(*s)).collect())
    }

    /// What follows from the answer to attempt number `attempt`, counted from 1. `chance` is any number of 0 to 1.
    #[must_use]
    pub fn verdict(&self, answer: Answer, attempt: u32, chance: f64) -> Verdict {
        let asked = match answer {
            Answer::Status(200..=299, _) => return Verdict::Delivered,
            Answer::Status(410, _) => return Verdict::Gone,
            // Time-out, conflict, too early and too many: these pass.
            Answer::Status(408 | 409 | 425 | 429, asked) => asked,
            Answer::Status(400..=499, _) => return Verdict::Refused,
            Answer::Status(_, asked) => asked,
            Answer::Nothing => None,
        };
        let Some(&planned) = self.0.get(attempt.max(1) as usize - 1) else { return Verdict::Dead };
        let chance = if (0.0..=1.0).contains(&chance) { chance } else { 0.5 };
        let wait = planned.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0));
        // Who asked for time gets all of it, and what he put off comes back apart too.
        let asked = asked.map(|asked| asked.min(planned.max(MOST_ASKED)).mul_f64(1.0 + JITTER * chance));
        Verdict::Again(asked.map_or(wait, |asked| asked.max(wait)))
    }
}

/// A number of 0 to 1 that is the attempt's own, and looks like chance.
#[must_use]
pub fn chance(notice: &str, endpoint: &str, attempt: u32) -> f64 {
    let hash = Sha256::digest(format!("{notice} {endpoint} {attempt}"));
    f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX)
}

/// The value of a `Retry-After` header: seconds, or a date.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean longer than we would ever wait.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECONDS: [u64; 8] = [5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000];

    fn verdict(answer: Answer, attempt: u32, chance: f64) -> Verdict {
        Schedule::default().verdict(answer, attempt, chance)
    }

    #[test]
    fn what_the_receiver_says_for_good_is_final() {
        for (status, verdict_) in [
            (200, Verdict::Delivered),
            (204, Verdict::Delivered),
            (410, Verdict::Gone),
            (400, Verdict::Refused),
            (401, Verdict::Refused),
            (404, Verdict::Refused),
            (422, Verdict::Refused),
        ] {
            assert_eq!(verdict(Answer::Status(status, None), 1, 0.5), verdict_, "{status}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_and_dead_after_the_schedule() {
        let answers = [301, 408, 409, 425, 429, 500, 503, 599].map(|s| Answer::Status(s, None));
        for answer in answers.into_iter().chain([Answer::Nothing]) {
            assert_eq!(verdict(answer, 1, 0.5), Verdict::Again(Duration::from_secs(5)));
            assert_eq!(verdict(answer, 8, 0.5), Verdict::Again(Duration::from_secs(36_000)));
            assert_eq!(verdict(answer, 9, 0.5), Verdict::Dead);
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        let asked = |s| Answer::Status(503, Some(Duration::from_secs(s)));
        assert_eq!(verdict(asked(0), 1, 0.5), Verdict::Again(Duration::from_secs(5)));
        for (chance, wait) in [(0.0, 60), (0.5, 66), (1.0, 72)] {
            assert_eq!(
                verdict(asked(60), 1, chance),
                Verdict::Again(Duration::from_secs(wait)),
                "never less"
            );
        }
        assert_eq!(verdict(asked(u64::MAX), 1, 0.0), Verdict::Again(MOST_ASKED));
        assert_eq!(verdict(asked(u64::MAX), 5, 0.0), Verdict::Again(Duration::from_secs(7200)));
    }

    #[test]
    fn a_pause_is_read_as_seconds_or_as_a_date() {
        let now: Timestamp = "2026-11-23T20:00:00Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 20:02:00 GMT", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Mon, 23 Nov 2026 19:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999", now), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    #[test]
    fn a_schedule_is_data() {
        let once = Schedule::of_seconds(&[7]);
        assert_eq!(once.verdict(Answer::Nothing, 1, 0.5), Verdict::Again(Duration::from_secs(7)));
        assert_eq!(once.verdict(Answer::Nothing, 2, 0.5), Verdict::Dead);
        assert_eq!(Schedule::of_seconds(&[]).verdict(Answer::Nothing, 1, 0.5), Verdict::Dead);
    }

    proptest! {
        #[test]
        fn a_wait_is_within_the_jitter_of_the_schedule(
            attempt in 0_u32..12, chance in any::<f64>(), status in 0_u16..999,
        ) {
            if let Verdict::Again(wait) = verdict(Answer::Status(status, None), attempt, chance) {
                let planned = SECONDS[attempt.max(1) as usize - 1] as f64;
                prop_assert!((0.799 * planned..=1.201 * planned).contains(&wait.as_secs_f64()));
            }
        }

        #[test]
        fn no_header_makes_the_wait_longer_than_an_hour_or_the_schedule(
            text in ".{0,40}|[0-9]{0,25}", attempt in 1_u32..9,
        ) {
            let asked = retry_after(&text, Timestamp::UNIX_EPOCH);
            let Verdict::Again(wait) = verdict(Answer::Status(503, asked), attempt, 1.0) else { panic!("final") };
            prop_assert!(wait.as_secs_f64() <= 1.201 * SECONDS[attempt as usize - 1].max(3600) as f64);
        }
    }
}
