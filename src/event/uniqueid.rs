//! What a uniqueid, `[systemname-]epoch.serial`, tells of its channel's birth (Asterisk: `ast_channel_alloc`).
//!
//! A linkedid is the uniqueid of the call's first channel. Pure; knows nothing of events.

use jiff::Timestamp;

/// The most digits of a second: they fit 48 bits of milliseconds, and last for three thousand years.
const SECOND: usize = 11;
/// The most digits of a serial, which Asterisk counts in 32 bits.
const SERIAL: usize = 10;

/// When a channel was made, and as which one since its Asterisk was started. The order is that of birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Born {
    /// Seconds of the Unix epoch, by the pbx's clock; up to eleven digits.
    pub second: u64,
    /// From 0 with each start of Asterisk; up to ten digits.
    pub serial: u64,
}

impl Born {
    /// `None` for what is no uniqueid.
    #[must_use]
    pub fn of(uniqueid: &str) -> Option<Born> {
        let (second, serial) = uniqueid.rsplit('-').next()?.split_once('.')?;
        Some(Born { second: number(second, SECOND)?, serial: number(serial, SERIAL)? })
    }
}

fn number(text: &str, most: usize) -> Option<u64> {
    let digits = text.len() <= most && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// The second in which a channel was made.
#[must_use]
pub fn born(uniqueid: &str) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(Born::of(uniqueid)?.second).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_uniqueid_is_a_second_and_a_serial_with_or_without_a_name_before_it() {
        let own = Some(Born { second: 1_795_390_723, serial: 12 });
        assert_eq!(Born::of("1795390723.12"), own);
        assert_eq!(Born::of("office-1-1795390723.12"), own);
        assert_eq!(born("1795390723.12").unwrap().as_second(), 1_795_390_723);
    }

    #[test]
    fn what_no_asterisk_makes_is_no_uniqueid() {
        for text in [
            "",
            ".",
            "1795390723",
            "1795390723.",
            ".1",
            "+1.1",
            "1.+1",
            "1.1.1",
            "123456789012.1",
            "1.12345678901",
        ] {
            assert_eq!(Born::of(text), None, "{text}");
        }
    }

    #[test]
    fn serials_count_as_numbers() {
        assert!(Born::of("1795390723.2") < Born::of("1795390723.10"));
        assert!(Born::of("1795390722.99") < Born::of("1795390723.2"));
    }
}
