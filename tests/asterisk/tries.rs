//! Plays a call again that did not come out right: its times were off, it could not be played, or it was told wrongly.
//!
//! A machine that is busy with something else, or a race that Asterisk has with itself, may do that to one call, not to the
//! same one again and again, and not to many. What is thrown away was a call nevertheless: its notices are counted like those
//! of every other, and a second `call.ended` is never thrown away.

use anyhow::Result;

use crate::verdict::Row;

/// How often a call is played at most.
const MOST: u32 = 3;

/// One try in so many calls may be thrown away; where few calls are played, [`ALWAYS`].
const ONE_IN: usize = 8;
const ALWAYS: usize = 2;

/// The same for calls that were told wrongly in more than their times.
const ONE_WRONG_IN: usize = 60;

/// Plays until the call comes out right, or until it is no accident any more that it does not. The rows of what was thrown
/// away come along, marked.
pub fn until_right(mut play: impl FnMut() -> Result<Vec<Row>>) -> Result<Vec<Row>> {
    let mut thrown_away = Vec::new();
    let mut tries = 1;
    loop {
        let mut rows = play()?;
        let again = tries < MOST && rows.iter().any(|row| !row.wrong.is_empty() || !row.off.is_empty());
        for row in &mut rows {
            row.tries = tries;
            row.thrown_away = again;
            if !again {
                row.wrong.append(&mut row.off);
                continue;
            }
            row.told_wrong = !row.wrong.is_empty();
            row.off.append(&mut row.wrong);
            if !row.off.is_empty() {
                println!("{:<8} {}, once more: {}", row.asterisk, row.scenario, row.off.join("; "));
            }
        }
        thrown_away.append(&mut rows);
        if !again {
            return Ok(thrown_away);
        }
        tries += 1;
    }
}

/// Drops what was thrown away, but for what is wrong with its notices; says so when there is too much of it to be
/// an accident.
pub fn keep_what_counts(rows: &mut Vec<Row>) -> Option<String> {
    let calls = rows.iter().filter(|row| !row.thrown_away).count();
    let again = rows.iter().filter(|row| row.thrown_away && !row.off.is_empty()).count();
    let wrong = rows.iter().filter(|row| row.told_wrong).count();
    rows.retain(|row| !row.thrown_away || !row.wrong.is_empty());
    (again > ALWAYS.max(calls / ONE_IN) || wrong > ALWAYS.max(calls / ONE_WRONG_IN)).then(|| {
        format!("{again} tries of {calls} calls were thrown away, {wrong} of them told wrongly: that is no accident any more")
    })
}
