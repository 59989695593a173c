//! What follows from events: calls, their legs, their CDR rows, and which calls are to be looked at again.
//!
//! Verbs for use inside a transaction. Only what differs is written.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use jiff::Timestamp;
use serde::Serialize;

use super::db::on;
use super::ledger::{first_rows, time, to_json};
use super::schema::{call_aliases, calls, cdr, events, guests, legs, members, notices, set_aside};
use super::{Db, StoreError, bulk, marks, ready};
use crate::call::cdr::Row;
use crate::call::{Call, Leg, State};

/// Most calls of one channel that are looked at together.
const GUESTS: i64 = 8;

/// A call as it is stored: columns to search by, the whole call as JSON, and what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = calls, treat_none_as_default_value = false, treat_none_as_null = true)]
pub struct Record {
    id: String,
    pbx: String,
    linkedid: String,
    call_key: Option<String>,
    state: String,
    direction: String,
    org: Option<String>,
    trunk: Option<String>,
    src: Option<String>,
    src_name: Option<String>,
    dst: Option<String>,
    started_us: i64,
    answered_us: Option<i64>,
    ended_us: Option<i64>,
    end_time_known: bool,
    answered_by: Option<String>,
    disposition: String,
    hung_up_by: Option<String>,
    cause: Option<i32>,
    wait_ms: Option<i64>,
    talk_ms: i64,
    abandoned: bool,
    doc: String,
    due_us: Option<i64>,
    /// Fingerprint of the call as it was told outside; `None` while it was not.
    pub told_print: Option<String>,
    /// Corrections told so far.
    pub corrections: i32,
}

impl Record {
    /// The row for `call`, which is to be looked at again at `due`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where the call cannot be written as JSON.
    pub fn new(call: &Call, due: Option<Timestamp>) -> Result<Record, StoreError> {
        Ok(Record {
            id: call.id.to_string(),
            pbx: call.pbx.clone(),
            linkedid: call.linkedid.clone(),
            call_key: call.key.clone(),
            state: call.state.as_str().to_owned(),
            direction: call.direction.as_str().to_owned(),
            org: call.org.clone(),
            trunk: call.trunk.clone(),
            src: call.source.number.clone(),
            src_name: call.source.name.clone(),
            dst: call.destination.clone(),
            started_us: call.started_at.as_microsecond(),
            answered_us: call.answered_at.map(Timestamp::as_microsecond),
            ended_us: call.ended_at.map(Timestamp::as_microsecond),
            end_time_known: call.end_time_known,
            answered_by: call.answered_by.as_ref().and_then(|p| p.number.clone()),
            disposition: call.disposition.as_str().to_owned(),
            hung_up_by: call.hung_up_by.map(|side| word(&side)).transpose()?,
            cause: call.cause.map(i32::from),
            wait_ms: call.wait_ms,
            talk_ms: call.talk_ms,
            abandoned: call.abandoned,
            doc: to_json(call)?,
            due_us: due.map(Timestamp::as_microsecond),
            told_print: None,
            corrections: 0,
        })
    }

    /// The call's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the call is over, and nothing is waited for any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.due_us.is_none()
    }

    /// The whole call as JSON, which is what its fingerprint is taken of.
    #[must_use]
    pub fn doc(&self) -> &str {
        &self.doc
    }

    /// The call.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where another program wrote the row.
    pub fn call(&self) -> Result<Call, StoreError> {
        serde_json::from_str(&self.doc).map_err(|e| StoreError::corrupt(format!("call {}: {e}", self.id)))
    }
}

/// The calls that are there of those named.
///
/// # Errors
/// When the database refuses.
pub fn find<'a>(db: &mut Db, ids: impl IntoIterator<Item = &'a str>) -> Result<Vec<Record>, StoreError> {
    let mut found = Vec::new();
    for id in ids.into_iter().collect::<BTreeSet<_>>() {
        let of = calls::table.filter(calls::id.eq(id));
        found.extend(on!(db, c => of.load::<Record>(c))?);
    }
    Ok(found)
}

