//! What Asterisk's own records tell, put under what was told while the call went on.
//!
//! Three rules. A call that was told to its end is told: its records change nothing, and where they say otherwise the
//! row's note says so. A call whose telling broke off is told to its end by them. A call that nobody told is made of
//! them: of the channel event log (CEL) where there is one, which tells nearly what the dialplan would, else of the
//! CDR's rows.
//!
//! What the CDR's rows do not say: a row names two channels and the uniqueid of the first alone; its `answer` is when
//! the pbx took the call, which may be long before a person did; after a transfer `dst` is the last number in all
//! rows; and the second call of an attended transfer by key has a linkedid of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::fold::{Entry, Part, Parts, endpoint, fill, is_number, is_plumbing};
use super::order::Placed;
use super::talks::Move;
use super::{How, Landing, Outcome, Party, Remark, Role, Transfer};
use crate::event::{Event, Feed, Kind};

/// The CDR tells whole seconds, and is written a little late: no more is a difference.
const SAME_END: SignedDuration = SignedDuration::from_secs(3);

/// How long before a row's end the next one of its channel may begin.
const OVERLAP: SignedDuration = SignedDuration::from_secs(1);

/// Events by who told them: Asterisk's records, hearsay, and what was told.
pub(super) fn parted<'e>(all: Vec<Placed<'e>>) -> (Vec<Placed<'e>>, Vec<Placed<'e>>, Vec<Placed<'e>>) {
    let (records, live): (Vec<_>, Vec<_>) = all.into_iter().partition(|placed| placed.event.is_record());
    let (heard, told) = live.into_iter().partition(|placed| placed.event.is_hearsay());
    (records, heard, told)
}

/// When the last was heard of the call while it went on. Records come when it is over: nobody waits for more of them.
pub(super) fn last_live(events: &[Event]) -> Timestamp {
    let live = events.iter().filter(|event| !event.is_record());
    live.map(|event| event.received).max().unwrap_or(Timestamp::MIN)
}

/// Puts `records` under what `parts` know, and writes into `notes` what each did.
pub(super) fn fill_in(parts: &mut Parts, records: &[Placed<'_>], notes: &mut [String]) {
    if records.is_empty() {
        return;
    }
    let (cel, cdr): (Vec<_>, Vec<_>) = records.iter().copied().partition(|p| p.event.feed == Feed::Cel);
    let rows = Row::all(&cdr);
    let unheard = parts.list.is_empty();
    for placed in records {
        parts.belongs(placed.event);
    }
    if unheard && !cel.is_empty() {
        for placed in &cel {
            notes[placed.index] = replay(parts, placed);
        }
    } else if unheard {
        made_of(parts, &rows);
        rows.iter().for_each(|row| notes[row.index] = row.tells());
        return;
    } else {
        complete(parts, &cel, &rows, notes);
        return;
    }
    rows.iter().for_each(|row| notes[row.index] = compared(parts, &rows, row));
}

/// A row of the CDR.
struct Row<'e> {
    index: usize,
    event: &'e Event,
    start: Timestamp,
    answer: Option<Timestamp>,
    end: Timestamp,
    called: Option<&'e str>,
}

