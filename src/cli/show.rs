//! `calljournal show`: one call, as its story, its legs and, where asked for, its events.

use anyhow::{Context, bail};
use comfy_table::Cell;
use jiff::Timestamp;
use serde_json::json;

use super::calls;
use super::paper::{Ink, Paper};
use crate::call::story::{self, Line};
use crate::call::why::why;
use crate::call::{Call, Direction, Leg, Numbering, Outcome, Party, Role, Side, cause, note};
use crate::event::Event;
use crate::store::Store;
use crate::store::query::{StoredCall, StoredEvent};

/// Most events that are named under a line of the story.
const MOST_REASONS: usize = 20;

/// As much of an id as says when the call was; less is taken for something else.
const SHORTEST: usize = 6;

/// How a call is to be shown.
pub struct Page {
    /// What it is written on.
    pub paper: Paper,
    /// Whether to show each event.
    pub events: bool,
    /// Whether to show which events make each line of the story, and whose numbers and lines they were settled by.
    pub why: Option<Numbering>,
    /// Whether to write JSON.
    pub json: bool,
}

/// The call that `name` leads to: its id or the beginning of it, a name that others know it by, or `last`.
pub async fn show(store: &Store, name: &str, page: &Page) -> anyhow::Result<String> {
    let found = find(store, name, &page.paper).await?;
    let asked = page.events || page.why.is_some();
    let events = if asked { store.events(&found.call.id.to_string()).await? } else { Vec::new() };
    let story = told(&found.call, &events, page);
    let events = page.events.then_some(events.as_slice());
    if page.json {
        return Ok(serde_json::to_string_pretty(&document(&found, &story, events))?);
    }
    Ok(written(&found, &story, events, &page.paper))
}

/// A line of the story, and the events that make it, where that is asked for.
struct Told<'e> {
    line: Line,
    made_by: Option<Vec<&'e StoredEvent>>,
}

fn told<'e>(call: &Call, events: &'e [StoredEvent], page: &Page) -> Vec<Told<'e>> {
    let words = &page.paper.words;
    let lines = story::tell_in(call, words);
    let Some(numbering) = &page.why else {
        return lines.into_iter().map(|line| Told { line, made_by: None }).collect();
    };
    let bare: Vec<Event> = events.iter().map(|stored| stored.event.clone()).collect();
    let places = why(&lines, &bare, numbering, words);
    let made_by = |places: Vec<usize>| Some(places.into_iter().map(|n| &events[n]).collect());
    lines.into_iter().zip(places).map(|(line, places)| Told { line, made_by: made_by(places) }).collect()
}

async fn find(store: &Store, name: &str, paper: &Paper) -> anyhow::Result<StoredCall> {
    let whole = async |id: &str| store.call(id).await?.with_context(|| paper.with("call-gone", "id", id));
    if name == "last" {
        let last = store.calls(1).await?.pop().with_context(|| paper.word("no-call"))?;
        return whole(&last.id.to_string()).await;
    }
    if let Some(found) = store.call(name).await? {
        return Ok(found);
    }
    let short = name.len() >= SHORTEST && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let ids = if short { store.ids_from(&name.to_ascii_lowercase(), 2).await? } else { Vec::new() };
    match ids.as_slice() {
        [id] => whole(id).await,
        [] => bail!(paper.with("no-such-call", "name", &format!("{name:?}"))),
        _ => bail!(paper.with("more-than-one-call", "name", name)),
    }
}

/// For programs: what an event did is told as it is stored, in English.
fn document(found: &StoredCall, story: &[Told<'_>], events: Option<&[StoredEvent]>) -> serde_json::Value {
    let line = |Told { line, made_by }: &Told<'_>| match made_by {
        None => json!(line),
        Some(events) => {
            let tokens: Vec<&str> = events.iter().map(|stored| stored.event.token.as_str()).collect();
            json!({ "at": line.at, "text": line.text, "events": tokens })
        }
    };
    let mut document = json!({
        "call": found.call,
        "story": story.iter().map(line).collect::<Vec<_>>(),
        "cdr": found.cdr,
    });
    if let Some(events) = events {
        let noted = |stored: &StoredEvent| json!({ "event": stored.event, "note": stored.note });
        document["events"] = events.iter().map(noted).collect();
    }
    document
}