/// Writes a call with its legs and CDR rows; `old` is what is there of it, and `legs` of those, where that is known.
///
/// # Errors
/// When the database refuses.
pub fn save(
    db: &mut Db,
    record: &Record,
    call: &Call,
    old: Option<&Record>,
    legs: Option<&[Leg]>,
) -> Result<(), StoreError> {
    if old == Some(record) {
        return Ok(());
    }
    match (old, &mut *db) {
        (Some(_), Db::Sqlite(c)) => {
            ready::Update { id: &record.id, changes: record.as_changeset() }.execute(c)?
        }
        (Some(_), Db::Postgres(c)) => diesel::update(calls::table.find(&record.id)).set(record).execute(c)?,
        (None, db) => on!(db, c => diesel::insert_into(calls::table).values(record).execute(c))?,
    };
    if old.is_none_or(|old| old.doc != record.doc) {
        save_legs(db, &record.id, &call.legs, legs)?;
        let rows = crate::call::cdr::rows(call);
        // A call that goes on has none, and had none before.
        if !rows.is_empty() || old.is_some_and(|old| old.state == State::Ended.as_str()) {
            save_cdr(db, &record.id, &rows)?;
        }
    }
    let aliases: Vec<String> =
        call.ids.iter().filter(|id| **id != call.id).map(ToString::to_string).collect();
    lead(db, &aliases.iter().map(String::as_str).collect::<Vec<_>>(), &record.id)
}

/// Moves all that belongs to the call `from` to the call `into`, whose id then answers for both. What is derived
/// from events is deleted: it is written again under the new id.
///
/// # Errors
/// When the database refuses.
pub fn merge(db: &mut Db, from: &str, into: &str) -> Result<(), StoreError> {
    diesel::update(events::table.filter(events::call_id.eq(from)))
        .set(events::call_id.eq(into))
        .execute(db)?;
    diesel::update(members::table.filter(members::call_id.eq(from)))
        .set(members::call_id.eq(into))
        .execute(db)?;
    diesel::update(notices::table.filter(notices::call_id.eq(from)))
        .set(notices::call_id.eq(into))
        .execute(db)?;
    diesel::update(call_aliases::table.filter(call_aliases::call_id.eq(from)))
        .set(call_aliases::call_id.eq(into))
        .execute(db)?;
    marks::merge(db, from, into)?;
    diesel::delete(guests::table.filter(guests::call_id.eq(from))).execute(db)?;
    diesel::delete(legs::table.filter(legs::call_id.eq(from))).execute(db)?;
    diesel::delete(cdr::table.filter(cdr::call_id.eq(from))).execute(db)?;
    diesel::delete(calls::table.find(from)).execute(db)?;
    release(db, from)?;
    lead(db, &[from], into)
}

/// A call stands for itself, whatever it was part of before: its id leads nowhere else, and it is only looked at together
/// with the calls of `hosts`, whose linkedids its channels have.
///
/// # Errors
/// When the database refuses.
pub fn part(db: &mut Db, call: &str, pbx: &str, hosts: &BTreeSet<&str>) -> Result<(), StoreError> {
    diesel::delete(call_aliases::table.find(call)).execute(db)?;
    diesel::delete(guests::table.filter(guests::call_id.eq(call))).execute(db)?;
    for host in hosts {
        let row = (guests::pbx.eq(pbx), guests::host.eq(host), guests::call_id.eq(call));
        diesel::insert_into(guests::table).values(row).execute(db)?;
    }
    Ok(())
}

/// The calls that are looked at together with those that have `hosts` for linkedids: the last few, since a channel that
/// stays up for a day has hundreds of them.
///
/// # Errors
/// When the database refuses.
pub fn guests(db: &mut Db, pbx: &str, hosts: &BTreeSet<&str>) -> Result<Vec<String>, StoreError> {
    let of = guests::table.filter(guests::pbx.eq(pbx)).filter(guests::host.eq_any(hosts.iter().copied()));
    Ok(of.order(guests::call_id.desc()).limit(GUESTS).select(guests::call_id).load(db)?)
}

