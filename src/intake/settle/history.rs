//! Calls that Asterisk's own records tell, long after: appended and settled in one transaction.
//!
//! Nobody waits for an answer here, so the events of many calls go together: each call is folded once, most of them
//! ([`afresh`](super::afresh)) before the thread that writes has anything to do with them, and a commit is shared by
//! hundreds. A portion is bounded all the same, and goes in the lane that lets every accept go first. What was taken in
//! before is known by its tokens: whatever stopped an import, the next one goes on.
//!
//! A trial does all of it and undoes it, so that what it says is what would be done.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::afresh::Portion;
use super::{Group, Policy, Recent, Terms, count_idle, grouped, held, read, settle};
use crate::call::note;
use crate::clock::Stopwatch;
use crate::event::Event;
use crate::store::calls;
use crate::store::whole::{self, Whole};
use crate::store::{Db, Lane, Store, StoreError, Writer, ledger};

/// Events in one transaction: on a slow disk too an accept waits for no more than a fraction of its time for it.
const EVENTS_AT_ONCE: usize = 500;

/// Waiting events of one portion's channels, at most; what else waits is settled like any other.
const MOST_WAITING: usize = 20_000;

/// What came of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that the journal had, and that are told as before.
    pub same: usize,
    /// Calls that the journal did not have.
    pub added: usize,
    /// Calls that are told otherwise than before.
    pub corrected: usize,
    /// Calls of which the records say otherwise than the journal, which keeps to what it was told live.
    pub disagree: usize,
    /// Events that could not be taken in.
    pub refused: usize,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Tally) {
        self.same += other.same;
        self.added += other.added;
        self.corrected += other.corrected;
        self.disagree += other.disagree;
        self.refused += other.refused;
    }
}

/// Records that can be taken in.
pub struct Ready(Vec<Portion>);

/// Makes records ready to be taken in. This takes as long as to write them, and waits for nothing.
#[must_use]
pub fn ready(mut records: Vec<Event>, policy: &Policy, now: Timestamp) -> Ready {
    records.sort_by(|a, b| (&a.pbx, &a.linkedid).cmp(&(&b.pbx, &b.linkedid)));
    let mut portions = Vec::new();
    let (mut linked, mut events) = (Vec::<Vec<Event>>::new(), 0);
    for record in records {
        let same =
            |of: &[Event]| of.last().is_some_and(|o| o.pbx == record.pbx && o.linkedid == record.linkedid);
        match linked.last_mut().filter(|of| same(of)) {
            Some(of) => of.push(record),
            None if events >= EVENTS_AT_ONCE => {
                portions.push(Portion::of(std::mem::replace(&mut linked, vec![vec![record]]), policy, now));
                events = 0;
            }
            None => linked.push(vec![record]),
        }
        events += 1;
    }
    portions.push(Portion::of(linked, policy, now));
    Ready(portions)
}

/// Takes in records, in portions of whole linkedids; with `trial` nothing stays written.
///
/// # Errors
/// When the database refuses for a reason that will pass. What was taken in by then stays.
pub async fn take_in(
    store: &Store,
    policy: &Policy,
    ready: Ready,
    now: Timestamp,
    trial: bool,
) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    for portion in ready.0 {
        let (policy, since) = (policy.clone(), Stopwatch::start());
        let (answer, answered) = oneshot::channel();
        store.post(Lane::Settle, move |writer| {
            let job = Job { policy: &policy, now, trial };
            // It goes back to be dropped, which takes a tenth of the time in which it is written.
            let _ = answer.send((job.portion(writer, &portion), portion));
        })?;
        let (done, _portion) = answered.await.map_err(|_| StoreError::Stopped)?;
        tally.add(done?);
        // A server that takes calls meanwhile may be another process.
        store.let_others_write(since.elapsed()).await;
    }
    Ok(tally)
}

struct Job<'a> {
    policy: &'a Policy,
    now: Timestamp,
    trial: bool,
}

