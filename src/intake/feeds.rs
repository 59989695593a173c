//! How each feed of each pbx stands: the rules, all in this file.
//!
//! Pure: what was seen comes in with its time, a state comes out. A feed is judged by what it shows of itself, a heartbeat or a
//! connection, and by what others tell. Its silence alone says nothing: at night nobody calls.
//!
//! | feed | late | down |
//! |---|---|---|
//! | dialplan (`agi`) | AMI or ast-ami told the last [`RUN`] calls, and it none of them: contexts that are not hooked, maybe on purpose | the last [`SPOOLED`] calls came through the spool while the server listened |
//! | `ami` | the connection broke just now; or no server listens to it | it is away for longer than `[feeds] down_after_s`, or it is up and said nothing of the last [`RUN`] calls |
//! | ast-ami (`push`) | two heartbeats are missing, or it said nothing of the last [`RUN`] calls | four are missing |
//! | `spool`, `cdr` | never | never |
//!
//! Who has just started has heard nobody yet: for so long what was known before stays. Knows nothing of the database.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::call::SIMULATED;
use crate::event::{Event, Feed};
use crate::store::feeds::{Evidence, Standing, State, Why};

/// Calls in a row of which a feed says nothing while another tells them.
pub const RUN: u64 = 10;
/// Calls in a row that the dialplan told by the spool alone.
pub const SPOOLED: u64 = 3;

/// ast-ami's heartbeat, and how much longer it may take.
const BEAT: SignedDuration = SignedDuration::from_secs(40);
const BEAT_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// A connection that is up shows it at least every half minute; how long that is believed, over nodes that write it down
/// now and then.
const LINK_FRESH: SignedDuration = SignedDuration::from_secs(120);

/// What is unheard of for so long is forgotten.
const FORGET_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// That a feed is down is told at least this far apart, twice as far each time; all is forgiven when it was well for long.
const TELL_APART: SignedDuration = SignedDuration::from_mins(5);
const MOST_DOUBLED: u32 = 4;
const WELL_FOR_LONG: SignedDuration = SignedDuration::from_hours(2);

/// Characters that are kept of why a connection is away: some of it may be what the other side said.
const MOST_DETAIL: usize = 300;

/// Pbxes that are followed; further names are not.
const MOST: usize = 64;

/// By what a feed is judged beside what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The present.
    pub now: Timestamp,
    /// Since when this process listens.
    pub listening: Timestamp,
    /// How long a connection is away before it is down, and up before that is told.
    pub down_after: SignedDuration,
}

/// What was seen of a feed since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    heard: Option<Timestamp>,
    beat: Option<Timestamp>,
    link: Option<Link>,
    told: u64,
    missed: u64,
    /// Calls missed in a row, and whether that row began anew.
    run: u64,
    broke_run: bool,
    by: Option<Feed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Up(Timestamp),
    Broken(Timestamp, String),
}

/// The feeds by pbx.
pub type ByFeed<T> = BTreeMap<String, BTreeMap<Feed, T>>;

/// What this process knows of all feeds.
#[derive(Debug)]
pub struct Feeds {
    listening: Timestamp,
    known: ByFeed<Evidence>,
    news: ByFeed<News>,
    /// What was seen before that and is being written down.
    sending: ByFeed<News>,
}

impl News {
    /// Adds what came after it.
    fn absorb(&mut self, later: News) {
        self.heard = self.heard.max(later.heard);
        self.beat = self.beat.max(later.beat);
        self.link = later.link.or(self.link.take());
        self.told += later.told;
        self.missed += later.missed;
        self.run = if later.broke_run { later.run } else { self.run + later.run };
        self.broke_run |= later.broke_run;
        self.by = later.by.or(self.by);
    }

    /// Adds it to what was known, on the day `today`.
    pub fn add_to(&self, known: &mut Evidence, today: &str) {
        known.heard = known.heard.max(self.heard);
        known.beat = known.beat.max(self.beat);
        match &self.link {
            Some(Link::Up(at)) => {
                (known.linked, known.broken) = (known.linked.or(Some(*at)), None);
                known.detail.clear();
            }
            Some(Link::Broken(at, why)) => {
                known.linked = known.linked.filter(|_| is_alive(known, *at));
                known.broken = known.broken.or(Some(*at));
                known.detail.clone_from(why);
            }
            None => {}
        }
        if known.day != today {
            (known.told, known.missed) = (0, 0);
            today.clone_into(&mut known.day);
        }
        known.told += self.told;
        known.missed += self.missed;
        known.run = if self.broke_run { self.run } else { known.run.saturating_add(self.run) };
        known.by = self.by.or(known.by);
    }
}

