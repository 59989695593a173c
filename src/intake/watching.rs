//! What all nodes know of the feeds is brought together, and what follows is told: that one is down, that it is up again.
//!
//! One transaction: read, add what this node saw, judge by the rules of [`feeds`](super::feeds), write what differs and
//! create the notices. So a change is told once, whoever sees it first. Knows nothing of when it is called.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::feeds::{self, ByFeed, News, Terms};
use super::wanting::{FEED_DOWN, FEED_UP, Subscription};
use crate::call::identity::notice_about;
use crate::event::Feed;
use crate::store::feeds::{self as stored, Evidence};
use crate::store::outbox::{self, Notice};
use crate::store::{Db, StoreError};

/// What came of it.
pub(super) struct Synced {
    /// What all nodes know by now.
    pub known: Vec<(String, Feed, Evidence)>,
    /// The notices that were created: kind, pbx, feed.
    pub told: Vec<(&'static str, String, Feed)>,
}

/// Adds `news` to what is stored, and tells `subscriptions` what changed.
///
/// # Errors
/// When the database refuses; nothing is written then.
pub(super) fn sync(
    db: &mut Db,
    news: &ByFeed<News>,
    terms: &Terms,
    today: &str,
    subscriptions: &[Subscription],
) -> Result<Synced, StoreError> {
    stored::alone(db)?;
    let mut all: BTreeMap<(String, Feed), (Option<Evidence>, Evidence)> = BTreeMap::new();
    for (pbx, feed, known) in stored::all(db)? {
        all.insert((pbx, feed), (Some(known.clone()), known));
    }
    for (pbx, fresh) in news {
        for (feed, fresh) in fresh {
            let (_, known) = all.entry((pbx.clone(), *feed)).or_default();
            fresh.add_to(known, today);
        }
    }
    let mut synced = Synced { known: Vec::new(), told: Vec::new() };
    for ((pbx, feed), (before, mut known)) in all {
        feeds::judge(feed, &mut known, terms);
        feeds::forgive(&mut known, terms);
        if feeds::is_forgotten(&known, terms.now) {
            stored::forget(db, &pbx, feed)?;
            continue;
        }
        if let Some(down) = feeds::due(&known, terms) {
            let kind = if down { FEED_DOWN } else { FEED_UP };
            feeds::tell(&mut known, down, terms.now);
            let notice = notice(kind, &pbx, feed, &known, today, terms.now);
            let to = subscriptions.iter().filter(|s| s.takes(kind)).map(|s| s.endpoint.as_str());
            let to: Vec<&str> = to.collect();
            if !to.is_empty() && outbox::create(db, &notice, &to)? {
                synced.told.push((kind, pbx.clone(), feed));
            }
        }
        if before.as_ref() != Some(&known) {
            stored::put(db, &pbx, feed, &known)?;
        }
        synced.known.push((pbx, feed, known));
    }
    Ok(synced)
}

/// Notices of one feed go out in their order, as those of one call do: what they are about stands in the call's place.
fn notice(
    kind: &'static str,
    pbx: &str,
    feed: Feed,
    known: &Evidence,
    today: &str,
    created: Timestamp,
) -> Notice {
    let data = json!(feeds::shown(pbx, feed, known, today));
    let body = json!({ "type": kind, "timestamp": created, "data": data, "story": [] }).to_string();
    let since = known.since.unwrap_or(created).as_microsecond();
    Notice { id: id(kind, pbx, feed, since), call: subject(pbx, feed), kind, created, body }
}

fn id(kind: &str, pbx: &str, feed: Feed, since_us: i64) -> Uuid {
    notice_about(kind, pbx, &format!("{feed} {since_us}"))
}

/// What stands where other notices have their call. No id of a call has a slash.
fn subject(pbx: &str, feed: Feed) -> String {
    format!("feed/{pbx}/{feed}")
}
