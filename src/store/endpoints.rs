//! Receivers that subscribed over HTTP. Those of the configuration file are not here.
//!
//! A row is a name and a document; what the document says is read by who wrote it.

use diesel::prelude::*;
use jiff::Timestamp;

use super::db::on;
use super::schema::{deliveries, endpoint_marks, endpoint_states, endpoints};
use super::{Db, StoreError, ledger};

/// A receiver that subscribed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// Its name; deliveries are kept under it.
    pub name: String,
    /// What it said of itself, JSON.
    pub doc: String,
    /// When it subscribed.
    pub created: Timestamp,
}

/// All of them, by name.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn all(db: &mut Db) -> Result<Vec<Subscribed>, StoreError> {
    let rows: Vec<(String, String, i64)> = endpoints::table.order(endpoints::name).load(db)?;
    rows.into_iter()
        .map(|(name, doc, created_us)| Ok(Subscribed { name, doc, created: ledger::time(created_us)? }))
        .collect()
}

/// Adds one; `false` where its name is taken.
///
/// # Errors
/// When the database refuses.
pub fn add(db: &mut Db, one: &Subscribed) -> Result<bool, StoreError> {
    let row = (
        endpoints::name.eq(&one.name),
        endpoints::doc.eq(&one.doc),
        endpoints::created_us.eq(one.created.as_microsecond()),
    );
    let insert = diesel::insert_into(endpoints::table).values(row).on_conflict_do_nothing();
    Ok(on!(db, c => insert.execute(c))? == 1)
}

/// Takes one away with all that was still to be told to it; `false` where there is none.
///
/// # Errors
/// When the database refuses.
pub fn remove(db: &mut Db, name: &str, now: Timestamp) -> Result<bool, StoreError> {
    if diesel::delete(endpoints::table.find(name)).execute(db)? == 0 {
        return Ok(false);
    }
    let waiting =
        deliveries::table.filter(deliveries::endpoint.eq(name)).filter(deliveries::done_us.is_null());
    let gone = (
        deliveries::done_us.eq(Some(now.as_microsecond())),
        deliveries::outcome.eq(Some("unsubscribed")),
        deliveries::lease_token.eq(None::<&str>),
        deliveries::lease_until_us.eq(0_i64),
    );
    diesel::update(waiting).set(gone).execute(db)?;
    diesel::delete(endpoint_states::table.find(name)).execute(db)?;
    diesel::delete(endpoint_marks::table.filter(endpoint_marks::endpoint.eq(name))).execute(db)?;
    Ok(true)
}