/// For people, on one page.
fn written(found: &StoredCall, story: &[Told<'_>], events: Option<&[StoredEvent]>, paper: &Paper) -> String {
    let call = &found.call;
    let mut parts = vec![head(call, paper), lines(story, paper), legs(&call.legs, paper)];
    parts.extend(
        found
            .set_aside
            .as_ref()
            .map(|reason| paper.ink(Ink::Red, &paper.with("set-aside", "reason", reason))),
    );
    parts.extend(events.map(|events| journal(events, paper)));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// Who called whom, and what came of it.
fn head(call: &Call, paper: &Paper) -> String {
    let to = call.destination.clone().unwrap_or_else(|| paper.word("unknown"));
    let title = format!("{} → {to}", party(&call.source, paper));
    let mut facts = vec![paper.word(direction(call.direction)), paper.date(call.started_at)];
    facts.extend(call.trunk.as_ref().map(|trunk| paper.with("on-trunk", "trunk", trunk)));
    facts.extend(call.org.as_ref().map(|org| paper.with("for-org", "org", org)));

    let (ink, result) = calls::result(call, paper);
    let mut outcome = vec![paper.ink(ink, &result)];
    outcome.extend(call.answered_by.as_ref().map(|by| paper.with("answered-by", "who", &party(by, paper))));
    outcome.extend(call.wait_ms.map(|ms| paper.with("waited", "time", &paper.words.duration(ms))));
    if call.talk_ms > 0 {
        outcome.push(paper.with("talked", "time", &paper.words.duration(call.talk_ms)));
    }
    outcome.extend(call.hung_up_by.map(|side| paper.word(ended_by(side))));
    if !call.end_time_known {
        outcome.push(paper.word("end-unknown"));
    }
    let mut names = vec![format!("id {}", call.id), format!("linkedid {}", call.linkedid)];
    names.push(format!("pbx {}", call.pbx));
    names.extend(call.key.as_ref().map(|key| format!("key {key}")));
    format!(
        "{}\n{}\n{}\n{}",
        paper.ink(Ink::Bold, &title),
        facts.join(" · "),
        outcome.join(" · "),
        paper.ink(Ink::Dim, &names.join(" · "))
    )
}

fn lines(story: &[Told<'_>], paper: &Paper) -> String {
    let mut lines = Vec::new();
    for Told { line, made_by } in story {
        lines.push(format!("  {}  {}", paper.ink(Ink::Dim, &paper.time(line.at)), line.text));
        let Some(events) = made_by else { continue };
        let mut reasons: Vec<String> =
            events.iter().take(MOST_REASONS).map(|stored| reason(stored, paper)).collect();
        if events.is_empty() {
            reasons.push(paper.word("made-by-silence"));
        }
        if events.len() > MOST_REASONS {
            let more = [("count", (events.len() - MOST_REASONS).into())];
            reasons.push(paper.words.say("made-by-more", &more));
        }
        lines.extend(reasons.iter().map(|reason| paper.ink(Ink::Dim, &format!("              {reason}"))));
    }
    lines.join("\n")
}

/// One event in a line.
fn reason(StoredEvent { event, note, .. }: &StoredEvent, paper: &Paper) -> String {
    format!(
        "{}  {} {} ({}): {}",
        paper.exact(event.at),
        event.kind,
        event.channel,
        event.feed,
        did(note.as_deref(), paper)
    )
}

fn did(note: Option<&str>, paper: &Paper) -> String {
    note.map_or_else(|| paper.word("event-unsettled"), |note| note::tell_in(note, &paper.words))
}

fn legs(legs: &[Leg], paper: &Paper) -> String {
    if legs.is_empty() {
        return String::new();
    }
    let rows = legs.iter().map(|leg| {
        let time = |at: Option<Timestamp>| at.map(|at| paper.time(at)).unwrap_or_default();
        vec![
            party(&leg.party, paper),
            match (leg.role, &leg.group) {
                (Role::Caller, _) => paper.word("part-caller"),
                (Role::Called, None) => paper.word("part-called"),
                (Role::Called, Some(group)) => paper.with("part-called-group", "group", group),
            },
            paper.word(outcome(leg.outcome)),
            time(Some(leg.started_at)),
            time(leg.answered_at),
            time(leg.ended_at),
            paper.duration(leg.ring_ms),
            paper.duration(Some(leg.talk_ms).filter(|ms| *ms > 0)),
            leg.cause.map(|cause| cause::tell(cause, &paper.words)).unwrap_or_default(),
            leg.channel.clone(),
        ]
        .into_iter()
        .map(Cell::new)
        .collect()
    });
    let heads = [
        "head-who",
        "head-part",
        "head-outcome",
        "head-began",
        "head-answered",
        "head-ended",
        "head-rang",
        "head-talked",
        "head-cause",
        "head-channel",
    ];
    paper.table(&heads, rows)
}

/// Each event with what it did, so that noise is visible as noise.
fn journal(events: &[StoredEvent], paper: &Paper) -> String {
    let rows = events.iter().map(|StoredEvent { event, note, .. }| {
        vec![
            paper.exact(event.at),
            event.kind.to_string(),
            event.channel.clone(),
            event.uid.clone(),
            event.seq.map(|seq| seq.to_string()).unwrap_or_default(),
            event.feed.to_string(),
            did(note.as_deref(), paper),
        ]
        .into_iter()
        .map(Cell::new)
        .collect()
    });
    let heads =
        ["head-time", "head-event", "head-channel", "head-uniqueid", "head-seq", "head-feed", "head-did"];
    let idle = events.iter().filter_map(|stored| stored.note.as_deref()).filter(|note| note::is_idle(note));
    let counts = [("count", events.len().into()), ("idle", idle.count().into())];
    format!("{}\n\n{}", paper.table(&heads, rows), paper.words.say("events-idle", &counts))
}

/// Number and name, as far as they are known.
fn party(party: &Party, paper: &Paper) -> String {
    match (&party.number, &party.name) {
        (Some(number), Some(name)) if name != number => format!("{number} {name}"),
        (Some(one), _) | (None, Some(one)) => one.clone(),
        (None, None) => paper.word("unknown"),
    }
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "direction-inbound",
        Direction::Outbound => "direction-outbound",
        Direction::Internal => "direction-internal",
        Direction::Unknown => "direction-unknown",
    }
}

fn ended_by(side: Side) -> &'static str {
    match side {
        Side::Caller => "ended-by-caller",
        Side::Called => "ended-by-called",
        Side::Pbx => "ended-by-pbx",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Open => "outcome-open",
        Outcome::Answered => "outcome-answered",
        Outcome::NoAnswer => "outcome-no-answer",
        Outcome::Elsewhere => "outcome-elsewhere",
        Outcome::Busy => "outcome-busy",
        Outcome::Rejected => "outcome-rejected",
        Outcome::Cancelled => "outcome-cancelled",
        Outcome::Unreachable => "outcome-unreachable",
        Outcome::Forwarded => "outcome-forwarded",
        Outcome::Unanswered => "outcome-unanswered",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::call::words::Language;

    fn found() -> StoredCall {
        let call = sample::transferred();
        StoredCall { call, cdr: Vec::new(), told: true, corrections: 0, set_aside: None }
    }

    fn page_of(events: Option<&[StoredEvent]>, language: Language) -> String {
        let page = Page { paper: Paper::plain(language), events: events.is_some(), why: None, json: false };
        written(&found(), &told(&found().call, &[], &page), events, &page.paper)
    }

    #[test]
    fn a_page_begins_with_who_called_whom_and_what_came_of_it() {
        let page = page_of(None, Language::En);
        let head: Vec<&str> = page.lines().take(3).collect();
        assert_eq!(
            head,
            [
                "+79190000000 Ivan → 73512020318",
                "inbound · 2026-11-22 23:38:43 · on 73512020318",
                "ANSWERED, transferred · answered by 102 · waited 6 s · talked 2 min 31 s · ended by the caller",
            ]
        );
        assert!(page.contains("called, sales"), "{page}");
        let page = page_of(None, Language::Ru);
        let head: Vec<&str> = page.lines().take(3).collect();
        assert_eq!(
            head,
            [
                "+79190000000 Ivan → 73512020318",
                "входящий · 2026-11-22 23:38:43 · линия 73512020318",
                "Отвечен, с переводом · ответ: 102 · ожидание 6 с · разговор 2 мин 31 с · завершён звонящим",
            ]
        );
    }

    #[test]
    fn an_event_is_shown_with_what_it_did() {
        let stored =
            |note: Option<&str>| StoredEvent { id: 1, event: sample::event(), note: note.map(str::to_owned) };
        let events = [stored(Some("leg 102 answered; call talking")), stored(None)];
        let page = page_of(Some(&events), Language::En);
        assert!(page.contains("leg 102 answered; call talking"), "{page}");
        assert!(page.contains("not settled yet"), "{page}");
        assert!(page.ends_with("2 events, of which 0 changed nothing"), "{page}");
        let page = page_of(Some(&events), Language::Ru);
        assert!(page.contains("  102 отвечает, идёт разговор"), "{page}");
        assert!(page.contains("ещё не разобрано"), "{page}");
    }

    #[test]
    fn a_line_that_follows_from_silence_says_so() {
        let mut call = found().call;
        call.end_time_known = false;
        let paper = Paper::plain(Language::En);
        let page = Page { paper, events: false, why: Some(Numbering::default()), json: false };
        let page = lines(&told(&call, &[], &page), &page.paper);
        assert!(page.ends_with("follows from no event, but from silence"), "{page}");
    }

    #[test]
    fn events_are_in_the_document_only_where_they_are_asked_for() {
        let document = document(&found(), &[], None);
        assert_eq!(document.as_object().unwrap().keys().collect::<Vec<_>>(), ["call", "story", "cdr"]);
    }
}
