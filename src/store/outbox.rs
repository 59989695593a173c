//! Notices for the outside and their deliveries.
//!
//! A notice is written in the transaction of its cause, once, with one delivery for each endpoint that wants it.

use std::collections::BTreeSet;

use diesel::prelude::*;
use jiff::Timestamp;
use uuid::Uuid;

use super::db::on;
use super::schema::{deliveries, endings, notices};
use super::{Db, StoreError, bulk, ledger};

/// A message for the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same over retries, restarts and processes.
    pub id: Uuid,
    /// The call that it tells of.
    pub call: String,
    /// `call.ended` and so on.
    pub kind: &'static str,
    /// When its cause was settled.
    pub created: Timestamp,
    /// What is sent, JSON.
    pub body: String,
}

/// Writes a notice and a delivery for each of `endpoints`, due at once; `false` where it was written before.
///
/// # Errors
/// When the database refuses.
pub fn create(db: &mut Db, notice: &Notice, endpoints: &[&str]) -> Result<bool, StoreError> {
    let (id, created) = (notice.id.to_string(), notice.created.as_microsecond());
    let row = (
        notices::id.eq(&id),
        notices::call_id.eq(&notice.call),
        notices::kind.eq(notice.kind),
        notices::created_us.eq(created),
        notices::body.eq(&notice.body),
    );
    let insert = diesel::insert_into(notices::table).values(row).on_conflict_do_nothing();
    if on!(db, c => insert.execute(c))? == 0 {
        return Ok(false);
    }
    for endpoint in endpoints {
        let row = (
            deliveries::notice_id.eq(&id),
            deliveries::endpoint.eq(endpoint),
            deliveries::created_us.eq(created),
            deliveries::due_us.eq(created),
        );
        let insert = diesel::insert_into(deliveries::table).values(row).on_conflict_do_nothing();
        on!(db, c => insert.execute(c))?;
    }
    Ok(true)
}

/// The notices of a call, also of the calls that became part of it.
///
/// # Errors
/// When the database refuses.
pub fn ids_of(db: &mut Db, call: &str) -> Result<BTreeSet<String>, StoreError> {
    let ids: Vec<String> = notices::table.filter(notices::call_id.eq(call)).select(notices::id).load(db)?;
    Ok(ids.into_iter().collect())
}

/// What was written down with the notices of this kind about a call, in no order.
///
/// # Errors
/// When the database refuses.
pub fn bodies_of(db: &mut Db, call: &str, kind: &str) -> Result<Vec<String>, StoreError> {
    let of_call = notices::table.filter(notices::call_id.eq(call)).filter(notices::kind.eq(kind));
    Ok(of_call.select(notices::body).load(db)?)
}

/// When the last notice of a call was created.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn latest(db: &mut Db, call: &str) -> Result<Option<Timestamp>, StoreError> {
    let of_call = notices::table.filter(notices::call_id.eq(call));
    let latest: Option<i64> = of_call.select(diesel::dsl::max(notices::created_us)).first(db)?;
    latest.map(ledger::time).transpose()
}

/// Whom anything was told of a call.
///
/// # Errors
/// When the database refuses.
pub fn told_to(db: &mut Db, call: &str) -> Result<BTreeSet<String>, StoreError> {
    let told = deliveries::table.inner_join(notices::table).filter(notices::call_id.eq(call));
    let endpoints: Vec<String> = told.select(deliveries::endpoint).distinct().load(db)?;
    Ok(endpoints.into_iter().collect())
}

/// Gives back what other notices than `notice` claimed of these linkedids: their calls are found to be another one.
///
/// # Errors
/// When the database refuses.
pub fn disclaim_end(
    db: &mut Db,
    pbx: &str,
    linkedids: &BTreeSet<&str>,
    notice: Uuid,
) -> Result<(), StoreError> {
    for linkedid in linkedids {
        let others = endings::table.find((pbx, linkedid)).filter(endings::notice_id.ne(notice.to_string()));
        diesel::delete(others).execute(db)?;
    }
    Ok(())
}

/// Claims the end of the call with these linkedids for a notice; `false` where the end of any of them was told
/// before. What makes `call.ended` come exactly once is this table's key.
///
/// # Errors
/// When the database refuses.
pub fn claim_end<'a>(
    db: &mut Db,
    pbx: &str,
    linkedids: impl IntoIterator<Item = &'a str>,
    notice: Uuid,
) -> Result<bool, StoreError> {
    let (mut named, mut claimed) = (0, 0);
    let notice = notice.to_string();
    match db {
        Db::Sqlite(c) => {
            for linkedid in linkedids {
                let row =
                    (endings::pbx.eq(pbx), endings::linkedid.eq(linkedid), endings::notice_id.eq(&notice));
                named += 1;
                claimed +=
                    diesel::insert_into(endings::table).values(row).on_conflict_do_nothing().execute(c)?;
            }
        }
        Db::Postgres(c) => {
            let linkedids: Vec<&str> = linkedids.into_iter().collect();
            named = linkedids.len();
            claimed = bulk::Claim { pbx, notice: &notice, linkedids }.execute(c)?;
        }
    }
    Ok(claimed == named)
}
