//! What the phones that a channel dials come to, counted as `Dial()` counts it (Asterisk: `app_dial`).

/// What a channel's dialling comes to, counted as `Dial()` counts it.
#[derive(Debug, Default)]
pub(super) struct Dialling {
    running: usize,
    failed: [usize; 3],
    ended: usize,
    pub(super) status: Option<&'static str>,
}

/// `DIALSTATUS` of a phone to that of the whole, the strongest first.
const FAILURES: [&str; 3] = ["BUSY", "CONGESTION", "CHANUNAVAIL"];

impl Dialling {
    pub(super) fn begins(&mut self) {
        if self.running == 0 {
            *self = Dialling::default();
        }
        self.running += 1;
    }

    pub(super) fn ends(&mut self, status: &str) {
        self.running = self.running.saturating_sub(1);
        self.ended += 1;
        if let Some(which) = FAILURES.iter().position(|failure| *failure == status) {
            self.failed[which] += 1;
        }
        let failed: usize = self.failed.iter().sum();
        self.status = match (self.status, status) {
            (Some("ANSWER"), _) | (_, "ANSWER") => Some("ANSWER"),
            (_, "CANCEL") => Some("CANCEL"),
            _ if failed == self.ended => self.failed.iter().position(|n| *n > 0).map(|which| FAILURES[which]),
            _ => Some("NOANSWER"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(statuses: &[&str]) -> Option<&'static str> {
        let mut dialling = Dialling::default();
        statuses.iter().for_each(|_| dialling.begins());
        statuses.iter().for_each(|status| dialling.ends(status));
        dialling.status
    }

    #[test]
    fn one_answer_is_an_answer_and_a_failure_counts_where_all_failed() {
        for (statuses, meant) in [
            (&["ANSWER", "CANCEL"][..], "ANSWER"),
            (&["CANCEL", "CANCEL"], "CANCEL"),
            (&["BUSY", "CHANUNAVAIL"], "BUSY"),
            (&["CHANUNAVAIL", "CONGESTION"], "CONGESTION"),
            (&["BUSY", "NOANSWER"], "NOANSWER"),
            (&["NOANSWER"], "NOANSWER"),
        ] {
            assert_eq!(after(statuses), Some(meant), "{statuses:?}");
        }
        assert_eq!(after(&[]), None);
    }

    #[test]
    fn the_last_dialling_counts() {
        let mut dialling = Dialling::default();
        for status in ["BUSY", "ANSWER"] {
            dialling.begins();
            dialling.ends(status);
        }
        assert_eq!(dialling.status, Some("ANSWER"));
    }
}
