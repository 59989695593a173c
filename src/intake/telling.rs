//! What is told outside of a call that was settled: its end once, what was told otherwise than it is, and under which
//! id it goes from now on.
//!
//! Every notice is created in the transaction of its cause, and its id follows from the call: the same notice cannot be
//! created twice.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Subscription;
use super::settle::Terms;
use crate::call::{Call, CallId, SIMULATED};
use crate::event::Event;
use crate::store::calls::Record;
use crate::store::outbox::{self, Notice};
use crate::store::{Db, StoreError};

/// For how long a call is news after it was last heard of live.
const NEWS: SignedDuration = SignedDuration::from_hours(24);

const ENDED: &str = "call.ended";
const CORRECTED: &str = "call.corrected";
const MERGED: &str = "call.merged";

/// A notice that was created, for the log.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: &'static str,
    pub call: CallId,
    pub pbx: String,
    pub linkedid: String,
}

/// Whether a call is nobody's news: one that was played, unless it says that it is to be told like a real one; and
/// history, which Asterisk's records alone tell, or tell of anew when a day has passed.
pub(super) fn is_no_news(call: &Call, events: &[Event], now: Timestamp) -> bool {
    let played = || call.pbx == SIMULATED && events.iter().all(|event| event.fact("notify") != Some("1"));
    let live = || events.iter().filter(|event| !event.is_record()).map(|event| event.received).max();
    let past = || live().is_none_or(|at| now.duration_since(at) > NEWS);
    (events.iter().any(Event::is_record) && past()) || played()
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
    tell(db, id, kind, call, record.doc(), terms)
}

/// The end of a call that was told as part of another one is its own again.
pub(super) fn release_end(db: &mut Db, pbx: &str, name: &str, events: &[Event]) -> Result<(), StoreError> {
    outbox::disclaim_end(db, pbx, &linkedids(events), CallId::of(pbx, name).notice(ENDED, 0))
}

fn linkedids(events: &[Event]) -> BTreeSet<&str> {
    events.iter().flat_map(|e| [Some(e.linkedid.as_str()), e.root.as_deref()]).flatten().collect()
}

/// Tells that an id which was told outside is now another name of `into`.
pub(super) fn tell_merged(
    db: &mut Db,
    from: &str,
    into: &Call,
    terms: &Terms<'_>,
) -> Result<Option<Told>, StoreError> {
    let old: CallId =
        from.parse().map_err(|_| StoreError::corrupt(format!("{from:?} is no id of a call")))?;
    let data = json!({ "from": from, "into": into.id }).to_string();
    tell(db, old.notice(MERGED, 0), MERGED, into, &data, terms)
}

/// `data` is JSON.
fn tell(
    db: &mut Db,
    id: Uuid,
    kind: &'static str,
    call: &Call,
    data: &str,
    terms: &Terms<'_>,
) -> Result<Option<Told>, StoreError> {
    if terms.quiet {
        return Ok(None);
    }
    // Corrections and merges speak of what was told at the end: who wants that wants them too.
    let wants = |s: &&Subscription| {
        s.kinds.iter().any(|k| k == kind || (k == ENDED && [CORRECTED, MERGED].contains(&kind)))
    };
    let endpoints: Vec<&str> =
        terms.policy.subscriptions.iter().filter(wants).map(|s| s.endpoint.as_str()).collect();
    let (quoted, now) = (json!(kind), json!(terms.now));
    let body = format!(r#"{{"type":{quoted},"timestamp":{now},"data":{data}}}"#);
    let notice = Notice { id, call: call.id.to_string(), kind, created: terms.now, body };
    let told = Told { kind, call: call.id, pbx: call.pbx.clone(), linkedid: call.linkedid.clone() };
    Ok(outbox::create(db, &notice, &endpoints)?.then_some(told))
}

fn fingerprint(doc: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(doc).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