impl Job<'_> {
    fn portion(&self, writer: &mut Writer, portion: &Portion) -> Result<Tally, StoreError> {
        let done = self.in_one(writer, |db| {
            let Some((mut tally, left)) = self.write(db, &portion.ready)? else { return Ok(None) };
            let left: Vec<&Event> = left.into_iter().flat_map(Whole::events).chain(&portion.others).collect();
            tally.add(self.settle_all(db, &left)?);
            Ok(Some(tally))
        });
        match done {
            Ok(Some(tally)) => Ok(tally),
            Err(e) if e.is_passing() => Err(e),
            // Something was there, or is poisonous: all of it event by event.
            Ok(None) | Err(_) => {
                let all = portion.ready.iter().flat_map(Whole::events).chain(&portion.others);
                self.halves(writer, &all.collect::<Vec<_>>())
            }
        }
    }

    /// A portion that the database refuses is halved until what is poisonous stands alone.
    fn halves(&self, writer: &mut Writer, portion: &[&Event]) -> Result<Tally, StoreError> {
        let e = match self.in_one(writer, |db| self.settle_all(db, portion).map(Some)) {
            Err(e) if !e.is_passing() => e,
            done => return done.map(Option::unwrap_or_default),
        };
        if portion.len() < 2 {
            tracing::error!(error = %e, "a record is refused and left out");
            return Ok(Tally { refused: portion.len(), ..Tally::default() });
        }
        let (one, other) = portion.split_at(portion.len() / 2);
        let mut tally = self.halves(writer, one)?;
        tally.add(self.halves(writer, other)?);
        Ok(tally)
    }

    /// Works in one transaction, which stays where it comes to something and this is no trial.
    fn in_one(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&mut Db) -> Result<Option<Tally>, StoreError>,
    ) -> Result<Option<Tally>, StoreError> {
        let mut tally = None;
        let done = writer.tx("history", |db| {
            tally = work(db)?;
            if self.trial || tally.is_none() { Err(StoreError::Undone) } else { Ok(()) }
        });
        match done {
            Ok(()) | Err(StoreError::Undone) => Ok(tally),
            Err(e) => Err(e),
        }
    }

    /// Writes calls of which nothing is stored, and answers with the others. `None` where something was stored all the
    /// same. While anything waits to be settled it may belong to any of them: then none is written.
    fn write<'w>(
        &self,
        db: &mut Db,
        ready: &'w [Whole],
    ) -> Result<Option<(Tally, Vec<&'w Whole>)>, StoreError> {
        if !ledger::unsettled(db, 1)?.is_empty() {
            return Ok(Some((Tally::default(), ready.iter().collect())));
        }
        let (new, left) = whole::parted(db, ready)?;
        if !whole::write(db, &new)? {
            return Ok(None);
        }
        count_idle(new.iter().flat_map(|call| call.notes()));
        Ok(Some((Tally { added: new.len(), ..Tally::default() }, left)))
    }

    fn settle_all(&self, db: &mut Db, portion: &[&Event]) -> Result<Tally, StoreError> {
        let before = ledger::unsettled(db, 1)?;
        let known_until = match before.first() {
            Some(waiting) => waiting.received()?.min(self.now),
            None => self.now,
        };
        let fresh = ledger::append(db, portion)?;
        let calls: BTreeSet<&str> = portion.iter().map(|event| event.linkedid.as_str()).collect();
        let new = || portion.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(event, _)| *event);
        let touched: BTreeSet<&str> = new().map(|event| event.linkedid.as_str()).collect();
        let mut tally = Tally { same: calls.len() - touched.len(), ..Tally::default() };
        let Some(pbx) = new().next().map(|event| event.pbx.clone()) else { return Ok(tally) };
        let named: BTreeSet<&str> = new().map(|event| event.uid.as_str()).collect();
        let recent = Recent::default();
        let terms = Terms {
            policy: self.policy,
            subscriptions: &self.policy.subscriptions,
            recent: &recent,
            now: self.now,
            released: true,
            quiet: false,
        };
        loop {
            let waiting = ledger::unsettled_of(db, &pbx, named.iter().copied(), MOST_WAITING)?;
            let waiting = read(db, waiting)?;
            let groups = grouped(db, waiting, Vec::new())?;
            let groups = held(db, groups, known_until)?;
            if groups.is_empty() {
                // What another node holds it settles itself.
                return Ok(tally);
            }
            for group in &groups {
                let (one, beyond) = compared(db, group, &terms, known_until)?;
                tally.add(one);
                if beyond {
                    break;
                }
            }
        }
    }
}

/// Settles a group; and what that changed, by the call as it was stored before.
fn compared(
    db: &mut Db,
    group: &Group,
    terms: &Terms<'_>,
    known_until: Timestamp,
) -> Result<(Tally, bool), StoreError> {
    let docs = |db: &mut Db| -> Result<Vec<String>, StoreError> {
        let stored = calls::find(db, group.calls.iter().map(String::as_str))?;
        Ok(stored.iter().map(|record| record.doc().to_owned()).collect())
    };
    let before = if group.calls.is_empty() { Vec::new() } else { docs(db)? };
    let done = settle(db, group, terms, known_until)?;
    let mut tally = Tally::default();
    if group.calls.is_empty() {
        tally.added = 1;
    } else if docs(db)? == before {
        tally.same = 1;
        let ids: BTreeSet<i64> = group.fresh.iter().map(|(entry, _)| entry.id).collect();
        let noted = ledger::events_of(db, group.calls.iter().map(String::as_str))?;
        let otherwise = |note: Option<&str>| note.is_some_and(note::is_disagreement);
        let disagrees = noted.iter().any(|e| ids.contains(&e.id) && otherwise(e.note.as_deref()));
        tally.disagree = usize::from(disagrees);
    } else {
        tally.corrected = 1;
    }
    Ok((tally, done.went_beyond))
}
