//! The name that other systems know a call by, ast-lite's `CallUUID`: `20200303-205705-+73517214172-IN-2020318`.
//!
//! It tells when the call began (local time of the pbx, whose zone we do not know), who called, and over which
//! line or to whom. Its resolution is one second, and it is a variable that channels inherit: so it names a
//! call only near its own time stamp. Knows the text alone, nothing of events or calls.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// How far from its own time stamp a key still names the call at hand, in seconds. ast-lite makes the key when
/// the caller enters the dialplan; what comes later comes from a channel that inherited it.
const NEAR_S: i64 = 30;

/// All zones of today differ from UTC by a multiple of this, in seconds.
const ZONE_STEP_S: i64 = 900;

/// The zones farthest west and east of UTC, in seconds.
const ZONES_S: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

/// Asterisk's word for a caller who hides his number; ast-lite puts it into the key as it is.
const UNKNOWN: &str = "<unknown>";

/// What marks the name of a call whose key has no time stamp.
const ODD: &str = "key:";

/// A call key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallKey<'a> {
    text: &'a str,
    /// The time stamp, read as if it were UTC.
    stamp: Timestamp,
    /// Who called; `None` where he hides it.
    pub source: Option<&'a str>,
    /// What the call is, as ast-lite says it.
    pub way: Option<Way>,
    /// The outside line of an incoming call, the dialled number of any other.
    pub number: Option<&'a str>,
}

/// The third part of a call key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `IN`: from outside.
    In,
    /// `OUT`: to the outside.
    Out,
    /// `LOC`: between own phones.
    Local,
}

impl<'a> CallKey<'a> {
    /// Takes a key apart; `None` where it does not begin with a time stamp.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<CallKey<'a>> {
        let (stamp, rest) = text.split_at_checked(15)?;
        let stamp =
            DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let rest = rest.strip_prefix('-')?;
        let ways = [("-IN-", Way::In), ("-OUT-", Way::Out), ("-LOC-", Way::Local)];
        // A caller may call himself anything; the number at the end is the dialplan's own.
        let parted = ways
            .into_iter()
            .filter_map(|(mark, way)| Some((rest.rfind(mark)?, mark, way)))
            .max_by_key(|p| p.0);
        let some = |text: &'a str| (!text.is_empty() && text != UNKNOWN).then_some(text);
        Some(match parted {
            Some((at, mark, way)) => CallKey {
                text,
                stamp,
                source: some(&rest[..at]),
                way: Some(way),
                number: some(&rest[at + mark.len()..]),
            },
            None => CallKey { text, stamp, source: some(rest), way: None, number: None },
        })
    }

    /// Whether `at` is so near to the time stamp, in whichever zone that may be, that the call it names is the
    /// one that happens then.
    #[must_use]
    pub fn is_near(&self, at: Timestamp) -> bool {
        let ahead = self.stamp.as_second() - at.as_second();
        let off = (ahead + ZONE_STEP_S / 2).rem_euclid(ZONE_STEP_S) - ZONE_STEP_S / 2;
        off.abs() <= NEAR_S && ZONES_S.contains(&(ahead - off))
    }

    /// The key itself.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Seconds of the Unix epoch, up to a zone right.
    #[must_use]
    pub fn second(&self) -> i64 {
        self.stamp.as_second()
    }
}

/// What stands for the channel in an event that knows a key alone: the key, which cannot be taken for a
/// uniqueid, since it begins with a time stamp or is marked.
#[must_use]
pub fn name_of(key: &str) -> String {
    if is_key(key) { key.to_owned() } else { format!("{ODD}{key}") }
}

/// Whether a name is that of a call key and not of a channel.
#[must_use]
pub fn is_key(name: &str) -> bool {
    name.starts_with(ODD) || CallKey::parse(name).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_tells_who_called_and_over_which_line() {
        let key = CallKey::parse("20200303-205705-+73517214172-IN-2020318").unwrap();
        assert_eq!((key.source, key.way, key.number), (Some("+73517214172"), Some(Way::In), Some("2020318")));
        let key = CallKey::parse("20200303-205705-101-OUT-83517214172").unwrap();
        assert_eq!((key.source, key.way, key.number), (Some("101"), Some(Way::Out), Some("83517214172")));
        let key = CallKey::parse("20200303-205705-x-IN-y-LOC-102").unwrap();
        assert_eq!((key.source, key.way, key.number), (Some("x-IN-y"), Some(Way::Local), Some("102")));
        let key = CallKey::parse("20200303-205705-<unknown>-IN-2020318").unwrap();
        assert_eq!((key.source, key.way, key.number), (None, Some(Way::In), Some("2020318")));
        let key = CallKey::parse("20200303-205705--IN-").unwrap();
        assert_eq!((key.source, key.way, key.number), (None, Some(Way::In), None));
    }

    #[test]
    fn what_does_not_begin_with_a_time_stamp_is_no_key() {
        for text in [
            "",
            "1795386100.6",
            "20201303-205705-1-IN-2",
            "20200303-205705",
            "2020030é-205705-1",
            "office-1795386100.6",
        ] {
            assert!(CallKey::parse(text).is_none(), "{text}");
            assert!(!is_key(text) && is_key(&name_of(text)));
        }
    }

    #[test]
    fn a_key_is_near_its_own_stamp_in_any_zone_and_at_no_other_time() {
        let key = CallKey::parse("20261122-222140-79190000000-IN-73510000000").unwrap();
        // Yekaterinburg, UTC, Kathmandu, Chatham in summer.
        for near in
            ["2026-11-22T17:21:41Z", "2026-11-22T22:22:05Z", "2026-11-22T16:36:40Z", "2026-11-22T08:36:38Z"]
        {
            assert!(key.is_near(at(near)), "{near}");
        }
        for far in
            ["2026-11-22T17:23:00Z", "2026-11-22T17:20:00Z", "2026-11-23T17:21:40Z", "2026-11-21T22:21:40Z"]
        {
            assert!(!key.is_near(at(far)), "{far}");
        }
    }
}
