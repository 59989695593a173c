//! Statements of SQLite that are prepared once for each connection.
//!
//! diesel prepares each `UPDATE` anew, since it cannot know that its text stays the same. Here it does, and these
//! are the ones that every event needs.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;

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
