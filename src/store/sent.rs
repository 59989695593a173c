//! How far the spool files of other hosts are taken in.
//!
//! Verbs for use inside a transaction: a mark moves together with the events that it stands for. Knows nothing of how a
//! file comes here.
//!
//! A mark is never deleted. A host may keep its files for ever (`--delete-after 0`) or be away for a year, and what it sent long
//! ago must not come again when the calls in it are forgotten (`store.keep_days`): their events would be news. It costs little: a
//! row of some 150 bytes for each hour in which a host had something to write down, 1.3 MB a year where that is every hour.

use diesel::prelude::*;
use jiff::Timestamp;

use super::schema::sent_marks::{self, dsl};
use super::{Db, StoreError};

/// Which file of which host. Two hosts may have files of one name, and so has one host after the first was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    /// What the host calls itself.
    pub host: String,
    /// The file's name there; a word to tell files apart, and no path of this machine.
    pub name: String,
    /// Fingerprint of its first line.
    pub head: String,
}

/// How far such a file is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMark {
    /// Which file.
    pub file: SentFile,
    /// Bytes that are wholly taken in.
    pub taken: u64,
    /// Bytes of them that were no event.
    pub garbage: u64,
    /// When it was last heard of.
    pub seen: Timestamp,
}

/// Remembers how far a file is taken in. A mark never goes back: of two who send the same file the slower one is late.
///
/// # Errors
/// When the database refuses.
pub fn mark(db: &mut Db, mark: &SentMark) -> Result<(), StoreError> {
    let SentFile { host, name, head } = &mark.file;
    let taken = mark.taken.cast_signed();
    let rest = (
        dsl::taken.eq(taken),
        dsl::garbage.eq(mark.garbage.cast_signed()),
        dsl::seen_us.eq(mark.seen.as_microsecond()),
    );
    let known = sent_marks::table.find((host, name, head));
    if diesel::update(known.filter(dsl::taken.le(taken))).set(rest).execute(db)? == 0
        && known.select(dsl::taken).first::<i64>(db).optional()?.is_none()
    {
        let key = (dsl::host.eq(host), dsl::name.eq(name), dsl::head.eq(head));
        diesel::insert_into(sent_marks::table).values((key, rest)).execute(db)?;
    }
    Ok(())
}

/// How far `file` is taken in; 0 where it was never heard of.
///
/// # Errors
/// When the database refuses.
pub fn of(db: &mut Db, file: &SentFile) -> Result<(u64, u64), StoreError> {
    let known = sent_marks::table.find((&file.host, &file.name, &file.head));
    let found: Option<(i64, i64)> = known.select((dsl::taken, dsl::garbage)).first(db).optional()?;
    let (taken, garbage) = found.unwrap_or_default();
    Ok((taken.cast_unsigned(), garbage.cast_unsigned()))
}
