//! When work that comes again was begun last, so that of several nodes on one database one does it, and a restart does
//! not do it anew.

use diesel::prelude::*;
use jiff::{SignedDuration, Timestamp};

use super::db::on;
use super::schema::runs;
use super::{Db, StoreError};

/// Begins what is called `name`, where nobody did within the time of `every`; whether it is ours to do now.
///
/// # Errors
/// When the database refuses.
pub fn begin(db: &mut Db, name: &str, now: Timestamp, every: SignedDuration) -> Result<bool, StoreError> {
    let us = |at: Result<Timestamp, jiff::Error>| at.unwrap_or(now).as_microsecond();
    let (before, after) = (us(now.saturating_sub(every)), us(now.saturating_add(every)));
    // What was begun in the future was begun by a clock that was wrong.
    let due = runs::begun_us.le(before).or(runs::begun_us.gt(after));
    let begun = runs::begun_us.eq(now.as_microsecond());
    if diesel::update(runs::table.find(name).filter(due)).set(begun).execute(db)? == 1 {
        return Ok(true);
    }
    let insert = diesel::insert_into(runs::table).values((runs::name.eq(name), begun));
    let insert = insert.on_conflict_do_nothing();
    Ok(on!(db, c => insert.execute(c))? == 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::{Lane, Store};

    #[tokio::test]
    async fn what_comes_again_is_begun_once_in_its_time_and_by_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/j.db", dir.path().display())).unwrap();
        let hour = SignedDuration::from_hours(1);
        let begin = async |name: &'static str, second: i64| {
            let now = Timestamp::from_second(second).unwrap();
            store.write(Lane::Settle, "test", move |db| begin(db, name, now, hour)).await.unwrap()
        };
        assert!(begin("a", 10_000).await);
        assert!(!begin("a", 10_000).await && !begin("a", 13_599).await);
        assert!(begin("b", 10_001).await);
        assert!(begin("a", 13_600).await && !begin("a", 13_601).await);
        assert!(begin("a", 1000).await, "a clock that was wrong once holds it up for ever");
    }
}
