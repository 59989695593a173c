//! What is told outside of a call that was settled: what happens while it goes on, its end once, what was told otherwise
//! than it is, and under which id it goes from now on.
//!
//! Every notice is created in the transaction of its cause, and its id follows from what it is about: the channel that
//! rings, the moment of a transfer, the call that ends. So the same notice cannot be created twice. Who wants it is
//! judged by [`wanting`](super::wanting).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::settle::Terms;
use super::wanting::{
    ANSWERED, CORRECTED, ENDED, MERGED, RECORDED, RINGING, STARTED, Subscription, TRANSFERRED,
};
use crate::call::identity::notice_about;
use crate::call::story::{Line, TEXTS, tell_in};
use crate::call::words::{Language, Words};
use crate::call::{Call, CallId, Leg, Outcome, Role, SIMULATED, Transfer};
use crate::event::{Event, Feed, Kind};
use crate::store::calls::{self, Record};
use crate::store::outbox::{self, Notice};
use crate::store::{Db, StoreError};

/// For how long a call is news after it was last heard of live.
const NEWS: SignedDuration = SignedDuration::from_hours(24);

/// Two notices of one call are at least this far apart: they are delivered in the order of their times.
const APART: SignedDuration = SignedDuration::from_micros(1);

/// What happened longer ago is no news while a call goes on: a day's spool would have phones ring that rang yesterday.
/// Long enough for a pbx whose clock is some minutes off.
const NEWS_FOR: SignedDuration = SignedDuration::from_mins(10);

/// A notice that was created, for the log.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: &'static str,
    pub call: CallId,
    pub pbx: String,
    pub linkedid: String,
    /// Of an end: when the call began, and who told it.
    pub over: Option<(Timestamp, BTreeSet<Feed>)>,
}

/// Whether a call is nobody's news: one that was played, unless it says that it is to be told like a real one; and
/// history, which Asterisk's records alone tell, or tell of anew when a day has passed.
pub(super) fn is_no_news(call: &Call, events: &[Event], now: Timestamp) -> bool {
    let played = || call.pbx == SIMULATED && events.iter().all(|event| event.fact("notify") != Some("1"));
    let live = || events.iter().filter(|event| !event.is_record()).map(|event| event.received).max();
    let past = || live().is_none_or(|at| now.duration_since(at) > NEWS);
    (events.iter().any(Event::is_record) && past()) || played()
}

/// One thing that there is to tell.
struct News<'a> {
    id: Uuid,
    kind: &'static str,
    call: &'a Call,
    /// What it is about beside the call: a leg, a transfer, a recording.
    about: Option<Value>,
}

/// Tells what has happened to a call that goes on: each thing once, and nothing once its end was told.
pub(super) fn tell_on_the_way(
    db: &mut Db,
    call: &Call,
    record: &Record,
    terms: &Terms<'_>,
) -> Result<Vec<Told>, StoreError> {
    let impatient = terms.subscriptions.iter().any(Subscription::is_impatient);
    if !impatient || terms.quiet || record.told_print.is_some() {
        return Ok(Vec::new());
    }
    let told = outbox::ids_of(db, record.id())?;
    let mut all = Vec::new();
    let since = terms.now.saturating_sub(NEWS_FOR).unwrap_or(terms.now);
    let mut news = news_of(call, since);
    news.retain(|news| !told.contains(&news.id.to_string()));
    if news.iter().any(|news| news.kind == TRANSFERRED) {
        let refined = refined(db, call)?;
        news.retain(|news| !refined.contains(&news.id));
    }
    for news in news {
        // Nothing is written down for nobody: a call has many phones that ring.
        let to = endpoints(terms, |s| s.wants(news.kind, call));
        if !to.is_empty() {
            all.extend(tell(db, &news, record.doc(), &to, terms)?);
        }
    }
    Ok(all)
}

/// All that there is to tell of a call while it goes on and that happened after `since`, in order of time.
fn news_of(call: &Call, since: Timestamp) -> Vec<News<'_>> {
    let about = |what: &str, value: Value| Some(json!({ what: value }));
    let mut news =
        vec![(call.started_at, News { id: call.id.notice(STARTED, 0), kind: STARTED, call, about: None })];
    for leg in call.legs.iter().filter(|leg| leg.role == Role::Called) {
        let mut add = |kind, at| {
            let id = notice_about(kind, &call.pbx, &name(leg));
            news.push((at, News { id, kind, call, about: about("leg", json!(leg)) }));
        };
        if rings_first(call, leg) {
            add(RINGING, leg.started_at);
        }
        if let Some(at) = leg.answered_at {
            add(ANSWERED, at);
        }
    }
    for transfer in &call.transfers {
        let id = id_of_transfer(call, transfer);
        let about = about("transfer", json!(transfer));
        news.push((transfer.at, News { id, kind: TRANSFERRED, call, about }));
    }
    for remark in call.remarks.iter().filter(|remark| remark.recording) {
        let id =
            notice_about(RECORDED, &call.pbx, &format!("{} {}", remark.at.as_microsecond(), remark.text));
        news.push((remark.at, News { id, kind: RECORDED, call, about: about("recording", json!(remark)) }));
    }
    news.retain(|(at, _)| *at >= since);
    news.sort_by_key(|(at, _)| *at);
    news.into_iter().map(|(_, news)| news).collect()
}

