//! What is shown to people: the read side of the store.

use std::collections::{HashMap, HashSet};

use diesel::dsl::{count_star, min, not, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use jiff::{SignedDuration, Timestamp};

use super::filter::{self, Filter, Page};
use super::schema::{call_aliases, calls, deliveries, events, members, set_aside};
use super::{Db, Store, StoreError, calls as stored, ledger};
use crate::call::cdr::Row;
use crate::call::{Call, note};
use crate::event::Event;

/// Calls that are read by one statement.
const AT_ONCE: usize = 500;

/// A call, with what is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCall {
    /// The call with its legs.
    pub call: Call,
    /// Its rows in Asterisk's own form.
    pub cdr: Vec<Row>,
    /// Whether its end was told outside.
    pub told: bool,
    /// How often that was corrected.
    pub corrections: u32,
    /// Why it could not be folded with its latest events, where that is so.
    pub set_aside: Option<String>,
}

/// An event, with what is stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log.
    pub id: i64,
    /// The event.
    pub event: Event,
    /// What it did to its call; `None` while it is unsettled.
    pub note: Option<String>,
}

/// How the store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that no call was folded with yet.
    pub unsettled: u64,
    /// When the oldest of them reached us.
    pub oldest_unsettled: Option<Timestamp>,
    /// Calls that could not be settled.
    pub set_aside: u64,
    /// Deliveries that are not done.
    pub deliveries_waiting: u64,
}

