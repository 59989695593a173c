//! The event log: what the feeds told, and how far each spool file is taken in.
//!
//! Verbs for use inside a transaction. An event is written once and never changed, but for the call it belongs
//! to, the note on what it did there, and whether it is settled.

use std::collections::{BTreeSet, HashSet};

use diesel::connection::DefaultLoadingMode;
use diesel::dsl::{count_star, max, not};
use diesel::prelude::*;
use diesel::query_dsl::methods::LoadQuery;
use diesel::sql_types::{Nullable, Text};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::db::on;
use super::schema::{calls, events, members, spool_marks};
use super::{Db, StoreError, bulk, ready};
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

/// A row as it is appended.
pub(super) struct NewEvent<'a> {
    pub(super) pbx: &'a str,
    pub(super) token: &'a str,
    pub(super) kind: &'a str,
    pub(super) feed: &'a str,
    pub(super) uid: &'a str,
    pub(super) linkedid: &'a str,
    pub(super) root: Option<&'a str>,
    pub(super) seq: Option<i64>,
    pub(super) at_us: i64,
    pub(super) timed: bool,
    pub(super) received_us: i64,
    pub(super) channel: &'a str,
    pub(super) facts: String,
    pub(super) agi: Option<String>,
    pub(super) call_id: Option<&'a str>,
    pub(super) note: Option<&'a str>,
    pub(super) settled: bool,
}

impl<'a> NewEvent<'a> {
    fn of(event: &'a Event) -> Result<NewEvent<'a>, StoreError> {
        Ok(NewEvent {
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
            call_id: None,
            note: None,
            settled: false,
        })
    }

    /// The event as a part of `call`, with what it did there.
    pub(super) fn settled(
        event: &'a Event,
        call: &'a str,
        note: &'a str,
    ) -> Result<NewEvent<'a>, StoreError> {
        Ok(NewEvent { call_id: Some(call), note: Some(note), settled: true, ..NewEvent::of(event)? })
    }
}

/// Appends events, in their order. Answers for each whether it is new; of two that are the same the first is.
///
/// # Errors
/// When the database refuses any of them.
pub fn append(db: &mut Db, told: &[&Event]) -> Result<Vec<bool>, StoreError> {
    let rows = told.iter().map(|event| NewEvent::of(event)).collect::<Result<Vec<_>, _>>()?;
    append_rows(db, &rows)
}

