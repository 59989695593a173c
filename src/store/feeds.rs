//! How each feed of each pbx stands: what was seen of it, what that was judged to be, and what was told outside.
//!
//! One row for a pbx and a feed, shared by all nodes. Knows nothing of the rules: they are `intake`'s.

use diesel::prelude::*;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::db::on;
use super::ledger::to_json;
use super::schema::feeds;
use super::{Db, StoreError};
use crate::event::Feed;

/// The feeds that are followed. A row of Asterisk's event log counts as one of its CDR.
pub const FOLLOWED: [Feed; 5] = [Feed::Agi, Feed::Spool, Feed::Push, Feed::Ami, Feed::Cdr];

/// How a feed stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was never heard.
    #[default]
    Never,
    /// Nothing is known against it.
    Up,
    /// Something is not as it should be; it may pass by itself, or be meant so.
    Late,
    /// It does not tell what it should.
    Down,
}

/// Why a feed is late or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// Its connection is away.
    Broken,
    /// Its heartbeat stays away.
    Silent,
    /// Its events come through the spool.
    Spooled,
    /// Others told calls of which it said nothing.
    Missed,
    /// No server listens to it at present.
    Unwatched,
}

/// What is known of one feed of one pbx.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// When its last event came.
    pub heard: Option<Timestamp>,
    /// When it last gave a sign of life: a heartbeat, or anything on its connection.
    pub beat: Option<Timestamp>,
    /// Since when its connection is up.
    pub linked: Option<Timestamp>,
    /// Since when its connection is away.
    pub broken: Option<Timestamp>,
    /// Why it is away, in the words of who tried.
    pub detail: String,
    /// The day, `2026-11-23`, of the two counts that follow.
    pub day: String,
    /// Calls that it told.
    pub told: u64,
    /// Calls that others told, of which it said nothing.
    pub missed: u64,
    /// How many of the latter in a row until now.
    pub run: u64,
    /// Who told the last of them.
    pub by: Option<Feed>,
    /// As what it was judged last.
    pub state: State,
    /// Since when it is that.
    pub since: Option<Timestamp>,
    /// Why it is not well.
    pub why: Option<Why>,
    /// Whether it was last told to be down.
    pub told_down: bool,
    /// When that was told, or that it is up again.
    pub told_at: Option<Timestamp>,
    /// How often it was told to be down since it was well for long.
    pub alarms: u32,
}

/// How a feed stands, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The pbx.
    pub pbx: String,
    /// The feed.
    pub feed: Feed,
    /// How it stands.
    pub state: State,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When its last event came.
    pub last_event: Option<Timestamp>,
    /// Calls that it told today.
    pub told_today: u64,
    /// Calls of today that others told, of which it said nothing.
    pub missed_today: u64,
    /// Why it is not well.
    pub why: Option<Why>,
    /// How many calls in a row it has missed until now.
    pub in_a_row: u64,
    /// Who told the last of them.
    pub by: Option<Feed>,
    /// What was said of its connection.
    pub detail: String,
    /// Why it is not well and what to look at, in English.
    pub reason: Option<String>,
}

impl State {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Never => "never",
            State::Up => "up",
            State::Late => "late",
            State::Down => "down",
        }
    }
}

impl Evidence {
    /// As it is shown on the day `today`, without the reason.
    #[must_use]
    pub fn standing(&self, pbx: &str, feed: Feed, today: &str) -> Standing {
        let [told_today, missed_today] = if self.day == today { [self.told, self.missed] } else { [0, 0] };
        Standing {
            pbx: pbx.to_owned(),
            feed,
            state: self.state,
            since: self.since,
            last_event: self.heard,
            told_today,
            missed_today,
            why: self.why,
            in_a_row: self.run,
            by: self.by.filter(|_| self.run > 0),
            detail: if self.why == Some(Why::Broken) { self.detail.clone() } else { String::new() },
            reason: None,
        }
    }
}

/// The dialplan is looked for on each pbx, and on the one called `default` where none is known.
pub fn with_dialplan(known: &mut Vec<Standing>, default: &str) {
    let mut pbxes: Vec<String> = known.iter().map(|one| one.pbx.clone()).collect();
    pbxes.dedup();
    if pbxes.is_empty() {
        pbxes.push(default.to_owned());
    }
    for pbx in pbxes {
        if known.iter().all(|one| one.pbx != pbx || one.feed != Feed::Agi) {
            known.push(Evidence::default().standing(&pbx, Feed::Agi, ""));
        }
    }
    known.sort_by(|a, b| (&a.pbx, a.feed).cmp(&(&b.pbx, b.feed)));
}

/// What is known of all, by pbx and feed. What somebody else put there and makes no sense is passed over.
///
/// # Errors
/// When the database refuses.
pub fn all(db: &mut Db) -> Result<Vec<(String, Feed, Evidence)>, StoreError> {
    let rows: Vec<(String, String, String)> = feeds::table.order((feeds::pbx, feeds::feed)).load(db)?;
    let read = |(pbx, feed, doc): (String, String, String)| {
        let feed = FOLLOWED.into_iter().find(|one| one.as_str() == feed)?;
        Some((pbx, feed, serde_json::from_str(&doc).ok()?))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Keeps other nodes from writing until this transaction ends. On SQLite it is so already.
///
/// # Errors
/// When the database refuses.
pub fn alone(db: &mut Db) -> Result<(), StoreError> {
    if matches!(db, Db::Postgres(_)) {
        diesel::sql_query("LOCK TABLE feeds IN SHARE ROW EXCLUSIVE MODE").execute(db)?;
    }
    Ok(())
}

/// Writes down what is known of one.
///
/// # Errors
/// When the database refuses.
pub fn put(db: &mut Db, pbx: &str, feed: Feed, known: &Evidence) -> Result<(), StoreError> {
    let doc = to_json(known)?;
    let row = (feeds::pbx.eq(pbx), feeds::feed.eq(feed.as_str()), feeds::doc.eq(&doc));
    let insert = diesel::insert_into(feeds::table).values(row);
    let key = (feeds::pbx, feeds::feed);
    on!(db, c => insert.on_conflict(key).do_update().set(feeds::doc.eq(&doc)).execute(c))?;
    Ok(())
}

/// Asterisk's own records of a pbx were read; a server that runs learns it from here.
///
/// # Errors
/// When the database refuses.
pub fn read_records(db: &mut Db, pbx: &str, now: Timestamp) -> Result<(), StoreError> {
    alone(db)?;
    let known = all(db)?.into_iter().find(|(of, feed, _)| of == pbx && *feed == Feed::Cdr);
    let known = known.map(|(.., known)| known).unwrap_or_default();
    let since = known.since.or(Some(now));
    put(db, pbx, Feed::Cdr, &Evidence { heard: Some(now), state: State::Up, since, ..known })
}

/// Forgets one; `false` where it is not known.
///
/// # Errors
/// When the database refuses.
pub fn forget(db: &mut Db, pbx: &str, feed: Feed) -> Result<bool, StoreError> {
    Ok(diesel::delete(feeds::table.find((pbx, feed.as_str()))).execute(db)? == 1)
}