impl Feeds {
    /// Nothing is known; this process listens from now on.
    #[must_use]
    pub fn new(now: Timestamp) -> Feeds {
        Feeds { listening: now, known: BTreeMap::new(), news: BTreeMap::new(), sending: BTreeMap::new() }
    }

    /// Since when this process listens.
    #[must_use]
    pub fn listening(&self) -> Timestamp {
        self.listening
    }

    /// An event came.
    pub fn hear(&mut self, event: &Event) {
        let feed = if event.feed == Feed::Cel { Feed::Cdr } else { event.feed };
        if let Some(news) = self.of(&event.pbx, feed) {
            news.heard = news.heard.max(Some(event.received));
        }
    }

    /// A feed gave a sign of life.
    pub fn beat(&mut self, pbx: &str, feed: Feed, now: Timestamp) {
        if let Some(news) = self.of(pbx, feed) {
            news.beat = news.beat.max(Some(now));
        }
    }

    /// A connection came up.
    pub fn linked(&mut self, pbx: &str, feed: Feed, now: Timestamp) {
        if let Some(news) = self.of(pbx, feed) {
            news.link = Some(Link::Up(now));
            news.beat = Some(now);
            // What the last one missed is not held against a new one.
            (news.run, news.broke_run) = (0, true);
        }
    }

    /// A connection is away since then: it broke, or did not come up.
    pub fn broken(&mut self, pbx: &str, feed: Feed, why: &str, since: Timestamp) {
        if let Some(news) = self.of(pbx, feed) {
            let why = why.chars().filter(|c| !c.is_control()).take(MOST_DETAIL).collect();
            news.link = Some(Link::Broken(since, why));
        }
    }

    /// A call of `pbx` that began at `started` is over, and `tellers` told it. Answers who should have and did not.
    pub fn over(
        &mut self,
        pbx: &str,
        tellers: &BTreeSet<Feed>,
        started: Timestamp,
        now: Timestamp,
    ) -> Vec<Feed> {
        for &feed in tellers {
            if let Some(news) = self.of(pbx, feed) {
                (news.told, news.run, news.broke_run) = (news.told + 1, 0, true);
            }
        }
        let mut missing = Vec::new();
        // Of what was before, others may have been told while nobody listened.
        if started < self.listening {
            return missing;
        }
        let known = self.seen(pbx);
        for feed in [Feed::Agi, Feed::Push, Feed::Ami] {
            let Some(by) = who_else(feed, tellers) else { continue };
            let expected = match (feed, known.get(&feed)) {
                (Feed::Agi, Some(is)) => is.heard.is_some() || by == Feed::Spool,
                (Feed::Agi, None) => by == Feed::Spool,
                (Feed::Ami, Some(is)) => is.linked.is_some_and(|since| since <= started),
                (_, Some(is)) => is.beat.is_some_and(|beat| now.duration_since(beat) < BEAT + BEAT_MARGIN),
                (_, None) => false,
            };
            if !expected {
                continue;
            }
            if let Some(news) = self.of(pbx, feed) {
                news.missed += 1;
                news.run += 1;
                news.by = Some(by);
                missing.push(feed);
            }
        }
        missing
    }

    /// How each stands by now, as far as this process knows.
    #[must_use]
    pub fn standings(&self, terms: &Terms, today: &str) -> Vec<Standing> {
        let judged = |(pbx, feed, mut known): (String, Feed, Evidence)| {
            judge(feed, &mut known, terms);
            shown(&pbx, feed, &known, today)
        };
        self.all(today).map(judged).collect()
    }

    /// Whether there is something that others should learn at once.
    #[must_use]
    pub fn is_pressing(&self, terms: &Terms, today: &str) -> bool {
        self.all(today).any(|(_, feed, mut known)| {
            let before = known.state;
            judge(feed, &mut known, terms);
            known.state != before || due(&known, terms).is_some()
        })
    }

    /// What was seen and is not written down yet. [`Feeds::know`] says that it is, [`Feeds::put_back`] that it could not be.
    #[must_use]
    pub fn take_news(&mut self) -> ByFeed<News> {
        self.put_back();
        self.sending = std::mem::take(&mut self.news);
        self.sending.clone()
    }

    /// What was taken could not be written down.
    pub fn put_back(&mut self) {
        let earlier = std::mem::take(&mut self.sending);
        let later = std::mem::replace(&mut self.news, earlier);
        for (pbx, feeds) in later {
            for (feed, news) in feeds {
                self.news.entry(pbx.clone()).or_default().entry(feed).or_default().absorb(news);
            }
        }
    }

