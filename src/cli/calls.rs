//! `calljournal calls`: the latest calls as a table, or as JSON.

use comfy_table::Cell;

use super::paper::{Ink, Paper, duration};
use crate::call::{Call, Disposition, Party, State};
use crate::store::Store;

/// The latest calls, newest first, at most `limit`.
pub async fn calls(store: &Store, paper: &Paper, limit: u32, json: bool) -> anyhow::Result<String> {
    let calls = store.calls(limit as usize).await?;
    Ok(if json { serde_json::to_string_pretty(&calls)? } else { table(&calls, paper) })
}

/// The calls as a table, in the order handed in.
fn table(calls: &[Call], paper: &Paper) -> String {
    if calls.is_empty() {
        return "No call yet. Make one, or see what `calljournal check` says.".to_owned();
    }
    let rows = calls.iter().map(|call| {
        let (ink, result) = result(call);
        vec![
            Cell::new(paper.date(call.started_at)),
            Cell::new(short_party(&call.source)),
            Cell::new(call.destination.as_deref().unwrap_or_default()),
            Cell::new(call.answered_by.as_ref().map(short_party).unwrap_or_default()),
            paper.cell(ink, &result),
            Cell::new(call.wait_ms.map(duration).unwrap_or_default()),
            Cell::new(if call.talk_ms > 0 { duration(call.talk_ms) } else { String::new() }),
            Cell::new(short_id(call)),
        ]
    });
    paper.table(&["Started", "From", "To", "Answered by", "Result", "Waited", "Talked", "Id"], rows)
}

/// The beginning of the id: the time, the serial, and enough of the rest to tell the calls of two pbxes apart.
fn short_id(call: &Call) -> String {
    call.id.to_string().chars().take(23).collect()
}

/// The number, or the name where there is no number.
fn short_party(party: &Party) -> String {
    party.number.as_ref().or(party.name.as_ref()).cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// What came of the call, or what it does now.
pub fn result(call: &Call) -> (Ink, String) {
    if call.state != State::Ended {
        return (Ink::Yellow, call.state.as_str().to_owned());
    }
    let ink = match call.disposition {
        Disposition::Answered => Ink::Green,
        Disposition::NoAnswer | Disposition::Busy => Ink::Yellow,
        Disposition::Failed | Disposition::Congestion => Ink::Red,
    };
    let mut said = call.disposition.as_str().to_owned();
    if call.abandoned {
        said.push_str(", gave up");
    }
    if !call.transfers.is_empty() {
        said.push_str(", transferred");
    }
    (ink, said)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_call_is_one_line_that_a_person_can_read() {
        let text = table(&[sample::transferred()], &Paper::plain());
        assert_eq!(
            text,
            "Started              From          To           Answered by  Result                 Waited  \
             Talked      Id\n\
             2026-11-22 23:38:43  +79190000000  73512020318  102          ANSWERED, transferred  6 s     \
             2 min 31 s  01a205a0-53b8-8000-9d82"
        );
    }

    #[test]
    fn where_there_is_no_call_the_next_step_is_said() {
        assert!(table(&[], &Paper::plain()).contains("calljournal check"));
    }
}
