//! Notices as the operator sees them: what became of each delivery, each attempt, and to try some of them again.

use diesel::prelude::*;
use jiff::Timestamp;
use serde::Serialize;

use super::schema::{attempts, deliveries, notices};
use super::{Db, Lane, Store, StoreError, ledger};

/// Deliveries that are made due again by one transaction.
const AT_ONCE: i64 = 500;

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is still to be made.
    Waiting,
    /// It arrived.
    Delivered,
    /// It was tried as often as the schedule has it.
    Dead,
    /// The receiver said no, for good.
    Refused,
}

/// Which deliveries are meant: those that meet all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this notice: its id, or the beginning of it.
    pub notice: Option<String>,
    /// To this endpoint.
    pub endpoint: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of the call with this id, or the beginning of it.
    pub call: Option<String>,
    /// That stand so.
    pub stage: Option<Stage>,
    /// Written then or later.
    pub since: Option<Timestamp>,
}

/// One notice for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// The notice's id.
    pub notice: String,
    /// `call.ended` and so on.
    pub kind: String,
    /// The call that it tells of.
    pub call: String,
    /// To whom.
    pub endpoint: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is tried next; `None` where it is done.
    pub due_at: Option<Timestamp>,
    /// How often it was tried, since it was written or made due again.
    pub attempts: u32,
    /// When it was done.
    pub done_at: Option<Timestamp>,
    /// `delivered`, `refused`, `gone`, `dead` or `unsubscribed`; `None` while it waits.
    pub outcome: Option<String>,
    /// What was said of the last attempt.
    pub detail: Option<String>,
}

/// One attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// To whom.
    pub endpoint: String,
    /// The how manieth that was written down, from 1.
    pub n: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// `delivered`, `again`, `refused`, `gone` or `dead`.
    pub outcome: String,
    /// The status that was answered.
    pub status: Option<u16>,
    /// What we say of it.
    pub detail: String,
    /// What the receiver said.
    pub answer: String,
}

/// A notice with all that became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What was written down: JSON.
    pub body: String,
    /// For whom.
    pub deliveries: Vec<Delivery>,
    /// What was tried, in order.
    pub attempts: Vec<Tried>,
}

type Row = (String, String, String, String, (i64, i64, i32), (Option<i64>, Option<String>, Option<String>));

impl Store {
    /// The deliveries that are wanted, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn deliveries(&self, wanted: &Wanted, most: usize) -> Result<Vec<Delivery>, StoreError> {
        let wanted = wanted.clone();
        self.read("deliveries", move |db| find(db, &wanted, most)).await
    }

    /// The notices whose ids begin so, two at most; for people who type part of one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn notices_from(&self, start: &str) -> Result<Vec<String>, StoreError> {
        let (from, to) = (start.to_owned(), end_of(start));
        self.read("notices", move |db| {
            let some = notices::table.filter(notices::id.ge(from)).filter(notices::id.lt(to));
            Ok(some.select(notices::id).order(notices::id).limit(2).load(db)?)
        })
        .await
    }

    /// One notice; `None` where there is none of this id.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn notice(&self, id: &str) -> Result<Option<Whole>, StoreError> {
        let id = id.to_owned();
        self.read("notice", move |db| {
            let body: Option<String> = notices::table.find(&id).select(notices::body).first(db).optional()?;
            let Some(body) = body else { return Ok(None) };
            let wanted = Wanted { notice: Some(id.clone()), ..Wanted::default() };
            Ok(Some(Whole { body, deliveries: find(db, &wanted, usize::MAX)?, attempts: tried(db, &id)? }))
        })
        .await
    }

    /// Makes due again what is wanted and is not delivered, and answers with how many there were: what was given up
    /// begins anew, what waits for its next attempt waits no longer.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn retry(&self, wanted: &Wanted, now: Timestamp) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let wanted = wanted.clone();
            match self.write(Lane::Settle, "retry", move |db| retry_some(db, &wanted, now)).await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }
}

/// Where names that begin with `start` end: ids are of hexadecimal digits and hyphens, and `g` comes after all of them.
fn end_of(start: &str) -> String {
    format!("{start}g")
}

type Backend = <Db as diesel::Connection>::Backend;
type Joined = diesel::dsl::InnerJoin<deliveries::table, notices::table>;

