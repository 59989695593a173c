//! What happens in the journal while somebody looks on.
//!
//! Knows by the log which calls have news: an event that was settled since the last look. Events are settled out
//! of the order of the log, and on PostgreSQL appear out of it too, so each look goes over the last ones again.

use std::collections::BTreeSet;

use diesel::prelude::*;

use super::schema::{calls, events};
use super::{Store, StoreError, calls as stored, ledger};
use crate::call::Call;

/// Places of the log that every look goes over again.
const AGAIN: i64 = 1000;

/// Events that a look goes over at most; who is further behind has missed some.
const MOST: i64 = 50_000;

/// Calls that are read by one statement.
const CALLS_AT_ONCE: usize = 500;

/// How far somebody has looked.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Everything up to this place of the log is seen.
    until: i64,
    /// What is seen behind it.
    behind: BTreeSet<i64>,
}

/// A call, and whether it is over for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// The call as it stands.
    pub call: Call,
    /// Whether its grace time has passed; its state is `ended` from the last hangup on.
    pub over: bool,
}

impl Store {
    /// Begins to look on: what is settled by now counts as seen. Answers also with the calls that are not over.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn look(&self) -> Result<(Seen, Vec<Now>), StoreError> {
        self.read("look", |db| {
            let mut seen = Seen { until: (ledger::last(db)? - AGAIN).max(0), behind: BTreeSet::new() };
            seen.news(log(db, &seen)?);
            let open: Vec<stored::Record> =
                calls::table.filter(calls::due_us.is_not_null()).order(calls::started_us).load(db)?;
            Ok((seen, open.iter().map(now).collect::<Result<_, _>>()?))
        })
        .await
    }

    /// The calls that have news since `seen`, and those of `watched` that are there, in no order.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn look_again(
        &self,
        mut seen: Seen,
        watched: Vec<String>,
    ) -> Result<(Seen, Vec<Now>), StoreError> {
        self.read("look again", move |db| {
            let mut ids: BTreeSet<String> = watched.into_iter().collect();
            ids.extend(seen.news(log(db, &seen)?));
            let ids: Vec<String> = ids.into_iter().collect();
            let mut found = Vec::new();
            for some in ids.chunks(CALLS_AT_ONCE) {
                let records: Vec<stored::Record> = calls::table.filter(calls::id.eq_any(some)).load(db)?;
                for record in &records {
                    found.push(now(record)?);
                }
            }
            Ok((seen, found))
        })
        .await
    }
}

type Place = (i64, Option<String>, bool);

/// The part of the log that is to be gone over.
fn log(db: &mut super::Db, seen: &Seen) -> Result<Vec<Place>, StoreError> {
    let behind = events::table.filter(events::id.gt(seen.until)).order(events::id).limit(MOST);
    Ok(behind.select((events::id, events::call_id, events::settled)).load(db)?)
}

fn now(record: &stored::Record) -> Result<Now, StoreError> {
    Ok(Now { call: record.call()?, over: record.is_over() })
}

impl Seen {
    /// The calls of what was not seen before; it is seen from now on.
    fn news(&mut self, log: Vec<Place>) -> BTreeSet<String> {
        let Some(last) = log.last().map(|(id, ..)| *id) else { return BTreeSet::new() };
        let mut calls = BTreeSet::new();
        let mut waits = last;
        for (id, call, settled) in log {
            if !settled {
                waits = waits.min(id - 1);
            } else if self.behind.insert(id) {
                calls.extend(call);
            }
        }
        // Not past what waits to be settled, unless that waits for ever.
        let until = waits.min(last - AGAIN).max(last - MOST / 2);
        self.until = self.until.max(until);
        self.behind = self.behind.split_off(&(self.until + 1));
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: i64, call: &str, settled: bool) -> Place {
        (id, settled.then(|| call.to_owned()), settled)
    }

    #[test]
    fn an_event_is_news_once_and_only_when_it_is_settled() {
        let mut seen = Seen::default();
        let look = |seen: &mut Seen, log: &[Place]| seen.news(log.to_vec()).into_iter().collect::<Vec<_>>();
        assert_eq!(
            look(&mut seen, &[place(1, "a", true), place(2, "b", false), place(4, "c", true)]),
            ["a", "c"]
        );
        assert!(
            look(&mut seen, &[place(1, "a", true), place(2, "b", false), place(4, "c", true)]).is_empty()
        );
        // The third appears behind the fourth.
        let log = [place(1, "a", true), place(2, "b", true), place(3, "d", true), place(4, "c", true)];
        assert_eq!(look(&mut seen, &log), ["b", "d"]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut seen = Seen::default();
        seen.news((1..=10_000).map(|id| place(id, "a", true)).collect());
        assert_eq!((seen.until, seen.behind.len()), (9000, 1000));
        let mut stuck = Seen::default();
        stuck.news((1..=MOST).map(|id| place(id, "a", id > 1)).collect());
        assert_eq!(stuck.until, MOST / 2);
    }
}
