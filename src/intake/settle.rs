//! Folding the calls that new events touch, and writing what follows in one transaction.
//!
//! A round takes some unsettled events and some calls whose deadline has come, finds out which calls they make
//! up, and settles each of those once. A round is short, so that an accept that waits is not kept waiting. A
//! call that cannot be settled is set aside with its reason and stops no other; its next event tries again.
//!
//! Where nodes share a database, a round first holds the calls that it found and then reads them again: what it
//! folds is all that was committed of them, and no other node settles them meanwhile. Assumed is that the clocks
//! of the nodes differ by far less than the grace time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::recent::{Known, Recent};
use super::{Policy, Subscription};
use crate::call::{Call, CallId, Folded, Leg, SIMULATED, State, Verdict, fold, identity};
use crate::clock::Stopwatch;
use crate::event::Event;
use crate::store::calls::{self, Record};
use crate::store::ledger::{self, Entry};
use crate::store::outbox::{self, Notice};
use crate::store::{Db, StoreError, Writer, hold};

/// Unsettled events that one round takes, and where an accept may come and wait for it: all that waits of their
/// calls is read beside them before the first call is settled.
const EVENTS_A_ROUND: usize = 64;
const EVENTS_A_SHORT_ROUND: usize = 4;

/// Calls, and time spent on them, that a round gives even where an accept waits: less to a commit, and settling
/// would fall far behind on a slow disk.
const CALLS_A_ROUND: usize = 2;
const TIME_A_ROUND: Duration = Duration::from_millis(1);

/// How often a round is tried again that another transaction was in the way of, and how often its locks are
/// looked at.
const TRIES: usize = 4;

/// Calls whose deadline has come that one round takes.
const DEADLINES_A_ROUND: usize = 16;

/// A call with more events is no call: folding it again and again would hold up all others. What comes after is
/// kept in the log and belongs to the call, but tells nothing more.
const MOST_EVENTS_A_CALL: usize = 20_000;

const ENDED: &str = "call.ended";
const CORRECTED: &str = "call.corrected";
const MERGED: &str = "call.merged";

/// What a round is judged by.
pub(super) struct Terms<'a> {
    pub policy: &'a Policy,
    pub recent: &'a Recent,
    pub now: Timestamp,
    /// Whether calls may be told as over.
    pub released: bool,
    /// Whether nobody is to be told.
    pub quiet: bool,
}

/// What a round did.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Events that were settled.
    pub settled: usize,
    /// Whether another round has something to do at once.
    pub more: bool,
    /// When there will be something to do without a new event.
    pub next_due: Option<Timestamp>,
    /// Whether another node held some of the calls: look again soon.
    pub elsewhere: bool,
    /// The notices that were created.
    pub notices: Vec<Told>,
    /// How long it took.
    pub took: Duration,
}

/// A notice that was created, for the log.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: &'static str,
    pub call: CallId,
    pub pbx: String,
    pub linkedid: String,
}

/// Events and calls that are one call.
#[derive(Debug, Clone, Default)]
struct Group {
    pbx: String,
    /// Ids under which parts of it are stored.
    calls: BTreeSet<String>,
    /// Names of its events that are in no call yet.
    strangers: BTreeSet<String>,
    /// Its unsettled events.
    fresh: Vec<(Entry, Event)>,
}

/// All events of a call, in the order of acceptance; and its legs as they are stored, where that is known without a look.
type Whole = (Vec<Known>, Vec<Event>, Option<Vec<Leg>>);

/// What a round has before it.
struct Plan {
    groups: Vec<Group>,
    more: bool,
    /// Whether another node holds some of what was found.
    elsewhere: bool,
    /// Everything that reached us before is settled, or in this plan: a call is judged by this time and not by
    /// the present, since what still waits may belong to it.
    known_until: Timestamp,
}