/// Calls that are to be looked at by `now`, the longest overdue first.
///
/// # Errors
/// When the database refuses.
pub fn due(db: &mut Db, now: Timestamp, most: usize) -> Result<Vec<String>, StoreError> {
    let due = calls::table.filter(calls::due_us.le(now.as_microsecond())).order(calls::due_us);
    let due = due.select(calls::id);
    match db {
        Db::Sqlite(c) => first_rows(c, due, most),
        Db::Postgres(c) => Ok(due.limit(most as i64).load(c)?),
    }
}

/// Those of `calls` that are still to be looked at by `now`.
///
/// # Errors
/// When the database refuses.
pub fn still_due(db: &mut Db, calls: &[String], now: Timestamp) -> Result<Vec<String>, StoreError> {
    let due = calls::table.filter(calls::id.eq_any(calls)).filter(calls::due_us.le(now.as_microsecond()));
    Ok(due.order(calls::due_us).select(calls::id).load(db)?)
}

/// When the next call is to be looked at.
///
/// # Errors
/// When the database refuses.
pub fn next_due(db: &mut Db) -> Result<Option<Timestamp>, StoreError> {
    let next = calls::table.filter(calls::due_us.is_not_null()).select(diesel::dsl::min(calls::due_us));
    on!(db, c => next.get_result::<Option<i64>>(c))?.map(time).transpose()
}

/// Notes that a call could not be settled, and takes away its deadline: only a new event brings it back.
///
/// # Errors
/// When the database refuses.
pub fn put_aside(db: &mut Db, call: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    release(db, call)?;
    let row = (
        set_aside::call_id.eq(call),
        set_aside::reason.eq(reason),
        set_aside::at_us.eq(now.as_microsecond()),
    );
    diesel::insert_into(set_aside::table).values(row).execute(db)?;
    diesel::update(calls::table.find(call)).set(calls::due_us.eq(None::<i64>)).execute(db)?;
    Ok(())
}

/// Brings back the calls that were set aside, by making one event of each unsettled: for the start, since the
/// program may know better now. Answers with their number.
///
/// # Errors
/// When the database refuses.
pub fn try_again(db: &mut Db) -> Result<usize, StoreError> {
    let aside: Vec<String> = set_aside::table.select(set_aside::call_id).load(db)?;
    for call in &aside {
        let last = events::table.filter(events::call_id.eq(call)).select(diesel::dsl::max(events::id));
        let last: Option<i64> = last.get_result(db)?;
        diesel::update(events::table.filter(events::id.nullable().eq(last)))
            .set(events::settled.eq(false))
            .execute(db)?;
    }
    Ok(aside.len())
}

/// Forgets that a call could not be settled.
///
/// # Errors
/// When the database refuses.
pub fn release(db: &mut Db, call: &str) -> Result<(), StoreError> {
    on!(db, c => diesel::delete(set_aside::table.find(call)).execute(c))?;
    Ok(())
}

