//! What a format must know of a call at its next notice, such as the name that the receiver gave it.
//!
//! Kept for each endpoint, over restarts and on all nodes. Knows nothing of what the marks mean.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::db::on;
use super::schema::{endpoint_marks, notices};
use super::{Db, StoreError};

/// What an endpoint's format remembers of the call that a notice tells of.
///
/// # Errors
/// When the database refuses.
pub fn of_notice(db: &mut Db, endpoint: &str, notice: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(call) = call_of(db, notice)? else { return Ok(BTreeMap::new()) };
    let marks = endpoint_marks::table
        .filter(endpoint_marks::endpoint.eq(endpoint))
        .filter(endpoint_marks::call_id.eq(call));
    let marks: Vec<(String, String)> =
        marks.select((endpoint_marks::name, endpoint_marks::value)).load(db)?;
    Ok(marks.into_iter().collect())
}

/// Remembers more of it; what has the same name is replaced. The call is asked of the notice, since it may have been
/// merged into another one while the notice was sent.
///
/// # Errors
/// When the database refuses.
pub fn remember(
    db: &mut Db,
    endpoint: &str,
    notice: &str,
    marks: &[(String, String)],
) -> Result<(), StoreError> {
    let Some(call) = call_of(db, notice)? else { return Ok(()) };
    for (name, value) in marks {
        // A NUL, which a receiver may well send, is no text for PostgreSQL.
        let value = value.replace('\0', "");
        let row = (
            endpoint_marks::endpoint.eq(endpoint),
            endpoint_marks::call_id.eq(&call),
            endpoint_marks::name.eq(name),
            endpoint_marks::value.eq(&value),
        );
        let insert = diesel::insert_into(endpoint_marks::table).values(row);
        let key = (endpoint_marks::endpoint, endpoint_marks::call_id, endpoint_marks::name);
        on!(db, c => insert.on_conflict(key).do_update().set(endpoint_marks::value.eq(&value)).execute(c))?;
    }
    Ok(())
}

/// The call `from` is now a part of `into`: what is remembered of it goes along. What is remembered of `into` under the
/// same name stays, and that of `from` is then called `from/name`, so that nothing that a receiver was told is lost.
pub(super) fn merge(db: &mut Db, from: &str, into: &str) -> Result<(), StoreError> {
    let of = |call: &str| {
        endpoint_marks::table
            .filter(endpoint_marks::call_id.eq(call.to_owned()))
            .select((endpoint_marks::endpoint, endpoint_marks::name))
    };
    let moved: Vec<(String, String)> = of(from).load(db)?;
    if moved.is_empty() {
        return Ok(());
    }
    let there: Vec<(String, String)> = of(into).load(db)?;
    for mark in moved {
        let name = if there.contains(&mark) { format!("{from}/{}", mark.1) } else { mark.1.clone() };
        let row = endpoint_marks::table.find((&mark.0, from, &mark.1));
        let there = (endpoint_marks::call_id.eq(into), endpoint_marks::name.eq(name));
        diesel::update(row).set(there).execute(db)?;
    }
    Ok(())
}

fn call_of(db: &mut Db, notice: &str) -> Result<Option<String>, StoreError> {
    Ok(notices::table.find(notice).select(notices::call_id).first(db).optional()?)
}
