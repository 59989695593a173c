//! Which calls are asked for, and page by page.
//!
//! What SQLite and PostgreSQL see differently is kept out: text is compared in lower case where case is not to
//! matter (`LIKE` minds it on one of them only), and pages are cut on two columns that are never NULL.

use std::fmt;
use std::str::FromStr;

use diesel::dsl::exists;
use diesel::helper_types::IntoBoxed;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use jiff::Timestamp;

use super::Db;
use super::schema::{calls, legs};
use crate::call::{Call, Direction, Disposition, State};

/// Digits in which the forms of one number agree: `+7 919 …`, `8 919 …`, `919 …`.
const SIGNIFICANT: usize = 10;

/// Conditions, all of which a call must meet; by default there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Began then or later.
    pub since: Option<Timestamp>,
    /// Began before.
    pub until: Option<Timestamp>,
    /// The caller, the dialled number, or a phone that rang.
    pub number: Option<NumberPattern>,
    /// Of this organisation.
    pub org: Option<String>,
    /// On this Asterisk.
    pub pbx: Option<String>,
    /// Of this direction.
    pub direction: Option<Direction>,
    /// Came to this.
    pub disposition: Option<Disposition>,
    /// From outside, over, and nobody answered.
    pub missed: bool,
}

/// A number as a person types it, and what it matches.
///
/// Spaces, brackets, hyphens, dots and a leading `+` do not matter. A number matches where it ends like this one,
/// of more than ten digits like its last ten. `*` stands for any text, and then both ends are as they are typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberPattern {
    typed: String,
    like: String,
}

/// Why a text is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number: possible are digits, letters, + and #, with * for anything (919* begins so)")]
pub struct NotANumber(String);

/// A piece of a list of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Begins behind this call; `None` for the first page.
    pub after: Option<Cursor>,
    /// Calls at most.
    pub most: usize,
    /// Whether the newest come first, else the oldest do.
    pub newest_first: bool,
}

/// Where a call stands in every list: by the time it began, then by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    started_us: i64,
    id: String,
}

impl Page {
    /// The first page of the newest calls.
    #[must_use]
    pub fn newest(most: usize) -> Page {
        Page { after: None, most, newest_first: true }
    }

    /// The first page of the oldest calls.
    #[must_use]
    pub fn oldest(most: usize) -> Page {
        Page { after: None, most, newest_first: false }
    }

    /// The page behind `last`.
    #[must_use]
    pub fn behind(self, last: &Call) -> Page {
        self.behind_cursor(last.started_at.as_microsecond(), last.id.to_string())
    }

    pub(super) fn behind_cursor(self, started_us: i64, id: String) -> Page {
        Page { after: Some(Cursor { started_us, id }), ..self }
    }
}

impl FromStr for NumberPattern {
    type Err = NotANumber;

    fn from_str(typed: &str) -> Result<NumberPattern, NotANumber> {
        let refused = || NotANumber(typed.to_owned());
        let bare: String = typed.chars().filter(|c| !c.is_whitespace() && !"()-./".contains(*c)).collect();
        let bare = bare.to_ascii_lowercase();
        let known = |c: char| c.is_ascii_alphanumeric() || "+#*_@".contains(c);
        if !bare.chars().all(known) || !bare.chars().any(|c| c.is_ascii_alphanumeric()) {
            return Err(refused());
        }
        let escaped = |text: &str| text.replace('_', "\\_").replace('*', "%");
        let like = if bare.contains('*') {
            escaped(&bare)
        } else {
            let bare = bare.strip_prefix('+').unwrap_or(&bare);
            let digits = bare.bytes().all(|b| b.is_ascii_digit());
            let from = if digits { bare.len().saturating_sub(SIGNIFICANT) } else { 0 };
            format!("%{}", escaped(&bare[from..]))
        };
        Ok(NumberPattern { typed: typed.to_owned(), like })
    }
}

impl fmt::Display for NumberPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

