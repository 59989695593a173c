//! Calls that Asterisk's own records tell, long after: appended and settled in one transaction.
//!
//! Nobody waits for an answer here, so the events of many calls go together: each call is folded once, and a commit is
//! shared by hundreds. A portion is bounded all the same, and goes in the lane that lets every accept go first. What
//! was taken in before is known by its tokens: whatever stopped an import, the next one goes on.
//!
//! A trial does all of it and undoes it, so that what it says is what would be done.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{Group, Policy, Recent, Terms, grouped, held, read, settle};
use crate::call::note;
use crate::event::Event;
use crate::store::calls;
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

/// Takes in `records`, in portions of whole linkedids; with `trial` nothing stays written.
///
/// # Errors
/// When the database refuses for a reason that will pass. What was taken in by then stays.
pub async fn take_in(
    store: &Store,
    policy: &Policy,
    mut records: Vec<Event>,
    now: Timestamp,
    trial: bool,
) -> Result<Tally, StoreError> {
    records.sort_by(|a, b| (&a.pbx, &a.linkedid).cmp(&(&b.pbx, &b.linkedid)));
    let mut tally = Tally::default();
    let mut rest = records.as_slice();
    while let Some(last) = rest.get(rest.len().min(EVENTS_AT_ONCE).wrapping_sub(1)) {
        let same = |event: &Event| (&event.pbx, &event.linkedid) <= (&last.pbx, &last.linkedid);
        let (portion, left) = rest.split_at(rest.partition_point(same));
        rest = left;
        let (portion, policy) = (portion.to_vec(), policy.clone());
        let (answer, answered) = oneshot::channel();
        store.post(Lane::Settle, move |writer| {
            let job = Job { policy: &policy, now, trial };
            let _ = answer.send(job.halves(writer, &portion));
        })?;
        tally.add(answered.await.unwrap_or(Err(StoreError::Stopped))?);
    }
    Ok(tally)
}

struct Job<'a> {
    policy: &'a Policy,
    now: Timestamp,
    trial: bool,
}

impl Job<'_> {
    /// A portion that the database refuses is halved until what is poisonous stands alone.
    fn halves(&self, writer: &mut Writer, portion: &[Event]) -> Result<Tally, StoreError> {
        let e = match self.at_once(writer, portion) {
            Err(e) if !e.is_passing() => e,
            done => return done,
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

    fn at_once(&self, writer: &mut Writer, portion: &[Event]) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        let done = writer.tx("history", |db| {
            tally = self.settle_all(db, portion)?;
            if self.trial { Err(StoreError::Undone) } else { Ok(()) }
        });
        match done {
            Ok(()) | Err(StoreError::Undone) => Ok(tally),
            Err(e) => Err(e),
        }
    }

    fn settle_all(&self, db: &mut Db, portion: &[Event]) -> Result<Tally, StoreError> {
        let before = ledger::unsettled(db, 1)?;
        let known_until = match before.first() {
            Some(waiting) => waiting.received()?.min(self.now),
            None => self.now,
        };
        let fresh = ledger::append(db, &portion.iter().collect::<Vec<_>>())?;
        let calls: BTreeSet<&str> = portion.iter().map(|event| event.linkedid.as_str()).collect();
        let new = || portion.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(event, _)| event);
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
