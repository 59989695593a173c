//! What the uniqueids of a pbx show of its Asterisk: that it was started again, or that two go by one name.
//!
//! The serial of a uniqueid begins at 0 with each start of Asterisk and only rises. Pure. All this is suspicion: nothing is concluded from it.

use jiff::Timestamp;

use crate::event::uniqueid::Born;

/// How a channel that was not known before stands to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// As is to be expected.
    Next,
    /// It is younger and has a lower serial: Asterisk was started again.
    Restart,
    /// It is of before that, and told first; only now is it heard of.
    Before,
    /// It goes on where another Asterisk of this name had stopped.
    Other,
}

/// The serials of one pbx.
#[derive(Debug, Default)]
pub(super) struct Series {
    newest: Option<Born>,
    /// When that one reached us.
    heard: Timestamp,
    /// The highest serial before it fell.
    fell_from: Option<u64>,
    /// Where it stood when it rose past that again.
    stopped_at: Option<u64>,
}

impl Series {
    /// When the newest channel reached us.
    pub fn heard(&self) -> Timestamp {
        self.heard
    }

    /// A channel that was not known before, and when it reached us.
    pub fn see(&mut self, born: Born, received: Timestamp) -> Sight {
        let before = self.heard;
        self.heard = before.max(received);
        let newest = self.newest.get_or_insert(born);
        if born.second > newest.second && born.serial < newest.serial {
            // After a restart the old serials are passed one by one. Who jumps over them and comes back to where it
            // was is another Asterisk.
            let goes_on = self.stopped_at.is_some_and(|stopped| born.serial > stopped);
            self.fell_from = Some(newest.serial);
            *newest = born;
            return if goes_on { Sight::Other } else { Sight::Restart };
        }
        if born.second >= newest.second && born.serial > newest.serial {
            let passed = |from: &u64| (newest.serial..born.serial).contains(from);
            if self.fell_from.as_ref().is_some_and(passed) {
                self.stopped_at = Some(newest.serial);
            }
            *newest = born;
        }
        // At our own start what lived before may be read after the first channel of a restarted Asterisk was told.
        let of_before = born.second < newest.second && born.serial > newest.serial && received < before;
        if of_before { Sight::Before } else { Sight::Next }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is not to be expected of these channels, told one after another.
    fn seen(uids: &[&str]) -> Vec<Sight> {
        let mut series = Series::default();
        let told = (0..).zip(uids);
        let sights =
            told.map(|(n, uid)| series.see(Born::of(uid).unwrap(), Timestamp::from_second(n).unwrap()));
        sights.filter(|sight| *sight != Sight::Next).collect()
    }

    #[test]
    fn channels_told_out_of_order_and_a_clock_set_back_are_no_restart() {
        assert_eq!(seen(&["200.50", "a-1-201.52", "200.51", "150.53", "202.54"]), []);
    }

    #[test]
    fn an_asterisk_that_is_started_again_and_again_is_one() {
        let uids = ["100.8", "101.9", "110.0", "111.1", "112.9", "113.10", "120.2", "121.3"];
        assert_eq!(seen(&uids), [Sight::Restart, Sight::Restart]);
    }

    #[test]
    fn serials_that_go_back_and_forth_are_of_two() {
        assert_eq!(
            seen(&["100.500", "101.7", "102.501", "103.8", "104.502"]),
            [Sight::Restart, Sight::Other]
        );
    }

    #[test]
    fn what_was_told_before_a_restart_and_is_heard_of_after_it_is_of_before() {
        let mut series = Series::default();
        let mut see =
            |uid, second| series.see(Born::of(uid).unwrap(), Timestamp::from_second(second).unwrap());
        assert_eq!(see("200.0", 10), Sight::Next);
        assert_eq!(see("100.50", 5), Sight::Before);
        assert_eq!(see("100.51", 11), Sight::Next);
    }
}
