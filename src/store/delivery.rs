//! Deliveries of notices: leased, tried outside of any transaction, and recorded with what was tried.
//!
//! A lease is taken in one statement and is over by itself when whoever took it dies. Its token is compared when
//! the outcome is recorded, so that one who was too slow does not overwrite what another did since. What is sent
//! where, and when again, is decided elsewhere.

use std::time::Duration;

use diesel::dsl::{count_star, max, min};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use jiff::{SignedDuration, Timestamp};

use super::schema::{attempts, deliveries, notices};
use super::standing::{self, Held};
use super::{Db, StoreError, endpoints, ledger};

/// Attempts after which a notice no longer holds up later ones of its call.
pub const HOLDS_UP: u32 = 3;

/// What a lease is longer than the attempt that it is for: to take it, to record the outcome, and for clocks that
/// differ.
pub const MARGIN: Duration = Duration::from_secs(30);

/// Most characters of `detail` and of an answer that are kept.
const MAX_DETAIL: usize = 500;
const MAX_ANSWER: usize = 1000;

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

/// The terms of a lease. How long it is follows from the attempt, so that none can end before its attempt does.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// Whose deliveries.
    pub endpoint: &'a str,
    /// The present.
    pub now: Timestamp,
    /// The time limit of the attempt; the lease is over [`MARGIN`] after it.
    pub attempt: Duration,
    /// Names this lease; no two may be alike.
    pub token: &'a str,
    /// How many at most.
    pub most: usize,
}

/// An attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Which notice.
    pub notice: &'a str,
    /// To whom.
    pub endpoint: &'a str,
    /// The token of the lease under which it was made.
    pub token: &'a str,
    /// Which one it was, as leased.
    pub n: u32,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The status that was answered, if any.
    pub status: Option<u16>,
    /// What we say of it.
    pub detail: &'a str,
    /// What the receiver said.
    pub answer: &'a str,
    /// What follows.
    pub outcome: Outcome,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// Its receiver wants nothing more; it is stopped with this.
    Gone,
    /// The receiver said that it is wrong, for good.
    Refused,
    /// It was the last one.
    Dead,
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

/// What may be tried now, the longest due first: of an endpoint that is not held, and not before an earlier notice of
/// the same call, which is being sent or was not tried often enough to go on without it.
///
/// Binds first appear in the order of their numbers, since SQLite numbers them so. Counts in place of joins, and
/// conditions that fit no index but the one that is meant: so both backends, with statistics or without, go along
/// what is due and look at the few notices of each call, and never at all that waits for the endpoint.
const FREE: &str = "
    SELECT d.notice_id, d.attempts FROM deliveries d
    WHERE d.endpoint = $1 AND d.done_us IS NULL AND d.due_us <= $2 AND d.lease_until_us <= $2
    AND NOT EXISTS (SELECT 1 FROM endpoint_states s WHERE s.name = $1)
    AND 0 = (SELECT count(*) FROM notices m
        WHERE m.call_id = (SELECT n.call_id FROM notices n WHERE n.id = d.notice_id)
        AND 0 < (SELECT count(*) FROM deliveries e
            WHERE e.notice_id = m.id AND e.endpoint || '' = $1 AND coalesce(e.done_us, 0) = 0
            AND (e.attempts < $3 OR e.lease_until_us > $2)
            AND (e.created_us < d.created_us OR (e.created_us = d.created_us AND e.notice_id < d.notice_id))))
    ORDER BY d.due_us, d.created_us LIMIT $4";

/// What another node takes at this moment is its own. SQLite has one writer.
const SKIP: &str = " FOR UPDATE OF d SKIP LOCKED";

impl Outcome {
    /// In one word, as it is stored and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Gone => "gone",
            Outcome::Refused => "refused",
            Outcome::Dead => "dead",
            Outcome::Again(_) => "again",
        }
    }
}

/// Takes deliveries of one endpoint that are due, the longest due first.
///
/// # Errors
/// When the database refuses.
pub fn lease(db: &mut Db, terms: &Terms<'_>) -> Result<Vec<Leased>, StoreError> {
    let skip = if matches!(db, Db::Postgres(_)) { SKIP } else { "" };
    // In text, since no backend takes a lease in what diesel can say. What is free is asked for once, and not again
    // for each row, behind rows that are locked by then.
    let lease = format!(
        "WITH free AS MATERIALIZED ({FREE}{skip})
         UPDATE deliveries SET lease_token = $5, lease_until_us = $6, attempts = attempts + 1
         WHERE endpoint = $1 AND notice_id IN (SELECT notice_id FROM free)
         RETURNING notice_id, attempts"
    );
    let lasts = SignedDuration::try_from(terms.attempt.saturating_add(MARGIN)).unwrap_or(SignedDuration::MAX);
    let until = terms.now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
    let taken: Vec<Taken> = diesel::sql_query(lease)
        .bind::<Text, _>(terms.endpoint)
        .bind::<BigInt, _>(terms.now.as_microsecond())
        .bind::<Integer, _>(HOLDS_UP.cast_signed())
        .bind::<BigInt, _>(i64::try_from(terms.most).unwrap_or(i64::MAX))
        .bind::<Text, _>(terms.token)
        .bind::<BigInt, _>(until.as_microsecond())
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
            let created = ledger::time(created_us)?;
            Ok(Leased { notice, call, kind, created, body, attempt: attempts.unsigned_abs() })
        })
        .collect()
}