impl Store {
    /// The latest calls, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn calls(&self, most: usize) -> Result<Vec<Call>, StoreError> {
        self.find_calls(&Filter::default(), Page::newest(most)).await
    }

    /// One page of the calls that `filter` asks for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find_calls(&self, filter: &Filter, page: Page) -> Result<Vec<Call>, StoreError> {
        let filter = filter.clone();
        self.read("find calls", move |db| {
            // First which, then what: the calls that are passed over are not read.
            let ids: Vec<String> = filter::page(&filter, &page).select(calls::id).load(db)?;
            let mut found = HashMap::with_capacity(ids.len());
            for some in ids.chunks(AT_ONCE) {
                for record in stored::find(db, some.iter().map(String::as_str))? {
                    found.insert(record.id().to_owned(), record.call()?);
                }
            }
            Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
        })
        .await
    }

    /// How many calls `filter` asks for.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn count_calls(&self, filter: &Filter) -> Result<usize, StoreError> {
        let filter = filter.clone();
        self.read("count calls", move |db| {
            let count: i64 = filter::matching(&filter).select(count_star()).get_result(db)?;
            Ok(usize::try_from(count).unwrap_or_default())
        })
        .await
    }

    /// The call that a name leads to: its id, an id that it had before, the linkedid or uniqueid of one of its
    /// channels, or its key. Where two pbxes know the name, the newest call.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn call(&self, name: &str) -> Result<Option<StoredCall>, StoreError> {
        let name = name.to_owned();
        self.read("call", move |db| match named(db, &name)? {
            Some(record) => whole(db, &record).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Ids of calls that begin with `start`, the newest first: for people who type part of one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ids_from(&self, start: &str, most: usize) -> Result<Vec<String>, StoreError> {
        // An id is made of hexadecimal digits and hyphens; `g` comes after all of them.
        let (from, to) = (start.to_owned(), format!("{start}g"));
        self.read("ids", move |db| {
            let begun = calls::table.filter(calls::id.ge(from)).filter(calls::id.lt(to));
            Ok(begun.select(calls::id).order(calls::id.desc()).limit(most as i64).load(db)?)
        })
        .await
    }

    /// The events of a call by its id, in the order in which they happened.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(&self, call_id: &str) -> Result<Vec<StoredEvent>, StoreError> {
        let call_id = call_id.to_owned();
        self.read("events", move |db| {
            let entries = ledger::events_in_full(db, &call_id)?;
            let told = |e: ledger::Entry| Ok(StoredEvent { id: e.id, event: e.event()?, note: e.note });
            let mut events: Vec<StoredEvent> =
                entries.into_iter().map(told).collect::<Result<_, StoreError>>()?;
            events.sort_by_key(|e| (e.event.at, e.id));
            Ok(events)
        })
        .await
    }

    /// Those of `calls` of which Asterisk's own record says otherwise than they are told.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn told_otherwise(&self, calls: Vec<String>) -> Result<HashSet<String>, StoreError> {
        self.read("told otherwise", move |db| {
            let of = events::table.filter(events::call_id.eq_any(&calls));
            let rows = of.filter(events::feed.eq_any(["cdr", "cel"])).select((events::call_id, events::note));
            let rows: Vec<(Option<String>, Option<String>)> = rows.load(db)?;
            let otherwise = |note: Option<String>| note.is_some_and(|note| note::is_disagreement(&note));
            Ok(rows.into_iter().filter_map(|(call, note)| call.filter(|_| otherwise(note))).collect())
        })
        .await
    }

    /// The calls of a pbx that are not over, `most` at most.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_calls(&self, pbx: &str, most: usize) -> Result<Vec<Call>, StoreError> {
        let pbx = pbx.to_owned();
        self.read("open calls", move |db| {
            let open = calls::table.filter(calls::due_us.is_not_null()).filter(calls::state.ne("ended"));
            let ids = open.filter(calls::pbx.eq(pbx)).select(calls::id).limit(most as i64);
            let ids: Vec<String> = ids.load(db)?;
            let mut found = Vec::with_capacity(ids.len());
            for some in ids.chunks(AT_ONCE) {
                for record in stored::find(db, some.iter().map(String::as_str))? {
                    found.push(record.call()?);
                }
            }
            Ok(found)
        })
        .await
    }

    /// How far a clock that shows `now` is ahead of the database's, which all nodes share; zero where the
    /// database is a file, and so has this machine's clock.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn clock_ahead(
        &self,
        now: impl FnOnce() -> Timestamp + Send + 'static,
    ) -> Result<SignedDuration, StoreError> {
        self.read("clock", move |db| match db {
            Db::Sqlite(_) => Ok(SignedDuration::ZERO),
            Db::Postgres(c) => {
                let asked = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
                let theirs: i64 = diesel::select(sql::<BigInt>(asked)).get_result(c)?;
                Ok(now().duration_since(ledger::time(theirs)?))
            }
        })
        .await
    }

    /// How the store stands.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.read("counts", |db| {
            let waiting = events::table.filter(not(events::settled));
            let oldest: Option<i64> = waiting.select(min(events::received_us)).get_result(db)?;
            let aside: i64 = set_aside::table.select(count_star()).get_result(db)?;
            let undelivered = deliveries::table.filter(deliveries::done_us.is_null());
            let undelivered: i64 = undelivered.select(count_star()).get_result(db)?;
            Ok(Counts {
                unsettled: ledger::count_unsettled(db)?,
                oldest_unsettled: oldest.map(ledger::time).transpose()?,
                set_aside: aside.cast_unsigned(),
                deliveries_waiting: undelivered.cast_unsigned(),
            })
        })
        .await
    }
}

fn named(db: &mut Db, name: &str) -> Result<Option<stored::Record>, StoreError> {
    // No text for PostgreSQL, and no name of anything.
    if name.contains('\0') {
        return Ok(None);
    }
    let aliases = call_aliases::table.filter(call_aliases::alias.eq(name)).select(call_aliases::call_id);
    let channels = members::table.filter(members::channel.eq(name)).select(members::call_id);
    let mut ids: Vec<String> = aliases.load(db)?;
    ids.push(name.to_owned());
    ids.extend(channels.load::<String>(db)?);
    let known = calls::table.filter(calls::id.eq_any(ids)).order(calls::started_us.desc());
    if let Some(record) = known.first(db).optional()? {
        return Ok(Some(record));
    }
    let keyed = calls::table.filter(calls::call_key.eq(name)).order(calls::started_us.desc());
    Ok(keyed.first(db).optional()?)
}

fn whole(db: &mut Db, record: &stored::Record) -> Result<StoredCall, StoreError> {
    let reason = set_aside::table.find(record.id()).select(set_aside::reason);
    Ok(StoredCall {
        call: record.call()?,
        cdr: stored::cdr_of(db, record.id())?,
        told: record.told_print.is_some(),
        corrections: record.corrections.cast_unsigned(),
        set_aside: reason.first(db).optional()?,
    })
}
