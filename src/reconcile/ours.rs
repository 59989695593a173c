//! The journal's calls beside what a source knows: those that it does not have, and those of which it says otherwise.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};

use super::Source;
use crate::call::{Call, State};
use crate::event::Event;
use crate::store::filter::{Filter, Page};
use crate::store::{Store, StoreError};

/// A call that ended less long ago may not be in the records yet: Asterisk writes some in batches.
const SETTLED: SignedDuration = SignedDuration::from_mins(15);

/// Calls that are looked at together.
const AT_ONCE: usize = 500;

/// Calls that are named, of each kind; the rest are counted.
const NAMED: usize = 1000;

/// The channels that a source knows.
#[derive(Debug, Default)]
pub struct Known {
    /// Uniqueids and linkedids, as numbers: of a year they are millions.
    names: HashSet<u64>,
    first: Option<Timestamp>,
}

/// Calls of the journal that a source has otherwise or not at all.
#[derive(Debug, Default)]
pub struct Ours {
    /// The source does not have them; how many, and the first thousand.
    pub only: (usize, Vec<Call>),
    /// It says otherwise of them than they were told; how many, and the first thousand.
    pub otherwise: (usize, Vec<Call>),
}

impl Known {
    /// Remembers whom `events` tell of.
    ///
    /// # Errors
    /// Where they name no channel by its uniqueid: there is then no telling which of the journal's calls they are,
    /// and each would be added a second time.
    pub(super) fn see(&mut self, events: &[Event]) -> anyhow::Result<()> {
        for event in events {
            if event.uid.starts_with("cdr-") {
                bail!(
                    "its rows have no uniqueid, so that each call would be counted a second time: set loguniqueid = yes \
                     under [csv] in cdr.conf and put the file aside"
                );
            }
            self.names.extend([&event.uid, &event.linkedid].map(|name| number(name)));
            self.first = Some(self.first.map_or(event.at, |first| first.min(event.at)));
        }
        Ok(())
    }

    fn knows(&self, call: &Call) -> bool {
        let uids = call.legs.iter().map(|leg| &leg.uniqueid);
        uids.chain([&call.linkedid]).any(|name| self.names.contains(&number(name)))
    }
}

impl Source {
    /// The calls of the journal since then that this source does not have or has otherwise; those that still go on or
    /// ended just now do not count, nor those of before its first row.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn ours(
        &self,
        store: &Store,
        known: &Known,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Ours, StoreError> {
        let mut ours = Ours::default();
        let Some(first) = known.first else { return Ok(ours) };
        let until = now.saturating_sub(SETTLED).unwrap_or(now);
        let filter = Filter {
            since: Some(since.max(first)),
            until: Some(until),
            pbx: Some(self.pbx.clone()),
            ..Filter::default()
        };
        let mut page = Page::oldest(AT_ONCE);
        loop {
            let calls = store.find_calls(&filter, page.clone()).await?;
            let Some(last) = calls.last() else { return Ok(ours) };
            page = page.behind(last);
            let over = |call: &Call| call.state == State::Ended && call.ended_at.is_none_or(|at| at < until);
            let (known, unknown): (Vec<Call>, Vec<Call>) =
                calls.into_iter().filter(over).partition(|call| known.knows(call));
            let ids: Vec<String> = known.iter().map(|call| call.id.to_string()).collect();
            let otherwise = store.told_otherwise(ids).await?;
            unknown.into_iter().for_each(|call| put(&mut ours.only, call));
            let told = |call: &Call| otherwise.contains(&call.id.to_string());
            known.into_iter().filter(told).for_each(|call| put(&mut ours.otherwise, call));
        }
    }
}

fn put((count, named): &mut (usize, Vec<Call>), call: Call) {
    *count += 1;
    if named.len() < NAMED {
        named.push(call);
    }
}

fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