/// Those of `endpoints` that something may be sent to now.
///
/// # Errors
/// When the database refuses.
pub fn due(db: &mut Db, endpoints: &[String], now: Timestamp) -> Result<Vec<String>, StoreError> {
    let mut due = Vec::new();
    for endpoint in endpoints {
        let first = diesel::sql_query(FREE)
            .bind::<Text, _>(endpoint)
            .bind::<BigInt, _>(now.as_microsecond())
            .bind::<Integer, _>(HOLDS_UP.cast_signed())
            .bind::<BigInt, _>(1);
        if !first.get_results::<Taken>(db)?.is_empty() {
            due.push(endpoint.clone());
        }
    }
    Ok(due)
}

/// Writes down an attempt and what became of it; `false` where the lease was no longer ours, and nothing was written.
///
/// # Errors
/// When the database refuses.
pub fn record(db: &mut Db, attempt: &Attempt<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let Attempt { notice, endpoint, outcome, .. } = *attempt;
    let ours = deliveries::table
        .find((notice, endpoint))
        .filter(deliveries::lease_token.eq(attempt.token))
        .filter(deliveries::done_us.is_null());
    let whole = if attempt.answer.is_empty() {
        attempt.detail.to_owned()
    } else {
        format!("{}: {}", attempt.detail, attempt.answer)
    };
    let free = (
        deliveries::lease_token.eq(None::<&str>),
        deliveries::lease_until_us.eq(0_i64),
        deliveries::detail.eq(Some(kept(&whole, MAX_DETAIL))),
    );
    let changed = match outcome {
        Outcome::Again(due) => {
            diesel::update(ours).set((free, deliveries::due_us.eq(due.as_microsecond()))).execute(db)?
        }
        _ => {
            let done = (
                deliveries::done_us.eq(Some(now.as_microsecond())),
                deliveries::outcome.eq(Some(outcome.as_str())),
            );
            diesel::update(ours).set((free, done)).execute(db)?
        }
    };
    if changed == 0 {
        return Ok(false);
    }
    log(db, attempt)?;
    match outcome {
        Outcome::Again(due) if attempt.n < HOLDS_UP => put_off_later(db, notice, endpoint, due)?,
        Outcome::Gone => standing::hold(db, endpoint, Held::Stopped, now, attempt.detail)?,
        _ => {}
    }
    Ok(true)
}

/// Attempts are numbered as they are written down: those that were interrupted are not, and who is tried anew is
/// counted from 1 again.
fn log(db: &mut Db, attempt: &Attempt<'_>) -> Result<(), StoreError> {
    let known = attempts::table
        .filter(attempts::notice_id.eq(attempt.notice))
        .filter(attempts::endpoint.eq(attempt.endpoint));
    let last: Option<i32> = known.select(max(attempts::n)).get_result(db)?;
    let row = (
        attempts::notice_id.eq(attempt.notice),
        attempts::endpoint.eq(attempt.endpoint),
        attempts::n.eq(last.unwrap_or(0) + 1),
        attempts::at_us.eq(attempt.began.as_microsecond()),
        attempts::took_us.eq(i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX)),
        attempts::outcome.eq(attempt.outcome.as_str()),
        attempts::status.eq(attempt.status.map(i32::from)),
        attempts::detail.eq(kept(attempt.detail, MAX_DETAIL)),
        attempts::answer.eq(kept(attempt.answer, MAX_ANSWER)),
    );
    diesel::insert_into(attempts::table).values(row).execute(db)?;
    Ok(())
}

/// Later notices of the same call cannot go before this one, so they are not looked at until then either: what
/// waits for a dead endpoint would otherwise be passed over at each look.
fn put_off_later(db: &mut Db, notice: &str, endpoint: &str, due: Timestamp) -> Result<(), StoreError> {
    let (call, created): (String, i64) =
        notices::table.find(notice).select((notices::call_id, notices::created_us)).first(db)?;
    let later: Vec<String> = notices::table
        .filter(notices::call_id.eq(call))
        .filter(
            notices::created_us.gt(created).or(notices::created_us.eq(created).and(notices::id.gt(notice))),
        )
        .select(notices::id)
        .load(db)?;
    let waiting = deliveries::table
        .filter(deliveries::notice_id.eq_any(&later))
        .filter(deliveries::endpoint.eq(endpoint))
        .filter(deliveries::done_us.is_null())
        .filter(deliveries::due_us.lt(due.as_microsecond()));
    diesel::update(waiting).set(deliveries::due_us.eq(due.as_microsecond())).execute(db)?;
    Ok(())
}

/// As much of a text as is kept. A NUL, which a receiver may well send, is no text for PostgreSQL.
fn kept(text: &str, most: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(most).collect()
}

/// What waits, by endpoint, also for endpoints that are no longer configured.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn waiting(db: &mut Db) -> Result<Vec<Waiting>, StoreError> {
    let rows: Vec<(String, i64, Option<i64>)> = deliveries::table
        .filter(deliveries::done_us.is_null())
        .group_by(deliveries::endpoint)
        .select((deliveries::endpoint, count_star(), min(deliveries::created_us)))
        .load(db)?;
    rows.into_iter()
        .map(|(endpoint, count, oldest)| {
            let oldest = ledger::time(oldest.unwrap_or_default())?;
            Ok(Waiting { endpoint, count: count.unsigned_abs(), oldest })
        })
        .collect()
}

/// What waits for receivers that are not held, each with whether it subscribed.
///
/// # Errors
/// When the database refuses, or a row of it makes no sense.
pub fn waiting_for_live(db: &mut Db) -> Result<Vec<(Waiting, bool)>, StoreError> {
    let held: Vec<String> = standing::all(db)?.into_iter().map(|one| one.endpoint).collect();
    let subscribed: Vec<String> = endpoints::all(db)?.into_iter().map(|one| one.name).collect();
    let mut live = waiting(db)?;
    live.retain(|one| !held.contains(&one.endpoint));
    Ok(live
        .into_iter()
        .map(|one| {
            let is = subscribed.contains(&one.endpoint);
            (one, is)
        })
        .collect())
}