    /// What all nodes know, with what was taken.
    pub fn know(&mut self, all: Vec<(String, Feed, Evidence)>) {
        self.sending.clear();
        self.known.clear();
        for (pbx, feed, evidence) in all {
            self.known.entry(pbx).or_default().insert(feed, evidence);
        }
    }

    fn of(&mut self, pbx: &str, feed: Feed) -> Option<&mut News> {
        if pbx == SIMULATED {
            return None;
        }
        if !self.news.contains_key(pbx) {
            let full = self.known.len().max(self.news.len()) >= MOST && !self.known.contains_key(pbx);
            if full {
                return None;
            }
            self.news.insert(pbx.to_owned(), BTreeMap::new());
        }
        Some(self.news.get_mut(pbx)?.entry(feed).or_default())
    }

    fn seen(&self, pbx: &str) -> BTreeMap<Feed, Evidence> {
        let mut known = self.known.get(pbx).cloned().unwrap_or_default();
        for news in [&self.sending, &self.news] {
            for (feed, news) in news.get(pbx).into_iter().flatten() {
                news.add_to(known.entry(*feed).or_default(), "");
            }
        }
        known
    }

    fn all(&self, today: &str) -> impl Iterator<Item = (String, Feed, Evidence)> {
        let mut all = self.known.clone();
        for (pbx, feeds) in self.sending.iter().chain(&self.news) {
            for (feed, news) in feeds {
                news.add_to(all.entry(pbx.clone()).or_default().entry(*feed).or_default(), today);
            }
        }
        all.into_iter()
            .flat_map(|(pbx, feeds)| feeds.into_iter().map(move |(feed, is)| (pbx.clone(), feed, is)))
    }
}

/// Who told a call in place of `feed`, which did not.
fn who_else(feed: Feed, tellers: &BTreeSet<Feed>) -> Option<Feed> {
    let others: &[Feed] = match feed {
        Feed::Agi => &[Feed::Spool, Feed::Ami, Feed::Push],
        Feed::Ami => &[Feed::Agi, Feed::Spool],
        _ => &[Feed::Agi, Feed::Ami],
    };
    let other = others.iter().copied().find(|other| tellers.contains(other));
    other.filter(|_| !tellers.contains(&feed))
}

/// Judges a feed by what is known of it, and writes down as what and since when.
pub fn judge(feed: Feed, known: &mut Evidence, terms: &Terms) {
    let verdict = match feed {
        Feed::Ami => of_connection(known, terms),
        Feed::Push => of_heartbeat(known, terms),
        Feed::Agi => Some(of_dialplan(known)),
        _ => Some((if known.heard.is_some() { State::Up } else { State::Never }, None, None)),
    };
    // Who cannot judge yet leaves it.
    let Some((state, why, since)) = verdict else { return };
    if known.state != state {
        let first = if state == State::Up && known.state == State::Never { known.heard } else { None };
        known.since = (state != State::Never).then(|| since.or(first).unwrap_or(terms.now));
    }
    (known.state, known.why) = (state, why);
}

/// A state, why it is that, and since when where that is known better than now.
type Verdict = (State, Option<Why>, Option<Timestamp>);

const WELL: Verdict = (State::Up, None, None);

fn of_dialplan(known: &Evidence) -> Verdict {
    match known.by {
        Some(Feed::Spool) if known.run >= SPOOLED => (State::Down, Some(Why::Spooled), None),
        Some(by) if by != Feed::Spool && known.run >= RUN => (State::Late, Some(Why::Missed), None),
        _ if known.heard.is_none() => (State::Never, None, None),
        _ => WELL,
    }
}

fn of_connection(known: &Evidence, terms: &Terms) -> Option<Verdict> {
    let stale = known.beat.is_some_and(|beat| terms.now.duration_since(beat) > LINK_FRESH);
    if let Some(since) = known.broken.filter(|since| stale || !is_alive(known, *since)) {
        let since = since.max(known.beat.unwrap_or(since));
        let state =
            if terms.now.duration_since(since) >= terms.down_after { State::Down } else { State::Late };
        // A log-in that fails once more does not make better what is down.
        let state = if known.state == State::Down { State::Down } else { state };
        return Some((state, Some(Why::Broken), Some(since)));
    }
    let Some(beat) = known.beat else { return Some((State::Never, None, None)) };
    if stale {
        let just_started = terms.now.duration_since(terms.listening) < LINK_FRESH;
        return (!just_started).then_some((State::Late, Some(Why::Unwatched), Some(beat)));
    }
    if known.run >= RUN {
        return Some((State::Down, Some(Why::Missed), None));
    }
    Some((State::Up, None, known.linked))
}