fn id_of_transfer(call: &Call, transfer: &Transfer) -> Uuid {
    notice_about(TRANSFERRED, &call.pbx, &transfer.at.as_microsecond().to_string())
}

/// The notices of transfers that were told already, by another time. The channels of an attended transfer tell of it one
/// after another: whom it leads to, and when it was made, is known with the last of them.
fn refined(db: &mut Db, call: &Call) -> Result<Vec<Uuid>, StoreError> {
    let bodies = outbox::bodies_of(db, &call.id.to_string(), TRANSFERRED)?;
    let told = bodies.iter().filter_map(|body| {
        let body: Value = serde_json::from_str(body).ok()?;
        serde_json::from_value::<Transfer>(body["about"]["transfer"].clone()).ok()
    });
    let told: Vec<Transfer> = told.collect();
    let mut gone: Vec<&Transfer> =
        told.iter().filter(|told| call.transfers.iter().all(|now| now.at != told.at)).collect();
    let new = call.transfers.iter().filter(|now| told.iter().all(|told| told.at != now.at));
    let mut refined = Vec::new();
    for now in new {
        let is_same =
            |told: &&Transfer| told.by.number == now.by.number && (told.to.is_none() || told.to == now.to);
        if let Some(place) = gone.iter().position(is_same) {
            gone.remove(place);
            refined.push(id_of_transfer(call, now));
        }
    }
    Ok(refined)
}

/// What names a leg on its pbx. The number behind the `>` of a phone that told nothing itself counts phones, and changes
/// with what else is told.
fn name(leg: &Leg) -> String {
    match leg.uniqueid.split_once('>') {
        None => leg.uniqueid.clone(),
        Some((dialler, _)) => {
            let number = leg.party.number.as_deref().unwrap_or_default();
            format!("{dialler}>{number}@{}", leg.started_at.as_microsecond())
        }
    }
}

/// Whether a phone rings now, and for the first time in this call: a queue may ring it for an hour.
fn rings_first(call: &Call, leg: &Leg) -> bool {
    let same = |other: &&Leg| other.role == Role::Called && other.party.number == leg.party.number;
    let first = call.legs.iter().filter(same).min_by_key(|leg| (leg.started_at, &leg.uniqueid));
    leg.outcome == Outcome::Open
        && leg.answered_at.is_none()
        && first.is_none_or(|first| first.uniqueid == leg.uniqueid)
}

/// Tells the end of a call: once as ended, and after that only what was told otherwise.
pub(super) fn tell_end(
    db: &mut Db,
    call: &Call,
    record: &mut Record,
    events: &[Event],
    terms: &Terms<'_>,
) -> Result<Option<Told>, StoreError> {
    let print = fingerprint(record.doc());
    if record.told_print.as_ref() == Some(&print) {
        return Ok(None);
    }
    let ended = call.id.notice(ENDED, 0);
    let first = outbox::claim_end(db, &call.pbx, linkedids(events), ended)?;
    let (id, kind) = if first && record.told_print.is_none() {
        (ended, ENDED)
    } else {
        record.corrections += 1;
        (call.id.notice(CORRECTED, record.corrections.cast_unsigned()), CORRECTED)
    };
    record.told_print = Some(print);
    let to = of_end(db, kind, call, terms)?;
    let told = tell(db, &News { id, kind, call, about: None }, record.doc(), &to, terms)?;
    Ok(told.map(|told| match kind {
        ENDED => Told { over: Some((call.started_at, tellers(events))), ..told },
        _ => told,
    }))
}

/// Who told of a call; what a pbx answered when it was asked is told by nobody.
fn tellers(events: &[Event]) -> BTreeSet<Feed> {
    events.iter().filter(|event| event.kind != Kind::Seen).map(|event| event.feed).collect()
}