fn matching(wanted: &Wanted) -> diesel::dsl::IntoBoxed<'static, Joined, Backend> {
    let mut found = deliveries::table.inner_join(notices::table).into_boxed();
    if let Some(id) = &wanted.notice {
        found = found.filter(notices::id.ge(id.clone())).filter(notices::id.lt(end_of(id)));
    }
    if let Some(endpoint) = &wanted.endpoint {
        found = found.filter(deliveries::endpoint.eq(endpoint.clone()));
    }
    if let Some(kind) = &wanted.kind {
        found = found.filter(notices::kind.eq(kind.clone()));
    }
    if let Some(call) = &wanted.call {
        found = found.filter(notices::call_id.ge(call.clone())).filter(notices::call_id.lt(end_of(call)));
    }
    if let Some(since) = wanted.since {
        found = found.filter(deliveries::created_us.ge(since.as_microsecond()));
    }
    match wanted.stage {
        None => found,
        Some(Stage::Waiting) => found.filter(deliveries::done_us.is_null()),
        Some(Stage::Delivered) => found.filter(deliveries::outcome.eq("delivered")),
        Some(Stage::Dead) => found.filter(deliveries::outcome.eq("dead")),
        Some(Stage::Refused) => found.filter(deliveries::outcome.eq_any(["refused", "gone"])),
    }
}

fn find(db: &mut Db, wanted: &Wanted, most: usize) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Row> = matching(wanted)
        .order((deliveries::created_us.desc(), deliveries::notice_id.desc(), deliveries::endpoint))
        .limit(i64::try_from(most).unwrap_or(i64::MAX))
        .select((
            notices::id,
            notices::kind,
            notices::call_id,
            deliveries::endpoint,
            (deliveries::created_us, deliveries::due_us, deliveries::attempts),
            (deliveries::done_us, deliveries::outcome, deliveries::detail),
        ))
        .load(db)?;
    let delivery = |(notice, kind, call, endpoint, (created, due, n), (done, outcome, detail)): Row| {
        Ok(Delivery {
            notice,
            kind,
            call,
            endpoint,
            created_at: ledger::time(created)?,
            due_at: if done.is_none() { Some(ledger::time(due)?) } else { None },
            attempts: n.unsigned_abs(),
            done_at: done.map(ledger::time).transpose()?,
            outcome,
            detail,
        })
    };
    rows.into_iter().map(delivery).collect()
}

fn tried(db: &mut Db, notice: &str) -> Result<Vec<Tried>, StoreError> {
    type Row = (String, i32, i64, i64, String, Option<i32>, String, String);
    let rows: Vec<Row> = attempts::table
        .filter(attempts::notice_id.eq(notice))
        .order((attempts::at_us, attempts::endpoint, attempts::n))
        .select((
            attempts::endpoint,
            attempts::n,
            attempts::at_us,
            attempts::took_us,
            attempts::outcome,
            attempts::status,
            attempts::detail,
            attempts::answer,
        ))
        .load(db)?;
    let attempt = |(endpoint, n, at, took, outcome, status, detail, answer): Row| {
        Ok(Tried {
            endpoint,
            n: n.unsigned_abs(),
            at: ledger::time(at)?,
            took_us: took.unsigned_abs(),
            outcome,
            status: status.and_then(|status| u16::try_from(status).ok()),
            detail,
            answer,
        })
    };
    rows.into_iter().map(attempt).collect()
}

/// Each is due since it was written: so they go in the order in which they were, and are found in that order.
fn retry_some(db: &mut Db, wanted: &Wanted, now: Timestamp) -> Result<usize, StoreError> {
    let given_up = deliveries::outcome.eq_any(["dead", "refused", "gone"]).assume_not_null();
    let put_off = deliveries::done_us
        .is_null()
        .and(deliveries::due_us.ne(deliveries::created_us))
        .and(deliveries::lease_until_us.le(now.as_microsecond()));
    let some: Vec<(String, String)> = matching(wanted)
        .filter(deliveries::done_us.is_not_null().and(given_up).or(put_off))
        .order((deliveries::created_us, deliveries::notice_id))
        .limit(AT_ONCE)
        .select((deliveries::notice_id, deliveries::endpoint))
        .load(db)?;
    for (notice, endpoint) in &some {
        let anew = (
            deliveries::due_us.eq(deliveries::created_us),
            deliveries::attempts.eq(0),
            deliveries::done_us.eq(None::<i64>),
            deliveries::outcome.eq(None::<&str>),
        );
        diesel::update(deliveries::table.find((notice, endpoint))).set(anew).execute(db)?;
    }
    Ok(some.len())
}
