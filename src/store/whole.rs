//! Calls of which nothing is in the journal yet, with all that follows from them, written at once: history.
//!
//! What [`ledger`](super::ledger), [`calls`](super::calls) and [`outbox`](super::outbox) write one after another while
//! a call goes on is here made ready before the transaction begins, in whatever thread; nothing is looked for and
//! nothing is changed again. PostgreSQL takes the rows of many calls in one statement for each table.

use std::collections::BTreeSet;

use diesel::prelude::*;
use serde::Serialize;
use uuid::Uuid;

use super::calls::{CdrRow, LegRow, Record};
use super::ledger::{self, NewEvent, to_json};
use super::schema::{calls, cdr, endings, legs, members};
use super::{Db, StoreError, bulk, hold};
use crate::call::{Call, cdr as rows_of};
use crate::event::Event;

/// A call that is over, and everything that is to be written of it.
pub struct Whole {
    record: Record,
    legs: Vec<LegRow>,
    cdr: Vec<CdrRow>,
    told: Vec<(Event, String)>,
    names: Names,
    ended: String,
}

/// What a call is known by.
pub struct Names {
    /// Everything that its events name it by.
    pub channels: BTreeSet<String>,
    /// Under which its end is told.
    pub linkedids: BTreeSet<String>,
}

#[derive(Serialize, Insertable)]
#[diesel(table_name = members, treat_none_as_default_value = false)]
struct Member<'a> {
    pbx: &'a str,
    channel: &'a str,
    call_id: &'a str,
}

#[derive(Serialize, Insertable)]
#[diesel(table_name = endings, treat_none_as_default_value = false)]
struct Ending<'a> {
    pbx: &'a str,
    linkedid: &'a str,
    notice_id: &'a str,
}

impl Whole {
    /// `call` with its events, and what each did to it; `ended` is the notice that its end is, and `print` makes the
    /// fingerprint that it is told with.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the call cannot be written as JSON.
    pub fn new(
        call: &Call,
        told: Vec<(Event, String)>,
        names: Names,
        ended: Uuid,
        print: impl Fn(&str) -> String,
    ) -> Result<Whole, StoreError> {
        let mut record = Record::new(call, None)?;
        record.told_print = Some(print(record.doc()));
        let legs = LegRow::all(record.id(), &call.legs, &[])?;
        let cdr = CdrRow::all(record.id(), rows_of::rows(call));
        Ok(Whole { record, legs, cdr, told, names, ended: ended.to_string() })
    }

    /// The names that it is known by.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.names.channels.iter().map(String::as_str)
    }

    /// Its events.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.told.iter().map(|(event, _)| event)
    }

    /// What its events did.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.told.iter().map(|(_, note)| note.as_str())
    }

    fn pbx(&self) -> &str {
        self.told.first().map_or("", |(event, _)| &event.pbx)
    }

    fn slots(&self) -> impl Iterator<Item = i32> {
        self.channels()
            .map(|channel| hold::slot(self.pbx(), channel))
            .chain([hold::of_call(self.record.id())])
    }

    fn members(&self) -> impl Iterator<Item = Member<'_>> {
        let (pbx, call_id) = (self.pbx(), self.record.id());
        self.channels().map(move |channel| Member { pbx, channel, call_id })
    }

    fn endings(&self) -> impl Iterator<Item = Ending<'_>> {
        let (pbx, notice_id) = (self.pbx(), self.ended.as_str());
        self.names.linkedids.iter().map(move |linkedid| Ending { pbx, linkedid, notice_id })
    }
}

/// Parts `calls` into those that can be written and the others: of which the journal has something, or on which another
/// node works.
///
/// # Errors
/// When the database refuses.
pub fn parted<'w>(db: &mut Db, calls: &'w [Whole]) -> Result<(Vec<&'w Whole>, Vec<&'w Whole>), StoreError> {
    // SQLite's transaction is alone: there are no locks to be looked for.
    let ours = if hold::needed(db) {
        Some(hold::take(db, calls.iter().flat_map(Whole::slots).collect())?)
    } else {
        None
    };
    let mut known = BTreeSet::new();
    for of_pbx in calls.chunk_by(|a, b| a.pbx() == b.pbx()) {
        let pbx = of_pbx.first().map_or("", Whole::pbx);
        let homes = ledger::calls_with(db, pbx, of_pbx.iter().flat_map(Whole::channels))?;
        known.extend(homes.into_iter().map(|(channel, _)| (pbx, channel)));
    }
    let free = |call: &&Whole| {
        let mut named = call.channels();
        ours.as_ref().is_none_or(|ours| call.slots().all(|slot| ours.contains(&slot)))
            && !named.any(|channel| known.contains(&(call.pbx(), channel.to_owned())))
    };
    Ok(calls.iter().partition(free))
}

/// Writes calls, in their order; `false` where one of their events was there all the same: then the transaction is to be
/// undone.
///
/// # Errors
/// When the database refuses; also where something else of a call was there.
pub fn write(db: &mut Db, calls: &[&Whole]) -> Result<bool, StoreError> {
    let told = calls.iter().flat_map(|call| call.told.iter().map(|told| (call.record.id(), told)));
    let told = told.map(|(call, (event, note))| NewEvent::settled(event, call, note));
    let fresh = ledger::append_rows(db, &told.collect::<Result<Vec<_>, _>>()?)?;
    if fresh.contains(&false) {
        return Ok(false);
    }
    match db {
        Db::Sqlite(c) => one_by_one(c, calls)?,
        Db::Postgres(_) if calls.is_empty() => {}
        Db::Postgres(c) => at_once(c, calls)?,
    }
    Ok(true)
}

fn one_by_one(c: &mut SqliteConnection, calls: &[&Whole]) -> Result<(), StoreError> {
    for call in calls {
        diesel::insert_into(calls::table).values(&call.record).execute(c)?;
        for member in call.members() {
            diesel::insert_into(members::table).values(member).execute(c)?;
        }
        for ending in call.endings() {
            diesel::insert_into(endings::table).values(ending).execute(c)?;
        }
        for leg in &call.legs {
            diesel::insert_into(legs::table).values(leg).execute(c)?;
        }
        for row in &call.cdr {
            diesel::insert_into(cdr::table).values(row).execute(c)?;
        }
    }
    Ok(())
}

/// In the order of their keys, as other nodes write theirs: two that are told the same never wait for each other in a
/// circle.
fn at_once(c: &mut PgConnection, calls: &[&Whole]) -> Result<(), StoreError> {
    let mut members: Vec<Member<'_>> = calls.iter().flat_map(|call| call.members()).collect();
    members.sort_by_key(|member| (member.pbx, member.channel));
    let mut endings: Vec<Ending<'_>> = calls.iter().flat_map(|call| call.endings()).collect();
    endings.sort_by_key(|ending| (ending.pbx, ending.linkedid));
    bulk::Members { rows: &to_json(&members)? }.execute(c)?;
    bulk::Endings { rows: &to_json(&endings)? }.execute(c)?;
    let records: Vec<&Record> = calls.iter().map(|call| &call.record).collect();
    bulk::Calls { rows: &to_json(&records)? }.execute(c)?;
    let legs: Vec<&LegRow> = calls.iter().flat_map(|call| &call.legs).collect();
    bulk::Legs { rows: &to_json(&legs)? }.execute(c)?;
    let rows: Vec<&CdrRow> = calls.iter().flat_map(|call| &call.cdr).collect();
    bulk::Cdr { rows: &to_json(&rows)? }.execute(c)?;
    Ok(())
}