/// Makes `aliases` lead to `call`.
fn lead(db: &mut Db, aliases: &[&str], call: &str) -> Result<(), StoreError> {
    match db {
        _ if aliases.is_empty() => {}
        Db::Sqlite(c) => {
            for alias in aliases {
                let row = (call_aliases::alias.eq(alias), call_aliases::call_id.eq(call));
                let insert = diesel::insert_into(call_aliases::table).values(row);
                insert
                    .on_conflict(call_aliases::alias)
                    .do_update()
                    .set(call_aliases::call_id.eq(call))
                    .execute(c)?;
            }
        }
        Db::Postgres(c) => {
            bulk::Lead { call, aliases: aliases.to_vec() }.execute(c)?;
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq, Serialize, Queryable, Insertable)]
#[diesel(table_name = legs, treat_none_as_default_value = false)]
pub(super) struct LegRow {
    call_id: String,
    n: i32,
    uniqueid: String,
    channel: String,
    number: Option<String>,
    name: Option<String>,
    role: String,
    outcome: String,
    started_us: i64,
    answered_us: Option<i64>,
    ended_us: Option<i64>,
    cause: Option<i32>,
    ring_ms: Option<i64>,
    talk_ms: i64,
}

impl LegRow {
    /// Rows of those of the `legs` that are not the same in `others`.
    pub(super) fn all(call: &str, legs: &[Leg], others: &[Leg]) -> Result<Vec<LegRow>, StoreError> {
        let same = |n: i32, leg: &Leg| usize::try_from(n).is_ok_and(|n| others.get(n) == Some(leg));
        let rows = (0i32..).zip(legs).filter(|(n, leg)| !same(*n, leg)).map(|(n, leg)| {
            Ok(LegRow {
                call_id: call.to_owned(),
                n,
                uniqueid: leg.uniqueid.clone(),
                channel: leg.channel.clone(),
                number: leg.party.number.clone(),
                name: leg.party.name.clone(),
                role: word(&leg.role)?,
                outcome: word(&leg.outcome)?,
                started_us: leg.started_at.as_microsecond(),
                answered_us: leg.answered_at.map(Timestamp::as_microsecond),
                ended_us: leg.ended_at.map(Timestamp::as_microsecond),
                cause: leg.cause.map(i32::from),
                ring_ms: leg.ring_ms,
                talk_ms: leg.talk_ms,
            })
        });
        rows.collect()
    }
}

fn save_legs(db: &mut Db, call: &str, all: &[Leg], there: Option<&[Leg]>) -> Result<(), StoreError> {
    let rows = LegRow::all(call, all, there.unwrap_or_default())?;
    let there = match there {
        Some(known) => LegRow::all(call, known, all)?,
        None => {
            let there = legs::table.filter(legs::call_id.eq(call));
            on!(db, c => there.load(c))?
        }
    };
    let (gone, new) = differing(&there, &rows, |row| row.n);
    match db {
        Db::Sqlite(c) => {
            for row in gone {
                diesel::delete(legs::table.find((call, row.n))).execute(c)?;
            }
            for row in new {
                diesel::insert_into(legs::table).values(row).execute(c)?;
            }
        }
        Db::Postgres(c) => {
            if !gone.is_empty() {
                let gone: Vec<i32> = gone.iter().map(|row| row.n).collect();
                let gone = legs::table.filter(legs::call_id.eq(call)).filter(legs::n.eq_any(gone));
                diesel::delete(gone).execute(c)?;
            }
            if !new.is_empty() {
                bulk::Legs { rows: &to_json(&new)? }.execute(c)?;
            }
        }
    }
    Ok(())
}

/// The rows that are no longer so, and those that are not there yet.
fn differing<'r, T: PartialEq>(
    there: &'r [T],
    rows: &'r [T],
    n: impl Fn(&T) -> i32,
) -> (Vec<&'r T>, Vec<&'r T>) {
    let by_place = |of: &'r [T]| of.iter().map(|row| (n(row), row)).collect::<HashMap<i32, &'r T>>();
    let (old, new) = (by_place(there), by_place(rows));
    let without = |of: &'r [T], other: &HashMap<i32, &'r T>| {
        of.iter().filter(|row| other.get(&n(row)) != Some(row)).collect()
    };
    (without(there, &new), without(rows, &old))
}