/// Whom the end of a call, or a correction of it, is told to: those for whom it is a call, and those who know it from
/// before. Who was told of its beginning waits for its end, and who was told otherwise is to know.
fn of_end<'a>(db: &mut Db, kind: &str, call: &Call, terms: &Terms<'a>) -> Result<Vec<&'a str>, StoreError> {
    let may_know =
        |s: &Subscription| s.takes(kind) && !s.wants(kind, call) && (kind == CORRECTED || s.is_impatient());
    let asked = !terms.quiet && terms.subscriptions.iter().any(may_know);
    let know = if asked { outbox::told_to(db, &call.id.to_string())? } else { BTreeSet::new() };
    Ok(endpoints(terms, |s| s.wants(kind, call) || (may_know(s) && know.contains(&s.endpoint))))
}

fn endpoints<'a>(terms: &Terms<'a>, which: impl Fn(&Subscription) -> bool) -> Vec<&'a str> {
    terms.subscriptions.iter().filter(|s| which(s)).map(|s| s.endpoint.as_str()).collect()
}

/// The end of a call that was told as part of another one is its own again.
pub(super) fn release_end(db: &mut Db, pbx: &str, name: &str, events: &[Event]) -> Result<(), StoreError> {
    outbox::disclaim_end(db, pbx, &linkedids(events), CallId::of(pbx, name).notice(ENDED, 0))
}

pub(super) fn linkedids(events: &[Event]) -> BTreeSet<&str> {
    events.iter().flat_map(|e| [Some(e.linkedid.as_str()), e.root.as_deref()]).flatten().collect()
}

/// Makes the call `from` a part of `into`, and tells so where `from` was told of before.
pub(super) fn merge(
    db: &mut Db,
    from: &str,
    ended: bool,
    into: &Call,
    terms: &Terms<'_>,
) -> Result<Option<Told>, StoreError> {
    let knew = outbox::told_to(db, from)?;
    calls::merge(db, from, &into.id.to_string())?;
    // Who never heard of it does not know that id.
    let to = endpoints(terms, |s| s.takes(MERGED) && knew.contains(&s.endpoint));
    if to.is_empty() && !ended {
        return Ok(None);
    }
    let old: CallId =
        from.parse().map_err(|_| StoreError::corrupt(format!("{from:?} is no id of a call")))?;
    let data = json!({ "from": from, "into": into.id }).to_string();
    tell(db, &News { id: old.notice(MERGED, 0), kind: MERGED, call: into, about: None }, &data, &to, terms)
}

/// `data` is JSON.
fn tell(
    db: &mut Db,
    news: &News<'_>,
    data: &str,
    to: &[&str],
    terms: &Terms<'_>,
) -> Result<Option<Told>, StoreError> {
    let News { id, kind, call, .. } = *news;
    if terms.quiet {
        return Ok(None);
    }
    let id_of_call = call.id.to_string();
    // Where only ends are told nothing can have come before one.
    let first = kind == ENDED && !terms.subscriptions.iter().any(Subscription::is_impatient);
    let last = if first { None } else { outbox::latest(db, &id_of_call)? };
    let created = last.map_or(terms.now, |last| terms.now.max(last.saturating_add(APART).unwrap_or(last)));
    let body = body(news, data, created, !to.is_empty());
    let notice = Notice { id, call: id_of_call, kind, created, body };
    let (pbx, linkedid) = (call.pbx.clone(), call.linkedid.clone());
    let told = Told { kind, call: call.id, pbx, linkedid, over: None };
    Ok(outbox::create(db, &notice, to)?.then_some(told))
}

/// What is written down with a notice: all that any format and any language needs of it, where anybody is told.
fn body(news: &News<'_>, data: &str, created: Timestamp, wanted: bool) -> String {
    let about = news.about.as_ref().map(|about| format!(r#","about":{about}"#)).unwrap_or_default();
    let story = if wanted { format!(r#","story":{}"#, story(news.call)) } else { String::new() };
    let (kind, at) = (json!(news.kind), json!(created));
    format!(r#"{{"type":{kind},"timestamp":{at},"data":{data}{about}{story}}}"#)
}

/// The story in every language: who reads it is known when it is sent.
fn story(call: &Call) -> Value {
    thread_local! {
        // To read the texts takes longer than to tell a call.
        static WORDS: [Words; 2] = [Language::En, Language::Ru].map(|language| Words::new(language, &[&TEXTS]));
    }
    let [en, ru]: [Vec<Line>; 2] = WORDS.with(|words| words.each_ref().map(|words| tell_in(call, words)));
    json!({ "en": en, "ru": ru })
}

pub(super) fn fingerprint(doc: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(doc).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