/// Whether a connection showed life after another node's to the same pbx broke: one is enough.
fn is_alive(known: &Evidence, broken: Timestamp) -> bool {
    known.beat.is_some_and(|beat| beat > broken)
}

fn of_heartbeat(known: &Evidence, terms: &Terms) -> Option<Verdict> {
    let Some(beat) = known.beat else {
        // It is heard and never asked: then its silence says nothing.
        return Some(if known.heard.is_some() { WELL } else { (State::Never, None, None) });
    };
    let last = beat.max(known.heard.unwrap_or(beat));
    let silence = terms.now.duration_since(last.max(terms.listening));
    if silence > BEAT * 4 + BEAT_MARGIN {
        return Some((State::Down, Some(Why::Silent), Some(last)));
    }
    if silence > BEAT * 2 + BEAT_MARGIN {
        return Some((State::Late, Some(Why::Silent), Some(last)));
    }
    if last < terms.listening {
        return None;
    }
    if known.run >= RUN {
        return Some((State::Late, Some(Why::Missed), None));
    }
    Some(WELL)
}

/// Whether it is to be told now that a feed is down (`true`) or up again (`false`).
#[must_use]
pub fn due(known: &Evidence, terms: &Terms) -> Option<bool> {
    let lasts =
        |since: Option<Timestamp>| since.is_some_and(|at| terms.now.duration_since(at) >= terms.down_after);
    match (known.state, known.told_down) {
        (State::Down, false) => {
            let apart = TELL_APART * (1 << known.alarms.saturating_sub(1).min(MOST_DOUBLED));
            let soon = |at| known.alarms > 0 && terms.now.duration_since(at) < apart;
            (!known.told_at.is_some_and(soon)).then_some(true)
        }
        // One that comes and goes is not told to be up each time.
        (State::Up, true) if lasts(known.since) => Some(false),
        _ => None,
    }
}

/// Writes down that it was told.
pub fn tell(known: &mut Evidence, down: bool, now: Timestamp) {
    (known.told_down, known.told_at) = (down, Some(now));
    known.alarms = known.alarms.saturating_add(u32::from(down));
}

/// Forgives old alarms where it was well for long.
pub fn forgive(known: &mut Evidence, terms: &Terms) {
    let long = |since| terms.now.duration_since(since) >= WELL_FOR_LONG;
    if known.state == State::Up && known.since.is_some_and(long) {
        known.alarms = 0;
    }
}

/// Whether nothing was seen of it for so long that it is no feed any more.
#[must_use]
pub fn is_forgotten(known: &Evidence, now: Timestamp) -> bool {
    let last = known.heard.max(known.beat).max(known.broken).max(known.since);
    last.is_some_and(|last| now.duration_since(last) > FORGET_AFTER)
}

/// A feed as it is shown, with the reason.
#[must_use]
pub fn shown(pbx: &str, feed: Feed, known: &Evidence, today: &str) -> Standing {
    let standing = known.standing(pbx, feed, today);
    Standing { reason: reason(&standing), ..standing }
}

/// Why a feed is not well, in a sentence, with what to look at.
fn reason(one: &Standing) -> Option<String> {
    let (calls, by) = (one.in_a_row, one.by.map_or("another feed", name));
    Some(match (one.why?, one.feed) {
        (Why::Broken, _) => format!("the connection is away: {}", one.detail),
        (Why::Silent, _) => {
            "its heartbeat stays away: is ast-ami running, and does it reach this server?".to_owned()
        }
        (Why::Spooled, _) => format!(
            "the last {calls} calls came through the spool: this server is not reached from that pbx by FastAGI, or answers too late"
        ),
        (Why::Missed, Feed::Agi) => format!(
            "{by} told {calls} calls in a row of which the dialplan said nothing: their contexts are not hooked, or calljournal.conf is not included"
        ),
        (Why::Missed, Feed::Ami) => format!(
            "{by} told {calls} calls in a row of which AMI said nothing: does its user have read = call, and no eventfilter?"
        ),
        (Why::Missed, feed) => {
            format!("{by} told {calls} calls in a row of which {} said nothing", name(feed))
        }
        (Why::Unwatched, _) => {
            "no server listens to it at present: is it still in the configuration, and does that node run?"
                .to_owned()
        }
    })
}

/// A feed as people call it.
fn name(feed: Feed) -> &'static str {
    match feed {
        Feed::Agi => "the dialplan",
        Feed::Spool => "the spool",
        Feed::Push => "ast-ami",
        Feed::Ami => "AMI",
        Feed::Cdr | Feed::Cel => "Asterisk's CDR",
    }
}

#[cfg(test)]
mod tests;