#[derive(PartialEq, Eq, Serialize, Queryable, Insertable)]
#[diesel(table_name = cdr, treat_none_as_default_value = false)]
pub(super) struct CdrRow {
    call_id: String,
    n: i32,
    calldate: String,
    clid: String,
    src: String,
    dst: String,
    dcontext: String,
    channel: String,
    dstchannel: String,
    lastapp: String,
    lastdata: String,
    duration: i64,
    billsec: i64,
    disposition: String,
    amaflags: i32,
    accountcode: String,
    uniqueid: String,
    userfield: String,
    peeraccount: String,
    linkedid: String,
    sequence: i32,
    calldate_us: i64,
}

impl CdrRow {
    pub(super) fn all(call: &str, rows: impl IntoIterator<Item = Row>) -> Vec<CdrRow> {
        (0i32..).zip(rows).map(|(n, row)| CdrRow::new(call, n, row)).collect()
    }

    fn new(call: &str, n: i32, row: Row) -> CdrRow {
        CdrRow {
            call_id: call.to_owned(),
            n,
            // As Asterisk's back ends write it, in UTC.
            calldate: row.calldate.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            clid: row.clid,
            src: row.src,
            dst: row.dst,
            dcontext: row.dcontext,
            channel: row.channel,
            dstchannel: row.dstchannel,
            lastapp: row.lastapp,
            lastdata: row.lastdata,
            duration: row.duration,
            billsec: row.billsec,
            disposition: row.disposition,
            amaflags: row.amaflags,
            accountcode: row.accountcode,
            uniqueid: row.uniqueid,
            userfield: row.userfield,
            peeraccount: row.peeraccount,
            linkedid: row.linkedid,
            sequence: row.sequence,
            calldate_us: row.calldate.as_microsecond(),
        }
    }

    fn row(self) -> Result<Row, StoreError> {
        Ok(Row {
            calldate: time(self.calldate_us)?,
            clid: self.clid,
            src: self.src,
            dst: self.dst,
            dcontext: self.dcontext,
            channel: self.channel,
            dstchannel: self.dstchannel,
            lastapp: self.lastapp,
            lastdata: self.lastdata,
            duration: self.duration,
            billsec: self.billsec,
            disposition: self.disposition,
            amaflags: self.amaflags,
            accountcode: self.accountcode,
            uniqueid: self.uniqueid,
            userfield: self.userfield,
            peeraccount: self.peeraccount,
            linkedid: self.linkedid,
            sequence: self.sequence,
        })
    }
}

/// The CDR rows of a call.
///
/// # Errors
/// When the database refuses.
pub fn cdr_of(db: &mut Db, call: &str) -> Result<Vec<Row>, StoreError> {
    cdr_rows(db, call)?.into_iter().map(CdrRow::row).collect()
}

fn cdr_rows(db: &mut Db, call: &str) -> Result<Vec<CdrRow>, StoreError> {
    let of = cdr::table.filter(cdr::call_id.eq(call)).order(cdr::n);
    Ok(on!(db, c => of.load(c))?)
}

fn save_cdr(db: &mut Db, call: &str, rows: &[Row]) -> Result<(), StoreError> {
    let there = cdr_rows(db, call)?;
    let rows = CdrRow::all(call, rows.iter().cloned());
    let (gone, new) = differing(&there, &rows, |row| row.n);
    match db {
        Db::Sqlite(c) => {
            for row in gone {
                diesel::delete(cdr::table.find((call, row.n))).execute(c)?;
            }
            for row in new {
                diesel::insert_into(cdr::table).values(row).execute(c)?;
            }
        }
        Db::Postgres(c) => {
            if !gone.is_empty() {
                let gone: Vec<i32> = gone.iter().map(|row| row.n).collect();
                let gone = cdr::table.filter(cdr::call_id.eq(call)).filter(cdr::n.eq_any(gone));
                diesel::delete(gone).execute(c)?;
            }
            if !new.is_empty() {
                bulk::Cdr { rows: &to_json(&new)? }.execute(c)?;
            }
        }
    }
    Ok(())
}

/// The name that serde gives a value of an enum.
fn word(value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(StoreError::corrupt(format!("{other:?} is no word"))),
    }
}
