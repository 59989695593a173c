//! `calljournal calls`: the latest calls as a table, or as JSON.

use comfy_table::Cell;

use super::filter::Asked;
use super::paper::{Ink, Paper};
use crate::call::words::Value;
use crate::call::{Call, Disposition, Party, SIMULATED, State};
use crate::store::Store;
use crate::store::filter::{Filter, Page};

/// The latest calls that were asked for, newest first, at most `limit`.
pub async fn calls(
    store: &Store,
    paper: &Paper,
    asked: &Asked,
    limit: usize,
    json: bool,
) -> anyhow::Result<String> {
    let mut calls = store.find_calls(&asked.filter, Page::newest(limit + 1)).await?;
    let more = calls.len() > limit;
    calls.truncate(limit);
    if json {
        return Ok(serde_json::to_string_pretty(&calls)?);
    }
    if calls.is_empty() {
        return Ok(nothing(store.count_calls(&Filter::default()).await?, paper, asked));
    }
    let mut text = table(&calls, paper);
    if more {
        let twice = (limit * 2).to_string();
        let values = [("count", limit.into()), ("more", Value::Text(&twice))];
        text.push_str(&format!("\n\n{}", paper.ink(Ink::Dim, &paper.words.say("older", &values))));
    }
    Ok(text)
}

/// What to say where there is nothing to show.
fn nothing(total: usize, paper: &Paper, asked: &Asked) -> String {
    if total == 0 || asked.said.is_empty() {
        return paper.word("no-call");
    }
    let said = asked.said.join(" ");
    paper.words.say("no-match", &[("count", total.into()), ("filters", Value::Text(&said))])
}

/// The calls as a table, in the order handed in.
pub fn table(calls: &[Call], paper: &Paper) -> String {
    // With one pbx its name is noise; a call that was played must never pass for a real one.
    let pbxes = calls.iter().any(|call| call.pbx != calls[0].pbx || call.pbx == SIMULATED);
    let rows = calls.iter().map(|call| {
        let (ink, result) = result(call, paper);
        let mut row = vec![
            Cell::new(paper.date(call.started_at)),
            Cell::new(short_party(&call.source, paper)),
            Cell::new(call.destination.as_deref().unwrap_or_default()),
            Cell::new(call.answered_by.as_ref().map(|by| short_party(by, paper)).unwrap_or_default()),
            paper.cell(ink, &result),
            Cell::new(paper.duration(call.wait_ms)),
            Cell::new(paper.duration(Some(call.talk_ms).filter(|ms| *ms > 0))),
            Cell::new(short_id(call)),
        ];
        row.extend(pbxes.then(|| Cell::new(&call.pbx)));
        row
    });
    let mut heads = vec![
        "head-started",
        "head-from",
        "head-to",
        "head-answered-by",
        "head-result",
        "head-waited",
        "head-talked",
        "head-id",
    ];
    heads.extend(pbxes.then_some("head-pbx"));
    paper.table(&heads, rows)
}

/// The beginning of the id: the time, the serial, and enough of the rest to tell the calls of two pbxes apart.
pub fn short_id(call: &Call) -> String {
    call.id.to_string().chars().take(23).collect()
}

/// The number, or the name where there is no number.
pub fn short_party(party: &Party, paper: &Paper) -> String {
    party.number.as_ref().or(party.name.as_ref()).cloned().unwrap_or_else(|| paper.word("unknown"))
}

/// What came of the call, or what it does now.
pub fn result(call: &Call, paper: &Paper) -> (Ink, String) {
    if call.state != State::Ended {
        let id = match call.state {
            State::Started => "state-started",
            State::Ringing => "state-ringing",
            State::Talking => "state-talking",
            State::Ended => "state-ended",
        };
        return (Ink::Yellow, paper.word(id));
    }
    let (ink, id) = match call.disposition {
        Disposition::Answered => (Ink::Green, "disposition-answered"),
        Disposition::NoAnswer => (Ink::Yellow, "disposition-no-answer"),
        Disposition::Busy => (Ink::Yellow, "disposition-busy"),
        Disposition::Failed => (Ink::Red, "disposition-failed"),
        Disposition::Congestion => (Ink::Red, "disposition-congestion"),
    };
    let mut said = vec![paper.word(id)];
    said.extend(call.abandoned.then(|| paper.word("result-gave-up")));
    said.extend((!call.transfers.is_empty()).then(|| paper.word("result-transferred")));
    (ink, said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::call::words::Language;

    #[test]
    fn a_call_is_one_line_that_a_person_can_read() {
        let text = table(&[sample::transferred()], &Paper::plain(Language::En));
        assert_eq!(
            text,
            "Started              From          To           Answered by  Result                 Waited  \
             Talked      Id\n\
             2026-11-22 23:38:43  +79190000000  73512020318  102          ANSWERED, transferred  6 s     \
             2 min 31 s  01a205a0-53b8-8000-9d82"
        );
        let text = table(&[sample::transferred()], &Paper::plain(Language::Ru));
        assert_eq!(
            text,
            "Начало               Откуда        Куда         Кто ответил  Итог                  Ожидание  \
             Разговор    Id\n\
             2026-11-22 23:38:43  +79190000000  73512020318  102          Отвечен, с переводом  6 с       \
             2 мин 31 с  01a205a0-53b8-8000-9d82"
        );
    }

    #[test]
    fn a_call_that_was_played_does_not_pass_for_a_real_one() {
        let played = Call { pbx: SIMULATED.to_owned(), ..sample::transferred() };
        assert!(table(&[played], &Paper::plain(Language::En)).ends_with("  simulate"));
    }

    #[test]
    fn where_there_is_no_call_the_next_step_is_said() {
        let paper = Paper::plain(Language::Ru);
        let mut asked = Asked::default();
        assert!(nothing(0, &paper, &asked).contains("calljournal check"));
        asked.said = vec!["--missed".to_owned()];
        let said = nothing(21, &paper, &asked);
        assert!(said.contains("21 звонок,") && said.contains("условия --missed не"), "{said}");
        assert!(nothing(22, &paper, &asked).contains("22 звонка,"));
        assert!(nothing(11, &Paper::plain(Language::En), &asked).starts_with("None of the 11 calls"));
    }
}