/// Settles what one round can.
///
/// # Errors
/// When the database refuses for a reason that will pass; the round is then to be tried again later.
pub(super) fn round(writer: &mut Writer, terms: &Terms<'_>) -> Result<Round, StoreError> {
    let since = Stopwatch::start();
    let done = as_one(writer, terms)?;
    Ok(Round { took: since.elapsed(), ..done })
}

fn as_one(writer: &mut Writer, terms: &Terms<'_>) -> Result<Round, StoreError> {
    let mut together = settle_together(writer, terms);
    for _ in 0..TRIES {
        match &together {
            Err(e) if e.is_contention() => together = settle_together(writer, terms),
            _ => break,
        }
    }
    match together {
        Err(e) if !e.is_passing() => one_by_one(writer, terms),
        done => done,
    }
}

fn settle_together(writer: &mut Writer, terms: &Terms<'_>) -> Result<Round, StoreError> {
    let (accept_waits, since) = (writer.accept_waits(), Stopwatch::start());
    let most = if writer.accepts_come() { EVENTS_A_SHORT_ROUND } else { EVENTS_A_ROUND };
    writer.tx("settle", |db| {
        let plan = plan(db, terms, most)?;
        let mut round = Round::default();
        for (n, group) in plan.groups.iter().enumerate() {
            // What is left was seen to have nothing to do with what is done, so each call is judged rightly.
            if n >= CALLS_A_ROUND && since.elapsed() >= TIME_A_ROUND && accept_waits() {
                round.more = true;
                break;
            }
            round.notices.extend(settle(db, group, terms, plan.known_until)?);
            round.settled += group.fresh.len();
        }
        close(db, &plan, round)
    })
}

/// Each call in a transaction of its own, to find the one that cannot be settled.
fn one_by_one(writer: &mut Writer, terms: &Terms<'_>) -> Result<Round, StoreError> {
    let plan = writer.tx("plan", |db| plan(db, terms, EVENTS_A_ROUND))?;
    let mut round = Round::default();
    for group in &plan.groups {
        round.settled += group.fresh.len();
        let done = writer.tx("settle one", |db| {
            each_held(db, group, plan.known_until, |db, group| settle(db, group, terms, plan.known_until))
        });
        match done {
            Ok(told) => round.notices.extend(told.into_iter().flatten()),
            Err(e) if e.is_passing() => return Err(e),
            Err(e) => {
                let aside = writer.tx("set aside", |db| {
                    each_held(db, group, plan.known_until, |db, group| put_aside(db, group, &e, terms.now))
                })?;
                for call in aside {
                    metrics::counter!("calljournal_calls_set_aside_total").increment(1);
                    tracing::error!(call, error = %e, "the call is set aside; its events are kept, and the next one tries again");
                }
            }
        }
    }
    writer.tx("deadlines", |db| close(db, &plan, round))
}

fn close(db: &mut Db, plan: &Plan, round: Round) -> Result<Round, StoreError> {
    // Who settled something while another node did too goes on at once.
    let more = round.more || plan.more || (plan.elsewhere && round.settled > 0);
    let elsewhere = plan.elsewhere;
    Ok(Round { more, elsewhere, next_due: calls::next_due(db)?, ..round })
}

fn plan(db: &mut Db, terms: &Terms<'_>, most: usize) -> Result<Plan, StoreError> {
    let mut waiting = ledger::unsettled(db, most + 1)?;
    let next = if waiting.len() > most { waiting.pop() } else { None };
    let known_until = match (&next, terms.released) {
        (_, false) => Timestamp::MIN,
        (Some(next), true) => next.received()?.min(terms.now),
        (None, true) => terms.now,
    };
    let mut fresh = read(db, waiting)?;
    if next.is_some() {
        let others = companions(db, &fresh)?;
        fresh.extend(read(db, others)?);
    }
    let due = calls::due(db, known_until, DEADLINES_A_ROUND)?;
    let more = next.is_some() || due.len() == DEADLINES_A_ROUND;
    let groups = grouped(db, fresh, due)?;
    let found = groups.len();
    let groups = held(db, groups, known_until)?;
    Ok(Plan { more, elsewhere: groups.len() < found, groups, known_until })
}

