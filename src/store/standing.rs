//! Receivers that get nothing at present: the operator paused them, or they said that they want no more (410).
//!
//! What is to be told to them is written down all the same and waits. Every node looks here before it sends, so all of
//! them obey within a second.

use diesel::prelude::*;
use jiff::Timestamp;

use super::db::on;
use super::schema::endpoint_states;
use super::{Db, StoreError, ledger};

/// Why a receiver gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The operator wants it so.
    Paused,
    /// The receiver itself wants it so.
    Stopped,
}

/// A receiver that gets nothing at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The endpoint's name.
    pub endpoint: String,
    /// Why.
    pub held: Held,
    /// Since when.
    pub since: Timestamp,
    /// What was said of it.
    pub reason: String,
}

impl Held {
    /// In one word, as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Held::Paused => "paused",
            Held::Stopped => "stopped",
        }
    }
}

/// All of them, by name.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn all(db: &mut Db) -> Result<Vec<Standing>, StoreError> {
    let rows: Vec<(String, String, i64, String)> =
        endpoint_states::table.order(endpoint_states::name).load(db)?;
    rows.into_iter()
        .map(|(endpoint, state, since_us, reason)| {
            let held = if state == Held::Stopped.as_str() { Held::Stopped } else { Held::Paused };
            Ok(Standing { endpoint, held, since: ledger::time(since_us)?, reason })
        })
        .collect()
}

/// Holds a receiver; one that is held already is held for the new reason.
///
/// # Errors
/// When the database refuses.
pub fn hold(db: &mut Db, endpoint: &str, held: Held, now: Timestamp, reason: &str) -> Result<(), StoreError> {
    // A NUL is no text for PostgreSQL.
    let reason = reason.replace('\0', "");
    let how = (
        endpoint_states::state.eq(held.as_str()),
        endpoint_states::since_us.eq(now.as_microsecond()),
        endpoint_states::reason.eq(&reason),
    );
    let row = (endpoint_states::name.eq(endpoint), how);
    let insert = diesel::insert_into(endpoint_states::table).values(row);
    on!(db, c => insert.on_conflict(endpoint_states::name).do_update().set(how).execute(c))?;
    Ok(())
}

/// Lets a receiver have what waits for it; `false` where it was not held.
///
/// # Errors
/// When the database refuses.
pub fn resume(db: &mut Db, endpoint: &str) -> Result<bool, StoreError> {
    Ok(diesel::delete(endpoint_states::table.find(endpoint)).execute(db)? == 1)
}