pub(super) fn append_rows(db: &mut Db, rows: &[NewEvent<'_>]) -> Result<Vec<bool>, StoreError> {
    match db {
        Db::Sqlite(c) => rows.iter().map(|row| Ok(ready::Append(row).execute(c)? == 1)).collect(),
        Db::Postgres(c) => {
            let written: Vec<(String, String)> = append_all(rows).load(c)?;
            let mut fresh: HashSet<(&str, &str)> =
                written.iter().map(|(pbx, token)| (pbx.as_str(), token.as_str())).collect();
            Ok(rows.iter().map(|row| fresh.remove(&(row.pbx, row.token))).collect())
        }
    }
}

fn append_all<'a>(rows: &'a [NewEvent<'a>]) -> bulk::Append<'a> {
    fn column<'a, T>(rows: &'a [NewEvent<'a>], of: impl Fn(&'a NewEvent<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    bulk::Append {
        pbx: column(rows, |r| r.pbx),
        token: column(rows, |r| r.token),
        kind: column(rows, |r| r.kind),
        feed: column(rows, |r| r.feed),
        uid: column(rows, |r| r.uid),
        linkedid: column(rows, |r| r.linkedid),
        root: column(rows, |r| r.root),
        seq: column(rows, |r| r.seq),
        at_us: column(rows, |r| r.at_us),
        timed: column(rows, |r| r.timed),
        received_us: column(rows, |r| r.received_us),
        channel: column(rows, |r| r.channel),
        facts: column(rows, |r| r.facts.as_str()),
        agi: column(rows, |r| r.agi.as_deref()),
        call_id: column(rows, |r| r.call_id),
        note: column(rows, |r| r.note),
        settled: column(rows, |r| r.settled),
    }
}

/// What an [`Entry`] has, but for the `agi_*` lines: they take as much room as all the rest.
macro_rules! telling {
    () => {
        (
            events::id,
            events::pbx,
            events::token,
            events::kind,
            events::feed,
            events::uid,
            events::linkedid,
            events::root,
            events::seq,
            events::at_us,
            events::timed,
            events::received_us,
            events::channel,
            events::facts,
            None::<String>.into_sql::<Nullable<Text>>(),
            events::call_id,
            events::note,
            events::settled,
        )
    };
}

/// An event as it stands in the log.
#[derive(Debug, Clone, Queryable)]
pub struct Entry {
    /// Its place in the log, in the order of acceptance.
    pub id: i64,
    /// The Asterisk that it came from.
    pub pbx: String,
    token: String,
    kind: String,
    feed: String,
    /// The channel that it is of.
    pub uid: String,
    linkedid: String,
    root: Option<String>,
    seq: Option<i64>,
    at_us: i64,
    timed: bool,
    received_us: i64,
    channel: String,
    facts: String,
    agi: Option<String>,
    /// The call it belongs to, once it is settled.
    pub call_id: Option<String>,
    /// What it did to the call.
    pub note: Option<String>,
    /// Whether the call was folded with it.
    pub settled: bool,
}

impl Entry {
    /// The event itself.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where somebody else wrote into our table.
    pub fn event(&self) -> Result<Event, StoreError> {
        self.clone().into_event()
    }

    /// The event itself; see [`Entry::event`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where somebody else wrote into our table.
    pub fn into_event(self) -> Result<Event, StoreError> {
        let id = self.id;
        self.read().map_err(|reason| StoreError::corrupt(format!("event {id}: {reason}")))
    }

    fn read(self) -> Result<Event, String> {
        let json = |text: &str| serde_json::from_str(text).map_err(|e| e.to_string());
        let time = |micros| time(micros).map_err(|e| e.to_string());
        Ok(Event {
            token: self.token.try_into().map_err(|_| "token")?,
            feed: word(&self.feed)?,
            kind: word(&self.kind)?,
            pbx: self.pbx,
            uid: self.uid,
            linkedid: self.linkedid,
            root: self.root,
            seq: self.seq.map(u32::try_from).transpose().map_err(|e| e.to_string())?,
            at: time(self.at_us)?,
            timed: self.timed,
            received: time(self.received_us)?,
            channel: self.channel,
            facts: json(&self.facts)?,
            agi: self.agi.as_deref().map(json).transpose()?.unwrap_or_default(),
        })
    }

    /// When it reached us.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where that is no time.
    pub fn received(&self) -> Result<Timestamp, StoreError> {
        time(self.received_us)
    }
}

/// A value that serde knows by its name.
fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    T::deserialize(text.into_deserializer()).map_err(|e: serde::de::value::Error| e.to_string())
}

/// The events that no call was folded with yet, the first to arrive first.
///
/// # Errors
/// When the database refuses.
pub fn unsettled(db: &mut Db, most: usize) -> Result<Vec<Entry>, StoreError> {
    // `NOT settled` word for word, since that is what the partial index says.
    let waiting = events::table.filter(not(events::settled)).order((events::received_us, events::id));
    let waiting = waiting.select(telling!());
    match db {
        Db::Sqlite(c) => first_rows(c, waiting, most),
        Db::Postgres(c) => Ok(waiting.limit(most as i64).load(c)?),
    }
}

/// The first rows that a query gives. SQLite prepares a statement anew whenever its `LIMIT ?` is bound, which
/// takes longer than to run it; and it finds no row before it is asked for.
pub(super) fn first_rows<'q, T, Q>(
    db: &mut SqliteConnection,
    query: Q,
    most: usize,
) -> Result<Vec<T>, StoreError>
where
    Q: LoadQuery<'q, SqliteConnection, T> + RunQueryDsl<SqliteConnection>,
{
    let rows = query.load_iter::<T, DefaultLoadingMode>(db)?;
    Ok(rows.take(most).collect::<QueryResult<_>>()?)
}

/// The unsettled events of channels.
///
/// # Errors
/// When the database refuses.
pub fn unsettled_of<'a>(
    db: &mut Db,
    pbx: &str,
    uids: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Result<Vec<Entry>, StoreError> {
    let waiting =
        || events::table.filter(not(events::settled)).filter(events::pbx.eq(pbx)).select(telling!());
    match db {
        Db::Sqlite(c) => {
            let mut found = Vec::new();
            for uid in uids {
                let left = most.saturating_sub(found.len());
                found.extend(first_rows::<Entry, _>(c, waiting().filter(events::uid.eq(uid)), left)?);
            }
            Ok(found)
        }
        Db::Postgres(c) => {
            let uids: Vec<&str> = uids.into_iter().collect();
            Ok(waiting().filter(events::uid.eq_any(uids)).limit(most as i64).load(c)?)
        }
    }
}

/// The events of calls that are not over, and those of which no call was made yet, in the order of acceptance:
/// about `most` at most.
///
/// # Errors
/// When the database refuses.
pub fn of_open_calls(db: &mut Db, most: usize) -> Result<Vec<Entry>, StoreError> {
    let open = calls::table.filter(calls::due_us.is_not_null()).order(calls::due_us.desc()).select(calls::id);
    let open: Vec<String> = on!(db, c => open.load(c))?;
    let mut found = unsettled(db, most)?;
    for call in &open {
        if found.len() >= most {
            break;
        }
        found.extend(events_of(db, [call.as_str()])?);
    }
    found.sort_by_key(|entry| entry.id);
    Ok(found)
}

/// The last events that were accepted, the earliest of them first.
///
/// # Errors
/// When the database refuses.
pub fn latest(db: &mut Db, most: usize) -> Result<Vec<Entry>, StoreError> {
    let told = events::table.order(events::id.desc()).limit(most as i64).select(telling!());
    let mut found = on!(db, c => told.load::<Entry>(c))?;
    found.reverse();
    Ok(found)
}

/// How many events no call was folded with yet.
///
/// # Errors
/// When the database refuses.
pub fn count_unsettled(db: &mut Db) -> Result<u64, StoreError> {
    let count: i64 = events::table.filter(not(events::settled)).select(count_star()).get_result(db)?;
    Ok(count.cast_unsigned())
}

/// The events of calls, in the order of acceptance, without their `agi_*` lines: no decision is based on those.
///
/// # Errors
/// When the database refuses.
pub fn events_of<'a>(
    db: &mut Db,
    calls: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Entry>, StoreError> {
    let mut found: Vec<Entry> = Vec::new();
    for call in calls {
        let of = events::table.filter(events::call_id.eq(call)).order(events::id).select(telling!());
        found.extend(on!(db, c => of.load::<Entry>(c))?);
    }
    found.sort_by_key(|entry| entry.id);
    Ok(found)
}

/// The events of a call, in the order of acceptance, with all that was sent.
///
/// # Errors
/// When the database refuses.
pub fn events_in_full(db: &mut Db, call: &str) -> Result<Vec<Entry>, StoreError> {
    Ok(events::table.filter(events::call_id.eq(call)).order(events::id).load(db)?)
}

/// How many events calls have.
///
/// # Errors
/// When the database refuses.
pub fn count_of<'a>(db: &mut Db, calls: impl IntoIterator<Item = &'a str>) -> Result<usize, StoreError> {
    let mut count = 0;
    for call in calls {
        let of = events::table.filter(events::call_id.eq(call)).select(count_star());
        count += on!(db, c => of.get_result::<i64>(c))?;
    }
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The calls that have any of `channels`: pairs of channel and call.
///
/// # Errors
/// When the database refuses.
pub fn calls_with<'a>(
    db: &mut Db,
    pbx: &str,
    channels: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<(String, String)>, StoreError> {
    match db {
        Db::Sqlite(c) => {
            let known = members::table.filter(members::pbx.eq(pbx));
            let known = || known.select((members::channel, members::call_id));
            let mut found = Vec::new();
            for channel in channels {
                found.extend(known().filter(members::channel.eq(channel)).load::<(String, String)>(c)?);
            }
            Ok(found)
        }
        Db::Postgres(c) => {
            let channels: Vec<&str> = channels.into_iter().collect();
            Ok(bulk::Homes { channels, pbx }.load(c)?)
        }
    }
}

/// Makes `channels` members of a call. A channel that has a call keeps it.
///
/// # Errors
/// When the database refuses.
pub fn join<'a>(
    db: &mut Db,
    call: &str,
    pbx: &str,
    channels: impl IntoIterator<Item = &'a str>,
) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(c) => {
            for channel in channels {
                let row = (members::pbx.eq(pbx), members::channel.eq(channel), members::call_id.eq(call));
                diesel::insert_into(members::table).values(row).on_conflict_do_nothing().execute(c)?;
            }
        }
        Db::Postgres(c) => {
            bulk::Join { pbx, call, channels: channels.into_iter().collect() }.execute(c)?;
        }
    }
    Ok(())
}