/// The calls that events and deadlines make up.
fn grouped(db: &mut Db, fresh: Vec<(Entry, Event)>, due: Vec<String>) -> Result<Vec<Group>, StoreError> {
    let homes = homes(db, &fresh)?;
    let mut groups = join(fresh, &homes);
    for call in due {
        if !groups.iter().any(|g| g.calls.contains(&call)) {
            groups.push(Group { calls: BTreeSet::from([call]), ..Group::default() });
        }
    }
    Ok(groups)
}

/// Those of the groups that no other node works on, as they are once that is sure: it is asked for their locks,
/// and then they are read again, until that names nothing that is not locked.
fn held(db: &mut Db, mut groups: Vec<Group>, known_until: Timestamp) -> Result<Vec<Group>, StoreError> {
    if !hold::needed(db) {
        return Ok(groups);
    }
    let (mut asked, mut ours) = (BTreeSet::<i32>::new(), BTreeSet::new());
    for _ in 0..TRIES {
        let wanted: BTreeSet<i32> =
            groups.iter().flat_map(slots).filter(|slot| !asked.contains(slot)).collect();
        if wanted.is_empty() {
            break;
        }
        asked.extend(&wanted);
        ours.extend(hold::take(db, wanted)?);
        groups = again(db, groups, known_until)?;
    }
    groups.retain(|group| slots(group).all(|slot| ours.contains(&slot)));
    Ok(groups)
}

/// The locks of a group: of each channel that its events name, and of each call that is stored.
fn slots(group: &Group) -> impl Iterator<Item = i32> {
    let named = group.fresh.iter().flat_map(|(_, event)| channels(event));
    let named: BTreeSet<&str> = named.collect();
    let stored = group.calls.iter().map(|call| hold::of_call(call));
    named.into_iter().map(|channel| hold::slot(&group.pbx, channel)).chain(stored)
}

/// The groups as they are now, with what came of their channels since.
fn again(db: &mut Db, groups: Vec<Group>, known_until: Timestamp) -> Result<Vec<Group>, StoreError> {
    let looked_at: Vec<String> =
        groups.iter().filter(|g| g.fresh.is_empty()).flat_map(|g| g.calls.iter().cloned()).collect();
    let due = calls::still_due(db, &looked_at, known_until)?;
    let before: Vec<(Entry, Event)> = groups.into_iter().flat_map(|g| g.fresh).collect();
    let mut waiting = Vec::new();
    for (pbx, named) in by_pbx(&before) {
        waiting.extend(ledger::unsettled_of(db, pbx, named, MOST_EVENTS_A_CALL)?);
    }
    let fresh = read(db, waiting)?;
    grouped(db, fresh, due)
}

/// Does `work` for the group, in whatever groups it is now, where no other node works on it.
fn each_held<T>(
    db: &mut Db,
    group: &Group,
    known_until: Timestamp,
    mut work: impl FnMut(&mut Db, &Group) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let groups = held(db, vec![group.clone()], known_until)?;
    groups.iter().map(|group| work(db, group)).collect()
}

/// Passes over what somebody else put into our log and is no event.
fn read(db: &mut Db, entries: Vec<Entry>) -> Result<Vec<(Entry, Event)>, StoreError> {
    let mut events = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.event() {
            Ok(event) => events.push((entry, event)),
            Err(e) => {
                tracing::error!(event = entry.id, error = %e, "an event in the log cannot be read and is passed over");
                ledger::settle(db, None, &[(entry.id, "set aside: it cannot be read")])?;
            }
        }
    }
    Ok(events)
}

