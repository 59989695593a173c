//! Forgetting calls: those that ended too long ago, and those that were only played.
//!
//! A call goes with everything that belongs to it, in one transaction of a few calls, on the lane that lets
//! accepts go first. What is to be told still, or may be told otherwise yet, stays: see [`Doomed::EndedBefore`].

use std::collections::BTreeMap;

use diesel::dsl::not;
use diesel::prelude::*;
use jiff::Timestamp;

use super::filter::{self, Filter, Page};
use super::schema::{
    attempts, call_aliases, calls, cdr, deliveries, endings, endpoint_marks, events, guests, legs, members,
    notices, set_aside,
};
use super::{Db, Lane, Store, StoreError, hold};

/// Calls in one transaction: some hundred rows, a few milliseconds.
const CALLS_AT_ONCE: usize = 16;

/// Rows in one transaction where there is no call to go by, and values in one statement.
const ROWS_AT_ONCE: usize = 500;

/// Which calls are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doomed {
    /// Those that ended before, but for those of which something is unsettled, set aside or undelivered.
    EndedBefore(Timestamp),
    /// All of one Asterisk, whatever becomes of them, with every event that it told.
    OfPbx(String),
}

impl Store {
    /// Forgets calls, the oldest first. `told` hears after each transaction how many are gone since the last one;
    /// where it answers `false` the rest stays. Answers with the number of calls.
    ///
    /// # Errors
    /// When the database refuses; what was forgotten before stays so.
    pub async fn forget(
        &self,
        doomed: &Doomed,
        mut told: impl FnMut(usize) -> bool,
    ) -> Result<usize, StoreError> {
        let mut page = Page::oldest(CALLS_AT_ONCE);
        let mut all = 0;
        loop {
            let (candidates, next) = self.candidates(doomed.clone(), page).await?;
            let Some(next) = next else { break };
            page = next;
            if candidates.is_empty() {
                continue;
            }
            let doomed = doomed.clone();
            let gone =
                self.write(Lane::Settle, "forget calls", move |db| forget(db, &doomed, candidates)).await?;
            all += gone;
            if !told(gone) {
                return Ok(all);
            }
        }
        if let Doomed::OfPbx(pbx) = doomed {
            self.forget_strays(pbx).await?;
        }
        Ok(all)
    }

    /// A page of calls that may be forgotten, and the next page; `None` where there is none.
    async fn candidates(
        &self,
        doomed: Doomed,
        page: Page,
    ) -> Result<(Vec<String>, Option<Page>), StoreError> {
        self.read("calls to forget", move |db| {
            // What ended before has begun before, and by its begin there is an index.
            let filter = match &doomed {
                Doomed::EndedBefore(until) => Filter { until: Some(*until), ..Filter::default() },
                Doomed::OfPbx(pbx) => Filter { pbx: Some(pbx.clone()), ..Filter::default() },
            };
            let places: Vec<(i64, String)> =
                filter::page(&filter, &page).select((calls::started_us, calls::id)).load(db)?;
            let next = places.last().map(|(us, id)| page.clone().behind_cursor(*us, id.clone()));
            Ok((places.into_iter().map(|(_, id)| id).collect(), next))
        })
        .await
    }

    /// What an Asterisk told that no call was made of.
    async fn forget_strays(&self, pbx: &str) -> Result<(), StoreError> {
        loop {
            let pbx = pbx.to_owned();
            let gone = self
                .write(Lane::Settle, "forget events", move |db| {
                    let some = events::table.filter(events::pbx.eq(&pbx)).limit(ROWS_AT_ONCE as i64);
                    let some: Vec<i64> = some.select(events::id).load(db)?;
                    diesel::delete(events::table.filter(events::id.eq_any(&some))).execute(db)?;
                    if some.is_empty() {
                        diesel::delete(members::table.filter(members::pbx.eq(&pbx))).execute(db)?;
                        diesel::delete(endings::table.filter(endings::pbx.eq(&pbx))).execute(db)?;
                    }
                    Ok(some.len())
                })
                .await?;
            if gone == 0 {
                return Ok(());
            }
        }
    }
}

