//! Folding the calls that new events touch, and writing what follows in one transaction.
//!
//! A round takes some unsettled events and some calls whose deadline has come, finds out which calls they make
//! up, and settles each of those once. A round is short, so that an accept that waits is not kept waiting. A
//! call that cannot be settled is set aside with its reason and stops no other; its next event tries again.
//!
//! Where nodes share a database, a round first holds the calls that it found and then reads them again: what it
//! folds is all that was committed of them, and no other node settles them meanwhile. Assumed is that the clocks
//! of the nodes differ by far less than the grace time.

mod afresh;
pub mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::group::{Group, by_pbx, channels, join, own_channels};
use super::recent::{Known, Recent};
use super::telling::{Told, is_no_news, merge, release_end, tell_end, tell_on_the_way};
use super::{Policy, Subscription};
use crate::call::{CallId, Folded, Leg, Partition, fold, identity, note, partition};
use crate::clock::Stopwatch;
use crate::event::Event;
use crate::store::calls::{self, Record};
use crate::store::ledger::{self, Entry};
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

/// What a round is judged by.
pub(super) struct Terms<'a> {
    pub policy: &'a Policy,
    pub subscriptions: &'a [Subscription],
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
            let done = settle(db, group, terms, plan.known_until)?;
            round.notices.extend(done.told);
            round.settled += group.fresh.len();
            if done.went_beyond {
                // What is left may have changed with it.
                round.more = true;
                break;
            }
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
            Ok(done) => {
                round.notices.extend(done.into_iter().flat_map(|done| done.told));
                round.more = true;
            }
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

/// What came of a group.
#[derive(Default)]
struct Settled {
    told: Vec<Told>,
    /// Whether calls were looked at that were not of the group.
    went_beyond: bool,
}

impl From<Vec<Told>> for Settled {
    fn from(told: Vec<Told>) -> Settled {
        Settled { told, went_beyond: false }
    }
}