type Backend = <Db as diesel::Connection>::Backend;

/// A query of calls with conditions that are known at run time alone.
pub(super) type Calls<'a> = IntoBoxed<'a, calls::table, Backend>;

#[diesel::declare_sql_function]
extern "SQL" {
    /// In lower case; both backends agree for ASCII, and a pattern has nothing else.
    fn lower(text: Nullable<Text>) -> Nullable<Text>;
}

/// The calls that `filter` asks for, in no order.
pub(super) fn matching(filter: &Filter) -> Calls<'_> {
    let mut query = calls::table.into_boxed();
    if let Some(since) = filter.since {
        query = query.filter(calls::started_us.ge(since.as_microsecond()));
    }
    if let Some(until) = filter.until {
        query = query.filter(calls::started_us.lt(until.as_microsecond()));
    }
    if let Some(org) = &filter.org {
        query = query.filter(calls::org.eq(org));
    }
    if let Some(pbx) = &filter.pbx {
        query = query.filter(calls::pbx.eq(pbx));
    }
    if let Some(direction) = filter.direction {
        query = query.filter(calls::direction.eq(direction.as_str()));
    }
    if let Some(disposition) = filter.disposition {
        // Until it is over, what a call comes to is not known.
        query = query.filter(calls::disposition.eq(disposition.as_str()));
        query = query.filter(calls::state.eq(State::Ended.as_str()));
    }
    if filter.missed {
        query = query.filter(calls::direction.eq(Direction::Inbound.as_str()));
        query = query.filter(calls::state.eq(State::Ended.as_str()));
        query = query.filter(calls::answered_us.is_null());
    }
    if let Some(number) = &filter.number {
        let like = number.like.as_str();
        let rang = legs::table
            .filter(legs::call_id.eq(calls::id))
            .filter(lower(legs::number).like(like).escape('\\'));
        let own = lower(calls::src).like(like).escape('\\').or(lower(calls::dst).like(like).escape('\\'));
        query = query.filter(own.or(exists(rang).nullable()));
    }
    query
}

/// One page of them, in order.
pub(super) fn page<'a>(filter: &'a Filter, page: &'a Page) -> Calls<'a> {
    let query = matching(filter).limit(i64::try_from(page.most).unwrap_or(i64::MAX));
    let at = page.after.as_ref().map(|place| (place.started_us, place.id.as_str()));
    match (page.newest_first, at) {
        (true, None) => query.order((calls::started_us.desc(), calls::id.desc())),
        (false, None) => query.order((calls::started_us, calls::id)),
        (true, Some((us, id))) => query
            // The first condition is for the index, which an OR alone would not use.
            .filter(calls::started_us.le(us))
            .filter(calls::started_us.lt(us).or(calls::id.lt(id)))
            .order((calls::started_us.desc(), calls::id.desc())),
        (false, Some((us, id))) => query
            .filter(calls::started_us.ge(us))
            .filter(calls::started_us.gt(us).or(calls::id.gt(id)))
            .order((calls::started_us, calls::id)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn like(typed: &str) -> String {
        typed.parse::<NumberPattern>().unwrap().like
    }

    #[test]
    fn the_forms_of_one_number_are_one_pattern() {
        for typed in ["+7 (919) 339-36-55", "8 919 339 36 55", "9193393655", "79193393655"] {
            assert_eq!(like(typed), "%9193393655", "{typed}");
        }
        assert_eq!(like("101"), "%101");
        assert_eq!(like("Anna_1"), "%anna\\_1");
        assert_eq!(like("919*"), "919%");
        assert_eq!(like("*919*"), "%919%");
    }

    #[test]
    fn what_is_no_number_is_refused_with_what_is_possible() {
        for typed in ["", "  ", "*", "+", "%", "a'b", "Иван"] {
            let refused = typed.parse::<NumberPattern>().unwrap_err().to_string();
            assert!(refused.contains("digits"), "{refused}");
        }
    }
}
