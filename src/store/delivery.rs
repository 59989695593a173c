//! Deliveries of notices: leased, tried outside of any transaction, and recorded.
//!
//! A lease is taken in one statement and is over by itself when whoever took it dies. Its token is compared when
//! the outcome is recorded, so that one who was too slow does not overwrite what another did since. What is sent
//! where, and when again, is decided elsewhere.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use jiff::Timestamp;

use super::schema::{deliveries, notices};
use super::{Db, StoreError};

/// Attempts after which a notice no longer holds up later ones of its call.
pub const HOLDS_UP: i32 = 3;

/// Longest `detail` that is kept, in characters.
const MAX_DETAIL: usize = 500;

/// A delivery that is ours to try, until its lease is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The notice's id: the same at each attempt.
    pub notice: String,
    /// The call that it tells of.
    pub call: String,
    /// `call.ended` and so on.
    pub kind: String,
    /// When it was written.
    pub created: Timestamp,
    /// What is sent, JSON.
    pub body: String,
    /// Which attempt this is, from 1. Attempts that were interrupted count too.
    pub attempt: u32,
}

/// The terms of a lease.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// Whose deliveries.
    pub endpoint: &'a str,
    /// The present.
    pub now: Timestamp,
    /// When the lease is over.
    pub until: Timestamp,
    /// Names this lease; no two may be alike.
    pub token: &'a str,
    /// How many at most.
    pub most: i64,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// There will be no other.
    Done {
        /// `delivered`, `gone`, `refused` or `dead`.
        outcome: &'static str,
    },
    /// The next one is due then.
    Again(Timestamp),
}

/// What an endpoint has yet to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The endpoint's name.
    pub endpoint: String,
    /// How many notices.
    pub count: u64,
    /// When the oldest one was written.
    pub oldest: Timestamp,
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Text)]
    notice_id: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// Not before an earlier notice of the same call: it is being sent, or was not tried often enough to go on
/// without it. In text, since no backend takes a lease in what diesel can say; binds appear in their order.
const LEASE: &str = "
    UPDATE deliveries SET lease_token = $1, lease_until_us = $2, attempts = attempts + 1
    WHERE endpoint = $3 AND notice_id IN (
        SELECT d.notice_id FROM deliveries d JOIN notices n ON n.id = d.notice_id
        WHERE d.endpoint = $3 AND d.done_us IS NULL AND d.due_us <= $4 AND d.lease_until_us <= $4
        AND NOT EXISTS (
            SELECT 1 FROM notices m JOIN deliveries e ON e.notice_id = m.id
            WHERE m.call_id = n.call_id AND e.endpoint = d.endpoint AND e.done_us IS NULL
            AND (e.attempts < $5 OR e.lease_until_us > $4)
            AND (e.created_us < d.created_us OR (e.created_us = d.created_us AND e.notice_id < d.notice_id)))
        ORDER BY d.due_us, d.created_us, d.notice_id LIMIT $6 {skip})
    RETURNING notice_id, attempts";

/// What another node takes at this moment is its own. SQLite has one writer.
const SKIP: &str = "FOR UPDATE OF d SKIP LOCKED";

/// Takes deliveries of one endpoint that are due, the longest due first.
///
/// # Errors
/// When the database refuses.
pub fn lease(db: &mut Db, terms: &Terms<'_>) -> Result<Vec<Leased>, StoreError> {
    let skip = if matches!(db, Db::Postgres(_)) { SKIP } else { "" };
    let taken: Vec<Taken> = diesel::sql_query(LEASE.replace("{skip}", skip))
        .bind::<Text, _>(terms.token)
        .bind::<BigInt, _>(terms.until.as_microsecond())
        .bind::<Text, _>(terms.endpoint)
        .bind::<BigInt, _>(terms.now.as_microsecond())
        .bind::<Integer, _>(HOLDS_UP)
        .bind::<BigInt, _>(terms.most)
        .get_results(db)?;
    let ids: Vec<&str> = taken.iter().map(|t| t.notice_id.as_str()).collect();
    let rows: Vec<(String, String, String, i64, String)> = notices::table
        .filter(notices::id.eq_any(&ids))
        .order((notices::created_us, notices::id))
        .select((notices::id, notices::call_id, notices::kind, notices::created_us, notices::body))
        .load(db)?;
    rows.into_iter()
        .map(|(notice, call, kind, created_us, body)| {
            let attempts = taken.iter().find(|t| t.notice_id == notice).map_or(1, |t| t.attempts);
            let created = super::ledger::time(created_us)?;
            Ok(Leased { notice, call, kind, created, body, attempt: attempts.unsigned_abs() })
        })
        .collect()
}

/// Writes down what became of an attempt; `false` where the lease was no longer ours.
///
/// # Errors
/// When the database refuses.
pub fn record(
    db: &mut Db,
    notice: &str,
    terms: &Terms<'_>,
    outcome: &Record,
    detail: &str,
) -> Result<bool, StoreError> {
    let ours = deliveries::table
        .find((notice, terms.endpoint))
        .filter(deliveries::lease_token.eq(terms.token))
        .filter(deliveries::done_us.is_null());
    // A NUL, which a receiver may well send, is no text for PostgreSQL.
    let detail: String = detail.chars().filter(|c| *c != '\0').take(MAX_DETAIL).collect();
    let free = (deliveries::lease_token.eq(None::<&str>), deliveries::lease_until_us.eq(0_i64));
    let changed = match outcome {
        Record::Done { outcome } => {
            let done = (
                deliveries::done_us.eq(Some(terms.now.as_microsecond())),
                deliveries::outcome.eq(Some(*outcome)),
                deliveries::detail.eq(Some(detail)),
            );
            diesel::update(ours).set((free, done)).execute(db)?
        }
        Record::Again(due) => {
            let again = (deliveries::due_us.eq(due.as_microsecond()), deliveries::detail.eq(Some(detail)));
            diesel::update(ours).set((free, again)).execute(db)?
        }
    };
    Ok(changed == 1)
}

/// Endpoints that something is due for.
///
/// # Errors
/// When the database refuses.
pub fn due(db: &mut Db, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let now = now.as_microsecond();
    Ok(deliveries::table
        .filter(deliveries::done_us.is_null())
        .filter(deliveries::due_us.le(now))
        .filter(deliveries::lease_until_us.le(now))
        .select(deliveries::endpoint)
        .distinct()
        .load(db)?)
}

/// What waits, by endpoint, also for endpoints that are no longer configured.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn waiting(db: &mut Db) -> Result<Vec<Waiting>, StoreError> {
    use diesel::dsl::{count_star, min};
    let rows: Vec<(String, i64, Option<i64>)> = deliveries::table
        .filter(deliveries::done_us.is_null())
        .group_by(deliveries::endpoint)
        .select((deliveries::endpoint, count_star(), min(deliveries::created_us)))
        .load(db)?;
    rows.into_iter()
        .map(|(endpoint, count, oldest)| {
            let oldest = super::ledger::time(oldest.unwrap_or_default())?;
            Ok(Waiting { endpoint, count: count.unsigned_abs(), oldest })
        })
        .collect()
}
