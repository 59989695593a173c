//! The event log: what the feeds told, and how far each spool file is taken in.
//!
//! Verbs for use inside a transaction. An event is written once and never changed, but for the call it belongs
//! to, the note on what it did there, and whether it is settled.

use diesel::prelude::*;
use jiff::Timestamp;

use super::db::on;
use super::schema::{events, spool_marks};
use super::{Db, StoreError};
use crate::event::Event;

/// How far a spool file is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolMark {
    /// The file's device and inode: its name may be given to another file.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// Bytes that are wholly taken in.
    pub offset: u64,
    /// Fingerprint of the file's first bytes, since inodes are used again.
    pub head: String,
    /// The file's name when it was last seen, for people.
    pub name: String,
    /// When it was last seen.
    pub seen: Timestamp,
    /// Bytes that were no event.
    pub garbage: u64,
}

#[derive(Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
struct NewEvent<'a> {
    pbx: &'a str,
    token: &'a str,
    kind: &'a str,
    feed: &'a str,
    uid: &'a str,
    linkedid: &'a str,
    root: Option<&'a str>,
    seq: Option<i64>,
    at_us: i64,
    timed: bool,
    received_us: i64,
    channel: &'a str,
    facts: String,
    agi: Option<String>,
}

/// Appends an event; `false` where the log has it already.
///
/// # Errors
/// When the database refuses.
pub fn append(db: &mut Db, event: &Event) -> Result<bool, StoreError> {
    let row = NewEvent {
        pbx: &event.pbx,
        token: event.token.as_str(),
        kind: event.kind.as_str(),
        feed: event.feed.as_str(),
        uid: &event.uid,
        linkedid: &event.linkedid,
        root: event.root.as_deref(),
        seq: event.seq.map(i64::from),
        at_us: event.at.as_microsecond(),
        timed: event.timed,
        received_us: event.received.as_microsecond(),
        channel: &event.channel,
        facts: to_json(&event.facts)?,
        agi: if event.agi.is_empty() { None } else { Some(to_json(&event.agi)?) },
    };
    let insert = diesel::insert_into(events::table).values(&row).on_conflict_do_nothing();
    Ok(on!(db, c => insert.execute(c))? == 1)
}

#[derive(Insertable, Queryable, AsChangeset)]
#[diesel(table_name = spool_marks, treat_none_as_null = true)]
struct MarkRow {
    device: String,
    inode: String,
    offset_bytes: i64,
    head: String,
    name: String,
    seen_us: i64,
    garbage: i64,
}

/// Remembers how far a spool file is taken in.
///
/// # Errors
/// When the database refuses.
pub fn mark(db: &mut Db, mark: &SpoolMark) -> Result<(), StoreError> {
    let row = MarkRow {
        device: mark.device.to_string(),
        inode: mark.inode.to_string(),
        offset_bytes: mark.offset.cast_signed(),
        head: mark.head.clone(),
        name: mark.name.clone(),
        seen_us: mark.seen.as_microsecond(),
        garbage: mark.garbage.cast_signed(),
    };
    let known = spool_marks::table.find((&row.device, &row.inode));
    if diesel::update(known).set(&row).execute(db)? == 0 {
        diesel::insert_into(spool_marks::table).values(&row).execute(db)?;
    }
    Ok(())
}

/// All spool files that are known.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn marks(db: &mut Db) -> Result<Vec<SpoolMark>, StoreError> {
    spool_marks::table.load::<MarkRow>(db)?.into_iter().map(mark_of).collect()
}

fn mark_of(row: MarkRow) -> Result<SpoolMark, StoreError> {
    let number = |text: &str| {
        text.parse().map_err(|_| corrupt(format!("spool mark of {}: {text:?} is no number", row.name)))
    };
    Ok(SpoolMark {
        device: number(&row.device)?,
        inode: number(&row.inode)?,
        offset: row.offset_bytes.cast_unsigned(),
        head: row.head,
        seen: time(row.seen_us)?,
        garbage: row.garbage.cast_unsigned(),
        name: row.name,
    })
}

/// Forgets a spool file that is gone.
///
/// # Errors
/// When the database refuses.
pub fn forget_mark(db: &mut Db, device: u64, inode: u64) -> Result<(), StoreError> {
    diesel::delete(spool_marks::table.find((device.to_string(), inode.to_string()))).execute(db)?;
    Ok(())
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| corrupt(e.to_string()))
}

pub(super) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|e| corrupt(format!("time {micros}: {e}")))
}

pub(super) fn corrupt(what: String) -> StoreError {
    StoreError::Corrupt { transaction: "", what }
}
