//! How the journal stands, in a few numbers that one look gives: for the operator.

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::delivery::{self, Waiting};
use super::feeds::{self, Evidence};
use super::ledger::{self, SpoolMark};
use super::schema::{calls, set_aside};
use super::standing::{self, Standing};
use super::{Db, Store, StoreError};
use crate::event::Feed;

/// What there is to say of the journal.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Calls that go on.
    pub open_calls: u64,
    /// Calls that could not be settled.
    pub set_aside: u64,
    /// Events that no call was folded with yet.
    pub unsettled: u64,
    /// What waits, by endpoint.
    pub waiting: Vec<Waiting>,
    /// Endpoints that get nothing at present.
    pub held: Vec<Standing>,
    /// How far spool files are taken in.
    pub marks: Vec<SpoolMark>,
    /// What is known of the feeds.
    pub feeds: Vec<(String, Feed, Evidence)>,
    /// The size of the database in bytes.
    pub bytes: u64,
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl Store {
    /// How the journal stands.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn summary(&self) -> Result<Summary, StoreError> {
        self.read("summary", |db| {
            let open = calls::table.filter(calls::due_us.is_not_null()).select(count_star());
            let open: i64 = open.get_result(db)?;
            let aside: i64 = set_aside::table.select(count_star()).get_result(db)?;
            Ok(Summary {
                open_calls: open.cast_unsigned(),
                set_aside: aside.cast_unsigned(),
                unsettled: ledger::count_unsettled(db)?,
                waiting: delivery::waiting(db)?,
                held: standing::all(db)?,
                marks: ledger::marks(db)?,
                feeds: feeds::all(db)?,
                bytes: size(db)?,
            })
        })
        .await
    }
}

fn size(db: &mut Db) -> Result<u64, StoreError> {
    let asked = match db {
        Db::Sqlite(_) => {
            "SELECT p.page_count * s.page_size AS bytes FROM pragma_page_count() p, pragma_page_size() s"
        }
        Db::Postgres(_) => "SELECT pg_database_size(current_database()) AS bytes",
    };
    Ok(diesel::sql_query(asked).get_result::<Size>(db)?.bytes.cast_unsigned())
}