/// Forgets those of `ids` that may be; answers with their number.
fn forget(db: &mut Db, doomed: &Doomed, ids: Vec<String>) -> Result<usize, StoreError> {
    // What another node works on is not ours to take away now; what is read behind this is as that node left it.
    let ids = hold::calls(db, ids)?;
    let ids = match doomed {
        Doomed::EndedBefore(before) => settled_for_good(db, ids, before.as_microsecond())?,
        Doomed::OfPbx(_) => ids,
    };
    if ids.is_empty() {
        return Ok(0);
    }
    for (pbx, channels) in channels(db, &ids)? {
        for some in channels.chunks(ROWS_AT_ONCE) {
            let told = endings::table.filter(endings::pbx.eq(&pbx)).filter(endings::linkedid.eq_any(some));
            diesel::delete(told).execute(db)?;
        }
    }
    let told: Vec<String> =
        notices::table.filter(notices::call_id.eq_any(&ids)).select(notices::id).load(db)?;
    for some in told.chunks(ROWS_AT_ONCE) {
        diesel::delete(attempts::table.filter(attempts::notice_id.eq_any(some))).execute(db)?;
        diesel::delete(deliveries::table.filter(deliveries::notice_id.eq_any(some))).execute(db)?;
        diesel::delete(notices::table.filter(notices::id.eq_any(some))).execute(db)?;
    }
    diesel::delete(endpoint_marks::table.filter(endpoint_marks::call_id.eq_any(&ids))).execute(db)?;
    let nullable = ids.iter().map(Some);
    diesel::delete(events::table.filter(events::call_id.eq_any(nullable))).execute(db)?;
    diesel::delete(members::table.filter(members::call_id.eq_any(&ids))).execute(db)?;
    diesel::delete(call_aliases::table.filter(call_aliases::call_id.eq_any(&ids))).execute(db)?;
    diesel::delete(guests::table.filter(guests::call_id.eq_any(&ids))).execute(db)?;
    diesel::delete(set_aside::table.filter(set_aside::call_id.eq_any(&ids))).execute(db)?;
    diesel::delete(legs::table.filter(legs::call_id.eq_any(&ids))).execute(db)?;
    diesel::delete(cdr::table.filter(cdr::call_id.eq_any(&ids))).execute(db)?;
    Ok(diesel::delete(calls::table.filter(calls::id.eq_any(&ids))).execute(db)?)
}

/// The channels of calls, by pbx.
fn channels(db: &mut Db, ids: &[String]) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let named = members::table.filter(members::call_id.eq_any(ids)).select((members::pbx, members::channel));
    let mut channels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (pbx, channel) in named.load::<(String, String)>(db)? {
        channels.entry(pbx).or_default().push(channel);
    }
    Ok(channels)
}

/// Those of the calls that ended before, were told, and have nothing that waits.
fn settled_for_good(db: &mut Db, ids: Vec<String>, before_us: i64) -> Result<Vec<String>, StoreError> {
    // Where the end is not known, a call that is told as ended counts from its begin.
    let over = calls::ended_us.lt(before_us).or(calls::ended_us.is_null()).nullable();
    let mut ids: Vec<String> = calls::table
        .filter(calls::id.eq_any(ids))
        .filter(calls::due_us.is_null())
        .filter(calls::told_print.is_not_null())
        .filter(over)
        .select(calls::id)
        .load(db)?;
    let aside: Vec<String> =
        set_aside::table.filter(set_aside::call_id.eq_any(&ids)).select(set_aside::call_id).load(db)?;
    let undelivered: Vec<String> = deliveries::table
        .inner_join(notices::table)
        .filter(notices::call_id.eq_any(&ids))
        .filter(deliveries::done_us.is_null())
        .select(notices::call_id)
        .load(db)?;
    ids.retain(|id| !aside.contains(id) && !undelivered.contains(id));
    let mut waits = Vec::new();
    for id in &ids {
        if unsettled(db, id)? {
            waits.push(id.clone());
        }
    }
    ids.retain(|id| !waits.contains(id));
    Ok(ids)
}

/// Whether an event of the call, or of one of its channels, was not folded yet.
fn unsettled(db: &mut Db, id: &String) -> Result<bool, StoreError> {
    for (pbx, channels) in channels(db, std::slice::from_ref(id))? {
        for some in channels.chunks(ROWS_AT_ONCE) {
            // `NOT settled` word for word, since that is what the partial index says.
            let waiting = events::table.filter(not(events::settled)).filter(events::uid.eq_any(some));
            let waiting = waiting.filter(events::pbx.eq(&pbx)).select(events::id);
            if waiting.first::<i64>(db).optional()?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