impl<'e> Row<'e> {
    /// In the order of time, whatever order they came in.
    fn all(cdr: &[Placed<'e>]) -> Vec<Row<'e>> {
        let mut rows: Vec<Row<'e>> = cdr.iter().map(Row::of).collect();
        let sequence = |row: &Row<'e>| row.event.fact("sequence").and_then(|n| n.parse::<u64>().ok());
        rows.sort_by_key(|row| (row.start, sequence(row), row.event.token.clone()));
        rows
    }

    fn of(placed: &Placed<'e>) -> Row<'e> {
        let event = placed.event;
        let time = |name: &str| Timestamp::from_microsecond(event.fact(name)?.parse().ok()?).ok();
        let end = time("end").unwrap_or(event.at).max(event.at);
        Row {
            index: placed.index,
            event,
            start: event.at,
            answer: time("answer").map(|at| at.clamp(event.at, end)),
            end,
            called: event.fact("dstchannel"),
        }
    }

    fn by(&self) -> &'e str {
        &self.event.channel
    }

    /// Two people who talked: neither channel is half of a Local channel.
    fn talk(&self) -> Option<(&'e str, Timestamp)> {
        self.called.filter(|called| !is_plumbing(called) && !is_plumbing(self.by())).zip(self.answer)
    }

    fn app(&self) -> (Option<&'e str>, Option<&'e str>) {
        (self.event.fact("lastapp"), self.event.fact("lastdata"))
    }

    /// Who called, as the row has it.
    fn party(&self) -> Party {
        let name = self.event.fact("name").map(Into::into).or_else(|| name_in(self.event.fact("clid")?));
        let number = self.event.fact("src").or(self.event.fact("num")).filter(|number| *number != "unknown");
        let number = number.or(endpoint(self.by()).filter(|own| is_number(own)));
        Party { number: number.map(Into::into), name }
    }

    /// Whose phone it is that was called: a line has the number that was dialled.
    fn called_number(&self) -> Option<String> {
        let own = self.called.and_then(endpoint).and_then(|own| own.split('@').next());
        let dialled = self.event.fact("dst").filter(|dst| is_number(dst));
        own.filter(|own| is_number(own)).or(dialled).or(own).map(Into::into)
    }

    fn tells(&self) -> String {
        let who = self.party().number.unwrap_or_else(|| "a channel".into());
        match self.called_number().filter(|_| self.called.is_some()) {
            Some(whom) => format!("Asterisk's own record tells of {who} and {whom}"),
            None => format!("Asterisk's own record tells of {who}"),
        }
    }
}

/// The name in `"Ivan" <79193393655>`.
fn name_in(clid: &str) -> Option<String> {
    let (name, _) = clid.rsplit_once('<')?;
    let name = name.trim().trim_matches('"').trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A row of CEL, taken as if the dialplan had told it.
fn replay(parts: &mut Parts, placed: &Placed<'_>) -> String {
    let event = placed.event;
    if event.kind != Kind::Note || event.fact("step").is_some() {
        return parts.take(*placed);
    }
    let part = parts.part(event, placed.at);
    fill(&mut part.farewell.connected, event.fact("attendedtransfer"));
    format!("no change: channel of {} is known", part.who())
}

/// A call of which nothing is known but rows of the CDR.
fn made_of(parts: &mut Parts, rows: &[Row<'_>]) {
    let called: HashSet<&str> = rows.iter().filter_map(|row| row.called).collect();
    for row in rows {
        let is_called = called.contains(row.by());
        let first = parts.part(row.event, row.start).entries.is_empty();
        let part = parts.part(row.event, row.start);
        part.role.get_or_insert(if is_called { Role::Called } else { Role::Caller });
        part.end_heard = true;
        part.ended = part.ended.max(Some(row.end));
        if is_called {
            fill(&mut part.party.number, endpoint(row.by()).filter(|own| is_number(own)));
        } else {
            let Party { number, name } = row.party();
            fill(&mut part.party.number, number.as_deref());
            fill(&mut part.party.name, name.as_deref());
            if first {
                let text = |name: &str| row.event.fact(name).map(Into::into);
                let (exten, context) = (text("did").or(text("dst")), text("ctx"));
                part.entries.push(Entry { at: row.start, exten, context, transferred: false });
            }
        }
        step(part, row);
        if row.called.is_none() {
            let word = row.event.fact("disposition").and_then(dialstatus);
            fill(&mut part.farewell.dialstatus, word);
        }
        recording(parts, row);
    }
    phones(parts, rows, true);
    transfers(parts, rows);
    pin(parts, rows);
    let all: Vec<String> = parts.list.iter().map(|part| part.uniqueid.clone()).collect();
    all.iter().for_each(|uniqueid| parts.hook(uniqueid));
}

/// The application that the row ended in, once for all rows that name it.
fn step(part: &mut Part, row: &Row<'_>) {
    if row.event.fact("step").is_none() {
        return;
    }
    let mut event = row.event.clone();
    if let Some(name) = event.facts.remove("stepname") {
        event.facts.insert("name".to_owned(), name);
    }
    part.says(&event, row.start);
}

fn recording(parts: &mut Parts, row: &Row<'_>) {
    if let Some(file) = row.event.fact("file")
        && !parts.remarks.iter().any(|remark| remark.recording && remark.text == file)
    {
        parts.remarks.push(Remark { at: row.start, text: file.to_owned(), recording: true });
    }
}

/// The channels that were called. Where `all`, those too that are known under a uniqueid of their own.
fn phones(parts: &mut Parts, rows: &[Row<'_>], all: bool) {
    let own: HashMap<&str, &str> = rows.iter().map(|row| (row.by(), row.event.uid.as_str())).collect();
    let mut told: BTreeMap<&str, Vec<&Row<'_>>> = BTreeMap::new();
    for row in rows {
        if let Some(called) = row.called {
            told.entry(called).or_default().push(row);
        }
    }
    for (channel, told) in told {
        let Some(first) = told.first() else { continue };
        let known = parts.list.iter().position(|part| part.channel == channel);
        if known.is_some() && !all {
            continue;
        }
        let place = known.unwrap_or_else(|| {
            let uniqueid = own
                .get(channel)
                .map_or_else(|| format!("{}>{channel}", first.event.uid), |uid| (*uid).to_owned());
            parts.add(Part::made_up(uniqueid, first.start));
            parts.list.len() - 1
        });
        let Some(part) = parts.list.get_mut(place) else { continue };
        part.channel = channel.to_owned();
        part.linkedid.clone_from(&first.event.linkedid);
        part.role = Some(Role::Called);
        part.started = part.started.min(first.start);
        part.rang = Some(first.start);
        part.end_heard = true;
        fill(&mut part.party.number, first.called_number().filter(|_| !is_plumbing(channel)).as_deref());
        // Whom it talked with is in a row of that one's own, where there is one; behind a Local channel there is none.
        let answered = || told.iter().filter(|row| row.answer.is_some());
        let by = answered().find(|row| row.talk().is_some()).or_else(|| answered().next());
        part.caller = Some(by.unwrap_or(first).event.uid.clone());
        part.answered = by.and_then(|row| row.answer);
        part.ended = part.ended.max(told.iter().map(|row| row.end).max());
        if by.is_none() {
            part.outcome = told.last().and_then(|row| outcome(row.event.fact("disposition")?));
        }
    }
}

fn outcome(word: &str) -> Option<Outcome> {
    match word {
        "BUSY" => Some(Outcome::Busy),
        "FAILED" | "CONGESTION" => Some(Outcome::Unreachable),
        _ => None,
    }
}

fn dialstatus(word: &str) -> Option<&'static str> {
    match word {
        "BUSY" => Some("BUSY"),
        "CONGESTION" => Some("CONGESTION"),
        "FAILED" => Some("CHANUNAVAIL"),
        _ => None,
    }
}

/// Who talked with one and then with another was transferred by the first: to a number that was dialled for it, or
/// else to somebody who had been called before.
fn transfers(parts: &mut Parts, rows: &[Row<'_>]) {
    let mut talks: Vec<(&Row<'_>, &str)> = rows.iter().filter_map(|row| Some((row, row.talk()?.0))).collect();
    talks.sort_by_key(|(row, _)| (row.answer, row.start));
    for (n, (row, called)) in talks.iter().enumerate() {
        let moved = row.by();
        let other = |row: &Row<'_>, called: &str| (called == moved).then(|| row.by().to_owned());
        let before = talks.iter().take(n).rev().find_map(|(earlier, with)| {
            let with = if earlier.by() == moved { Some((*with).to_owned()) } else { other(earlier, with) };
            with.filter(|with| with != called).map(|with| (earlier, with))
        });
        let Some((earlier, by)) = before else { continue };
        if row.start < earlier.end.saturating_sub(OVERLAP).unwrap_or(earlier.end) {
            continue;
        }
        let dialled = matches!(row.app().0, Some("Dial" | "Queue")) && row.app() != earlier.app();
        let how = if dialled { How::Blind } else { How::Attended };
        let by_whom = parts.list.iter().find(|part| part.channel == by).map(|part| part.party.clone());
        let to = row.called_number();
        let at = row.start.max(earlier.end);
        let transfer = Transfer {
            at,
            how,
            by: by_whom.unwrap_or_default(),
            to: to.clone(),
            spoken: how == How::Attended,
            outcome: Landing::Open,
        };
        let channel = Some(row.event.uid.clone());
        parts.moves.push(Move { transfer, channel, by: Some(by), given_up: None });
        let context = row.event.fact("ctx").map(Into::into);
        let entry = Entry { at, exten: to, context, transferred: true };
        parts.part(row.event, row.start).entries.push(entry);
        if let Some(target) = parts.list.iter_mut().find(|part| part.channel == *called) {
            target.answered = target.answered.map(|answered| answered.max(at));
        }
    }
}

/// The first row decides, as the first event does.
fn pin(parts: &mut Parts, rows: &[Row<'_>]) {
    let first = parts.first().map(|part| part.uniqueid.clone());
    let is_first = |row: &&Row<'_>| Some(&row.event.uid) == first.as_ref();
    let Some(row) = rows.iter().find(is_first).or(rows.first()) else { return };
    let Party { number, name } = row.party();
    let pinned = &mut parts.pinned;
    pinned.source_channel.get_or_insert_with(|| row.event.uid.clone());
    fill(&mut pinned.source.number, number.as_deref());
    fill(&mut pinned.source.name, name.as_deref());
    fill(&mut pinned.destination, row.event.fact("did").or(row.event.fact("dst")));
    fill(&mut pinned.context, row.event.fact("ctx"));
}

/// What was told live, compared with the records; where the telling broke off, they tell the rest.
fn complete(parts: &mut Parts, cel: &[Placed<'_>], rows: &[Row<'_>], notes: &mut [String]) {
    let broken = !parts.all_ended() || parts.list.iter().any(|part| parts.gone(part).is_some());
    let before: HashSet<String> =
        parts.list.iter().filter(|part| part.ended.is_some()).map(|part| part.uniqueid.clone()).collect();
    if broken {
        if cel.is_empty() {
            phones(parts, rows, false);
        }
        answers(parts, cel, rows);
        ends(parts, cel, rows);
    }
    let fills = |uid: &str| broken && !before.contains(uid);
    for placed in cel {
        let part = parts.by_uniqueid(&placed.event.uid);
        notes[placed.index] = match part {
            Some(part) if placed.event.kind == Kind::Hangup && fills(&part.uniqueid) => filled(part),
            Some(part) => format!("no change: channel of {} is known", part.who()),
            None => "no change: Asterisk's own record agrees".into(),
        };
    }
    for row in rows {
        notes[row.index] = match parts.by_uniqueid(&row.event.uid) {
            Some(part) if fills(&part.uniqueid) => filled(part),
            _ if broken => row.tells(),
            _ => compared(parts, rows, row),
        };
    }
}

/// When a phone was picked up that was heard to ring, and then no more.
fn answers(parts: &mut Parts, cel: &[Placed<'_>], rows: &[Row<'_>]) {
    let silent = |part: &&mut Part| part.ended.is_none() && part.answered.is_none() && !part.is_plumbing();
    for part in parts.list.iter_mut().filter(|part| part.role == Some(Role::Called)).filter(silent) {
        let picked_up =
            |placed: &&Placed<'_>| placed.event.kind == Kind::Answer && placed.event.uid == part.uniqueid;
        let told = cel.iter().find(picked_up).map(|placed| placed.event.at);
        let rows = rows.iter().filter_map(Row::talk).filter(|(called, _)| *called == part.channel);
        let counted = rows.map(|(_, answer)| answer.max(part.rang.unwrap_or(answer))).min();
        part.answered = told.or(counted);
    }
}

fn filled(part: &Part) -> String {
    format!("Asterisk's own record tells the end of {}", part.who())
}

/// The end of each channel that nobody told.
fn ends(parts: &mut Parts, cel: &[Placed<'_>], rows: &[Row<'_>]) {
    let mut known: HashMap<&str, Timestamp> = HashMap::new();
    let mut last = |name, at: Timestamp| {
        known.entry(name).and_modify(|end: &mut Timestamp| *end = at.max(*end)).or_insert(at);
    };
    for placed in cel.iter().filter(|placed| placed.event.kind == Kind::Hangup) {
        last(placed.event.uid.as_str(), placed.event.at);
    }
    for row in rows {
        last(row.event.uid.as_str(), row.end);
        row.called.into_iter().for_each(|channel| last(channel, row.end));
    }
    for part in &mut parts.list {
        let end = known.get(part.uniqueid.as_str()).or_else(|| known.get(part.channel.as_str()));
        if let (None, Some(end)) = (part.ended, end) {
            part.ended = Some((*end).max(part.started).max(part.answered.unwrap_or(*end)));
            part.end_heard = true;
        }
    }
    let ended: Vec<String> =
        parts.list.iter().filter(|part| part.ended.is_some()).map(|part| part.uniqueid.clone()).collect();
    ended
        .iter()
        .filter(|uniqueid| known.contains_key(uniqueid.as_str()))
        .for_each(|uniqueid| parts.hook(uniqueid));
    // One that is known by its channel's name alone was hooked by whoever dialled it.
    let hooked: Vec<&String> = ended.iter().filter(|uniqueid| parts.is_hooked(uniqueid)).collect();
    hooked.into_iter().for_each(|uniqueid| parts.hook(uniqueid));
}

/// Whether a row says otherwise than what is known better.
fn compared(parts: &Parts, rows: &[Row<'_>], row: &Row<'_>) -> String {
    let phone = row.called.and_then(|channel| parts.list.iter().find(|part| part.channel == channel));
    if let Some(phone) = phone.filter(|phone| !phone.is_plumbing()) {
        let others = rows.iter().any(|other| other.called == row.called && other.answer.is_some());
        match (phone.answered.is_some(), row.answer.is_some()) {
            (true, false) if !others => {
                return format!("no change: Asterisk's own record says that {} did not answer", phone.who());
            }
            (false, true) => {
                return format!("no change: Asterisk's own record says that {} answered", phone.who());
            }
            _ => {}
        }
    }
    let last = rows.iter().filter(|other| other.event.uid == row.event.uid).map(|other| other.end).max();
    if let Some((part, end)) = parts.by_uniqueid(&row.event.uid).and_then(|part| Some((part, part.ended?))) {
        let off = row.end.duration_since(end);
        if last == Some(row.end) && off.abs() > SAME_END {
            let (who, seconds) = (part.who(), off.as_secs());
            return format!("no change: Asterisk's own record ends {who} {seconds:+} s off");
        }
    }
    "no change: Asterisk's own record agrees".into()
}