/// Makes `channels` members of a call, also those that have another one.
///
/// # Errors
/// When the database refuses.
pub fn claim(db: &mut Db, call: &str, pbx: &str, channels: &BTreeSet<&str>) -> Result<(), StoreError> {
    for channel in channels {
        let row = members::table.find((pbx, channel));
        diesel::update(row).set(members::call_id.eq(call)).execute(db)?;
    }
    join(db, call, pbx, channels.iter().copied())
}

/// Marks events as settled: they belong to `call`, and each note is what its event did there.
///
/// # Errors
/// When the database refuses.
pub fn settle(db: &mut Db, call: Option<&str>, done: &[(i64, &str)]) -> Result<(), StoreError> {
    match db {
        Db::Sqlite(c) => {
            for &(event, note) in done {
                ready::Settle { event, call, note }.execute(c)?;
            }
        }
        Db::Postgres(_) if done.is_empty() => {}
        Db::Postgres(c) => {
            let (ids, notes) = done.iter().copied().unzip();
            bulk::Settle { call, ids, notes }.execute(c)?;
        }
    }
    Ok(())
}

/// The place of the last event in the log; 0 where there is none.
///
/// # Errors
/// When the database refuses.
pub fn last(db: &mut Db) -> Result<i64, StoreError> {
    Ok(events::table.select(max(events::id)).get_result::<Option<i64>>(db)?.unwrap_or(0))
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
        text.parse()
            .map_err(|_| StoreError::corrupt(format!("spool mark of {}: {text:?} is no number", row.name)))
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
    serde_json::to_string(value).map_err(|e| StoreError::corrupt(e.to_string()))
}

pub(super) fn time(micros: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|e| StoreError::corrupt(format!("time {micros}: {e}")))
}