/// What else waits of the same channels, so that a call is folded once for all its waiting events.
fn companions(db: &mut Db, fresh: &[(Entry, Event)]) -> Result<Vec<Entry>, StoreError> {
    let taken: BTreeSet<i64> = fresh.iter().map(|(entry, _)| entry.id).collect();
    let mut others = Vec::new();
    for (pbx, named) in by_pbx(fresh) {
        others.extend(ledger::unsettled_of(db, pbx, named, MOST_EVENTS_A_CALL)?);
    }
    others.retain(|entry| !taken.contains(&entry.id));
    Ok(others)
}

/// The stored call of each channel that the events name, where it has one.
fn homes(db: &mut Db, fresh: &[(Entry, Event)]) -> Result<BTreeMap<(String, String), String>, StoreError> {
    let mut homes = BTreeMap::new();
    for (pbx, named) in by_pbx(fresh) {
        for (channel, call) in ledger::calls_with(db, pbx, named)? {
            homes.insert((pbx.to_owned(), channel), call);
        }
    }
    Ok(homes)
}

fn by_pbx(fresh: &[(Entry, Event)]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, event) in fresh {
        named.entry(&event.pbx).or_default().extend(channels(event));
    }
    named
}

/// Sorts events into the calls that they make up, together with what is stored: events that name a channel in
/// common, or channels of one call, are one call. `homes` leads from a channel of a pbx to its stored call.
fn join(events: Vec<(Entry, Event)>, homes: &BTreeMap<(String, String), String>) -> Vec<Group> {
    // By channel and by stored call, where the group is that has it; a group that joined another one is empty.
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (entry, event) in events {
        let mut keys: BTreeSet<(String, String)> =
            own_channels(&event).map(|c| (event.pbx.clone(), c.to_owned())).collect();
        let calls: BTreeSet<String> = keys.iter().filter_map(|k| homes.get(k).cloned()).collect();
        // An id of a call is no uniqueid and no pbx is called "".
        keys.extend(calls.iter().map(|id| (String::new(), id.clone())));
        let met: BTreeSet<usize> = keys.iter().filter_map(|k| places.get(k).copied()).collect();
        let place = met.first().copied().unwrap_or_else(|| {
            groups.push(Group { pbx: event.pbx.clone(), ..Group::default() });
            groups.len() - 1
        });
        for other in met.into_iter().skip(1) {
            let other_group = std::mem::take(&mut groups[other]);
            groups[place].calls.extend(other_group.calls);
            groups[place].fresh.extend(other_group.fresh);
            places.values_mut().filter(|at| **at == other).for_each(|at| *at = place);
        }
        groups[place].calls.extend(calls);
        groups[place].fresh.push((entry, event));
        places.extend(keys.into_iter().map(|k| (k, place)));
    }
    join_by_key(&mut groups, &mut places, homes);
    groups.retain(|g| !g.fresh.is_empty());
    for group in &mut groups {
        let known = |name: &&str| homes.contains_key(&(group.pbx.clone(), (*name).to_owned()));
        let named: BTreeSet<&str> = group.fresh.iter().flat_map(|(_, event)| channels(event)).collect();
        let strangers = named.into_iter().filter(|name| !known(name)).map(ToOwned::to_owned);
        group.strangers = strangers.collect();
    }
    groups
}

/// Gives each call key to the first group of channels that names it near its time, together with what is known
/// by that key alone. A second one has nothing of it: two callers to one number within one second make the same
/// key, and what is joined stays joined.
fn join_by_key(
    groups: &mut [Group],
    places: &mut BTreeMap<(String, String), usize>,
    homes: &BTreeMap<(String, String), String>,
) {
    for place in 0..groups.len() {
        let named: BTreeSet<String> =
            groups[place].fresh.iter().filter_map(|(_, e)| e.link().map(ToOwned::to_owned)).collect();
        for key in named {
            let key = (groups[place].pbx.clone(), key);
            if groups[place].fresh.iter().all(|(_, e)| e.knows_key_alone()) {
                break;
            }
            // The id of a call of which a channel is known comes from that channel.
            let id_of_key = CallId::of(&key.0, &key.1).to_string();
            if homes.get(&key).is_some_and(|home| *home != id_of_key && !groups[place].calls.contains(home)) {
                continue;
            }
            match places.get(&key).copied() {
                None => {}
                Some(other) if other == place => continue,
                Some(other) if groups[other].fresh.iter().any(|(_, e)| !e.knows_key_alone()) => continue,
                Some(other) => {
                    let other = std::mem::take(&mut groups[other]);
                    groups[place].calls.extend(other.calls);
                    groups[place].fresh.extend(other.fresh);
                }
            }
            groups[place].calls.extend(homes.get(&key).cloned());
            places.insert(key, place);
        }
    }
}

