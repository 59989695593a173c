//! Asterisk's own CDR of the same calls, to be set beside the journal's: how many rows it has of a call, and how far
//! their talking is from what was talked.
//!
//! Knows the columns of `Master.csv`. Judges nothing: that Asterisk bills a ringing phone is no failure of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cel::fields;

/// Columns of `cdr_csv` as `etc/cdr.conf` has them: unique ids, user fields and the newer columns are on.
const BILLSEC: usize = 13;
const LINKEDID: usize = 19;

/// What one CDR has of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    pub rows: usize,
    /// Whole seconds, over all rows.
    pub seconds: i64,
}

impl Billed {
    /// What `master` has of the call of these linkedids.
    pub fn by_asterisk(master: &Path, linkedids: &BTreeSet<String>) -> Billed {
        let text = fs::read_to_string(master).unwrap_or_default();
        let rows =
            text.lines().map(fields).filter(|row| row.get(LINKEDID).is_some_and(|id| linkedids.contains(id)));
        Billed::of(rows.map(|row| row[BILLSEC].parse().unwrap_or(0)))
    }

    /// What the journal's `show --json` has.
    pub fn by_journal(shown: &Value) -> Billed {
        let rows = shown["cdr"].as_array().into_iter().flatten();
        Billed::of(rows.map(|row| row["billsec"].as_i64().unwrap_or(0)))
    }

    fn of(billsec: impl Iterator<Item = i64>) -> Billed {
        billsec.fold(Billed::default(), |sum, seconds| Billed {
            rows: sum.rows + 1,
            seconds: sum.seconds + seconds,
        })
    }

    /// `3 rows, +7 s`: against so many microseconds of talking. Each row may lose a second by rounding.
    pub fn against(self, talked: i64) -> String {
        let off = self.seconds - talked / 1_000_000;
        let rows = if self.rows == 1 { "1 row".to_owned() } else { format!("{} rows", self.rows) };
        let right = (-(self.rows as i64)..=1).contains(&off);
        if right { rows } else { format!("{rows}, {off:+} s") }
    }
}