/// Settles what a group really is: one call, but for channels that link legs and not calls.
fn settle(
    db: &mut Db,
    group: &Group,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Settled, StoreError> {
    let stored = ledger::count_of(db, group.calls.iter().map(String::as_str))?;
    if !group.fresh.is_empty() && stored + group.fresh.len() > MOST_EVENTS_A_CALL {
        return Ok(too_large(db, group, terms, known_until)?.into());
    }
    let (known, events, legs) = all_events(db, group, stored, terms.recent)?;
    let foreign = foreign_calls(db, group, &events)?;
    if foreign.is_empty() {
        return Ok(parted(db, group, (known, events, legs), terms, known_until)?.into());
    }
    if events.len() + ledger::count_of(db, foreign.iter().map(String::as_str))? > MOST_EVENTS_A_CALL {
        let alone = Group { alone: true, ..group.clone() };
        return Ok(by_itself(db, &alone, (known, events, legs), terms, known_until)?.into());
    }
    for call in &foreign {
        if !hold::is_ours(db, call)? {
            // Another node is at it: all stays unsettled, and is looked at again soon.
            return Ok(Settled { went_beyond: true, ..Settled::default() });
        }
    }
    let wider = with_calls(db, group, foreign)?;
    let done = settle(db, &wider, terms, known_until)?;
    Ok(Settled { went_beyond: true, ..done })
}

/// The group with more calls, and with what waits of their channels.
fn with_calls(db: &mut Db, group: &Group, calls: BTreeSet<String>) -> Result<Group, StoreError> {
    let mut wider = group.clone();
    let told = ledger::events_of(db, calls.iter().map(String::as_str))?;
    let mut waiting = Vec::new();
    if let Some(first) = told.first() {
        let uids: BTreeSet<&str> = told.iter().map(|entry| entry.uid.as_str()).collect();
        waiting = ledger::unsettled_of(db, &first.pbx, uids, MOST_EVENTS_A_CALL)?;
    }
    waiting.retain(|entry| wider.fresh.iter().all(|(known, _)| known.id != entry.id));
    wider.fresh.extend(read(db, waiting)?);
    wider.calls.extend(calls);
    Ok(wider)
}

/// Settles each of the calls that the events of a group are.
fn parted(
    db: &mut Db,
    group: &Group,
    (known, mut events, legs): Whole,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Vec<Told>, StoreError> {
    let Partition { calls, linkedids } = partition(&events);
    let mut hosts = BTreeMap::new();
    for (index, linkedid) in linkedids {
        hosts.insert(index, std::mem::replace(&mut events[index].linkedid, linkedid));
    }
    if calls.len() == 1 {
        return settle_one(db, group, (known, events, legs), terms, known_until);
    }
    let pbx = events.first().map_or_else(String::new, |event| event.pbx.clone());
    let ids: Vec<String> = calls.iter().map(|(name, _)| CallId::of(&pbx, name).to_string()).collect();
    let stored = calls::find(db, ids.iter().map(String::as_str))?;
    if !group.alone && stored.iter().any(|stored| !group.calls.contains(stored.id())) {
        let wider = with_calls(db, group, stored.iter().map(|stored| stored.id().to_owned()).collect())?;
        return Ok(settle(db, &wider, terms, known_until)?.told);
    }
    let mut told = Vec::new();
    for (n, (id, (name, indices))) in ids.iter().zip(&calls).enumerate() {
        let of_call: Vec<Event> = indices.iter().map(|&i| events[i].clone()).collect();
        // What is stored under a name that no call has any more goes to the eldest.
        let olds = group.calls.iter().filter(|old| *old == id || (n == 0 && !ids.contains(old)));
        let (calls, alone) = (olds.cloned().collect(), group.alone);
        let part = Group { pbx: pbx.clone(), calls, alone, ..Group::default() };
        release_end(db, &pbx, name, &of_call)?;
        // Some of its events and channels may have been another call's.
        let here = |known: &Known| known.settled && known.call.as_ref() == Some(id);
        let known = indices.iter().map(|&i| Known { settled: here(&known[i]), ..known[i].clone() }).collect();
        told.extend(settle_one(db, &part, (known, of_call.clone(), None), terms, known_until)?);
        let named: BTreeSet<&str> = of_call.iter().flat_map(own_channels).collect();
        ledger::claim(db, id, &pbx, &named)?;
        ledger::join(db, id, &pbx, of_call.iter().filter_map(Event::link))?;
        let hosts = indices.iter().filter_map(|i| hosts.get(i)).map(String::as_str).collect();
        calls::part(db, id, &pbx, &hosts)?;
    }
    Ok(told)
}

/// The stored calls that are to be looked at together with the group's: those whose linkedids its events have, and those
/// that have its.
fn foreign_calls(db: &mut Db, group: &Group, events: &[Event]) -> Result<BTreeSet<String>, StoreError> {
    let linked: BTreeSet<&str> = events.iter().map(|e| e.linkedid.as_str()).collect();
    let roots: BTreeSet<&str> = events.iter().filter_map(|e| e.root.as_deref()).collect();
    let others = others(events);
    let Some(pbx) = events.first().map(|event| &event.pbx) else { return Ok(BTreeSet::new()) };
    // Nearly always there is one root and no other name.
    if others.is_empty() && roots.len() < 2 {
        return Ok(BTreeSet::new());
    }
    let homes = ledger::calls_with(db, pbx, others)?.into_iter().map(|(_, call)| call);
    let mut calls: BTreeSet<String> = homes.chain(calls::guests(db, pbx, &linked)?).collect();
    calls.retain(|call| !group.calls.contains(call));
    Ok(calls)
}

/// The linkedids of events that are neither a channel nor a root of them.
fn others(events: &[Event]) -> BTreeSet<&str> {
    let own: BTreeSet<&str> =
        events.iter().flat_map(|e| [Some(e.uid.as_str()), e.root.as_deref()]).flatten().collect();
    events.iter().map(|e| e.linkedid.as_str()).filter(|linkedid| !own.contains(linkedid)).collect()
}

/// A call of too many events takes no more of them, and no other calls: what would have joined it is settled alone.
fn too_large(
    db: &mut Db,
    group: &Group,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Vec<Told>, StoreError> {
    let named: BTreeSet<&str> = group.fresh.iter().flat_map(|(_, event)| own_channels(event)).collect();
    let homes: BTreeMap<String, String> = ledger::calls_with(db, &group.pbx, named)?.into_iter().collect();
    let mut parts: BTreeMap<Option<&str>, Vec<&(Entry, Event)>> = BTreeMap::new();
    for told in &group.fresh {
        let of = |name: &str| homes.get(name).map(String::as_str);
        let root = told.1.root.as_ref();
        let home = of(&told.1.uid).or_else(|| of(root.unwrap_or(&told.1.linkedid)));
        parts.entry(home).or_default().push(told);
    }
    let mut notices = Vec::new();
    for (home, fresh) in parts {
        let stored = ledger::count_of(db, home)?;
        if let Some(call) = home.filter(|_| stored + fresh.len() > MOST_EVENTS_A_CALL) {
            tracing::warn!(
                call,
                "more than {MOST_EVENTS_A_CALL} events are no call: it takes no more, and joins no other"
            );
            let note = format!("not told: the call has more than {MOST_EVENTS_A_CALL} events");
            let done: Vec<(i64, &str)> = fresh.iter().map(|(entry, _)| (entry.id, note.as_str())).collect();
            ledger::settle(db, Some(call), &done)?;
            continue;
        }
        let fresh: Vec<(Entry, Event)> = fresh.into_iter().cloned().collect();
        let strangers = fresh.iter().flat_map(|(_, event)| own_channels(event));
        let strangers = strangers.filter(|name| !homes.contains_key(*name)).map(ToOwned::to_owned).collect();
        let calls = home.map(ToOwned::to_owned).into_iter().collect();
        let part = Group { pbx: group.pbx.clone(), calls, strangers, fresh, alone: true };
        let whole = all_events(db, &part, stored, terms.recent)?;
        notices.extend(by_itself(db, &part, whole, terms, known_until)?);
    }
    Ok(notices)
}

/// Settles a group without the stored calls whose linkedids its events have.
fn by_itself(
    db: &mut Db,
    group: &Group,
    (known, mut events, legs): Whole,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Vec<Told>, StoreError> {
    let pbx = events.first().map_or_else(String::new, |event| event.pbx.clone());
    let homes = ledger::calls_with(db, &pbx, others(&events))?;
    let foreign: BTreeSet<String> =
        homes.into_iter().filter(|(_, call)| !group.calls.contains(call)).map(|(name, _)| name).collect();
    for event in events.iter_mut().filter(|event| foreign.contains(&event.linkedid)) {
        event.linkedid = event.root.clone().unwrap_or_else(|| event.uid.clone());
    }
    parted(db, group, (known, events, legs), terms, known_until)
}

/// Folds one call and writes what differs. Answers with the notices that came of it.
fn settle_one(
    db: &mut Db,
    group: &Group,
    (known, events, legs): Whole,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<Vec<Told>, StoreError> {
    let Some(Folded { mut call, standing, notes }) = fold(&events, &terms.policy.numbering) else {
        return Err(StoreError::corrupt(format!("no call comes of the events of {:?}", group.calls)));
    };
    let due = standing.conclude(&mut call, &terms.policy.rules, known_until);
    let quiet = is_no_news(&call, &events, terms.now);
    let terms = &Terms { quiet, ..*terms };
    let id = call.id.to_string();
    let before = calls::find(db, group.calls.iter().map(String::as_str).chain([id.as_str()]))?;
    if !group.alone && !group.calls.contains(&id) && before.iter().any(|b| b.id() == id) {
        // Only after a call was set aside: what tied the two is stored with one of them already.
        let mut both = group.clone();
        both.calls.insert(id);
        return Ok(settle(db, &both, terms, known_until)?.told);
    }
    let mut record = Record::new(&call, due)?;
    let mut told = Vec::new();
    let own = before.iter().find(|b| b.id() == id);
    // What was told of a call that is merged into this one was told of this one.
    record.told_print = own.into_iter().chain(&before).find_map(|b| b.told_print.clone());
    record.corrections = before.iter().map(|b| b.corrections).max().unwrap_or(0);
    for old in group.calls.iter().filter(|old| **old != id) {
        let ended = before.iter().any(|b| b.id() == old && b.told_print.is_some());
        told.extend(merge(db, old, ended, &call, terms)?);
    }
    ledger::join(db, &id, &call.pbx, group.strangers.iter().map(String::as_str))?;
    let noted =
        known.iter().zip(&notes).filter(|(known, note)| !known.settled || known.note.as_ref() != Some(note));
    let noted: Vec<(i64, &str)> = noted.map(|(known, note)| (known.id, note.as_str())).collect();
    ledger::settle(db, Some(&id), &noted)?;
    count_idle(known.iter().zip(&notes).filter(|(known, _)| !known.settled).map(|(_, note)| note.as_str()));
    calls::release(db, &id)?;
    match due {
        Some(_) => told.extend(tell_on_the_way(db, &call, &record, terms)?),
        None => told.extend(tell_end(db, &call, &mut record, &events, terms)?),
    }
    // Legs that were stored under another id went with it.
    calls::save(db, &record, &call, own, legs.as_deref().filter(|_| own.is_some()))?;
    if !hold::needed(db) {
        terms.recent.keep(&id, known, notes, events, call.legs);
    }
    Ok(told)
}

/// Counts the new events that changed nothing. A round that is tried again counts them again.
fn count_idle<'a>(fresh: impl Iterator<Item = &'a str>) {
    let idle = fresh.filter(|note| note::is_idle(note)).count();
    metrics::counter!("calljournal_events_idle_total").increment(idle as u64);
}

/// The stored events of the group, and its fresh ones.
fn all_events(db: &mut Db, group: &Group, stored: usize, recent: &Recent) -> Result<Whole, StoreError> {
    let known = |entry: &Entry| Known {
        id: entry.id,
        note: entry.note.clone(),
        settled: entry.settled,
        call: entry.call_id.clone(),
    };
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