/// Every name that an event knows its call by.
fn channels(event: &Event) -> impl Iterator<Item = &str> {
    own_channels(event).chain(event.link())
}

/// Every channel that an event names; or the key, where it knows no more.
fn own_channels(event: &Event) -> impl Iterator<Item = &str> {
    std::iter::once(event.uid.as_str()).chain(event.ties())
}

/// Folds one call and writes what differs. Answers with the notices that came of it.
fn settle(
    db: &mut Db,
    group: &Group,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Vec<Told>, StoreError> {
    let stored = ledger::count_of(db, group.calls.iter().map(String::as_str))?;
    if let Some(call) = full(group, stored) {
        let note = format!("not told: the call has more than {MOST_EVENTS_A_CALL} events");
        let done: Vec<(i64, &str)> = group.fresh.iter().map(|(entry, _)| (entry.id, note.as_str())).collect();
        ledger::settle(db, Some(call), &done)?;
        return Ok(Vec::new());
    }
    let (known, events, legs) = all_events(db, group, stored, terms.recent)?;
    let Some(Folded { mut call, standing, notes }) = fold(&events, &terms.policy.numbering) else {
        return Err(StoreError::corrupt(format!("no call comes of the events of {:?}", group.calls)));
    };
    let due = match standing.judge(&terms.policy.rules, known_until) {
        Verdict::Open { look_again } => Some(look_again),
        Verdict::Over => {
            call.state = State::Ended;
            None
        }
        Verdict::Lost => {
            call.state = State::Ended;
            (call.ended_at, call.end_time_known) = (None, false);
            None
        }
    };

    // A played call is nobody's news, unless it says that it is to be told like a real one.
    let quiet = call.pbx == SIMULATED && events.iter().all(|event| event.fact("notify") != Some("1"));
    let terms = &Terms { quiet, ..*terms };
    let id = call.id.to_string();
    let before = calls::find(db, group.calls.iter().map(String::as_str).chain([id.as_str()]))?;
    if !group.calls.contains(&id) && before.iter().any(|b| b.id() == id) {
        // Only after a call was set aside: what tied the two is stored with one of them already.
        let mut both = group.clone();
        both.calls.insert(id);
        return settle(db, &both, terms, known_until);
    }
    let mut record = Record::new(&call, due)?;
    let mut told = Vec::new();
    let own = before.iter().find(|b| b.id() == id);
    // What was told of a call that is merged into this one was told of this one.
    record.told_print = own.into_iter().chain(&before).find_map(|b| b.told_print.clone());
    record.corrections = before.iter().map(|b| b.corrections).max().unwrap_or(0);
    for old in group.calls.iter().filter(|old| **old != id) {
        calls::merge(db, old, &id)?;
        if before.iter().any(|b| b.id() == old && b.told_print.is_some()) {
            told.extend(tell_merged(db, old, &call, terms)?);
        }
    }
    ledger::join(db, &id, &call.pbx, group.strangers.iter().map(String::as_str))?;
    let noted =
        known.iter().zip(&notes).filter(|(known, note)| !known.settled || known.note.as_ref() != Some(note));
    let noted: Vec<(i64, &str)> = noted.map(|(known, note)| (known.id, note.as_str())).collect();
    ledger::settle(db, Some(&id), &noted)?;
    calls::release(db, &id)?;
    if due.is_none() {
        told.extend(tell_end(db, &call, &mut record, &events, terms)?);
    }
    // Legs that were stored under another id went with it.
    calls::save(db, &record, &call, own, legs.as_deref().filter(|_| own.is_some()))?;
    if !hold::needed(db) {
        terms.recent.keep(&id, known, notes, events, call.legs);
    }
    Ok(told)
}

/// The call that the group's events go to without being told, where it has too many.
fn full(group: &Group, stored: usize) -> Option<&str> {
    let full = !group.fresh.is_empty() && stored + group.fresh.len() > MOST_EVENTS_A_CALL;
    group.calls.first().filter(|_| full).map(String::as_str)
}

/// The stored events of the group, and its fresh ones.
fn all_events(db: &mut Db, group: &Group, stored: usize, recent: &Recent) -> Result<Whole, StoreError> {
    let known = |entry: &Entry| Known { id: entry.id, note: entry.note.clone(), settled: entry.settled };
    let kept = group.calls.first().filter(|_| group.calls.len() == 1).and_then(|c| recent.take(c, stored));
    let (kept, legs) = kept.map(|large| (large.events, large.legs)).unzip();
    let mut all = match kept {
        Some(all) => all,
        None => ledger::events_of(db, group.calls.iter().map(String::as_str))?
            .into_iter()
            .map(|entry| Ok((known(&entry), entry.into_event()?)))
            .collect::<Result<Vec<_>, StoreError>>()?,
    };
    all.extend(group.fresh.iter().map(|(entry, event)| (known(entry), event.clone())));
    all.sort_by_key(|(known, _)| known.id);
    let (known, events) = all.into_iter().unzip();
    Ok((known, events, legs))
}

/// Tells the end of a call: once as ended, and after that only what was told otherwise.
fn tell_end(
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
    let linkedids: BTreeSet<&str> =
        events.iter().flat_map(|e| [Some(e.linkedid.as_str()), e.root.as_deref()]).flatten().collect();
    let ended = call.id.notice(ENDED, 0);
    let first = outbox::claim_end(db, &call.pbx, linkedids, ended)?;
    let (id, kind) = if first && record.told_print.is_none() {
        (ended, ENDED)
    } else {
        record.corrections += 1;
        (call.id.notice(CORRECTED, record.corrections.cast_unsigned()), CORRECTED)
    };
    record.told_print = Some(print);
    tell(db, id, kind, call, record.doc(), terms)
}

/// Tells that an id which was told outside is now another name of `into`.
fn tell_merged(db: &mut Db, from: &str, into: &Call, terms: &Terms<'_>) -> Result<Option<Told>, StoreError> {
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

/// Keeps the events of a group that cannot be settled from being tried over and over. They stay together with
/// their call, so that its next event tries all of them again. Answers with the call's id.
fn put_aside(db: &mut Db, group: &Group, why: &StoreError, now: Timestamp) -> Result<String, StoreError> {
    let eldest = group.fresh.iter().flat_map(|(_, e)| channels(e)).min_by(|a, b| identity::earlier(a, b));
    let id = match (group.calls.first(), eldest) {
        (Some(stored), _) => stored.clone(),
        (None, Some(eldest)) => CallId::of(&group.pbx, eldest).to_string(),
        (None, None) => return Err(StoreError::corrupt("a group of nothing".to_owned())),
    };
    let reason = why.to_string();
    let note = format!("set aside: {reason}");
    let named: BTreeSet<&str> = group.fresh.iter().flat_map(|(_, event)| channels(event)).collect();
    ledger::join(db, &id, &group.pbx, named)?;
    let done: Vec<(i64, &str)> = group.fresh.iter().map(|(entry, _)| (entry.id, note.as_str())).collect();
    ledger::settle(db, Some(&id), &done)?;
    calls::put_aside(db, &id, &reason, now)?;
    Ok(id)
}
