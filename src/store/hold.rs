//! Who works on what, where several nodes share a database: advisory locks that end with their transaction.
//!
//! A lock is asked for and never waited for: what another node holds, it settles itself. On SQLite a transaction
//! that writes is alone anyway.

use std::collections::BTreeSet;

use diesel::prelude::*;
use sha2::{Digest, Sha256};

use super::{Db, StoreError, bulk};

/// Locks that there are. PostgreSQL keeps a few thousand in all, and a hostile call may name any number of
/// channels; two names that share a lock only wait for each other now and then.
const SLOTS: u16 = 4096;

/// The lock that a channel of a pbx, or anything else with a name of two parts, has on all nodes alike.
#[must_use]
pub fn slot(pbx: &str, name: &str) -> i32 {
    let mut hash = Sha256::new();
    hash.update((pbx.len() as u64).to_be_bytes());
    hash.update(pbx);
    hash.update(name);
    let hash = hash.finalize();
    i32::from(u16::from_be_bytes([hash[0], hash[1]]) % SLOTS)
}

/// Whether other nodes may write while a transaction of ours is open.
#[must_use]
pub fn needed(db: &Db) -> bool {
    matches!(db, Db::Postgres(_))
}

/// Takes what is free of `slots` until the transaction ends, and answers with it. What is read after this is what
/// the last holder left.
///
/// # Errors
/// When the database refuses.
pub fn take(db: &mut Db, slots: BTreeSet<i32>) -> Result<BTreeSet<i32>, StoreError> {
    match db {
        Db::Sqlite(_) => Ok(slots),
        Db::Postgres(c) => {
            let slots: Vec<i32> = slots.into_iter().collect();
            Ok(bulk::Hold { slots: &slots }.load::<i32>(c)?.into_iter().collect())
        }
    }
}

/// Takes a call until the transaction ends; whether no other node works on it.
///
/// # Errors
/// When the database refuses.
pub fn is_ours(db: &mut Db, call: &str) -> Result<bool, StoreError> {
    Ok(!take(db, BTreeSet::from([of_call(call)]))?.is_empty())
}

/// Takes those of `calls` that no other node works on until the transaction ends, and answers with them.
///
/// # Errors
/// When the database refuses.
pub fn calls(db: &mut Db, calls: Vec<String>) -> Result<Vec<String>, StoreError> {
    let ours = take(db, calls.iter().map(|call| of_call(call)).collect())?;
    Ok(calls.into_iter().filter(|call| ours.contains(&of_call(call))).collect())
}

/// The lock of a stored call. No pbx is called "".
#[must_use]
pub fn of_call(id: &str) -> i32 {
    slot("", id)
}
