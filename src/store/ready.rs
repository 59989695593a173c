//! Statements of SQLite that are prepared once for each connection.
//!
//! diesel prepares each `UPDATE` anew, and puts together the text of each `INSERT … ON CONFLICT`, since it cannot know
//! that it stays the same. Here it does, and these are the ones that every event needs.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::sqlite::Sqlite;

use super::ledger::NewEvent;

/// Appends one event, where it is not in the log already.
pub(super) struct Append<'a>(pub(super) &'a NewEvent<'a>);

impl QueryId for Append<'_> {
    type QueryId = Append<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Sqlite> for Append<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        macro_rules! values {
            ($first:ident: $sql:ty $(, $name:ident: $more:ty)* $(,)?) => {
                out.push_sql(concat!(
                    "INSERT INTO events (", stringify!($first), $(", ", stringify!($name),)* ") VALUES ("
                ));
                out.push_bind_param::<$sql, _>(&self.0.$first)?;
                $(
                    out.push_sql(", ");
                    out.push_bind_param::<$more, _>(&self.0.$name)?;
                )*
            };
        }
        values! {
            pbx: Text, token: Text, kind: Text, feed: Text, uid: Text, linkedid: Text, root: Nullable<Text>,
            seq: Nullable<BigInt>, at_us: BigInt, timed: Bool, received_us: BigInt, channel: Text, facts: Text,
            agi: Nullable<Text>, call_id: Nullable<Text>, note: Nullable<Text>, settled: Bool,
        }
        out.push_sql(") ON CONFLICT DO NOTHING");
        Ok(())
    }
}

impl<C> RunQueryDsl<C> for Append<'_> {}

/// Marks one event as settled.
pub(super) struct Settle<'a> {
    pub(super) event: i64,
    pub(super) call: Option<&'a str>,
    pub(super) note: &'a str,
}

impl QueryId for Settle<'_> {
    type QueryId = Settle<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Sqlite> for Settle<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE events SET settled = TRUE, call_id = ");
        out.push_bind_param::<Nullable<Text>, _>(&self.call)?;
        out.push_sql(", note = ");
        out.push_bind_param::<Text, _>(&self.note)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<BigInt, _>(&self.event)
    }
}

impl<C> RunQueryDsl<C> for Settle<'_> {}

/// Writes a call anew; `changes` sets all its columns, always the same ones.
pub(super) struct Update<'a, C> {
    pub(super) id: &'a str,
    pub(super) changes: C,
}

impl<C> QueryId for Update<'_, C> {
    type QueryId = Update<'static, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Update<'_, C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE calls SET ");
        self.changes.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Text, _>(&self.id)
    }
}

impl<T, C> RunQueryDsl<T> for Update<'_, C> {}
